# -*- test-case-name: tests.unit.test_net_sse -*-
"""`GET /events`: server-sent events, for `EventSource` and `curl -N`.

twisted.web would keep whatever is written until the client takes it. So it parses the request and writes the head of
the answer, and then the connection is taken from it, as Autobahn takes a websocket's: the bytes of events are shared
with everybody who listens to the same, chunk heads included (`fanout.oneway`), and go straight to the socket
(`outlet`). While that is full nothing is pulled, so a client that does not read costs what the transport had taken
and an integer.

The connection ends with the stream, and what the client sends after its request is dropped. Nothing is compressed:
proxies hold back what they would have to compress, and events that come one by one compress badly. Who wants less
traffic has the websocket.

A browser's EventSource connects again when its stream ends, but gives up for good at any status other than 200. So
whoever asks for an event stream, and is refused for now, is given one: when to come back, why, and the end.
https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model
"""

from __future__ import annotations

import random
import re
from typing import Any, cast

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from streamer.errors import ClientError
from streamer.fanout.feed import Feed
from streamer.fanout.grants import insist
from streamer.fanout.listener import Listener
from streamer.fanout.oneway import SSE, SSE_UNCHUNKED, EventStream
from streamer.metrics import CLOSED, HANDSHAKES
from streamer.net.admission import AFTER_LIMIT
from streamer.net.assets import whole
from streamer.net.oneway import Asked, Entrance, Face
from streamer.net.outlet import Outlet
from streamer.net.stuck import Stuck
from streamer.net.websocket import DEAD, PULL_BUDGET, PULLS_LIMIT, STUCK_AFTER, died

FACE = "sse"  # the metrics' label
RETRY_MS = (1_000, 5_000)  # from, to: how long a client waits before it connects again, each its own time
LATER_MS = (1_000, AFTER_LIMIT * 1_000)  # the same, where one is refused for now, as `Retry-After` would say
IGNORED_LIMIT = 65_536  # bytes after the request that are dropped; who sends more is hung up on
_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx passes on what comes, as it comes
)
_ACCEPTED = re.compile(rb"\s*text/event-stream\s*(?:;(?!\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)).*)?", re.IGNORECASE)


class Events(Face):
    """The page."""

    def render_GET(self, request: Request) -> int | bytes:
        """Begin a stream, or say why not."""
        entrance = self.entrance
        try:
            asked = entrance.ask(request)
            if request.method != b"HEAD":
                entrance.admit_stream(asked.address)
        except ClientError as error:
            return self._refuse(request, error)
        _set_headers(request)
        if request.method == b"HEAD":
            return b""
        entrance.clients.hub.metrics.add(HANDSHAKES, FACE, "accepted")
        request.setHeader(b"connection", b"close")
        request.write(b"")  # the head
        _hand_over(request, Stream(entrance, asked, SSE if request.clientproto == b"HTTP/1.1" else SSE_UNCHUNKED))
        return NOT_DONE_YET

    def _refuse(self, request: Request, error: ClientError) -> bytes:
        if not error.retry or request.method == b"HEAD" or not asks_for_stream(request):
            return self.entrance.refuse(request, FACE, error)
        self.entrance.clients.hub.metrics.add(HANDSHAKES, FACE, error.code)
        _set_headers(request)
        after = SSE_UNCHUNKED.retry(random.randint(*LATER_MS))  # noqa: S311 - guards nothing
        return whole(request, after + SSE_UNCHUNKED.failed(error))


def asks_for_stream(request: Request) -> bool:
    """Whether a client says that it takes event streams by that name, as each EventSource does."""
    accepted = b",".join(request.requestHeaders.getRawHeaders(b"accept", []))
    return any(_ACCEPTED.fullmatch(part) for part in accepted.split(b","))


def _set_headers(request: Request) -> None:
    for name, value in _HEADERS:
        request.setHeader(name, value)


