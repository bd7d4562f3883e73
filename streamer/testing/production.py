# -*- test-case-name: tests.unit.test_testing_production -*-
"""When posts happen: at a steady rate, whoever listens."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

TICK = 0.02  # seconds: the shortest time between two batches
EARLY = 0.01  # posts: how much of one may be missing, for sums of floats fall short
CATCH_UP = 10.0  # seconds: a process that was asleep makes up for this much, not more


@attrs.define
class Production:
    """Calls `make(n)` for n posts due, until `count` were made.

    Args:
        rate: posts a second; 0 makes none.
        count: posts in all; None never ends.
        make: makes up to that many posts; returns how many it did, and is asked for the others no more.
        ended: called once, when `count` were made.
    """

    clock: IReactorTime
    rate: float
    count: int | None
    make: Callable[[int], int]
    ended: Callable[[], None]
    made: int = 0
    _due_from: float = 0.0  # seconds since the epoch at which `_asked` began to count
    _asked: int = 0
    _loop: LoopingCall | None = None

    log = Logger()

    @property
    def running(self) -> bool:
        """Posts are still happening."""
        return self._loop is not None

    def start(self) -> None:
        """Begin, once: the first post is due after 1/rate seconds."""
        if self._loop is not None or self.rate <= 0 or self._left() == 0:
            return
        self._due_from, self._asked = self.clock.seconds(), 0
        self._loop = LoopingCall(self._tick)
        self._loop.clock = self.clock
        self._loop.start(max(TICK, 1 / self.rate), now=False).addErrback(self._failed)

    def stop(self) -> None:
        """End; `start` goes on from here."""
        loop, self._loop = self._loop, None
        if loop is not None and loop.running:
            loop.stop()

    def _tick(self) -> None:
        now = self.clock.seconds()
        catch_up = max(CATCH_UP, 2 / self.rate)  # or what is rarer than that would never be made
        if (now - self._due_from) - self._asked / self.rate > catch_up:
            self._due_from = now - catch_up - self._asked / self.rate
        due = math.floor((now - self._due_from) * self.rate + EARLY) - self._asked
        self._asked += due
        left = self._left()
        self.made += self.make(due if left is None else min(due, left))
        if self._left() == 0:
            self.stop()
            self.ended()

    def _left(self) -> int | None:
        return None if self.count is None else max(0, self.count - self.made)

    def _failed(self, failure: Failure) -> None:
        self._loop = None
        self.log.failure("while making posts; the simulation makes no more", failure=failure)
