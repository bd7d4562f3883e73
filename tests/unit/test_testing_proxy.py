"""The toxic proxy on a Clock: sockets of bytes in memory, a server that can be reached, or not."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.proxy import ToxicProxy
from streamer.testing.toxic_lane import HELD
from streamer.testing.toxics import (
    Corrupt,
    Cut,
    Direction,
    HalfClose,
    HalfOpen,
    Latency,
    Refuse,
    Reset,
    Slices,
    Stall,
    Toxic,
)

UP, DOWN = Direction.UP, Direction.DOWN


class Socket(StringTransport):
    """The proxy's end of a TCP connection; ends as a reactor's does, in a later turn."""

    def __init__(self, clock: Clock, protocol: Any) -> None:
        super().__init__()
        self.clock = clock
        self.protocol = protocol
        self.how = "open"
        self.gone = False
        self.writes: list[bytes] = []
        protocol.makeConnection(self)

    def setTcpNoDelay(self, enabled: bool) -> None:
        assert enabled

    def write(self, data: bytes) -> None:
        assert self.how == "open"
        super().write(data)
        self.writes.append(data)

    def loseWriteConnection(self) -> None:
        assert self.producer is None, "would never be closed"
        self.how = "half-closed"

    def loseConnection(self) -> None:
        assert self.producer is None, "would never be closed"
        self.lose("closed", ConnectionDone())

    def abortConnection(self) -> None:
        self.lose("reset", ConnectionAborted())

    def lose(self, how: str, error: Exception) -> None:
        if not self.disconnected:
            self.disconnected = True
            self.how = how
            self.clock.callLater(0, self.vanish, error)

    def vanish(self, error: Exception | None = None) -> None:
        """The connection is gone, by the peer's reset where nothing else is said."""
        if self.gone:
            return
        self.disconnected = self.gone = True
        if self.producer is not None:
            self.producer.stopProducing()
            self.producer = None
        self.protocol.connectionLost(Failure(error or ConnectionLost()))

    def fin(self) -> None:
        """The peer sends nothing more."""
        IHalfCloseableProtocol(self.protocol).readConnectionLost()


