"""Publishing to a broker that does as the test says."""

from __future__ import annotations

import math

import attrs
from pika import ConnectionParameters, spec
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import deadline, role
from streamer.bus.connection import BrokerConnection
from streamer.bus.publisher import BATCH, CONFIRM_LIMIT, Publisher
from streamer.bus.standing import FULL_LIMIT, REFUSED_LIMIT, SLOW_LIMIT
from streamer.errors import BusStopped, MessageRefused
from streamer.metrics import (
    BUS_BLOCKED,
    BUS_ENDINGS,
    BUS_NACKED,
    BUS_PENDING,
    BUS_UNCONFIRMED,
    PUBLISHED,
    REPUBLISHED,
    Metrics,
)
from streamer.policy.delivery import NACK_CEILING, NACK_FIRST
from tests.bus_broker import Broker
from tests.bus_contract import raw


@attrs.define
class Counting(Broker):
    """A broker that notes how many bytes came with each write; full after any that is as long as `room`."""

    writes: list[int] = attrs.field(factory=list)
    room: float = math.inf

    def read(self, data: bytes) -> None:
        self.writes.append(len(data))
        Broker.read(self, data)
        if len(data) >= self.room:
            self.link.producer.pauseProducing()


class PublisherTests(SynchronousTestCase):
    """Confirms, window, gates, losses."""

    def setUp(self) -> None:
        self.heartbeat = 0
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.metrics = Metrics()
        self.broker = Counting(self.clock)
        shared = role.Broker(
            [("here", self.broker)],
            lambda name: BrokerConnection(ConnectionParameters(heartbeat=self.heartbeat), self.clock),
            self.clock,
            self.metrics,
            lambda: 0.5,
        )
        self.publisher = Publisher(shared, window=3)

    def start(self, window: int = 3) -> None:
        self.publisher.window = window
        self.publisher.role.start()
        self.clock.advance(0)
        self.assertTrue(self.publisher.ready)
        self.broker.writes.clear()

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

    def test_idle(self) -> None:
        """With nothing on the wire a message is written at once."""
        self.start()
        answer = self.publisher.publish(raw(1))
        self.assertEqual(len(self.broker.writes), 1)
        self.clock.advance(0)
        self.broker.say(spec.Basic.Ack(1))
        self.successResultOf(answer)
        self.publisher.publish(raw(2))
        self.assertEqual(len(self.broker.writes), 2)
        self.clock.advance(0)
        self.broker.say(spec.Basic.Ack(2))
        self.stop()

    def test_one_write_a_turn(self) -> None:
        """With something on the wire, what is published in one turn is written together at its end, in order."""
        self.start(window=100)
        self.publish(0)
        answers = [self.publisher.publish(raw(number)) for number in range(1, 30)]
        self.assertEqual((len(self.broker.writes), self.broker.published), (1, ["birds/0"]))
        due = [call for call in self.clock.getDelayedCalls() if call.getTime() == self.clock.seconds()]
        self.assertEqual(len(due), 1)  # one timer, however many messages
        self.clock.advance(0)
        self.assertEqual(len(self.broker.writes), 2)
        self.assertEqual(self.broker.published, [f"birds/{number}" for number in range(30)])
        self.broker.say(spec.Basic.Ack(30, multiple=True))
        self.assertTrue(all(answer.called for answer in answers))
        self.assertEqual(self.metrics.value(PUBLISHED, "streamer.raw"), 30)
        self.stop()

    def test_batch_size(self) -> None:
        """A write is over with the message that fills a batch; what follows waits where that fills the transport."""
        self.start(window=1000)
        self.publish(0)
        answers = [self.publisher.publish(raw(number, b"x" * (BATCH // 10))) for number in range(1, 50)]
        self.broker.room = BATCH
        self.clock.advance(0)
        self.assertEqual((len(self.broker.writes), len(self.broker.published)), (2, 11))
        self.assertTrue(BATCH <= self.broker.writes[-1] < BATCH * 1.1 + 200)
        for _ in range(4):
            self.broker.link.producer.resumeProducing()
            self.clock.advance(0)
        self.assertEqual(self.broker.published, [f"birds/{number}" for number in range(50)])
        self.assertEqual(len(self.broker.writes), 6)
        self.broker.say(spec.Basic.Ack(len(self.broker.published), multiple=True))
        self.assertTrue(all(answer.called for answer in answers))
        self.stop()

    def test_long_body(self) -> None:
        """A body longer than a frame arrives whole, and what follows it too."""
        self.start()
        self.publish(1)
        self.publisher.publish(raw(2, b"x" * 500_000))
        self.publish(3)
        self.assertEqual(self.broker.published, ["birds/1", "birds/2", "birds/3"])
        self.broker.say(spec.Basic.Ack(3, multiple=True))
        self.stop()

    def test_publish_on_confirm(self) -> None:
        """Who publishes the next message when one is confirmed keeps the order, and the turn."""
        self.start(window=100)
        for number, answer in enumerate(self.publish(0, 1, 2)):
            answer.addCallback(lambda _, number=number: self.publisher.publish(raw(10 + number)))
        self.broker.writes.clear()
        self.broker.say(spec.Basic.Ack(3, multiple=True))
        self.clock.advance(0)
        self.assertEqual(self.broker.published[3:], ["birds/10", "birds/11", "birds/12"])
        self.assertEqual(len(self.broker.writes), 2)  # the first found nothing on the wire
        self.broker.say(spec.Basic.Ack(6, multiple=True))
        self.stop()

    def test_after_the_end(self) -> None:
        """What is published after a connection was given up, in the same turn, goes out on the next one."""
        self.start(window=100)
        self.publish(1)
        self.publisher.publish(raw(2))
        self.broker.say(spec.Basic.Ack(7))
        self.flushLoggedErrors(LookupError)
        self.publisher.publish(raw(3))
        self.assertEqual(len(self.broker.writes), 1)
        self.clock.advance(0)
        self.assertEqual(len(self.broker.writes), 1)
        self.assertEqual(self.metrics.value(REPUBLISHED, "streamer.raw"), 1)
        self.clock.pump([0.1, 0])
        self.assertEqual(self.broker.published, ["birds/1", "birds/2", "birds/3"])
        self.broker.say(spec.Basic.Ack(3, multiple=True))
        self.stop()

    def test_heartbeats_between(self) -> None:
        """pika's own frames find their place between ours, and confirms are signs of life."""
        self.heartbeat = 10
        self.start(window=100)
        for number in range(30):
            self.publisher.publish(raw(number))
            self.publisher.publish(raw(100 + number, b"x" * 200_000))
            self.clock.advance(2)
            self.broker.say(spec.Basic.Ack(len(self.broker.published), multiple=True))
        self.assertEqual((self.broker.connections, len(self.broker.published)), (1, 60))
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
        self.broker.say(spec.Basic.Ack(len(self.broker.published), multiple=True))
        self.assertTrue(all(answer.called for answer in answers))
        self.stop()

    def test_nack(self) -> None:
        """What the broker nacks is published again after a while, with the same id."""
        self.start()
        (answer,) = self.publish(1)
        self.broker.say(spec.Basic.Nack(1))
        self.assertNoResult(answer)
        self.clock.advance(NACK_FIRST)
        self.assertEqual(self.broker.published, ["birds/1", "birds/1"])
        self.broker.say(spec.Basic.Ack(2))
        self.successResultOf(answer)
        self.assertEqual(self.metrics.value(REPUBLISHED, "streamer.raw"), 1)
        self.stop()

    def test_nack_many(self) -> None:
        """A nack of several sends all of them again before what has not been written, which waits for them."""
        self.start(window=4)
        answers = self.publish(*range(6))
        self.broker.say(spec.Basic.Ack(1))
        self.broker.say(spec.Basic.Nack(3, multiple=True))
        self.assertEqual(self.metrics.value(BUS_NACKED, "streamer.raw"), 2)
        self.clock.advance(0)
        self.assertEqual(self.broker.published[4:], [])
        self.clock.advance(NACK_FIRST)
        self.assertEqual(self.broker.published[4:], ["birds/1", "birds/2", "birds/4"])  # the window is full
        self.publisher.publish(raw(6))
        self.broker.say(spec.Basic.Ack(4, multiple=True))
        self.clock.advance(0)
        self.assertEqual(self.broker.published[7:], ["birds/5"])
        self.broker.say(spec.Basic.Ack(len(self.broker.published), multiple=True))
        self.clock.advance(0)
        self.assertEqual(self.broker.published[8:], ["birds/6"])
        self.broker.say(spec.Basic.Ack(9))
        self.assertTrue(all(answer.called for answer in answers))
        self.assertEqual(self.metrics.value(REPUBLISHED, "streamer.raw"), 2)
        self.stop()

    def test_nacks_go_on(self) -> None:
        """A broker that goes on refusing is asked less and less often, and we are not ready meanwhile."""
        self.start()
        self.publisher._patience = math.inf
        (answer,) = self.publish(1)
        waits, tag = [], 0
        while len(waits) < 7:
            tag += 1
            begun = self.clock.seconds()
            self.broker.say(spec.Basic.Nack(tag))
            while len(self.broker.published) == tag:
                self.clock.advance(0.5)
            waits.append(round(self.clock.seconds() - begun))
        self.assertEqual(waits, [1, 2, 4, 8, 16, NACK_CEILING, NACK_CEILING])
        self.assertFalse(self.publisher.ready)
        self.assertIn("refused messages", self.publisher.trouble)
        self.broker.say(spec.Basic.Ack(tag + 1))
        self.successResultOf(answer)
        self.assertTrue(self.publisher.ready)
        self.publish(2)
        self.broker.say(spec.Basic.Nack(tag + 2))
        self.clock.advance(NACK_FIRST)
        self.assertEqual(self.broker.published[-1], "birds/2")  # the first refusal again
        self.assertTrue(self.publisher.ready)
        self.clock.advance(REFUSED_LIMIT)
        self.assertFalse(self.publisher.ready)
        self.broker.say(spec.Basic.Ack(tag + 3))
        self.stop()

    def test_refused_on_this_channel(self) -> None:
        """A channel that is refused for long is given up for another one, which may be kept for twice as long."""
        self.start()
        (answer,) = self.publish(1)
        for endings, nacks in ((1, 2), (2, 3)):  # after 1 + 2 s, and after 1 + 2 + 4 s
            connections = self.metrics.value(BUS_ENDINGS, "publish", "refused")
            self.assertEqual(endings - 1, connections)
            for tag in range(1, nacks + 1):
                self.broker.say(spec.Basic.Nack(tag))
                self.clock.pump([1.0] * 2 ** (tag - 1))
            self.clock.advance(1)  # connects again
            self.assertEqual(endings, self.metrics.value(BUS_ENDINGS, "publish", "refused"))
        self.broker.say(spec.Basic.Ack(1))
        self.successResultOf(answer)
        self.assertTrue(self.publisher.ready)
        self.assertEqual(["birds/1"], self.broker.published)  # on the third channel
        self.stop()

    def test_slow_confirms(self) -> None:
        """A broker that answers its heartbeats and confirms nothing is told of long before it is given up."""
        self.start()
        (answer,) = self.publish(1)
        self.clock.advance(SLOW_LIMIT)
        self.assertTrue(self.publisher.ready)
        self.clock.advance(0.1)
        self.assertFalse(self.publisher.ready)
        self.assertIn("confirmed nothing for 5 s", self.publisher.trouble)
        self.broker.say(spec.Basic.Ack(1))
        self.successResultOf(answer)
        self.assertTrue(self.publisher.ready)
        self.stop()

    def test_stop_in_the_same_turn(self) -> None:
        """What was published in the turn of the stop is written, and confirmed."""
        self.start(window=100)
        answers = [self.publisher.publish(raw(number)) for number in range(5)]
        stopping = Deferred.fromCoroutine(self.publisher.stop())
        self.clock.advance(0)
        self.assertEqual(len(self.broker.published), 5)
        self.broker.say(spec.Basic.Ack(5, multiple=True))
        self.assertTrue(all(answer.called for answer in answers))
        self.clock.pump([0, 0])
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_in_the_same_turn(self) -> None:
        """A connection lost while a turn is under way leaves none of its timers behind."""
        self.start(window=100)
        answers = self.publish(1)
        self.broker.frozen = True
        answers.append(self.publisher.publish(raw(2)))
        stopping = Deferred.fromCoroutine(self.publisher.stop())
        self.broker.link.protocol.connectionLost(Failure(ConnectionLost()))
        self.successResultOf(stopping)
        for answer in answers:
            self.failureResultOf(answer, BusStopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

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
        self.clock.advance(0)
        self.assertEqual(self.broker.published, ["birds/1"])
        self.broker.say(spec.Basic.Ack(1))
        self.assertTrue(self.publisher.ready)
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
