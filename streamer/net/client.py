# -*- test-case-name: tests.unit.test_net_client -*-
"""Carries out the requests that sources describe.

TLS certificates are verified by Twisted's Agent against the system's trust roots; plain http was refused for all
but loopback addresses when the source was built (`policy.transport`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from typing import Protocol as Shape

import attrs
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IConsumer, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer

from streamer.asks import Ask
from streamer.errors import DecodeError
from streamer.upstream import Request, Response

CONNECT_TIMEOUT = 10.0  # seconds
ANSWER_TIMEOUT = 30.0  # seconds from sending a request to the end of a short answer, or to a stream's headers
PACKED = frozenset({"gzip", "x-gzip", "deflate"})  # values of Content-Encoding
# Headers that stand once, or are no list: of repeated ones the last counts. Any other is a list, however many lines.
ONCE = frozenset({
    "age", "content-encoding", "content-length", "content-location", "content-range", "content-type", "date", "etag",
    "expires", "last-modified", "location", "retry-after", "server", "set-cookie",
})  # fmt: skip
OWN = ("x-", "ratelimit-")  # how those begin that a server has thought of itself
HEADERS_LIMIT = 256_000  # bytes of an answer before its body; Twisted limits each line, and not how many there are
ANSWER_LIMIT = 5_000_000  # bytes of a short answer; a thousand rules of two thousand characters


class Answer(Shape):
    """The head of an answer, and the way to its body; an `IResponse` is one."""

    code: int
    headers: Headers

    def deliverBody(self, protocol: Any) -> None:
        """Let a `stream.StreamBody`, or a protocol like it, have what comes."""


class Way(Shape):
    """Carries out one kind of `asks.Ask`."""

    async def open(self, ask: Any, client: UpstreamClient) -> Opened:
        """As `UpstreamClient.open`; a refusal is an `Opened` with another code than 200, or an exception."""


Connected = Callable[[Any], None]  # told the transport of a new connection
AgentMaker = Callable[[Connected], IAgent]


def agents(reactor: Any) -> AgentMaker:
    """Agents for upstreams: a new one a connection, no pool, since a stream's connection cannot be shared."""

    def make(connected: Connected) -> IAgent:
        made: IAgent = Agent.usingEndpointFactory(reactor, _Endpoints(reactor, connected))
        return made

    return make


@implementer(IAgentEndpointFactory)
@attrs.frozen
class _Endpoints:
    """Verified TLS or plain TCP by the URI's scheme; hands out the transport, which Agent keeps to itself."""

    reactor: Any
    connected: Connected

    def endpointForURI(self, uri: URI) -> Any:
        host = uri.host.decode("ascii")
        endpoint: Any = HostnameEndpoint(self.reactor, host, uri.port, timeout=CONNECT_TIMEOUT)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
        return _Watched(endpoint, self.connected)


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _Watched:
    endpoint: Any
    connected: Connected

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        def note(protocol: Any) -> Any:
            self.connected(protocol.transport)
            return _Bounded(protocol)

        protocolFactory.noisy = False  # a log line at each end of each connection says nothing
        connecting: Deferred[Any] = self.endpoint.connect(protocolFactory)
        return connecting.addCallback(note)


@attrs.define(eq=False)
class _Bounded:
    """What Agent asks through: takes no more than `HEADERS_LIMIT` before a body, and is not in the body's way."""

    protocol: Any
    _seen: int = 0  # bytes

    def request(self, request: Any) -> Deferred[Any]:
        """Send; fails with `DecodeError` where the headers do not end."""
        self.protocol.dataReceived = self._count  # for as long as this request has no answer
        asked: Deferred[Any] = self.protocol.request(request)
        return asked.addBoth(self._answered)

    def _count(self, data: bytes) -> None:
        self._seen += len(data)
        type(self.protocol).dataReceived(self.protocol, data)
        if self._seen > HEADERS_LIMIT and "dataReceived" in vars(self.protocol):
            self.protocol.transport.abortConnection()

    def _answered(self, result: Any) -> Any:
        del self.protocol.dataReceived
        if isinstance(result, Failure) and self._seen > HEADERS_LIMIT:
            raise DecodeError(f"the answer's headers are longer than {HEADERS_LIMIT} bytes") from result.value
        return result


@attrs.define
class Opened:
    """An answer whose body has not been touched, and the way to be rid of its connection.

    Agent's own transports only close politely: a TLS peer that went away would hold the socket for ever.

    Args:
        say: sends a text message, on a websocket.
    """

    answer: Answer
    _transports: list[Any]
    say: Callable[[str], None] | None = None

    def abort(self) -> None:
        """Drop the connection now, without waiting for the peer."""
        for transport in self._transports:
            transport.abortConnection()