@implementer(IPushProducer)
class Stream(Protocol):
    """One client's connection, from the head of the answer on."""

    face = FACE
    channel_address = ""  # that the HTTP channel was counted for
    paused = False
    closing = 0.0  # when the stream was ended; 0 while it goes on
    expected = 0.0  # when the client was told, if at all, to connect anew; seconds since the epoch
    ignored = 0  # bytes that the client has sent

    def __init__(self, entrance: Entrance, asked: Asked, encoding: EventStream) -> None:
        self._entrance = entrance
        self._asked = asked
        self._encoding = encoding

    def connectionMade(self) -> None:
        """Say when to come back, and what was found; then begin."""
        transport = cast(Any, self.transport)
        clients, now = self._entrance.clients, self._entrance.clients.now()
        self.outlet = Outlet(transport, clients.hub.metrics)
        self.stuck = Stuck(self.outlet)
        self.listener = Listener(clients.hub, self, self.begun, now, self._encoding, clients.heartbeat)
        self.deliver = self.outlet.send  # type: ignore[method-assign]  # one call less for each client and tick
        transport.registerProducer(self, True)
        clients.opened(self)
        self.deliver(self._encoding.retry(random.randint(*RETRY_MS)))  # noqa: S311 - guards nothing
        try:
            with self._entrance.charging(self._asked.address):
                self.listener.subscribe(self._asked.wish, now)
        except ClientError as error:
            self.fail(error)
        self.pull()

    def begun(self, facts: dict[str, Any]) -> None:
        """See `Listener`."""
        self.deliver(self._encoding.subscribed(facts))

    def dataReceived(self, data: bytes) -> None:
        """There is nothing more to say for a client."""
        self.ignored += len(data)
        if self.ignored > IGNORED_LIMIT:
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything."""
        if not self.closing and died(reason):
            self._entrance.clients.hub.metrics.add(CLOSED, DEAD)
        self.outlet.close()
        self.listener.close()
        self._entrance.clients.closed(self)
        self._entrance.admission.release(self._asked.address)
        self._entrance.admission.leave(self.channel_address)

    @property
    def feed(self) -> Feed:
        """See `clients.Client`."""
        return self.listener.feed

    def wake(self) -> None:
        """See `fanout.front.Reader`."""
        self.pull()

    def deliver(self, data: bytes) -> None:
        """See `fanout.front.Reader`; `connectionMade` puts the outlet's own in its place."""

    def pauseProducing(self) -> None:
        """The socket is full."""
        if not self.paused:
            self.paused = True
            self.stuck.since = self._entrance.clients.now()
            self.listener.feed.fall_behind()

    def resumeProducing(self) -> None:
        """It is empty."""
        self.paused = False
        self.pull()

    def stopProducing(self) -> None:
        """It is gone."""
        self.paused = True

    def pull(self) -> None:
        """Write what there is, as long as the transport takes it; a little at a time, for others wait too."""
        clients = self._entrance.clients
        try:
            for _ in range(PULLS_LIMIT):
                if self.paused or self.closing:
                    return
                data = self.listener.pull(PULL_BUDGET, clients.now())
                if data is None:
                    return
                self.deliver(data)
        except ClientError as error:
            self.fail(error)
            return
        clients.later(self)

    def check(self, now: float, patience: float) -> None:
        """See `clients.Client`."""
        if self.closing:
            if now - self.closing >= patience:
                cast(Any, self.transport).abortConnection()
        elif self.paused and self.stuck.seconds(now) >= STUCK_AFTER:
            self._abort()
        else:
            self._beat(now)

    def announce(self, in_ms: int) -> None:
        """See `clients.Client`."""
        self.expected = self._entrance.clients.now() + in_ms / 1000

    def fail(self, error: ClientError) -> None:
        """End the stream, saying why."""
        if not self.closing:
            self.deliver(self._encoding.failed(error))
            self.end(error.close or 0, error.message)

    def end(self, code: int, reason: str) -> None:
        """End the stream; the client connects again and names where it was."""
        if self.closing:
            return
        clients, transport = self._entrance.clients, cast(Any, self.transport)
        self.closing = clients.now()
        if self.expected:
            # The client keeps this for every later attempt, so it must not be short even if it may come at once.
            left_ms = max(0, round((self.expected - self.closing) * 1000))
            self.deliver(self._encoding.retry(left_ms + random.randint(*RETRY_MS)))  # noqa: S311 - guards nothing
        clients.hub.metrics.add(CLOSED, str(int(code)))
        self.listener.close()
        if self._encoding.end:
            self.deliver(self._encoding.end)
        transport.unregisterProducer()
        transport.loseConnection()

    def _beat(self, now: float) -> None:
        """Say what time alone makes due, and what follows from it."""
        listener, address = self.listener, self._asked.address
        try:
            insist(self._asked.grants, now, self._entrance.clients.hub.metrics)
            if self.paused:
                listener.feed.insist()
                return
            with self._entrance.charging(address):
                position = listener.beat(now)
        except ClientError as error:
            self.fail(error)
            return
        if position:
            self.deliver(position)
        self.pull()

    def _abort(self) -> None:
        self._entrance.clients.hub.metrics.add(CLOSED, DEAD)
        cast(Any, self.transport).abortConnection()


def _hand_over(request: Request, protocol: Stream) -> None:
    """Take the connection away from twisted.web; nothing it parses comes of it any more."""
    channel = cast(Any, request.channel)
    transport, channel.transport = channel.transport, None
    protocol.channel_address = channel.address
    channel.rawDataReceived = protocol.dataReceived  # what came together with the request
    transport.unregisterProducer()  # the channel
    if isinstance(transport, ProtocolWrapper):  # TLS
        transport.wrappedProtocol = protocol
    elif isinstance(transport.protocol, ProtocolWrapper):
        transport.protocol.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)
