# -*- test-case-name: tests.unit.test_net_flush -*-
"""When clients are written to: one timer for all of them, none when there is nothing to do.

A write costs a system call whatever its size, so events that come close together should share one. Flushes are paid
for with credit, which grows by one each `TICK`, up to `CREDIT`: as long as there is some an event goes out at once (in
the reactor's next turn, together with those that came in the same read), and under load one flush begins a tick after
the last one ended: the more there is to write, the more they share.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.metrics import FANOUT_CPU, Metrics

TICK = 0.01  # seconds; what an event may wait for company
CREDIT = 3  # flushes that need not wait, after as many quiet ticks
TURN_LIMIT = 1000  # clients written to before other parties of the reactor get a turn
TURN_TIME = 0.02  # seconds of CPU spent on them, likewise

Flush = Callable[[int, float, Callable[[], bool], bool], bool]


@attrs.define(eq=False)
class Flusher:
    """Calls whoever writes to the clients.

    Args:
        flush: `Hub.flush`.
        cpu: seconds of CPU used by this thread so far.
    """

    _clock: IReactorTime
    _flush: Flush
    _metrics: Metrics
    _cpu: Callable[[], float] = time.thread_time
    _call: IDelayedCall | None = None
    _paid: float = float("-inf")  # until when the flushes so far have used up the credit
    _tick: float | None = None  # when the next tick may be, if there is something new
    _unfinished: bool = False  # there is something to go on with, whether it is time for a tick or not

    def soon(self) -> None:
        """There is something new to read; flush at once, or when the tick is over."""
        if self._tick is None:
            now = self._clock.seconds()
            delay = self._paid - (CREDIT - 1) * TICK - now
            self._tick = now + (delay if 0 < delay < 2 * TICK else 0.0)  # a clock that was set back makes nobody wait
            self._schedule(now)

    def go_on(self) -> None:
        """Somebody has more to read than fitted into its turn."""
        self._unfinished = True
        self._schedule(self._clock.seconds())

    def stop(self) -> None:
        """Nobody is there to write to."""
        self._tick, self._unfinished = None, False
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self, now: float) -> None:
        if self._call is not None:
            if not self._unfinished or self._call.getTime() <= now:
                return
            self._call.cancel()
        self._call = self._clock.callLater(0 if self._unfinished else max(0.0, (self._tick or now) - now), self._turn)

    def _turn(self) -> None:
        self._call = None
        now = self._clock.seconds()
        tick = self._tick is not None and not 0 < self._tick - now < 2 * TICK
        if tick:
            self._tick = None
        began = self._cpu()
        self._unfinished = False
        more = self._flush(TURN_LIMIT, now, lambda: self._cpu() - began > TURN_TIME, tick)
        self._unfinished = self._unfinished or more
        self._metrics.add(FANOUT_CPU, by=self._cpu() - began)
        if tick:
            ended = self._clock.seconds()
            self._paid = min(max(self._paid, ended), ended + (CREDIT - 1) * TICK) + TICK
        if self._unfinished or self._tick is not None:
            self._schedule(now)
