# -*- test-case-name: tests.unit.test_net_hooks -*-
"""The HTTP side of hooks: who may connect, how much may be sent and how slowly, and what an answer looks like.

What is behind it is one function that awaits a `Reply`. Strangers call here: connections, headers, bodies and the time
for a request are bounded (see `channel`, `admission` and `bodies`), nobody is told what we are, and nothing is kept of
who called.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http import HTTPFactory, Request, datetimeToString

from streamer.asks import Hook, Posted, Reply
from streamer.errors import ClientError
from streamer.net.admission import Admission
from streamer.net.bodies import TIMES_READ, Bodies, Body
from streamer.net.channel import GuardedChannel, Keeping
from streamer.net.headers import TOO_LONG

CONNECTIONS = 200  # and a few more: see `Admission`; of one address, which may be a proxy's, not quite as many
IDLE_TIMEOUT = 60  # seconds that a connection may wait for a byte
LOST_LIMIT = 65_536  # bytes of a body that nothing reads
RETRY_AFTER = 5  # seconds that one who may come again is asked to wait
ROOT = "/hooks/"
NO_BODY = frozenset({204, 304})

# What a path is for; None where nothing is.
Find = Callable[[str], Hook | None]
Call = Callable[[str, Posted], Awaitable[Reply]]


def sentence(status: int, text: str, **headers: str) -> Reply:
    """A reply for people; header names with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(
        status=status, headers={"Content-Type": "text/plain; charset=utf-8", **named}, body=f"{text}\n".encode()
    )


def later(text: str, status: int = 503) -> Reply:
    """A reply that asks to come again."""
    return sentence(status, text, Retry_After=str(RETRY_AFTER))


class HookSite(HTTPFactory):
    """Answers the calls of hooks.

    Args:
        find: the hook of a path, to know what it takes before it is sent.
        call: answers what was taken; does not fail.
    """

    noisy = False

    def __init__(self, find: Find, call: Call, clock: IReactorTime) -> None:
        super().__init__(timeout=IDLE_TIMEOUT, reactor=clock)
        self.find = find
        self.call = call
        self.clock = clock
        self.admission = Admission(CONNECTIONS, CONNECTIONS)
        self.bodies = Bodies()
        self.keeping = Keeping()

    def buildProtocol(self, addr: Any) -> Any:
        """A connection; None, which closes it, where there are too many."""
        address = getattr(addr, "host", "")
        if not self.admission.arrive(address):
            return None
        channel = GuardedChannel()
        channel.callLater = self.clock.callLater  # type: ignore[method-assign, assignment]
        channel.timeOut = IDLE_TIMEOUT
        channel.factory = self
        channel.address, channel.admission, channel.keeping = address, self.admission, self.keeping
        channel.requestFactory = functools.partial(HookRequest, site=self)  # type: ignore[assignment]
        return channel

    def startFactory(self) -> None:
        """Open no access log."""

    def stopFactory(self) -> None:
        """There is no access log."""

    def log(self, request: object) -> None:
        """Say nothing."""


class HookRequest(Request):
    """One call, with its body in memory."""

    logger = Logger()

    def __init__(self, channel: Any, number: int = 0, *, site: HookSite) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self._site = site
        self._read = 0  # bytes of the body so far, kept or not
        self._most = LOST_LIMIT  # bytes of it before we hang up
        self._kept: Body | None = None
        self._hung_up = False
        self._answering: Deferred[Reply] | None = None

    def gotLength(self, length: int | None) -> None:
        """Make no temporary file; keep the body only where there is somebody to read it."""
        self.content = io.BytesIO()
        channel = cast(Any, self.channel)  # `method` and `path` of the request are set when the body is there
        hook = self._hook(channel._path)
        if hook is not None and channel._command.decode("latin-1") in hook.methods:
            self._kept = Body(hook.body_limit, self._site.bodies)
            self._most = TIMES_READ * hook.body_limit

    def handleContentChunk(self, data: bytes) -> None:
        """Take some of the body; hang up when it is far too long."""
        self._read += len(data)
        if self._kept is not None:
            self._kept.add(data)
        if self._read > self._most and not self._hung_up:
            self._hung_up = True
            channel = cast(Any, self.channel)
            channel.write(TOO_LONG)  # whoever listens while sending is told
            channel.loseConnection()

    def process(self) -> None:
        """All of it is there."""
        path, hook = _name(self.uri), self._hook(self.uri)
        method = self.method.decode("latin-1")
        if hook is None or path is None:
            self._answer(sentence(404, "there is no such hook"))
            return
        if method not in hook.methods:
            self._answer(sentence(405, f"this hook takes {' and '.join(hook.methods)}", Allow=", ".join(hook.methods)))
            return
        try:
            body = b"" if self._kept is None else self._kept.read()
        except ClientError as error:
            self._answer(later(error.message) if error.retry else sentence(413, error.message))
            return
        posted = Posted(
            method=method,
            query=self.uri.partition(b"?")[2].decode("latin-1"),
            headers={
                name.decode("latin-1").lower(): values[-1].decode("utf-8", "replace")
                for name, values in self.requestHeaders.getAllRawHeaders()
            },
            body=body,
            received=self._site.clock.seconds(),
            address=getattr(self.client, "host", ""),
        )
        self._answering = Deferred.fromCoroutine(self._call(path, posted))
        self._answering.addCallbacks(self._answer, self._failed)

    def connectionLost(self, reason: Any) -> None:
        """Nobody waits for an answer any more, and no body will be whole."""
        if self._kept is not None:
            self._kept.drop()
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.cancel()
        super().connectionLost(reason)

    async def _call(self, path: str, posted: Posted) -> Reply:
        return await self._site.call(path, posted)

    def _failed(self, failure: Any) -> None:
        if self._answering is None and failure.check(CancelledError):
            return
        self.logger.failure("while answering a hook", failure=failure)
        self._answer(sentence(500, "something went wrong here"))

    def _answer(self, reply: Reply) -> None:
        self._answering = None
        try:
            phrase = HTTPStatus(reply.status).phrase.encode()
        except ValueError:
            phrase = b"-"
        self.setResponseCode(reply.status, phrase)
        self.setHeader(b"date", datetimeToString(self._site.clock.seconds()))
        self.setHeader(b"cache-control", b"no-store")
        self.setHeader(b"x-content-type-options", b"nosniff")
        for name, value in reply.headers.items():
            self.setHeader(name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        if reply.status not in NO_BODY:
            self.setHeader(b"content-length", b"%d" % len(reply.body))
            if self.method != b"HEAD":
                self.write(reply.body)
        self.finish()

    def _hook(self, uri: bytes) -> Hook | None:
        name = _name(uri)
        return None if name is None else self._site.find(name)


def _name(uri: bytes) -> str | None:
    """The path of the hook that a request's target names."""
    path = uri.partition(b"?")[0].decode("latin-1")
    return path.removeprefix(ROOT) if path.startswith(ROOT) else None
