# -*- test-case-name: tests.unit.test_bus_outbox -*-
"""What a publisher has taken and the broker has not confirmed: waiting, on the wire, or refused for now."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from streamer.bus.confirms import Confirms
from streamer.message import Message


@attrs.define(eq=False)
class Outgoing:
    """One publish; `number` is its place in the order of publishing, `properties` are pika's."""

    number: int
    message: Message
    properties: Any
    taken: Deferred[None] = attrs.field(factory=Deferred)


@attrs.define
class Outbox:
    """Every publish is in exactly one of three places until it is settled; going back, it finds its old place."""

    _count: int = 0
    _pending: deque[Outgoing] = attrs.field(factory=deque)
    _confirms: Confirms[Outgoing] = attrs.field(factory=Confirms)
    _refused: list[Outgoing] = attrs.field(factory=list)

    def __len__(self) -> int:
        return self.waiting + self.unconfirmed

    @property
    def waiting(self) -> int:
        """Not on the wire."""
        return len(self._pending) + len(self._refused)

    @property
    def unconfirmed(self) -> int:
        """On the wire."""
        return len(self._confirms)

    @property
    def head(self) -> float | None:
        """When the oldest one on the wire was written."""
        return self._confirms.head()

    def add(self, message: Message, properties: Any) -> Outgoing:
        """Take a message."""
        self._count += 1
        outgoing = Outgoing(self._count, message, properties)
        self._pending.append(outgoing)
        return outgoing

    def next(self) -> Outgoing | None:
        """Take out the next one to write; then call `sent`, or `give_back`, or settle it."""
        return self._pending.popleft() if self._pending else None

    def sent(self, outgoing: Outgoing, now: float) -> None:
        """It was written to the channel."""
        self._confirms.sent(outgoing, now)

    def settle(self, tag: int, multiple: bool, acked: bool) -> list[Outgoing]:
        """The broker acked or nacked; what it nacked is refused, until `retry`.

        Raises:
            UnknownTag: see Confirms.
        """
        settled = self._confirms.settle(tag, multiple)
        if not acked:
            self._refused += settled
        return settled

    def give_back(self, again: list[Outgoing]) -> list[Outgoing]:
        """Let them wait again, each in its old place. Returns them."""
        if again:
            self._pending = deque(sorted([*again, *self._pending], key=lambda outgoing: outgoing.number))
        return again

    def retry(self) -> list[Outgoing]:
        """What was refused waits again. Returns that."""
        again, self._refused = self._refused, []
        return self.give_back(again)

    def recover(self) -> list[Outgoing]:
        """The channel is gone: what was on the wire, or refused, waits again, and tags start anew. Returns that."""
        again, self._refused = self._confirms.clear() + self._refused, []
        self._confirms = Confirms()
        return self.give_back(again)
