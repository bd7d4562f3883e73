# -*- test-case-name: tests.unit.test_net_upgrade -*-
"""Which pages may use a relay: those of the origins that its operator has listed.

A browser says with each request of a page from elsewhere where that page is from, and lets no page forge it. The list
is matched exactly, and `null`, which sandboxed frames send, is never on it. Programs say nothing, or what they like.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.server import Request

from streamer.errors import ClientError
from streamer.fanout.protocol import Close


class Origins:
    """The list.

    Args:
        listed: origins as browsers write them, https://example.org.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self._listed = frozenset(origin.encode() for origin in listed) - {b"null"}

    def check(self, request: Request) -> bytes | None:
        """The origin that a request names, which is on the list; None where it names none.

        Raises:
            ClientError: `origin`; another one, or several.
        """
        origins = request.requestHeaders.getRawHeaders(b"origin", [])
        if not origins:
            return None  # a program, or a page of the relay's own
        if len(origins) > 1 or origins[0] not in self._listed:
            sentence = "this page's origin is not on the relay's list; its operator can add it to [relay] origins"
            raise ClientError("origin", sentence, close=Close.FORBIDDEN)
        return origins[0]

    def open(self, request: Request, exposed: bytes) -> None:
        """As `check`, and let a page of that origin read the answer, and of its headers those that are `exposed`."""
        request.responseHeaders.addRawHeader(b"vary", b"origin")
        origin = self.check(request)
        if origin is not None:
            request.setHeader(b"access-control-allow-origin", origin)
            request.setHeader(b"access-control-expose-headers", exposed)
