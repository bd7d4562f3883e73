"""Connections between a client and a simulated upstream in memory, which fill up, break and are refused as real ones.

`treq.testing.RequestTraversalAgent` does the same for connections that never hold anything back: its transports cannot
be paused, an abort loses no byte, and every connect succeeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.test.iosim import FakeTransport
from twisted.web.client import URI, Agent
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

BUFFER = 65_536  # bytes that one direction holds before its writer is asked to wait, as twisted's transports do
NEAR = IPv4Address("TCP", "127.0.0.1", 31337)
FAR = IPv4Address("TCP", "127.0.0.1", 80)


@implementer(IPushProducer)  # or twisted.web would not be told to wait
class End(FakeTransport):
    """One end of a connection."""

    other: End
    reading = True
    aborted = False
    disconnectReason: Any
    waiting = False  # our writer is to wait

    def write(self, data: bytes) -> None:
        """Take data; ask a producer to wait where the other end does not read."""
        FakeTransport.write(self, data)
        if self.producer is not None and not self.waiting and sum(map(len, self.stream)) > BUFFER:
            self.waiting = True
            self.producer.pauseProducing()

    def pauseProducing(self) -> None:
        """Read no more."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Read on."""
        self.reading = True

    def abortConnection(self) -> None:
        """Reset: what was not read yet is lost."""
        self.stream, self.aborted, self.disconnecting = [], True, True
        self.other.disconnectReason = ConnectionLost()

    def move(self) -> bool:
        """Let the other end have what was written, or hear that there is no more. Says whether that was news."""
        other = self.other
        if other.disconnected or not (other.reading or self.aborted or other.disconnecting):
            return False
        data = self.getOutBuffer()
        if data and not other.disconnecting:
            other.bufferReceived(data)
        elif not data and self.disconnecting:
            other.disconnected = other.disconnecting = True
            other.reportDisconnect()
            return True
        if self.waiting:
            self.waiting = False
            if self.producer is not None:
                self.producer.resumeProducing()
        return bool(data)


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _Endpoint:
    network: Network
    connected: Callable[[Any], None]

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        return self.network.connect(protocolFactory, self.connected)


@implementer(IAgentEndpointFactory)
@attrs.frozen
class _Endpoints:
    network: Network
    connected: Callable[[Any], None]

    def endpointForURI(self, uri: URI) -> Any:
        return _Endpoint(self.network, self.connected)


@attrs.define(eq=False)
class Network:
    """All connections to one upstream.

    Args:
        refuses: what each connect fails with; None lets it through.
        breaks: what each connection ends with as soon as it was made, such as a failed TLS handshake.
        attempts: when connects were tried, seconds since the epoch; those of one moment count once.
    """

    resource: Resource
    clock: Clock
    refuses: Exception | None = None
    breaks: Exception | None = None
    mute: bool = False  # no byte moves
    attempts: list[float] = attrs.field(factory=list)
    _ends: list[tuple[End, End]] = attrs.field(factory=list)
    _reactor: Any = attrs.field(factory=MemoryReactorClock)  # of time-outs that must not happen
    _site: Site = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._site = Site(self.resource, reactor=self._reactor)

    def agent(self, connected: Callable[[Any], None]) -> Agent:
        """See `net.client.AgentMaker`."""
        made: Agent = Agent.usingEndpointFactory(self._reactor, _Endpoints(self, connected))
        return made

    def endpoint(self, host: str, port: int, secure: bool) -> _Endpoint:
        """See `net.dialer`: wherever it leads, it leads to the one upstream there is."""
        return _Endpoint(self, lambda transport: None)

    def connect(self, factory: Any, connected: Callable[[Any], None]) -> Deferred[Any]:
        """Connect a client to the upstream."""
        now = self.clock.seconds()
        if now not in self.attempts[-1:]:
            self.attempts.append(now)
        if self.refuses is not None:
            return fail(self.refuses)
        server, client = self._site.buildProtocol(NEAR), factory.buildProtocol(FAR)
        far, near = End(server, True, FAR, NEAR), End(client, False, NEAR, FAR)
        far.other, near.other = near, far
        self._ends.append((near, far))
        if self.breaks is not None:
            near.disconnectReason = self.breaks
            far.loseConnection()
        server.makeConnection(far)
        client.makeConnection(near)
        connected(near)
        return succeed(client)

    def flush(self) -> None:
        """Move bytes until nothing more moves."""
        if self.mute:
            return
        for near, far in tuple(self._ends):
            while near.move() or far.move():
                pass
        self._ends = [pair for pair in self._ends if not (pair[0].disconnected and pair[1].disconnected)]

    def cut(self, which: int, reason: Exception | None = None) -> None:
        """Break one connection, the oldest is 0, for that reason or by a reset; nothing where there is none such."""
        if which < len(self._ends):
            near, far = self._ends[which]
            far.abortConnection()
            near.disconnectReason = reason or near.disconnectReason

    @property
    def open(self) -> int:
        """Connections of which one end at least is not gone."""
        return len(self._ends)
