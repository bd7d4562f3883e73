# -*- test-case-name: tests.unit.test_net_publish -*-
"""How much of requests' bodies is held in memory, of all connections together; nothing is ever written to a file.

Almost all pages of the relay are only read, and a body sent to them is dropped as it comes. The few that read one say
so here, with how long it may be.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from streamer.errors import ClientError

HELD_LIMIT = 16_000_000  # bytes of bodies that are being received, of all connections
TIMES_READ = 4  # so many times its limit is read of a body, so that whoever sends too much comes to see the answer


@attrs.define(eq=False)
class Body:
    """The body of one request."""

    limit: int
    _bodies: Bodies
    _parts: list[bytes] = attrs.field(factory=list)
    _size: int = 0
    _error: ClientError | None = None

    def add(self, data: bytes) -> None:
        """Keep some more of it; nothing at all once it became too long."""
        if self._error is not None:
            return
        if self._size + len(data) > self.limit:
            self._fail("too-long", f"the body is longer than {self.limit} bytes", retry=False)
        elif self._bodies.held + len(data) > self._bodies.limit:
            self._fail("limit", "too many requests are being received; send it again in a few seconds", retry=True)
        else:
            self._parts.append(data)
            self._size += len(data)
            self._bodies.held += len(data)

    def read(self) -> bytes:
        """The whole body, once.

        Raises:
            ClientError: `too-long`, or `limit` where there was no room for it.
        """
        if self._error is not None:
            raise self._error
        body = b"".join(self._parts)
        self.drop()
        return body

    def drop(self) -> None:
        """Hold nothing of it."""
        self._bodies.held -= self._size
        self._size = 0
        self._parts.clear()

    def _fail(self, code: str, sentence: str, retry: bool) -> None:
        self.drop()
        self._error = ClientError(code, sentence, retry=retry)


@attrs.define
class Bodies:
    """Those of one site.

    Args:
        pages: paths of pages that read a body when one is posted to them, with the most bytes it may have.
        limit: bytes of all that are held.

    Attributes:
        held: bytes now.
    """

    pages: Mapping[bytes, int] = attrs.field(factory=dict)
    limit: int = HELD_LIMIT
    held: int = 0

    def open(self, method: bytes, uri: bytes) -> Body | None:
        """A request begins; None where its body is not read."""
        limit = self.pages.get(uri.partition(b"?")[0]) if method == b"POST" else None
        return None if limit is None else Body(limit, self)
