"""The bus over RabbitMQ, put together: what it knows of its subscriptions."""

from __future__ import annotations

from pika import spec
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import topology
from streamer.bus.address import Address
from streamer.bus.rabbitmq import RabbitBus
from streamer.metrics import Metrics
from tests.bus_broker import Broker
from tests.bus_contract import Notes


class RabbitBusTests(SynchronousTestCase):
    """Subscriptions that come and go."""

    def setUp(self) -> None:
        self.clock: Clock = MemoryReactorClock()
        self.bus = RabbitBus(Address.parse("amqp://here"), self.clock, Metrics(), jitter=lambda: 0.0)
        self.brokers = [Broker(self.clock) for _ in range(3)]
        # One for each connection: publishing, working, reading.
        self.bus._broker.endpoints = [("here", self)]
        self.free = iter(self.brokers)

    def connect(self, factory: object) -> object:
        return next(self.free).connect(factory)

    def test_forgets_the_stopped(self) -> None:
        """A subscription that was stopped leaves the bus, and its status, once it is quiet."""
        self.bus.startService()
        self.clock.advance(0)
        work, log = self.bus.work(topology.ENRICH, Notes(), 10), self.bus.log(0, print)
        self.clock.advance(0)
        self.assertTrue(work.ready and log.ready)
        self.assertEqual(
            self.bus.status,
            "publish: connected to here; work streamer.enrich: connected to here; log: connected to here",
        )
        stopping = [work.stop(), log.stop()]
        self.assertIn("log: stopped", self.bus.status)  # not quiet yet: stopping the bus would wait for it
        self.clock.pump([0, 0])
        for stopped in stopping:
            self.successResultOf(stopped)
        self.assertEqual(self.bus.status, "publish: connected to here")
        self.assertEqual(len(self.bus._subscriptions), 0)
        self.successResultOf(work.stop())
        leaving = self.bus.stopService()
        self.clock.pump([0, 0])
        self.successResultOf(leaving)

    def test_one_reason(self) -> None:
        """What all connections were lost by stands in the status once."""
        for broker in self.brokers:
            broker.answers = {
                spec.Connection.Open: lambda *_: spec.Connection.Close(530, "NOT_ALLOWED - vhost / not found", 0, 0)
            }
        # Not at once again, which without jitter would be for ever.
        self.bus = RabbitBus(Address.parse("amqp://here"), self.clock, Metrics(), jitter=lambda: 1.0)
        self.bus._broker.endpoints = [("here", self)]
        self.bus.startService()
        self.bus.work(topology.ENRICH, Notes(), 10)
        self.clock.advance(0)
        self.bus.log(0, print)
        self.clock.pump([0, 0])
        said = self.bus.status
        self.assertEqual((1, 1), (said.count("vhost / not found"), said.count("add_vhost")), said)
        self.assertTrue(said.startswith("publish: waiting to connect to here after: here: "), said)
        self.assertIn("; work streamer.enrich: waiting to connect to here, as publish", said)
        self.assertTrue(said.endswith("; log: waiting to connect to here, as publish"), said)
        leaving = self.bus.stopService()
        self.clock.pump([0, 0])
        self.successResultOf(leaving)

    def test_forgets_what_never_began(self) -> None:
        """So does one that was stopped before the bus was started."""
        work = self.bus.work(topology.ENRICH, Notes(), 10)
        self.successResultOf(work.stop())
        self.assertEqual(self.bus.status, "publish: not started")

    def test_stop_waits_for_all(self) -> None:
        """Stopping the bus stops each subscription, and is over when all connections are."""
        self.bus.startService()
        self.bus.work(topology.ENRICH, Notes(), 10)
        self.bus.log(0, print)
        self.clock.advance(0)
        for broker in self.brokers:
            broker.lingers = 1.0
        stopping = self.bus.stopService()
        self.clock.advance(0)
        self.assertNoResult(stopping)
        self.clock.pump([1.0, 1.0])
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])
