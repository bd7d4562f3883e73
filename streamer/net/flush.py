# -*- test-case-name: tests.unit.test_net_flush -*-
"""When clients are written to: one timer for all of them, none when there is nothing to do.

A write costs a system call whatever its size, so events that come close together should share one. The first event
after a pause goes out at once (in the reactor's next turn, together with those that came in the same read); under
load, at most one flush every `TICK`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

TICK = 0.01  # seconds; what an event may wait for company
TURN_LIMIT = 1000  # clients written to before other parties of the reactor get a turn
SWEEP = 1.0  # seconds between looks at the clients' clocks

Wake = Callable[[], None]


@attrs.define(eq=False)
class Flusher:
    """Calls whoever is due.

    Args:
        due: gives those that have something new to read; called once per tick.
    """

    _clock: IReactorTime
    _due: Callable[[], list[Wake]]
    _call: IDelayedCall | None = None
    _waiting: deque[Wake] = attrs.field(factory=deque)
    _flushed: float = float("-inf")

    def soon(self) -> None:
        """There is something to read; flush at once, or when the tick is over."""
        if self._call is None:
            since = self._clock.seconds() - self._flushed
            delay = 0.0 if since < 0 else max(0.0, TICK - since)  # a clock that was set back makes nobody wait
            self._call = self._clock.callLater(delay, self._flush)

    def stop(self) -> None:
        """Forget what is waiting."""
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _flush(self) -> None:
        self._call = None
        self._flushed = self._clock.seconds()
        if not self._waiting:
            self._waiting.extend(self._due())
        for _ in range(min(TURN_LIMIT, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            self._call = self._clock.callLater(0, self._flush)
