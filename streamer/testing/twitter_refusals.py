# -*- test-case-name: tests.unit.test_testing_twitter_query -*-
"""What Twitter's streams said when they refused: a status, and a page or a sentence of text.

The statuses are documented in https://developer.x.com/en/docs/twitter-api/v1/tweets/filter-realtime/guides/connecting;
"Exceeded connection limit for user" was recorded with 420 by many clients.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from twisted.web.server import Request

_REASONS = {420: b"Enhance Your Calm", 416: b"Range Unacceptable", 413: b"Too Long"}  # unlike HTTP's own


@attrs.frozen
class TextRefusal:
    """A refusal as Twitter words it; `headers` besides the usual ones."""

    status: int
    text: str
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def answer(self, request: Request) -> bytes:
        """Set status and headers; returns the body."""
        request.setResponseCode(self.status, _REASONS.get(self.status))
        for name, value in self.headers.items():
            request.setHeader(name, value)
        request.setHeader("content-type", "text/html" if self.text.startswith("<") else "text/plain")
        return f"{self.text}\r\n".encode()


def _page(status: int, title: str) -> str:
    head = f"<head>\n<title>Error {status} {title}</title>\n</head>"
    return f"<html>\n{head}\n<body>\n<h2>HTTP ERROR: {status}</h2>\n</body>\n</html>"


UNAUTHORIZED = TextRefusal(
    401, _page(401, "Unauthorized"), {"www-authenticate": 'Basic realm="Firehose", charset="UTF-8"'}
)
FORBIDDEN = TextRefusal(403, _page(403, "Forbidden"))
UNKNOWN = TextRefusal(404, _page(404, "Unknown"))
METHOD_NOT_ALLOWED = TextRefusal(405, _page(405, "Method Not Allowed"))
NO_PREDICATE = TextRefusal(406, "No filter parameters found. Expect at least one parameter: follow track locations")
CALM = TextRefusal(420, "Exceeded connection limit for user")
UNAVAILABLE = TextRefusal(503, _page(503, "Service Unavailable"))


def not_acceptable(sentence: str) -> TextRefusal:
    """406: a parameter is not as it must be."""
    return TextRefusal(406, sentence)


def too_many(sentence: str) -> TextRefusal:
    """413: a parameter holds too many of something."""
    return TextRefusal(413, sentence)


def out_of_range(sentence: str) -> TextRefusal:
    """416: a count that cannot be had."""
    return TextRefusal(416, sentence)


ON_DEMAND: Mapping[int | str, TextRefusal] = {
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    404: UNKNOWN,
    406: NO_PREDICATE,
    413: too_many("Too many track keywords were given"),
    416: out_of_range("The count parameter is not allowed in this role"),
    420: CALM,
    503: UNAVAILABLE,
}