class Place:
    """Both endpoints: where clients come in, and the server. Unreachable, or slow to answer, where told so."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.factory: Any = None
        self.reachable = True
        self.waiting: Deferred[Any] | None = None
        self.servers: list[Socket] = []

    def listen(self, factory: Any) -> Deferred[Any]:
        self.factory = factory
        return succeed(self)

    def stopListening(self) -> Deferred[None]:
        self.factory = None
        return succeed(None)

    def connect(self, factory: Any) -> Deferred[Any]:
        if not self.reachable:
            return fail(ConnectionRefusedError())
        if self.waiting is not None:
            return self.waiting.addCallback(
                lambda _: self.servers.append(Socket(self.clock, factory.buildProtocol(None)))
            )
        self.servers.append(Socket(self.clock, factory.buildProtocol(None)))
        return succeed(None)


class ProxyTests(SynchronousTestCase):
    """Connections through it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.place = Place(self.clock)
        self.proxy = ToxicProxy(self.clock, self.place, self.place, lambda: 0.5)  # type: ignore[arg-type]
        self.proxy.startService()

    def tearDown(self) -> None:
        self.proxy.heal()
        stopping = self.proxy.stopService()
        self.turn()
        self.successResultOf(stopping)
        self.assertEqual((self.proxy.connections, self.clock.getDelayedCalls()), ([], []))

    def client(self) -> Socket:
        """A client that comes in."""
        made = Socket(self.clock, self.place.factory.buildProtocol(None))
        self.turn()
        return made

    def pair(self) -> tuple[Socket, Socket]:
        """The two ends of one connection."""
        return self.client(), self.place.servers[-1]

    def turn(self, turns: int = 3) -> None:
        """Let turns of the reactor pass."""
        for _ in range(turns):
            self.clock.advance(0)

    def test_plain(self) -> None:
        """Bytes go both ways and are counted, for each connection and in all, also when it is over."""
        client, server = self.pair()
        client.protocol.dataReceived(b"hello")
        server.protocol.dataReceived(b"hi")
        self.turn()
        self.assertEqual((server.value(), client.value()), (b"hello", b"hi"))
        (link,) = self.proxy.connections
        self.assertEqual((link.number, link.up.passed, link.down.passed), (1, 5, 2))
        client.vanish()
        self.turn()
        self.assertEqual((server.how, self.proxy.connections), ("reset", []))
        self.assertEqual([self.proxy.passed(one) for one in (UP, DOWN, Direction.BOTH)], [5, 2, 7])
        self.assertEqual(self.proxy.accepted, 1)

    def test_half_close(self) -> None:
        """A FIN is passed on after the bytes before it; after both the connection is over."""
        client, server = self.pair()
        client.protocol.dataReceived(b"all")
        client.fin()
        self.turn()
        self.assertEqual((server.value(), server.how), (b"all", "half-closed"))
        server.protocol.dataReceived(b"answer")
        server.fin()
        self.turn()
        self.assertEqual((client.value(), client.how, server.how), (b"answer", "closed", "closed"))
        self.assertEqual(self.proxy.connections, [])

    def test_early_bytes(self) -> None:
        """What a client sends, and its FIN, before the server answers waits for the server, within the limit."""
        self.place.waiting = Deferred()
        client = self.client()
        client.protocol.dataReceived(b"x" * HELD)
        client.fin()
        self.turn()
        self.assertEqual(self.place.servers, [])
        self.place.waiting.callback(None)
        self.turn()
        (server,) = self.place.servers
        self.assertEqual((len(server.value()), server.how), (HELD, "half-closed"))

    def test_no_server(self) -> None:
        """Where the server cannot be reached, or is not by the stop, the client is reset."""
        self.place.reachable = False
        client = self.client()
        self.turn()
        self.assertEqual((client.how, self.proxy.connections), ("reset", []))
        self.place.reachable, self.place.waiting = True, Deferred()
        client = self.client()
        self.assertEqual(len(self.proxy.connections), 1)
        client.vanish()
        self.turn()
        self.assertEqual(self.proxy.connections, [])
        self.place.waiting = Deferred()
        self.client()  # and the test's end stops the proxy

    def test_back_pressure(self) -> None:
        """A side that takes nothing holds up the other, after a bounded number of bytes, and not the other way."""
        client, server = self.pair()
        server.producer.pauseProducing()
        for _ in range(HELD // 65_536):
            self.assertEqual(client.producerState, "producing")
            client.protocol.dataReceived(b"x" * 65_536)
        self.turn()
        self.assertEqual((client.producerState, server.value()), ("paused", b""))
        server.protocol.dataReceived(b"hi")
        self.turn()
        self.assertEqual((client.value(), server.producerState), (b"hi", "producing"))
        server.producer.resumeProducing()
        self.turn(10)
        self.assertEqual((client.producerState, len(server.value())), ("producing", HELD))

    def test_directions(self) -> None:
        """A toxic acts on the direction it was put on, for open connections and new ones, until it is taken off."""
        older = self.pair()
        self.proxy.put_on(Latency(1.0), DOWN)
        for client, server in (older, self.pair()):
            client.protocol.dataReceived(b"up")
            server.protocol.dataReceived(b"down")
            self.turn()
            self.assertEqual((server.value(), client.value()), (b"up", b""))
            self.clock.advance(1.0)
            self.assertEqual(client.value(), b"down")
        self.proxy.take_off(Latency, UP)
        older[1].protocol.dataReceived(b"!")
        self.turn()
        self.assertEqual(older[0].value(), b"down")
        self.proxy.take_off(Latency, DOWN)
        self.turn()
        self.assertEqual(older[0].value(), b"down!")

    def test_one_connection(self) -> None:
        """A toxic, or a reset, can be for one connection alone."""
        (one, _), (other, other_server) = self.pair(), self.pair()
        self.proxy.connections[1].put_on(Stall(), Direction.BOTH)
        other.protocol.dataReceived(b"held")
        self.proxy.connections[0].reset()
        self.turn()
        self.assertEqual((one.how, other.how, other_server.value()), ("reset", "open", b""))
        self.proxy.connections[0].take_off(Stall, Direction.BOTH)
        self.turn()
        self.assertEqual(other_server.value(), b"held")

    def test_slices(self) -> None:
        """Each piece is written in a turn of its own, so that the reader gets it by itself."""
        self.proxy.put_on(Slices(1))
        client, server = self.pair()
        client.protocol.dataReceived(b"abc")
        for written in ([b"a"], [b"a", b"b"], [b"a", b"b", b"c"]):
            for call in self.clock.getDelayedCalls():  # those of one turn of a reactor; a Clock knows no turns
                self.clock.calls.remove(call)
                call.called = True
                call.func(*call.args, **call.kw)
            self.assertEqual(server.writes, written)

    def test_stall(self) -> None:
        """A stalled connection is not read, and stays open when one side is gone; then it goes on."""
        client, server = self.pair()
        self.proxy.put_on(Stall())
        self.assertEqual((client.producerState, server.producerState), ("paused", "paused"))
        client.vanish()
        self.turn()
        self.assertEqual((server.how, len(self.proxy.connections)), ("open", 1))
        self.proxy.take_off(Stall)
        self.turn()
        self.assertEqual((server.how, self.proxy.connections), ("reset", []))

    def test_half_open(self) -> None:
        """A half-open connection is read, and nobody hears of anything; taken off, it is reset."""
        client, server = self.pair()
        self.proxy.put_on(HalfOpen())
        client.protocol.dataReceived(b"up")
        server.protocol.dataReceived(b"down")
        server.vanish()
        self.turn()
        self.assertEqual((client.how, client.value(), client.producerState), ("open", b"", "producing"))
        self.proxy.take_off(HalfOpen)
        self.turn()
        self.assertEqual((client.how, self.proxy.connections), ("reset", []))

    def test_ends(self) -> None:
        """Cut closes both sides, Reset resets them, HalfClose ends one direction; each after so many bytes."""
        table: list[tuple[Toxic, str, str]] = [
            (Cut(2), "closed", "closed"),
            (Reset(2), "reset", "reset"),
            (HalfClose(2), "open", "half-closed"),
        ]
        for toxic, clients, servers in table:
            with self.subTest(toxic=toxic):
                client, server = self.pair()
                self.proxy.put_on(toxic, UP)
                client.protocol.dataReceived(b"abc")
                self.turn()
                self.assertEqual((server.value(), client.how, server.how), (b"ab", clients, servers))
                self.assertEqual(self.proxy.struck[type(toxic)], 1)
                self.proxy.take_off(type(toxic))

    def test_half_closed(self) -> None:
        """After a half-close the other direction goes on, and what comes the closed way is dropped."""
        client, server = self.pair()
        self.proxy.put_on(HalfClose(), UP)
        self.turn()
        client.protocol.dataReceived(b"lost")
        server.protocol.dataReceived(b"still")
        self.turn()
        self.assertEqual((server.value(), server.how, client.value()), (b"", "half-closed", b"still"))
        self.assertEqual(self.proxy.connections[0].up.dropped, 4)

    def test_at_once(self) -> None:
        """Without bytes to wait for it strikes what is open, and each new connection before it says a word."""
        client, server = self.pair()
        self.proxy.put_on(Reset())
        self.turn()
        self.assertEqual((client.how, server.how), ("reset", "reset"))
        self.assertEqual(self.client().how, "reset")

    def test_times(self) -> None:
        """A toxic with a number of times is taken off, both ways, after so many connections; others stay."""
        self.proxy.put_on(Reset(times=1))
        self.proxy.put_on(Corrupt(), UP)
        self.assertEqual(self.client().how, "reset")
        for _ in range(2):
            client, server = self.pair()
            client.protocol.dataReceived(b"\x00a")
            server.protocol.dataReceived(b"b")
            self.turn()
            self.assertEqual((server.value(), client.value()), (b"\xffa", b"b"))
        self.assertEqual((self.proxy.struck[Reset], self.proxy.struck[Corrupt]), (1, 2))

    def test_times_of_one_direction(self) -> None:
        """What is worn out one way leaves its kind on the other way."""
        self.proxy.put_on(Cut(2), DOWN)
        self.proxy.put_on(Cut(1, times=1), UP)
        for data, how in ((b"a", "closed"), (b"b", "open")):
            client, _ = self.pair()
            client.protocol.dataReceived(data)
            self.turn()
            self.assertEqual(client.how, how)
        self.place.servers[-1].protocol.dataReceived(b"abc")
        self.turn()
        self.assertEqual((client.how, client.value()), ("closed", b"ab"))

    def test_refuse(self) -> None:
        """New connections are turned away, as often as told, and open ones go on."""
        client, server = self.pair()
        self.proxy.put_on(Refuse(times=2))
        for how in ("reset", "reset", "open"):
            self.assertEqual(self.client().how, how)
        client.protocol.dataReceived(b"on")
        self.turn()
        self.assertEqual((server.value(), self.proxy.refused, self.proxy.accepted), (b"on", 2, 2))

    def test_stop(self) -> None:
        """Stopping resets everything, whatever toxics hold it, and fires when all sockets are gone."""
        pairs = [self.pair() for _ in range(3)]
        self.proxy.connections[0].put_on(Stall(), Direction.BOTH)
        self.proxy.connections[1].put_on(HalfOpen(), Direction.BOTH)
        pairs[2][0].fin()
        stopping = self.proxy.stopService()
        self.assertNoResult(stopping)
        self.turn()
        self.successResultOf(stopping)
        self.assertEqual({side.how for pair in pairs for side in pair}, {"reset"})
        self.assertIsNone(self.place.factory)
