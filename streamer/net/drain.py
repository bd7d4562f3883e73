# -*- test-case-name: tests.unit.test_net_drain -*-
"""Clients of a relay that stops are sent away one by one, each at a random moment of its own that it is told before.

All at once they would all be back at once, at the other relay or at the successor, with a handshake and a piece of
history each. Until its moment a client is served as ever; the connection is closed a little later than was
announced, so that a client that goes of itself, and has the next connection before it loses this one, is not hurried.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

LINGER = 1.0  # seconds after the announced moment until the connection is closed; half of the time where that is less
SPREAD = 5.0  # seconds over which those are to come back who are sent away at once
LATE = 0.1  # seconds that one who still slips in while the relay drains may stay


class Announced(Protocol):
    """Somebody who can be told."""

    def announce(self, in_ms: int) -> None:
        """Say that the connection is to be left after so many milliseconds."""


Leaver = TypeVar("Leaver", bound=Announced)


@attrs.define(eq=False)
class Drain(Generic[Leaver]):
    """One spreading of clients, from its making on.

    Args:
        over: seconds within which the last one must be sent away.
        jitter: a number from 0 to 1 for each client, random; injected, so that tests are exact.
        leave: closes a client's connection; is told of those too that have left by then.
    """

    clock: IReactorTime
    over: float
    jitter: Callable[[], float]
    leave: Callable[[Leaver], object]
    _end: float = attrs.field(init=False)
    _waiting: list[tuple[float, int, Leaver]] = attrs.field(factory=list)  # a heap, by time
    _order: Iterator[int] = attrs.field(factory=itertools.count)
    _timer: IDelayedCall | None = None

    def __attrs_post_init__(self) -> None:
        self._end = self.clock.seconds() + self.over

    def add(self, client: Leaver) -> None:
        """Tell a client its moment, and send it away then.

        Where no time is left it is sent away at once, and only told when to come back.
        """
        left = max(0.0, self._end - self.clock.seconds())
        linger = min(LINGER, left / 2)
        wait = self.jitter() * ((left - linger) if left else SPREAD)
        client.announce(round(wait * 1000))
        if left:
            self._at(wait + linger, client)
        else:
            self.leave(client)

    def late(self, client: Leaver) -> None:
        """One that came after all; it may not be able to be told anything yet."""
        self._at(LATE, client)

    def stop(self) -> None:
        """All have left."""
        self._waiting.clear()
        self._wind()

    def _at(self, delay: float, client: Leaver) -> None:
        item = (self.clock.seconds() + delay, next(self._order), client)
        heapq.heappush(self._waiting, item)
        if self._waiting[0] is item:
            self._wind()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._timer = self.clock.callLater(max(0.0, self._waiting[0][0] - self.clock.seconds()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        while self._waiting and self._waiting[0][0] <= now:
            self.leave(heapq.heappop(self._waiting)[2])
        if self._timer is None:
            self._wind()