@attrs.frozen
class UpstreamClient:
    """Makes requests for one process.

    Args:
        agents: see `agents`; tests give connections in memory.
        clock: for time-outs.
        user_agent: what upstreams see.
        ways: how to carry out what is no `Request`, by type; see `net.ways`.
    """

    agents: AgentMaker
    clock: IReactorTime
    user_agent: str
    ways: Mapping[type, Way] = attrs.field(factory=dict)

    async def fetch(self, request: Request) -> Response:
        """Make a short request and read the whole answer.

        Raises:
            DecodeError: the answer is longer than `ANSWER_LIMIT`, or its headers than `HEADERS_LIMIT`.
            Exception: whatever Twisted's web client raises; see `net.failures`.
        """
        return await self.read(await self.open(request))

    async def open(self, request: Ask) -> Opened:
        """Make a request and return when the answer's headers are in; its body has not been touched.

        Whatever is no HTTP request is opened by its own way, and looks the same from here on.

        The URL, ASCII, goes out as it stands, for that is what a source may have signed. Compression is neither asked
        for nor undone: whether a stream is compressed is its source's choice, and `wire.gunzip` unpacks it piecewise.

        Raises:
            DecodeError: the answer's headers are longer than `HEADERS_LIMIT`.
            Exception: whatever Twisted's web client raises; see `net.failures`.
        """
        if not isinstance(request, Request):
            return await self.ways[type(request)].open(request, self)
        transports: list[Any] = []
        body = None if request.body is None else _Body(request.body)
        asked: Deferred[Any] = self.agents(transports.append).request(
            request.method.encode("ascii"), request.url.encode("ascii"), self._headers(request), body
        )
        return Opened(await asked.addTimeout(ANSWER_TIMEOUT, self.clock, _timed_out), transports)

    async def read(self, opened: Opened) -> Response:
        """Read the body of a short answer that `open` returned, and drop the connection.

        Of an answer that says no, the status and headers are what matters: where its body is cut short, too long or
        never ends, what came of it has to do.
        """
        answer, body = opened.answer, _WholeBody()
        answer.deliverBody(body)
        try:
            content = await body.finished.addTimeout(ANSWER_TIMEOUT, self.clock, _timed_out)
        except CancelledError:
            raise
        except Exception:
            if answer.code < 300:
                raise
            content = body.so_far()
        finally:
            opened.abort()
        headers = dict(_header(name, values) for name, values in _headers(answer))
        if headers.get("content-encoding", "").strip().lower() in PACKED:
            content = _unpacked(content)
        return Response(status=answer.code, headers=headers, body=content, received=self.clock.seconds())

    def _headers(self, request: Request) -> Headers:
        headers = Headers({"User-Agent": [self.user_agent]})
        for name, value in request.headers.items():
            headers.setRawHeaders(name, [value])
        return headers


def _timed_out(_: object, seconds: float) -> NoReturn:
    raise TimedOut(f"no whole answer within {seconds:g} s")


def _unpacked(content: bytes) -> bytes:
    """What a compressed answer says, as far as it can be read: some servers compress what nobody asked them to."""
    try:
        return zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(content, ANSWER_LIMIT)
    except zlib.error:
        return content


def _header(name: bytes, values: list[bytes]) -> tuple[str, str]:
    """A header as one line: https://www.rfc-editor.org/rfc/rfc9110#section-5.3"""
    known, texts = name.decode("latin-1").lower(), [value.decode("latin-1") for value in values]
    return known, texts[-1] if known in ONCE or known.startswith(OWN) else ", ".join(texts)


def _headers(answer: Answer) -> list[tuple[bytes, list[bytes]]]:
    return [(name, list(values)) for name, values in answer.headers.getAllRawHeaders()]


@implementer(IBodyProducer)
class _Body:
    """A small body, written at once; Twisted's own would go through the global reactor's cooperator."""

    def __init__(self, content: bytes) -> None:
        self.length = len(content)
        self._content = content

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing is left to pause."""

    def resumeProducing(self) -> None:
        """Nothing was paused."""

    def stopProducing(self) -> None:
        """Nothing is left to stop."""


class _WholeBody(Protocol):
    """Collects a body up to `ANSWER_LIMIT`."""

    def __init__(self) -> None:
        self.finished: Deferred[bytes] = Deferred()
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= ANSWER_LIMIT:
            self._parts.append(data)
        elif not self.finished.called:
            self.finished.errback(DecodeError(f"the answer is longer than {ANSWER_LIMIT} bytes"))

    def so_far(self) -> bytes:
        """What came, whole or not."""
        return b"".join(self._parts)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.finished.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.finished.callback(b"".join(self._parts))
        else:
            self.finished.errback(reason)
