# -*- test-case-name: tests.unit.test_services_follower -*-
"""One delayed call, set anew as often as need be."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime


@attrs.define
class Alarm:
    """Calls one function at one time."""

    clock: IReactorTime
    ring: Callable[[], object]
    _call: IDelayedCall | None = None

    def set(self, at: float | None) -> None:
        """Ring then, in seconds since the epoch, and at no other time; None for never."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None if at is None else self.clock.callLater(max(0.0, at - self.clock.seconds()), self.ring)
