"""RabbitMQ's management API in memory, as much of it as the topology asks for: it keeps what it is given.

What the real one says is checked in `tests/integration/test_topology.py`.
"""

from __future__ import annotations

import base64
import io
import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import SplitResult, unquote

import attrs

REASONS = {200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


@attrs.define
class Api:
    """What it holds, by the parts of its path after `/api/`.

    Attributes:
        refuses: parts to a status and the reason it gives.
        raw: answered to everything instead, or raised.
        asked: methods and parts, in order.
    """

    kept: dict[tuple[str, ...], Any] = attrs.field(factory=dict)
    refuses: dict[tuple[str, ...], tuple[int, str]] = attrs.field(factory=dict)
    raw: bytes | Exception | None = None
    asked: list[tuple[str, ...]] = attrs.field(factory=list)
    logins: list[str] = attrs.field(factory=list)

    def connect(self, url: SplitResult) -> HTTPConnection:
        """A connection to it."""
        channel = HTTPConnection(url.hostname or "", url.port)
        channel.sock = _Socket(self)  # type: ignore[assignment]
        return channel

    def answer(self, head: str, body: bytes) -> bytes:
        """One request's answer."""
        if isinstance(self.raw, bytes):
            return self.raw
        line, *headers = head.split("\r\n")
        method, target, _ = line.split(" ")
        self.logins += [base64.b64decode(one.split()[-1]).decode() for one in headers if one.startswith("Auth")]
        parts = tuple(unquote(part) for part in target.partition("/api/")[2].split("/"))
        self.asked.append((method, *parts))
        status, document = self.refuses.get(parts, (0, "")), None
        if status[0]:
            return _response(status[0], {"error": "x", "reason": status[1]})
        if method == "GET":
            document = self.kept.get(parts)
            return _response(404 if document is None else 200, document)
        if method == "DELETE":
            return _response(404 if self.kept.pop(parts, None) is None else 204, None)
        code = 204 if parts in self.kept and method == "PUT" else 201
        self.kept[parts] = json.loads(body)
        return _response(code, None)


def _response(status: int, document: Any) -> bytes:
    body = b"" if document is None else json.dumps(document).encode()
    return f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class _Socket:
    """A socket whose other end is the API."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        if isinstance(self.api.raw, Exception):
            raise self.api.raw
        self.sent += data

    def makefile(self, mode: str) -> io.BytesIO:
        head, _, body = self.sent.partition(b"\r\n\r\n")
        return io.BytesIO(self.api.answer(head.decode(), body))

    def close(self) -> None:
        """Nothing to do."""
