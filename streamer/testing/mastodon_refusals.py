# -*- test-case-name: tests.unit.test_testing_mastodon -*-
"""What a Mastodon server says when it refuses: `{"error": …}`.

https://github.com/mastodon/mastodon/blob/main/streaming/index.js and https://docs.joinmastodon.org/api/rate-limits/
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import msgspec
from twisted.web.server import Request

from streamer.testing.sockets import is_upgrade


@attrs.frozen
class Refused:
    """A refusal; that of a websocket's handshake has no body, and says it in a header."""

    status: int
    error: str
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def answer(self, request: Request) -> bytes:
        """Set status and headers; returns the body."""
        request.setResponseCode(self.status)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        if is_upgrade(request):
            request.setHeader("connection", "close")
            request.setHeader("x-error-message", self.error)
            return b""
        request.setHeader("content-type", "application/json; charset=utf-8")
        return msgspec.json.encode({"error": self.error})


NOT_FOUND = Refused(404, "Record not found")
METHOD_NOT_ALLOWED = Refused(405, "Method not allowed")
UNKNOWN_CHANNEL = "Unknown channel requested"
UNKNOWN_STREAM = "Unknown stream type"
NO_TOKEN = Refused(401, "Missing access token")
BAD_TOKEN = Refused(401, "Invalid access token")
NO_BINARY = "The mastodon streaming server does not support binary messages"

ON_DEMAND: Mapping[int | str, Refused] = {
    400: Refused(400, UNKNOWN_CHANNEL),
    401: BAD_TOKEN,
    403: Refused(403, "This action is not allowed"),
    404: NOT_FOUND,
    422: Refused(422, "Validation failed"),
    429: Refused(429, "Too many requests"),
    500: Refused(500, "An unexpected error occurred"),
    502: Refused(502, "Bad gateway"),
    503: Refused(503, "Service unavailable"),
}
