# -*- test-case-name: tests.unit.test_testing_x -*-
"""Who may ask, and how often: the bearer token and the window of 15 minutes.

https://docs.x.com/x-api/fundamentals/rate-limits
"""

from __future__ import annotations

import math

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from streamer.testing.x_problems import RATE_LIMIT, UNAUTHORIZED, Problem

WINDOW = 900.0  # seconds
STREAM_LIMIT = 50  # connects a window
RULES_GET_LIMIT = 450  # requests a window
RULES_POST_LIMIT = 100  # requests a window


@attrs.define
class Admission:
    """The gate before one method of one endpoint.

    Args:
        token: the bearer token that is let in; None lets everybody in.
        limit: requests a window.
    """

    clock: IReactorTime
    token: str | None
    limit: int
    _used: int = 0
    _reset: float = 0.0  # seconds since the epoch: when the window ends

    def refusal(self, request: Request) -> Problem | None:
        """Why this request is not let in; it is counted, and told the window in the x-rate-limit headers."""
        if self.token is not None and request.getHeader("authorization") != f"Bearer {self.token}":
            return UNAUTHORIZED
        now = self.clock.seconds()
        if now >= self._reset:
            self._used, self._reset = 0, now + WINDOW
        self._used += 1
        request.setHeader("x-rate-limit-limit", str(self.limit))
        request.setHeader("x-rate-limit-remaining", str(max(0, self.limit - self._used)))
        request.setHeader("x-rate-limit-reset", str(math.ceil(self._reset)))
        return RATE_LIMIT if self._used > self.limit else None
