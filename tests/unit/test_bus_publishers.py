"""A connection for each exchange, so that RabbitMQ's count of what goes to the log is the log's own."""

from __future__ import annotations

from pika import spec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.connection import connect
from streamer.bus.driver import Login
from streamer.bus.publishers import Publishers
from streamer.bus.role import Broker as Shared
from streamer.bus.topology import ENRICH
from streamer.bus.watch import LOOK_AFTER
from streamer.errors import BusStopped, MessageRefused
from streamer.metrics import Metrics
from tests.bus_broker import REPLIES, Broker
from tests.bus_contract import event, raw


class PublishersTests(SynchronousTestCase):
    """Which connection a message goes by."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.brokers = [Broker(self.clock) for _ in range(3)]
        self.free = iter(self.brokers)
        login = Login(vhost="/", user="u", password="p", heartbeat=0, name="test", version="1")
        shared = Shared([("here", self)], lambda role: connect(login, self.clock), self.clock, Metrics(), lambda: 0.0)
        self.publishers = Publishers(shared)

    def connect(self, factory: object) -> object:
        return next(self.free).connect(factory)

    def stop(self) -> None:
        stopping = Deferred.fromCoroutine(self.publishers.stop())
        self.clock.pump([0, 0])
        self.successResultOf(stopping)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_each_exchange_has_its_own(self) -> None:
        """Items and events never share one; who publishes to one exchange only has one connection."""
        self.publishers.start()
        self.clock.advance(0)
        self.assertTrue(self.publishers.ready)
        answers = [self.publishers.publish(event(1))]
        self.clock.advance(0)
        self.assertEqual(["publish: connected to here"], [role.status for role in self.publishers.roles])
        answers += [self.publishers.publish(message) for message in (raw(1), event(2), raw(2))]
        self.clock.pump([0, 0])
        first, second, third = (broker.published for broker in self.brokers)
        self.assertEqual([event(1).message_id, event(2).message_id], first)
        self.assertEqual([raw(1).message_id, raw(2).message_id], second)
        self.assertEqual([], third)
        for broker in self.brokers[:2]:
            broker.say(spec.Basic.Ack(2, multiple=True))
        for answer in answers:
            self.successResultOf(answer)
        self.stop()

    def test_readiness_is_of_all(self) -> None:
        """While the second one connects the bus is not ready, for a message published now might have to wait."""
        self.publishers.start()
        self.clock.advance(0)
        self.publishers.publish(raw(1))
        later = self.publishers.publish(event(1))
        self.assertFalse(self.publishers.ready)
        self.assertEqual(2, len(self.publishers.roles))
        self.brokers[0].say(spec.Basic.Ack(1))
        self.clock.pump([0, 0])
        stopping = Deferred.fromCoroutine(self.publishers.stop())
        self.clock.pump([0, 0, 20, 20, 20])
        self.successResultOf(stopping)
        self.failureResultOf(later, BusStopped)

    def test_missing_queue(self) -> None:
        """A missing queue troubles whoever publishes to it, and nobody else."""
        reply = REPLIES[spec.Queue.Declare]
        self.addCleanup(REPLIES.__setitem__, spec.Queue.Declare, reply)
        for message, troubled in ((raw(1), True), (event(1), False)):
            with self.subTest(exchange=message.exchange):
                self.setUp()
                self.publishers.start()
                self.clock.advance(0)
                self.publishers.publish(message)
                self.publishers.roles[0].prepared = True  # else it were declared again
                REPLIES[spec.Queue.Declare] = lambda method: (
                    spec.Channel.Close(404, "NOT_FOUND", 50, 10) if method.queue == ENRICH else reply(method)
                )
                self.clock.pump([0, LOOK_AFTER, 0])
                self.brokers[0].say(spec.Basic.Ack(1))
                self.assertEqual(self.publishers.ready, not troubled)
                self.assertEqual("there is no queue" in self.publishers.trouble, troubled)
                REPLIES[spec.Queue.Declare] = reply
                self.stop()

    def test_unknown_exchange(self) -> None:
        """It gets no connection, only a refusal."""
        self.publishers.start()
        self.clock.advance(0)
        self.failureResultOf(self.publishers.publish(raw(1, exchange="nowhere")), MessageRefused)
        self.assertEqual(1, len(self.publishers.roles))
        self.stop()

    def test_stopped(self) -> None:
        """After the stop nothing connects any more."""
        self.publishers.start()
        self.clock.advance(0)
        self.stop()
        for message in (raw(1), event(1)):
            self.failureResultOf(self.publishers.publish(message), BusStopped)
        self.assertEqual(1, len(self.publishers.roles))
