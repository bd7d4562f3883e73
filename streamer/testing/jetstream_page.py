# -*- test-case-name: tests.unit.test_testing_jetstream -*-
"""`/subscribe` of a simulated Jetstream: who gets a websocket, what he hears on it, and what he may say.

https://github.com/bluesky-social/jetstream
"""

from __future__ import annotations

import functools
import math
from http import HTTPStatus
from typing import NamedTuple

import msgspec
import zstandard
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from streamer.testing.faults import AcceptThenClose, Faults, Status
from streamer.testing.history import History, Line
from streamer.testing.jetstream_events import SKEW
from streamer.testing.jetstream_options import ONE_SCHEME, SEQUENCES, Filter, Refused, cursor_of, filter_of, update_of
from streamer.testing.pages import Folder
from streamer.testing.socket_frames import Packed
from streamer.testing.sockets import Socket, Sockets, is_upgrade
from streamer.testing.terms import Terms

STREAM = "subscribe"
WARMING_UP = "service not ready: cursor replay warming up"
ON_DEMAND = frozenset({403, 404, 429, 500, 502, 503, 504})  # what it, or what stands before it, can be made to answer


class PlainRefusal(msgspec.Struct, frozen=True):
    """A refusal in one line of plain text, as Go's `http.Error` writes it; a `problems.Refusal`."""

    status: int
    text: str

    def answer(self, request: Request) -> bytes:
        """Set status and headers; returns the body."""
        request.setResponseCode(self.status)
        request.setHeader("content-type", "text/plain; charset=utf-8")
        request.setHeader("x-content-type-options", "nosniff")
        return f"{self.text}\n".encode()


class _Wishes(NamedTuple):
    filter: Filter
    cursor: int | None
    compress: bool


def packing(dictionary: bytes) -> Packed:
    """Compresses events, each once for all who want it so."""
    packer = zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(dictionary))
    return functools.lru_cache(maxsize=1024)(packer.compress)


class SubscribePage(Folder):
    """The endpoint.

    Args:
        sockets: with `heard` to be set by this.
    """

    not_found = PlainRefusal(404, "404 page not found")
    not_allowed = PlainRefusal(405, "Method Not Allowed")

    def __init__(
        self, clock: IReactorTime, sockets: Sockets, history: History, faults: Faults, dictionary: bytes | None
    ) -> None:
        super().__init__()
        self._clock = clock
        self._sockets = sockets
        self._history = history
        self._faults = faults
        self._packed = None if dictionary is None else packing(dictionary)
        sockets.heard = self._heard

    def render_GET(self, request: Request) -> int | bytes:
        fault = self._faults.for_request()
        if isinstance(fault, Status):
            return self._refuse(request, fault)
        query = request.args or {}
        compress = query.get(b"compress", [b""])[0] == b"true" or b"zstd" in self._header(request, b"socket-encoding")
        if compress and b"permessage-deflate" in self._header(request, b"sec-websocket-extensions"):
            return PlainRefusal(400, ONE_SCHEME).answer(request)
        try:
            wishes = _Wishes(filter_of(query), self._start(cursor_of(query)), compress)
        except ValueError as error:
            return PlainRefusal(400, str(error)).answer(request)
        if compress and self._packed is None:
            return PlainRefusal(500, "this simulation was given no dictionary").answer(request)
        if not is_upgrade(request):
            request.setHeader("connection", "Upgrade")
            request.setHeader("upgrade", "websocket")
            connection = self._header(request, b"connection").decode("latin-1")
            text = f'WebSocket protocol violation: Connection header "{connection}" does not contain Upgrade'
            return PlainRefusal(426, text).answer(request)
        if isinstance(fault, AcceptThenClose):
            return self._sockets.accept_then_close(request)
        waits = query.get(b"requireHello", [b""])[0] == b"true"

        def opened(socket: Socket) -> None:
            socket.wishes = wishes
            if not waits:
                self._begin(socket)

        return self._sockets.open(request, opened)

    def _begin(self, socket: Socket) -> None:
        wishes: _Wishes = socket.wishes

        def choose(line: Line) -> Line | None:
            filter_: Filter = socket.wishes.filter
            return line if filter_.wants(line.about, len(line.data)) else None

        cursor = self._history.end if wishes.cursor is None else wishes.cursor
        socket.begin(Terms(STREAM, cursor, choose=choose), self._packed if wishes.compress else None)

    def _heard(self, socket: Socket, message: bytes, binary: bool) -> None:
        """A client said something; binary messages are passed over."""
        if binary:
            return
        try:
            found = update_of(message)
        except Refused as refused:
            socket.close(refused.code, str(refused))
            return
        if found is None:
            return
        socket.wishes = socket.wishes._replace(filter=found)
        if socket.connection is None:
            self._begin(socket)

    def _start(self, cursor: int | None) -> int | None:
        """Number of the line to begin with, of a time the first line that is not before it; None for the next."""
        history = self._history
        if cursor is None or cursor > self._clock.seconds() * 1_000_000:
            return None
        if cursor < SEQUENCES:
            return min(cursor, history.end)
        number = history.since((cursor - SKEW) // 1000)
        while number < history.end:
            ((line, *_), after) = history.read(number, 1)
            if line.about.time_us >= cursor:
                break
            number = after
        return number

    def _refuse(self, request: Request, fault: Status) -> bytes:
        status = int(fault.status)
        if status == 429:
            request.setHeader("retry-after", str(math.ceil(fault.reset_after)))
        return PlainRefusal(status, WARMING_UP if status == 503 else HTTPStatus(status).phrase).answer(request)

    @staticmethod
    def _header(request: Request, name: bytes) -> bytes:
        return request.getHeader(name) or b""
