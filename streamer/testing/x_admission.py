# -*- test-case-name: tests.unit.test_testing_x -*-
"""Who may ask, and how often: the bearer token and the window of 15 minutes.

https://docs.x.com/x-api/fundamentals/rate-limits
"""

from __future__ import annotations

import math

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from streamer.testing.problems import Problem
from streamer.testing.window import Window
from streamer.testing.x_problems import RATE_LIMIT, UNAUTHORIZED

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
    _window: Window = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._window = Window(self.clock, self.limit)

    def refusal(self, request: Request) -> Problem | None:
        """Why this request is not let in; it is counted, and told the window in the x-rate-limit headers."""
        if self.token is not None and request.getHeader("authorization") != f"Bearer {self.token}":
            return UNAUTHORIZED
        over = self._window.over()
        request.setHeader("x-rate-limit-limit", str(self.limit))
        request.setHeader("x-rate-limit-remaining", str(self._window.remaining))
        request.setHeader("x-rate-limit-reset", str(math.ceil(self._window.reset)))
        return RATE_LIMIT if over else None
