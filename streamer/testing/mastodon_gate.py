# -*- test-case-name: tests.unit.test_testing_mastodon -*-
"""Who is let in, and how often.

https://docs.joinmastodon.org/api/rate-limits/ — 300 requests in five minutes, the reset written as ISO 8601.
"""

from __future__ import annotations

import math

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from streamer.testing.faults import Status
from streamer.testing.mastodon_refusals import BAD_TOKEN, NO_TOKEN, ON_DEMAND, Refused
from streamer.testing.snowflakes import rfc3339

PERIOD = 300.0  # seconds
LIMIT = 300  # requests to the timelines in a period


@attrs.define
class Gate:
    """The one account.

    Args:
        token: to ask for; None lets everybody in.
        limit: requests in a period.
        revoked: the token is worth nothing any more.
    """

    clock: IReactorTime
    token: str | None
    limit: int = LIMIT
    revoked: bool = False
    _period: float = 0.0  # the one that is counted
    _used: int = 0

    def refusal(self, request: Request) -> Refused | None:
        """What to say to who may not listen; None to who may."""
        if self.token is None:
            return None
        shown = _shown(request)
        if shown is None:
            return NO_TOKEN
        return BAD_TOKEN if self.revoked or shown != self.token else None

    def count(self, request: Request) -> Refused | None:
        """Count a request, and say in its answer how many are left; what to say where it is one too many."""
        period = self.clock.seconds() // PERIOD
        if period != self._period:
            self._period, self._used = period, 0
        self._used += 1
        headers = self._headers(max(0, self.limit - self._used), (period + 1) * PERIOD)
        for name, value in headers.items():
            request.setHeader(name, value)
        return attrs.evolve(ON_DEMAND[429], headers=headers) if self._used > self.limit else None

    def on_demand(self, fault: Status) -> Refused:
        """A refusal that a fault asks for."""
        refused = ON_DEMAND[fault.status]
        if fault.status == 429:
            return attrs.evolve(refused, headers=self._headers(0, self.clock.seconds() + fault.reset_after))
        if fault.status == 503:
            return attrs.evolve(refused, headers={"retry-after": str(math.ceil(fault.reset_after))})
        return refused

    def _headers(self, left: int, reset: float) -> dict[str, str]:
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(left),
            "x-ratelimit-reset": rfc3339(math.ceil(reset * 1000)),
        }


def _shown(request: Request) -> str | None:
    """The token that a request brings, in any of three ways."""
    written = request.getHeader(b"authorization") or b""
    if written.startswith(b"Bearer "):
        return written.removeprefix(b"Bearer ").decode("latin-1")
    query = (request.args or {}).get(b"access_token") or [request.getHeader(b"sec-websocket-protocol") or b""]
    return query[-1].decode("latin-1") or None
