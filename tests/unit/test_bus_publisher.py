"""Publishing to a broker that does as the test says."""

from __future__ import annotations

from pika import ConnectionParameters, spec
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import deadline, role
from streamer.bus.publisher import CONFIRM_LIMIT, FULL_LIMIT, NACK_DELAY, Publisher
from streamer.errors import BusStopped, MessageRefused
from streamer.metrics import BUS_BLOCKED, BUS_ENDINGS, BUS_PENDING, BUS_UNCONFIRMED, PUBLISHED, REPUBLISHED, Metrics
from tests.bus_broker import Broker
from tests.bus_contract import raw


class PublisherTests(SynchronousTestCase):
    """Confirms, window, gates, losses."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.metrics = Metrics()
        self.broker = Broker(self.clock)
        shared = role.Broker(
            [("here", self.broker)],
            lambda name: ConnectionParameters(heartbeat=0),
            self.clock,
            self.metrics,
            lambda: 0.5,
        )
        self.publisher = Publisher(shared, window=3)

    def start(self) -> None:
        self.publisher.role.start()
        self.clock.advance(0)
        self.assertTrue(self.publisher.ready)

    def publish(self, *numbers: int) -> list[Deferred[None]]:
        answers = [self.publisher.publish(raw(number)) for number in numbers]
        self.clock.advance(0)
        return answers

    def stop(self) -> None:
        stopping = Deferred.fromCoroutine(self.publisher.stop())
        self.clock.pump([0, 0, deadline.FLUSH, deadline.CLOSE, 0])
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_window(self) -> None:
        """No more than the window is on the wire; a confirm lets the next ones out, in order."""
        self.start()
        answers = self.publish(*range(6))
        self.assertEqual(self.broker.published, ["birds/0", "birds/1", "birds/2"])
        self.broker.say(spec.Basic.Ack(2, multiple=True))
        self.clock.advance(0)
        self.assertEqual([answer.called for answer in answers], [True, True, False, False, False, False])
        self.assertEqual(self.broker.published[3:], ["birds/3", "birds/4"])
        self.broker.say(spec.Basic.Ack(5, multiple=True))
        self.clock.advance(0)
        self.broker.say(spec.Basic.Ack(6))
        self.assertEqual([answer.called for answer in answers], [True] * 6)
        self.assertEqual(self.metrics.value(PUBLISHED, "streamer.raw"), 6)
        self.stop()

    def test_before_connected(self) -> None:
        """What is published while there is no broker goes out in order once there is."""
        self.broker.refuses = 2
        self.publisher.role.start()
        answers = self.publish(1, 2)
        self.assertEqual(self.metrics.value(BUS_ENDINGS, "publish", "refused"), 1)
        self.clock.advance(0.1)
        self.clock.advance(0.2)
        self.assertEqual(self.broker.published, ["birds/1", "birds/2"])
        self.broker.say(spec.Basic.Ack(0, multiple=True))
        self.assertTrue(all(answer.called for answer in answers))
        self.stop()

    def test_nack(self) -> None:
        """What the broker nacks is published again after a while, with the same id."""
        self.start()
        (answer,) = self.publish(1)
        self.broker.say(spec.Basic.Nack(1))
        self.assertNoResult(answer)
        self.clock.advance(NACK_DELAY)
        self.assertEqual(self.broker.published, ["birds/1", "birds/1"])
        self.broker.say(spec.Basic.Ack(2))
        self.successResultOf(answer)
        self.assertEqual(self.metrics.value(REPUBLISHED, "streamer.raw"), 1)
        self.stop()

    def test_lost(self) -> None:
        """After a lost connection what was unconfirmed goes out again, in order, and nothing else."""
        self.start()
        answers = self.publish(1, 2, 3, 4)
        self.broker.say(spec.Basic.Ack(2))
        self.clock.advance(0)
        self.broker.link.lose(ConnectionLost())
        self.clock.advance(0)
        self.assertFalse(self.publisher.ready)
        self.clock.advance(0.1)
        self.assertEqual(self.broker.published, ["birds/1", "birds/3", "birds/4"])
        self.broker.say(spec.Basic.Ack(3, multiple=True))
        self.assertTrue(all(answer.called for answer in answers))
        self.stop()

    def test_never_confirmed(self) -> None:
        """A broker that confirms nothing is given up after a while, and everything published again."""
        self.start()
        self.publish(1)
        self.clock.advance(CONFIRM_LIMIT - 10)
        self.publish(2)
        self.broker.say(spec.Basic.Ack(1))
        self.clock.advance(CONFIRM_LIMIT - 1)
        self.assertEqual(self.broker.connections, 1)
        self.clock.pump([1, 0, 0.1, 0])
        self.assertEqual(self.metrics.value(BUS_ENDINGS, "publish", "unconfirmed"), 1)
        self.assertEqual((self.broker.connections, self.broker.published), (2, ["birds/2"]))
        self.broker.say(spec.Basic.Ack(1))
        self.stop()

    def test_wrong_confirm(self) -> None:
        """A confirm of what was not published ends the connection."""
        self.start()
        (answer,) = self.publish(1)
        self.broker.say(spec.Basic.Ack(7))
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
        self.broker.say(spec.Basic.Ack(1))  # nothing that it says on this connection counts any more
        self.assertNoResult(answer)
        self.clock.pump([0, 0.1, 0])
        self.assertEqual((self.broker.connections, self.broker.published), (2, ["birds/1"]))
        self.broker.say(spec.Basic.Ack(1))
        self.successResultOf(answer)
        self.stop()

    def test_blocked(self) -> None:
        """While the broker is blocked nothing is written, however long it takes; then it goes on."""
        self.start()
        first = self.publish(1)
        self.broker.say(spec.Connection.Blocked("low on memory"), channel=0)
        self.assertFalse(self.publisher.ready)
        self.assertEqual(self.metrics.value(BUS_BLOCKED, "publish"), 1)
        later = self.publish(2)
        for _ in range(12):
            self.clock.advance(10)
        self.assertEqual((self.broker.connections, self.broker.published), (1, ["birds/1"]))
        self.broker.say(spec.Connection.Unblocked(), channel=0)
        self.clock.advance(0)
        self.assertEqual(self.broker.published, ["birds/1", "birds/2"])
        self.broker.say(spec.Basic.Ack(2, multiple=True))
        self.assertTrue(all(answer.called for answer in first + later))
        self.stop()

    def test_unblocked(self) -> None:
        """Once unblocked, the broker has the full time for its confirms, however long it was blocked."""
        self.start()
        self.publish(1)
        self.clock.advance(5)
        self.broker.say(spec.Connection.Blocked("low on memory"), channel=0)
        for _ in range(10):
            self.clock.advance(10)
        self.broker.say(spec.Connection.Unblocked(), channel=0)
        self.clock.pump([CONFIRM_LIMIT / 2, CONFIRM_LIMIT / 2 - 0.1])
        self.broker.link.producer.pauseProducing()
        self.broker.link.producer.resumeProducing()  # room in our buffer is no sign of life
        self.assertEqual(self.metrics.total(BUS_ENDINGS), 0)
        self.clock.advance(0.1)
        self.assertEqual(self.metrics.value(BUS_ENDINGS, "publish", "unconfirmed"), 1)
        self.clock.pump([0.1, 0])
        self.broker.say(spec.Basic.Ack(1))
        self.stop()

    def test_lost_while_blocked(self) -> None:
        """A connection lost while blocked leaves nothing of that to the next one."""
        self.start()
        self.publish(1)
        self.broker.say(spec.Connection.Blocked("low on memory"), channel=0)
        self.broker.link.abortConnection()
        self.clock.pump([0, 0.1, 0])
        self.clock.pump([CONFIRM_LIMIT, 0.1])
        self.assertEqual(self.metrics.value(BUS_ENDINGS, "publish", "unconfirmed"), 1)
        self.clock.pump([0.3, 0])
        self.broker.say(spec.Basic.Ack(1))
        self.stop()

    def test_gauges_with_silent_broker(self) -> None:
        """What waits and what is unconfirmed is shown at once, whether or not the broker says anything."""
        answers = self.publish(0)
        self.assertEqual((self.metrics.value(BUS_UNCONFIRMED), self.metrics.value(BUS_PENDING)), (0, 1))
        self.publisher.role.start()
        self.clock.advance(0)
        self.assertEqual((self.metrics.value(BUS_UNCONFIRMED), self.metrics.value(BUS_PENDING)), (1, 0))
        self.broker.frozen = True
        answers += self.publish(*range(1, 5))
        self.assertEqual((self.metrics.value(BUS_UNCONFIRMED), self.metrics.value(BUS_PENDING)), (3, 2))
        self.stop()
        for answer in answers:
            self.failureResultOf(answer, BusStopped)
        self.assertEqual((self.metrics.value(BUS_UNCONFIRMED), self.metrics.value(BUS_PENDING)), (0, 0))

    def test_full_transport(self) -> None:
        """While the transport's buffer is full nothing is written; when it is so for long we are not ready."""
        self.start()
        self.broker.link.producer.pauseProducing()
        self.publish(1)
        self.assertEqual((self.broker.published, self.publisher.ready), ([], True))
        self.clock.advance(FULL_LIMIT)
        self.broker.link.producer.resumeProducing()
        self.broker.link.producer.pauseProducing()
        self.clock.advance(FULL_LIMIT)
        self.assertTrue(self.publisher.ready)  # it is full again, not still
        self.clock.advance(0.1)
        self.assertFalse(self.publisher.ready)
        self.broker.link.producer.resumeProducing()
        self.assertTrue(self.publisher.ready)
        self.clock.advance(0)
        self.assertEqual(self.broker.published, ["birds/1"])
        self.broker.say(spec.Basic.Ack(1))
        self.stop()

    def test_stop_waits(self) -> None:
        """Stopping waits for confirms, takes nothing meanwhile, then takes leave of the broker."""
        self.start()
        (answer,) = self.publish(1)
        stopping = Deferred.fromCoroutine(self.publisher.stop())
        self.failureResultOf(self.publisher.publish(raw(2)), BusStopped)
        self.clock.advance(1)
        self.assertNoResult(stopping)
        self.broker.say(spec.Basic.Ack(1))
        self.successResultOf(answer)
        self.clock.advance(0)
        self.successResultOf(stopping)
        self.assertIsInstance(self.broker.methods[-1], spec.Connection.Close)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_with_frozen_broker(self) -> None:
        """A broker that no longer answers delays the stop by the deadlines only; publishers get their own back."""
        self.start()
        (answer,) = self.publish(1)
        self.broker.frozen = True
        stopping = Deferred.fromCoroutine(self.publisher.stop())
        self.clock.advance(deadline.FLUSH)
        self.assertNoResult(stopping)
        self.clock.advance(deadline.CLOSE)
        self.successResultOf(stopping)
        self.failureResultOf(answer, BusStopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_disconnected(self) -> None:
        """Without a connection, stopping hands messages back at once."""
        self.broker.refuses = 100
        self.publisher.role.start()
        (answer,) = self.publish(1)
        self.successResultOf(Deferred.fromCoroutine(self.publisher.stop()))
        self.failureResultOf(answer, BusStopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """What can never be carried fails at once, connected or not."""
        self.failureResultOf(self.publisher.publish(raw(1, headers={"ratio": 0.5})), MessageRefused)
