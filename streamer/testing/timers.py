# -*- test-case-name: tests.unit.test_testing_x_stream -*-
"""The timers of one object, so that it can stop them all."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime


@attrs.define
class Timers:
    """Calls something later, unless stopped."""

    clock: IReactorTime
    _waiting: list[IDelayedCall] = attrs.field(factory=list)

    def later(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """Call it after so many seconds."""
        self._waiting = [timer for timer in self._waiting if timer.active()]
        self._waiting.append(self.clock.callLater(seconds, call))
        return self._waiting[-1]

    def stop(self) -> None:
        """Call nothing of it any more."""
        for timer in self._waiting:
            if timer.active():
                timer.cancel()
        self._waiting.clear()
