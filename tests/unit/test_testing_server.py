"""Listening with a simulation, and ending it."""

from __future__ import annotations

from click.testing import CliRunner
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.cli import main
from streamer.testing.server import SimulationService, listen
from streamer.testing.twitter import SAMPLE, SimulatedTwitter
from streamer.testing.x import TOKEN, SimulatedX
from tests.unit.simulated_twitter import BASIC
from tests.unit.test_testing_x import STREAM


class Reactor(MemoryReactorClock):
    """A reactor in memory; `taken` ports cannot be had."""

    taken = 99

    def listenTCP(self, port, factory, backlog=50, interface=""):  # type: ignore[no-untyped-def]
        if port == self.taken:
            raise CannotListenError(interface, port, OSError("taken"))
        return super().listenTCP(port, factory, backlog, interface)


class SimulationServiceTests(SynchronousTestCase):
    """The simulation as a service."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.simulation = SimulatedX(self.reactor, rules=[("kakapo", None)])

    def connect(  # type: ignore[no-untyped-def]
        self, factory, path: str = STREAM, authorization: str = f"Bearer {TOKEN}"
    ) -> StringTransport:
        """Ask for something, a stream by default, of the factory that listens."""
        protocol = factory.buildProtocol(None)
        transport = StringTransport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        protocol.dataReceived(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n".encode())
        return transport

    def test_runs_and_stops(self) -> None:
        """It listens, tells its port, serves and produces; stopping ends every connection and leaves no timer."""
        service = SimulationService(self.reactor, "tcp:4321:interface=127.0.0.1", self.simulation)
        service.startService()
        self.assertEqual(4321, self.successResultOf(service.listening))
        factory = self.reactor.tcpServers[0][1]
        factory.doStart()
        transport, idle = self.connect(factory), self.connect(factory, "/_sim/status")
        self.reactor.pump([0.125] * 8)
        self.assertEqual(20, transport.value().count(b'"matching_rules"'))
        stopped = service.stopService()
        self.assertNoResult(stopped)
        for ended in (transport, idle):
            self.assertNoResult(stopped)
            self.assertTrue(ended.disconnected)
            ended.protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(stopped)
        factory.doStop()
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_stops_without_connections(self) -> None:
        """With nobody there it stops at once; stopping twice does no harm."""
        service = SimulationService(self.reactor, "tcp:0", self.simulation)
        service.startService()
        self.successResultOf(service.stopService())
        self.successResultOf(service.stopService())
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_port_taken(self) -> None:
        """Where the port cannot be had the failure is told, nothing is produced, and stopping works."""
        service = SimulationService(self.reactor, "tcp:99", self.simulation)
        service.startService()
        self.failureResultOf(service.listening, CannotListenError)
        self.assertFalse(self.simulation.status()["running"])
        self.successResultOf(service.stopService())
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_listen(self) -> None:
        """`listen` serves a simulation without starting it."""
        port = self.successResultOf(Deferred.fromCoroutine(listen(self.reactor, "tcp:7", self.simulation)))
        self.assertEqual(7, port.getHost().port)
        self.assertFalse(self.simulation.status()["running"])
        self.assertIn(b" 200 ", self.connect(self.reactor.tcpServers[0][1]).value())
        self.simulation.stop()

    def test_twitter(self) -> None:
        """Any simulation is served, by its name in the log."""
        service = SimulationService(self.reactor, "tcp:4321", SimulatedTwitter(self.reactor, sample_share=1.0))
        service.startService()
        self.assertEqual(4321, self.successResultOf(service.listening))
        transport = self.connect(self.reactor.tcpServers[0][1], f"/{SAMPLE}", BASIC)
        self.reactor.pump([0.125] * 8)
        self.assertEqual(20, transport.value().count(b'"timestamp_ms"'))
        stopped = service.stopService()
        transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(stopped)
        self.assertEqual([], self.reactor.getDelayedCalls())


class CommandTests(SynchronousTestCase):
    """`streamer simulate`."""

    def test_help(self) -> None:
        """Both upstreams have help, without a reactor."""
        for name in ("x", "twitter"):
            result = CliRunner().invoke(main, ["simulate", name, "--help"])
            self.assertEqual(0, result.exit_code)
            self.assertIn("--wait-for-client", result.output)

    def test_halves(self) -> None:
        """Half of a user or half of the keys is a mistake that is told."""
        for options in (("--user", "x"), ("--password", "x"), ("--consumer-key", "x", "--token", "y")):
            result = CliRunner().invoke(main, ["simulate", "twitter", *options])
            self.assertEqual(2, result.exit_code)
            self.assertIn("or n", result.output)
