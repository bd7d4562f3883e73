# -*- test-case-name: tests.unit.test_bus_outbox -*-
"""What a publisher has taken and the broker has not confirmed: waiting, on the wire, or refused for now."""

from __future__ import annotations

from collections import deque
from operator import attrgetter

import attrs
from twisted.internet.defer import Deferred

from streamer.bus.confirms import Confirms
from streamer.message import Message

_by_number = attrgetter("number")


@attrs.define(eq=False)
class Outgoing:
    """One publish; `number` is its place in the order of publishing, `head` all that goes before its body."""

    number: int
    message: Message
    head: bytes
    taken: Deferred[None] = attrs.field(factory=Deferred)


@attrs.define
class Outbox:
    """Every publish is in exactly one of three places until it is settled; going back, it finds its old place."""

    _count: int = 0
    _pending: deque[Outgoing] = attrs.field(factory=deque)  # in the order of their numbers
    _confirms: Confirms[Outgoing] = attrs.field(factory=Confirms)
    _refused: list[Outgoing] = attrs.field(factory=list)

    def __len__(self) -> int:
        return self.waiting + self.unconfirmed

    @property
    def waiting(self) -> int:
        """Not on the wire."""
        return len(self._pending) + len(self._refused)

    @property
    def refused(self) -> int:
        """Nacked, and not waiting again yet."""
        return len(self._refused)

    @property
    def unconfirmed(self) -> int:
        """On the wire."""
        return len(self._confirms)

    @property
    def head(self) -> float | None:
        """When the oldest one on the wire was written."""
        return self._confirms.head()

    def add(self, message: Message, head: bytes) -> Outgoing:
        """Take a message."""
        self._count += 1
        outgoing = Outgoing(self._count, message, head)
        self._pending.append(outgoing)
        return outgoing

    def take(self, most: int, size: int) -> list[Outgoing]:
        """Take out the next ones to write: `most` of them at most, and no more once they have `size` bytes.

        None while something is refused, which is to go first. Then call `sent`, or settle them.
        """
        batch: list[Outgoing] = []
        while self._pending and not self._refused and len(batch) < most and size > 0:
            outgoing = self._pending.popleft()
            batch.append(outgoing)
            size -= len(outgoing.head) + len(outgoing.message.body)
        return batch

    def sent(self, batch: list[Outgoing], now: float) -> None:
        """They are written to the channel, in this order."""
        self._confirms.sent(batch, now)

    def settle(self, tag: int, multiple: bool, acked: bool) -> list[Outgoing]:
        """The broker acked or nacked; what it nacked is refused, until `retry`.

        Raises:
            UnknownTag: see Confirms.
        """
        settled = self._confirms.settle(tag, multiple)
        if not acked:
            self._refused += settled
        return settled

    def retry(self) -> list[Outgoing]:
        """What was refused waits again. Returns that."""
        again, self._refused = self._refused, []
        return self._give_back(again)

    def recover(self) -> list[Outgoing]:
        """The channel is gone: what was on the wire, or refused, waits again, and tags start anew. Returns that."""
        again, self._refused = self._confirms.clear() + self._refused, []
        self._confirms = Confirms()
        return self._give_back(again)

    def _give_back(self, again: list[Outgoing]) -> list[Outgoing]:
        """Let them wait again, each in its old place: among those that were on the wire before, never further back."""
        if again:
            front, last = list(again), max(map(_by_number, again))
            while self._pending and self._pending[0].number < last:
                front.append(self._pending.popleft())
            self._pending.extendleft(sorted(front, key=_by_number, reverse=True))
        return again
