"""The relay as a service, on the in-process bus, without a port."""

from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.memory import MemoryBus
from streamer.metrics import Metrics
from streamer.services.catching_up import PATIENCE
from streamer.services.relay import RelayService
from streamer.tables import RelaySettings
from streamer.testing.relay_client import RelayClient
from streamer.testing.relay_events import entry


class RelayServiceTests(SynchronousTestCase):
    """`RelayService`."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.reactor.advance(1_000_000)
        self.metrics = Metrics()
        self.bus = MemoryBus(self.reactor, self.metrics)
        self.fatal: list[str] = []
        self.relay = self.make()
        self.connected: list[RelayClient] = []

    def make(self, **settings: Any) -> RelayService:
        relay = RelaySettings(**{"drain": 0.0, **settings})
        return RelayService(self.bus, relay, self.reactor, self.metrics, self.fatal.append, Path("nonexistent"))

    def start(self) -> None:
        self.bus.startService()
        self.relay.startService()
        self.turn()

    def turn(self, seconds: float = 0.0) -> None:
        for _ in range(5):
            self.reactor.advance(seconds / 5)

    def publish(self, number: int) -> None:
        self.successResultOf(self.bus.publish(entry(number).message))

    def connect(self) -> RelayClient:
        client = RelayClient()
        address = IPv4Address("TCP", "192.0.2.1", 1)
        server = self.reactor.tcpServers[0][1].buildProtocol(address)
        server.callLater = self.reactor.callLater
        serving = FakeTransport(server, True, peerAddress=address)
        client.pump = connect(server, serving, client, FakeTransport(client, False))
        client.pump.flush()
        self.connected.append(client)
        return client

    def stop(self) -> None:
        stopped = self.relay.stopService()
        self.turn(5)
        for client in self.connected:
            client.pump.flush()
        self.successResultOf(stopped)
        bus = self.bus.stopService()
        self.turn(30)
        self.successResultOf(bus)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_history_then_live(self) -> None:
        """Clients are let in once the history is in, and get it and what follows."""
        self.publish(1)
        self.start()
        self.assertEqual((self.relay.ready, self.relay.troubles()), (True, []))
        client = self.connect()
        client.send("sub", 1, {"id": "a", "topics": ["#"], "last": 10})
        client.pump.flush()
        self.publish(2)
        self.turn(0.1)
        client.pump.flush()
        self.assertEqual([event["id"] for event in client.events()], ["post:1", "post:2"])
        self.stop()

    def test_quiet_log(self) -> None:
        """A relay that starts when nothing has come for long tells where the log ends, and not where it begins."""
        self.bus.startService()
        for number in range(20):
            self.publish(number)
        self.turn(100_000)
        self.relay.startService()
        self.turn(1)
        client = self.connect()
        client.send("sub", 1, {"id": "a", "topics": ["#"]})
        client.pump.flush()
        told = client.named("subd")[0][2]["position"]
        self.publish(20)
        self.turn(0.1)
        again = self.connect()
        again.send("sub", 1, {"id": "a", "topics": ["#"], "since": told})
        again.pump.flush()
        self.assertEqual([event["id"] for event in again.events()], ["post:20"])
        self.stop()

    def test_stop(self) -> None:
        """A stop sends clients away, stops listening and reading, and leaves nothing."""
        self.start()
        client = self.connect()
        self.stop()
        client.pump.flush()
        self.assertEqual((client.frames[-1][0], client.code), ("draining", 1012))
        self.assertFalse(self.relay.ready)
        self.assertIsNone(self.relay.port)

    def test_drain(self) -> None:
        """With time to stop it is unready and closed to newcomers at once, and serves its clients to their moment."""
        self.relay = self.make(drain=5.0)
        self.start()
        client = self.connect()
        client.send("sub", 1, {"id": "a", "topics": ["#"]})
        client.pump.flush()
        stopped = self.relay.stopService()
        self.assertEqual(["relay: stopping; its clients are being sent away"], self.relay.troubles())
        self.assertIsNone(self.relay.port)
        self.publish(1)
        self.turn(0.1)
        client.pump.flush()
        self.assertEqual(["post:1"], [event["id"] for event in client.events()])
        (said,) = client.named("draining")
        self.assertTrue(0 <= said[1]["in_ms"] <= 4000)
        self.turn(5.0)
        client.pump.flush()
        self.assertEqual(1012, client.code)
        self.turn(5.0)
        client.pump.flush()
        self.successResultOf(stopped)
        self.stop()

    def test_drain_idle_connections(self) -> None:
        """With the port a drain closes connections that are kept for a next request, and not before it: a proxy would
        make new ones here.
        """
        self.relay = self.make(drain=5.0)
        self.start()
        channel = self.reactor.tcpServers[0][1].buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        transport = StringTransport()
        ports: list[Any] = []
        self.patch(transport, "loseConnection", lambda: ports.append(self.relay.port))
        channel.makeConnection(transport)
        channel.dataReceived(b"GET /status.json HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"200 OK", transport.value())
        self.assertEqual([], ports)
        self.relay.stopService()
        self.assertEqual([None], ports)
        channel.connectionLost(Failure(ConnectionDone()))
        self.turn(10)
        self.stop()

    def test_stop_before_listening(self) -> None:
        """A stop while the history is still being read never listens."""
        self.relay.startService()  # the bus was not started
        self.stop()
        self.assertEqual(self.reactor.tcpServers, [])

    def test_history_does_not_come(self) -> None:
        """While the history is not read nobody is let in, however long it takes, and the reason is said."""
        self.publish(1)
        self.relay.startService()
        said: list[Any] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        for _ in range(20):
            self.turn(PATIENCE)
        self.assertEqual(self.reactor.tcpServers, [])
        self.assertFalse(self.relay.ready)
        self.assertIn("log is not being read", self.relay.troubles()[0])
        self.assertIn("being caught up with", self.relay.troubles()[1])
        self.assertEqual(sum("not listening until" in (event["log_format"] or "") for event in said), 20)
        self.bus.startService()
        self.turn(1)
        self.assertEqual(len(self.reactor.tcpServers), 1)
        self.assertTrue(self.relay.ready)
        self.stop()

    def test_cannot_listen(self) -> None:
        """A port that is taken is said in the log and in what `/ready` says."""

        def taken(*_: Any, **__: Any) -> Any:
            raise CannotListenError("127.0.0.1", 8080, OSError(98, "in use"))

        self.patch(self.reactor, "listenTCP", taken)
        self.start()
        self.assertIn("cannot listen on 'tcp:8080", self.relay.troubles()[0])
        self.assertIn("Change [relay] listen", self.fatal[0])
        self.stop()

    def test_status(self) -> None:
        """The operator sees more than the public does."""
        self.publish(1)
        self.start()
        client = self.connect()
        status = self.relay.status()
        self.assertEqual((status["ready"], status["clients"], status["journal_entries"]), (True, 1, 1))
        self.assertFalse(status["page_built"])
        client.transport.loseConnection()
        client.pump.flush()
        self.stop()
