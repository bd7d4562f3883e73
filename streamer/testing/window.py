# -*- test-case-name: tests.unit.test_testing_x_stream -*-
"""How many requests an upstream takes in a while: the count, and when it begins anew."""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IReactorTime

WINDOW = 900.0  # seconds


@attrs.define
class Window:
    """Counts requests; a window begins with the first request after the last one's end.

    Args:
        limit: requests a window.
    """

    clock: IReactorTime
    limit: int
    used: int = 0
    reset: float = 0.0  # seconds since the epoch: when the window ends

    def over(self) -> bool:
        """Count one more request. Returns whether it is one too many."""
        now = self.clock.seconds()
        if now >= self.reset:
            self.used, self.reset = 0, now + WINDOW
        self.used += 1
        return self.used > self.limit

    @property
    def remaining(self) -> int:
        """Requests that may still come in this window."""
        return max(0, self.limit - self.used)
