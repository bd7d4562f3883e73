# -*- test-case-name: tests.unit.test_net_flush -*-
"""When clients are written to: one timer for all of them, none when there is nothing to do.

A write costs a system call whatever its size, so events that come close together should share one. Flushes are paid
for with credit, which grows by one each `TICK`, up to `CREDIT`: as long as there is some an event goes out at once (in
the reactor's next turn, together with those that came in the same read), and under load there is one flush a tick.
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

Flush = Callable[[int, float, Callable[[], bool]], bool]


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
    _unfinished: bool = False  # the tick's clients did not fit into one turn

    def soon(self) -> None:
        """There is something to read; flush at once, or when the tick is over."""
        if self._call is None:
            delay = self._paid - (CREDIT - 1) * TICK - self._clock.seconds()
            # A clock that was set back makes nobody wait.
            self._call = self._clock.callLater(delay if 0 < delay < 2 * TICK else 0.0, self._turn)

    def stop(self) -> None:
        """Nobody is there to write to."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _turn(self) -> None:
        self._call = None
        now = self._clock.seconds()
        if not self._unfinished:
            self._paid = min(max(self._paid, now), now + (CREDIT - 1) * TICK) + TICK
        began = self._cpu()
        self._unfinished = self._flush(TURN_LIMIT, now, lambda: self._cpu() - began > TURN_TIME)
        self._metrics.add(FANOUT_CPU, by=self._cpu() - began)
        if self._unfinished and self._call is None:
            self._call = self._clock.callLater(0, self._turn)
