# -*- test-case-name: tests.unit.test_net_dialer -*-
"""An HTTP answer where a websocket was asked for, so that its source sees status, headers and body."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers

BODY_LIMIT = 65_536  # bytes of it that are read
BODILESS = frozenset({204, 304})


@attrs.define(eq=False)
class RefusedAnswer:
    """The answer, as `client.Answer` has it, and its transport."""

    code: int
    headers: Headers
    transport: Any
    _content: bytes = b""
    _body: Any = None
    _whole: bool = False
    _gone: bool = False

    def took(self, data: bytes) -> None:
        """Bytes of its body came."""
        self._content = (self._content + data)[:BODY_LIMIT]
        self._look()

    def lost(self, reason: Failure) -> None:
        """The connection is gone: what came has to do."""
        self._gone = True
        self._finish()

    def deliverBody(self, protocol: Any) -> None:
        """Let this protocol have the body, once it is whole."""
        self._body = protocol
        protocol.makeConnection(self)
        self._look()

    def pauseProducing(self) -> None:
        """It is short."""

    def resumeProducing(self) -> None:
        """Nothing was paused."""

    def stopProducing(self) -> None:
        """Hang up."""
        self.abortConnection()

    def abortConnection(self) -> None:
        """Hang up at once."""
        if not self._gone:
            self.transport.abortConnection()

    def _look(self) -> None:
        """Whether it is whole."""
        length = (self.headers.getRawHeaders(b"content-length") or [b""])[-1]
        size = int(length) if length.isdigit() and len(length) < 10 else BODY_LIMIT
        ended = len(self._content) >= min(size, BODY_LIMIT) or self.code in BODILESS
        if self._whole or ended or (self._chunked and self._content.endswith(b"0\r\n\r\n")):
            self._finish()

    @property
    def _chunked(self) -> bool:
        coding = (self.headers.getRawHeaders(b"transfer-encoding") or [b""])[-1]
        return coding.strip().lower() == b"chunked"

    def _finish(self) -> None:
        self._whole = True
        body, self._body = self._body, None
        if body is None:
            return  # it is told as soon as somebody listens
        body.dataReceived(_joined(self._content) if self._chunked else self._content)
        body.connectionLost(Failure(ResponseDone()))


def _joined(content: bytes) -> bytes:
    """The chunks of a body, as far as they can be told apart: https://www.rfc-editor.org/rfc/rfc9112#section-7.1"""
    found = b""
    while content:
        head, _, rest = content.partition(b"\r\n")
        try:
            size = int(head.partition(b";")[0], 16)
        except ValueError:
            break
        if size <= 0:
            break
        found, content = found + rest[:size], rest[size + 2 :]
    return found
