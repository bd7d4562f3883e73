# -*- test-case-name: tests.unit.test_net_site -*-
"""Built files from a directory: the page, its assets and the client library.

The build writes a `.gz` copy beside each file, which is sent where the browser takes it. Names under `assets/` carry a
hash of the content and never change; everything else is asked for anew each time, and answered 304 if it is the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.filepath import FilePath, InsecurePath
from twisted.web.http import CACHED, NOT_FOUND, SERVICE_UNAVAILABLE
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

SEND_LIMIT = 120.0  # seconds in which a client must have taken a file
CHUNK = 65_536  # bytes read and written at a time
INDEX = b"index.html"
CONTENT_TYPES: Mapping[str, bytes] = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".ico": b"image/x-icon",
    ".js": b"text/javascript; charset=utf-8",
    ".json": b"application/json",
    ".map": b"application/json",
    ".png": b"image/png",
    ".svg": b"image/svg+xml",
    ".ts": b"text/plain; charset=utf-8",
    ".txt": b"text/plain; charset=utf-8",
    ".webmanifest": b"application/manifest+json",
    ".woff2": b"font/woff2",
}
IMMUTABLE = b"public, max-age=31536000, immutable"
_HASHED = re.compile(rb".+[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+")
_GZIP = re.compile(rb"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?P<q>[0-9.]+)\s*)?(?=,|$)")


def whole(request: Request, body: bytes) -> bytes:
    """What to return from `render_GET` for a body: nothing but its length where only that was asked for."""
    if request.method != b"HEAD":
        return body
    request.setHeader(b"content-length", b"%d" % len(body))
    return b""


def answer_with(request: Request, code: int) -> None:
    """Set an answer's status, with the words that belong to it; twisted.web does not know all of them."""
    request.setResponseCode(code, HTTPStatus(code).phrase.encode())


class Plain(Resource):
    """A short answer in plain text."""

    isLeaf = True

    def __init__(self, code: int, text: str) -> None:
        Resource.__init__(self)
        self._code = code
        self._body = text.encode() + b"\n"

    def render_GET(self, request: Request) -> bytes:
        """Answer GET and HEAD."""
        answer_with(request, self._code)
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"cache-control", b"no-store")
        return whole(request, self._body)


class Leaf(Resource):
    """What answers at its own address, and has nothing below it."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """There is nothing."""
        return not_found()


class Folder(Resource):
    """What only has children."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Not one of them."""
        return not_found()

    def render(self, request: Request) -> int | bytes:
        """It is nothing itself."""
        answer: int | bytes = not_found().render(request)
        return answer


def not_found() -> Plain:
    """There is nothing here."""
    return Plain(NOT_FOUND, "there is nothing here")


class Directory(Resource):
    """A directory of built files; it is not listed, and nothing outside it is reached.

    Args:
        clock: for the time a client has to take a file.
        headers: what all its files are sent with.
    """

    def __init__(self, path: FilePath[str], clock: IReactorTime, headers: Mapping[bytes, bytes] | None = None) -> None:
        Resource.__init__(self)
        self._path = path
        self._clock = clock
        self._headers = headers or {}

    def getChild(self, path: bytes, request: Request) -> Resource:
        """A file or a directory in it; the copies made for sending have no name of their own."""
        name = path.decode("utf-8", "replace")
        try:
            if "\0" in name:
                raise InsecurePath(name)
            child = self._path.child(name or INDEX.decode())
        except InsecurePath:
            return not_found()
        if child.isdir() and name:
            return Directory(child, self._clock, self._headers)
        if not child.isfile() or child.basename().startswith(".") or child.splitext()[1] not in CONTENT_TYPES:
            return not_found()
        if request.postpath:
            return not_found()  # there is nothing below a file
        hashed = self._path.basename() == "assets" and bool(_HASHED.fullmatch(path))
        return File(child, self._clock, {**self._headers, b"cache-control": IMMUTABLE if hashed else b"no-cache"})

    def render(self, request: Request) -> int | bytes:
        """A directory without the slash behind it is nothing."""
        answer: int | bytes = not_found().render(request)
        return answer


class File(Resource):
    """One file."""

    isLeaf = True

    def __init__(self, path: FilePath[str], clock: IReactorTime, headers: Mapping[bytes, bytes]) -> None:
        Resource.__init__(self)
        self._path = path
        self._clock = clock
        self._headers = headers

    def render_GET(self, request: Request) -> int | bytes:
        """Send it piece by piece, as the client takes it."""
        path = self._path
        for name, value in self._headers.items():
            request.setHeader(name, value)
        request.setHeader(b"content-type", CONTENT_TYPES[path.splitext()[1]])
        request.setHeader(b"vary", b"accept-encoding")
        twin = path.sibling(path.basename() + ".gz")
        if takes_gzip(request) and twin.isfile():
            request.setHeader(b"content-encoding", b"gzip")
            path = twin
        if request.setLastModified(path.getModificationTime()) is CACHED:
            request.finish()  # not by returning nothing: the length is that of the whole answer
            return NOT_DONE_YET
        path.restat()
        request.setHeader(b"content-length", b"%d" % path.getsize())
        if request.method == b"HEAD":
            return b""
        late = self._clock.callLater(SEND_LIMIT, request.channel.forceAbortClient)
        sending = Sending(request, path.open("r"))

        def over(_: Any) -> None:
            sending.stopProducing()
            if late.active():
                late.cancel()

        request.notifyFinish().addBoth(over)
        request.registerProducer(sending, True)
        sending.resumeProducing()
        return NOT_DONE_YET


@implementer(IPushProducer)
class Sending:
    """A file on its way to a client, as fast as it is taken. (Twisted's own keeps time by the global reactor.)"""

    def __init__(self, request: Request, opened: IO[bytes]) -> None:
        self._request = request
        self._opened = opened
        self._paused = True

    def pauseProducing(self) -> None:
        """The client's socket is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Write until it is full again, or the file is at its end."""
        self._paused = False
        while not self._paused and not self._opened.closed:
            data = self._opened.read(CHUNK)
            if data:
                self._request.write(data)
            else:
                self._opened.close()
                self._request.unregisterProducer()
                self._request.finish()

    def stopProducing(self) -> None:
        """It is over, one way or the other."""
        self._opened.close()


def takes_gzip(request: Request) -> bool:
    """Whether the client takes gzip, by its Accept-Encoding."""
    match = _GZIP.search(request.getHeader(b"accept-encoding") or b"")
    return match is not None and (match["q"] is None or match["q"].strip(b"0.") != b"")


class Page(Directory):
    """The built page; a plain answer stands in for one that was not built."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See Directory."""
        if path == b"" and not self._path.child(INDEX.decode()).isfile():
            return Plain(SERVICE_UNAVAILABLE, "the page is not built: run `make web`. The websocket at /ws works.")
        return super().getChild(path, request)
