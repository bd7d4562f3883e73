# -*- test-case-name: tests.unit.test_net_sse -*-
"""A client of server-sent events for tests: a plain protocol that parses strictly what a server may send.

It reads the stream with the same framer that reads upstreams' streams, and HTTP's chunks by itself, so that a chunk
that is cut wrongly fails the test that uses it.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone

from streamer.wire.sse import Sent, ServerSent


class EventSource(Protocol):
    """One connection.

    Args:
        last_id: sent as `Last-Event-ID` where it is not empty.
        headers: whole lines.

    Attributes:
        head: of the answer, None until it is there.
        sent: the events so far, in order.
        ended: the stream was ended whole.
    """

    def __init__(self, path: str, last_id: str = "", headers: tuple[str, ...] = (), version: str = "1.1") -> None:
        self.path = path
        self.headers = headers
        self.version = version
        self.head: str | None = None
        self.sent: list[Sent] = []
        self.ended = False
        self.lost = False
        self.body = b""  # of the answer, without its framing
        self._framer = ServerSent(last_id)
        self._buffer = b""

    @property
    def last_id(self) -> str:
        """What to say in `Last-Event-ID` next time."""
        return self._framer.last_id

    @property
    def retry_ms(self) -> int | None:
        """How long the server wants it to wait."""
        return self._framer.retry_ms

    def connectionMade(self) -> None:
        """Ask for the stream."""
        lines = [f"GET {self.path} HTTP/{self.version}", "Host: localhost", "Accept: text/event-stream", *self.headers]
        if self._framer.last_id:
            lines.append(f"Last-Event-ID: {self._framer.last_id}")
        self.write("\r\n".join([*lines, "", ""]).encode())

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self.transport is not None:
            self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        """Take the answer apart."""
        self._buffer += data
        if self.head is None:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self.head, self._buffer = head.decode(), rest
        if "Transfer-Encoding: chunked" in self.head:
            while self._cut():
                pass
        else:
            self._take(self._buffer)
            self._buffer = b""

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """Remember it."""
        self.lost = True

    def named(self, name: str) -> list[Any]:
        """The data of the events with that type, decoded."""
        return [json.loads(sent.data) for sent in self.sent if sent.event == name]

    def _take(self, data: bytes) -> None:
        self.body += data
        self.sent += self._framer.feed(data)

    def _cut(self) -> bool:
        size, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        length = int(size, 16)
        if len(rest) < length + 2:
            return False
        if self.ended or rest[length : length + 2] != b"\r\n":
            raise ValueError(f"no chunk: {self._buffer[:100]!r}")
        self.ended = length == 0
        self._take(rest[:length])
        self._buffer = rest[length + 2 :]
        return bool(self._buffer)
