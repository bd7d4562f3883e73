"""A role's way through connecting, logging in, declaring and running, and each way it can end."""

from __future__ import annotations

from typing import Any

from pika import ConnectionParameters, spec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from streamer.bus import deadline, role
from streamer.bus.address import Address
from streamer.bus.connection import BrokerConnection
from streamer.bus.role import Role
from streamer.bus.topology import declares, layout
from streamer.metrics import BUS_CONNECTED, BUS_ENDINGS, Metrics
from tests.bus_broker import REPLIES, Broker


class Silent:
    """An endpoint that never answers."""

    def __init__(self) -> None:
        self.cancelled = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        return Deferred(lambda _: setattr(self, "cancelled", self.cancelled + 1))


class RoleTests(SynchronousTestCase):
    """One connection after another."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.metrics = Metrics()
        self.broker = Broker(self.clock)
        self.setups = 0
        self.changes: list[bool] = []  # whether it was ready, at each change it told of

    def role(self, *endpoints: Any) -> Role:
        async def set_up(connection: Any, channel: Any) -> None:
            self.setups += 1

        found = [(f"host{number}", endpoint) for number, endpoint in enumerate(endpoints or (self.broker,))]
        shared = role.Broker(
            found,
            lambda name: BrokerConnection(ConnectionParameters(), self.clock),
            self.clock,
            self.metrics,
            lambda: 0.5,
        )
        made = Role("test", shared, set_up, lambda: self.changes.append(made.ready))
        made.start()
        self.clock.advance(0)
        return made

    def stop(self, made: Role) -> None:
        stopping = made.stop()
        self.clock.advance(0)
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.metrics.value(BUS_CONNECTED, "test"), 0)

    def test_runs(self) -> None:
        """A role logs in, declares the whole topology, sets itself up, and is ready."""
        made = self.role()
        self.assertTrue(made.ready)
        self.assertEqual(made.status, "test: connected to host0")
        asked = [type(method) for method in self.broker.methods if type(method) in REPLIES]
        topology = [
            kind
            for kind in asked
            if kind in (spec.Exchange.Declare, spec.Queue.Declare, spec.Queue.Bind, spec.Queue.Unbind)
        ]
        self.assertEqual((len(topology), self.setups), (len(declares(layout())), 1))
        self.assertEqual(self.metrics.value(BUS_CONNECTED, "test"), 1)
        self.stop(made)

    def test_every_connection_declares(self) -> None:
        """The topology is declared again after every loss."""
        made = self.role()
        before = len(self.broker.methods)
        self.broker.link.abortConnection()
        self.clock.pump([0, 0.1])
        self.assertTrue(made.ready)
        self.assertEqual((len(self.broker.methods), self.setups), (2 * before, 2))
        self.stop(made)

    def test_tells_of_changes(self) -> None:
        """Who is told of a loss finds the role not ready, before it connects again."""
        made = self.role()
        self.broker.link.abortConnection()
        self.clock.advance(0)
        self.assertEqual(self.changes, [True, False])
        self.clock.advance(0.1)
        self.assertEqual(self.changes, [True, False, True])
        self.stop(made)

    def test_one_connection_at_a_time(self) -> None:
        """A connection that was given up is waited for, before the next one and before the stop is over."""
        self.broker.frozen, self.broker.lingers = True, 2.0
        made = self.role()
        self.clock.pump([deadline.HANDSHAKE, 1.0])
        self.assertEqual((self.broker.connections, self.metrics.total(BUS_ENDINGS)), (1, 0))
        self.clock.pump([1.0, 0.1])
        self.assertEqual((self.broker.connections, self.metrics.total(BUS_ENDINGS)), (2, 1))
        stopping = made.stop()
        self.clock.advance(1.9)
        self.assertNoResult(stopping)
        self.clock.advance(0.1)
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_connect_deadline(self) -> None:
        """A host that does not answer is given up, and the next one tried; soon, where there is a next one."""
        silent = Silent()
        made = self.role(silent, self.broker, Silent())  # the jitter of one half begins with the first
        self.assertEqual(made.status, "test: connecting to host0")
        self.clock.advance(deadline.CONNECT_ONE)
        self.assertEqual(silent.cancelled, 1)
        self.assertIn("waiting to connect to host2 after: no answer within 4 s to connect to host0", made.status)
        self.clock.pump([0.1, deadline.CONNECT_ONE, 0.1, 0])
        self.assertTrue(made.ready)
        self.assertEqual(made.status, "test: connected to host1")
        self.assertEqual(self.metrics.value(BUS_ENDINGS, "test", "timeout"), 2)
        self.stop(made)

    def test_single_host(self) -> None:
        """The only host there is gets the whole of the time."""
        silent = Silent()
        made = self.role(silent)
        self.clock.advance(deadline.CONNECT - 1)
        self.assertEqual(silent.cancelled, 0)
        self.clock.advance(1)
        self.assertIn("waiting to connect to host0 after: no answer within 10 s to connect to host0", made.status)
        self.stop(made)

    def test_cluster(self) -> None:
        """Whoever loses one node of a cluster is at another one within the first pause, and the status names both."""
        others = [Broker(self.clock), Broker(self.clock)]
        made = self.role(self.broker, *others)
        self.assertEqual(made.status, "test: connected to host0")
        self.clock.pump([1.0] * 60)
        self.broker.refuses = 1000
        self.broker.link.abortConnection()
        self.clock.advance(0)
        self.assertEqual(made.status, "test: waiting to connect to host2 after: host0: the connection was cut")
        self.clock.advance(0.1)
        self.assertEqual(made.status, "test: connected to host2")
        self.stop(made)

    def test_name_server_hangs(self) -> None:
        """A name that nobody resolves is waited for no longer than a host, and stopping does not wait at all."""

        @implementer(IHostnameResolver)
        class Hanging:
            def resolveHostName(self, receiver: Any, name: str, portNumber: int = 0, *_: Any, **__: Any) -> Any:
                asked.append(name)
                return receiver

        asked: list[str] = []
        reactor = MemoryReactorClock()
        reactor.installNameResolver(Hanging())
        self.clock = reactor
        [(_, endpoint)] = Address.parse("amqp://broker.example").endpoints(reactor)
        made = self.role(endpoint)
        reactor.advance(deadline.CONNECT)
        self.assertIn("no answer within 10 s to connect to host0", made.status)
        reactor.advance(0.1)
        self.assertEqual((asked, made.status), (["broker.example"] * 2, "test: connecting to host0"))
        self.stop(made)

    def test_cluster_away(self) -> None:
        """A cluster that is away is tried host by host, then left alone for longer with each round."""
        brokers = [Broker(self.clock, refuses=1000) for _ in range(3)]
        made = self.role(*brokers)
        self.clock.pump([0.05] * 20 * 60)
        tried = [1000 - broker.refuses for broker in brokers]
        self.assertTrue(max(tried) - min(tried) <= 1)
        self.assertTrue(15 <= sum(tried) <= 36, tried)
        self.stop(made)

    def test_handshake_deadline(self) -> None:
        """A broker that takes the connection and says nothing is cut off."""
        self.broker.frozen = True
        made = self.role()
        self.assertEqual(made.status, "test: logging in at host0")
        self.clock.pump([deadline.HANDSHAKE, 0])
        self.assertTrue(self.broker.link.gone)
        self.assertIn("no answer within 10 s to the login at host0", made.status)
        self.stop(made)

    def test_topology_deadline(self) -> None:
        """A broker that stops answering while we declare is cut off."""
        self.broker.answers = {spec.Queue.Bind: None}
        made = self.role()
        self.assertEqual(made.status, "test: declaring the topology at host0")
        self.clock.pump([deadline.SETUP, 0])
        self.assertIn("no answer within 20 s to declare the topology at host0", made.status)
        self.stop(made)

    def test_broker_closes(self) -> None:
        """The broker's reason for closing the connection or the channel is shown; the role starts anew."""
        made = self.role()
        self.broker.say(spec.Connection.Close(320, "CONNECTION_FORCED - an exercise", 0, 0), channel=0)
        self.clock.pump([0])
        self.assertIn("the broker closed the connection: 320 CONNECTION_FORCED - an exercise", made.status)
        self.clock.pump([0.1])
        self.broker.say(spec.Channel.Close(406, "PRECONDITION_FAILED - inequivalent arg", 0, 0))
        self.clock.pump([0])
        self.assertIn("the broker closed the channel: 406 PRECONDITION_FAILED - inequivalent arg", made.status)
        self.assertEqual(self.metrics.value(BUS_ENDINGS, "test", "broker"), 2)
        self.clock.pump([0.2])
        self.assertTrue(made.ready)
        self.stop(made)

    def test_explained_once(self) -> None:
        """The log is told how a loss is mended once a kind, and again after it has run; the status always has it."""
        lines: list[str] = []
        self.patch(Role, "_log", Logger(observer=lambda event: lines.append(str(event.get("loss")))))
        vhost, login = (
            (530, "NOT_ALLOWED - vhost birds not found"),
            (403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."),
        )
        refusals = iter([vhost, vhost, login, vhost, login])

        def opened(_: Any) -> Any:
            refusal = next(refusals, None)
            return REPLIES[spec.Connection.Open](_) if refusal is None else spec.Connection.Close(*refusal, 0, 0)

        self.broker.answers = {spec.Connection.Open: opened}
        made = self.role()
        self.assertIn("(https://", made.status)
        self.clock.pump([0.5] * 5)
        self.assertIn("(https://", made.status)
        self.clock.pump([0.5] * 200)
        self.assertTrue(made.ready, lines)
        said = [("530" in line, "(https://" in line) for line in lines if "host0" in line]
        self.assertEqual([(True, True), (True, False), (False, True), (True, False), (False, False)], said)
        lines.clear()
        refusals = iter([vhost, vhost])
        self.broker.link.abortConnection()
        self.clock.pump([0.5] * 100)
        self.assertEqual([True, False], ["(https://" in line for line in lines if "530" in line])
        self.stop(made)

    def test_garbage(self) -> None:
        """Bytes that are no AMQP end the connection, loudly."""
        made = self.role()
        self.broker.link.protocol.dataReceived(b"\x01\x00\x01\x00\x00\x00\x04\xff\xff\xff\xff\xce")
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.clock.pump([0])
        self.assertEqual(self.metrics.value(BUS_ENDINGS, "test", "protocol"), 1)
        self.stop(made)

    def test_dead_peer(self) -> None:
        """A peer that falls silent is noticed by its heartbeat, and cut off though it takes no bytes."""
        made = self.role()
        self.broker.frozen = True
        for _ in range(12):
            self.clock.advance(5)
        self.assertEqual(self.metrics.value(BUS_ENDINGS, "test", "heartbeat"), 1)
        self.assertFalse(made.ready)
        self.broker.frozen = False
        self.stop(made)

    def test_stop_anywhere(self) -> None:
        """A role stops wherever it is, and leaves nothing behind."""
        self.stop(self.role(Silent()))
        self.broker.refuses = 1
        self.stop(self.role())
        self.broker.frozen = True
        self.stop(self.role())
        never = Role("never", role.Broker([], lambda name: None, self.clock, self.metrics, lambda: 0.5), None, None)  # type: ignore[arg-type]
        self.successResultOf(never.stop())
        self.assertEqual(self.metrics.total(BUS_ENDINGS), 1)
