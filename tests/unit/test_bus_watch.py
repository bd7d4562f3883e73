"""Looking at queues beside the work."""

from __future__ import annotations

from typing import Any

from pika import ConnectionParameters, spec
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import deadline
from streamer.bus.connection import BrokerConnection
from streamer.bus.driver import Depth, Loss
from streamer.bus.topology import DEAD, ENRICH, UNROUTED, UNROUTED_LIMIT
from streamer.bus.watch import LOOK_AFTER, LOOK_EVERY, TELL_EVERY, Watch
from streamer.metrics import BUS_QUEUE_CONSUMERS, BUS_QUEUE_MESSAGES, BUS_UNROUTED, Metrics
from tests.bus_broker import REPLIES, Broker


class WatchTests(SynchronousTestCase):
    """What it sees, says, and survives."""

    def setUp(self) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.broker = Broker(self.clock)
        self.depths = {UNROUTED: (0, 0), ENRICH: (7, 2), DEAD: (0, 0)}
        self.seen: list[Depth] = []
        self.patch_reply(lambda method: spec.Queue.DeclareOk(method.queue, *self.depths[method.queue]))
        self.connection = BrokerConnection(ConnectionParameters(heartbeat=0), self.clock)
        self.broker.connect(Factory.forProtocol(lambda: self.connection))
        self.clock.advance(0)
        self.watch = Watch([UNROUTED, ENRICH, DEAD], self.clock, self.metrics, self.seen.append)

    def patch_reply(self, reply: Any) -> None:
        self.addCleanup(REPLIES.__setitem__, spec.Queue.Declare, REPLIES[spec.Queue.Declare])
        REPLIES[spec.Queue.Declare] = reply

    def end(self) -> None:
        self.watch.end()
        self.connection.abort(Loss("stopped", "the test is over"))
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_looks(self) -> None:
        """What waits in each queue, and who consumes, is shown, and asked again after a while."""
        self.watch.begin(self.connection)
        self.clock.advance(LOOK_AFTER)
        self.assertEqual(self.seen, [Depth(0, 0), Depth(7, 2), Depth(0, 0)])
        self.assertEqual(self.metrics.value(BUS_QUEUE_MESSAGES, ENRICH), 7)
        self.assertEqual(self.metrics.value(BUS_QUEUE_CONSUMERS, ENRICH), 2)
        self.depths[ENRICH] = (0, 3)
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.metrics.value(BUS_QUEUE_MESSAGES, ENRICH), 0)
        self.end()

    def test_alarms(self) -> None:
        """What nobody wanted, or could do, is told as it grows, not at each look."""
        self.watch.begin(self.connection)
        with capturedLogs() as events:
            self.clock.advance(LOOK_AFTER)
            for count in (3, 3, 5, 5):
                self.depths[UNROUTED] = (count, 0)
                self.clock.advance(LOOK_EVERY)
            self.assertEqual([event["count"] for event in events], [3])
            self.clock.pump([LOOK_EVERY] * int(TELL_EVERY / LOOK_EVERY))
            self.assertEqual([event["count"] for event in events], [3, 5])
            for count in (0, 1):
                self.depths[UNROUTED] = (count, 0)
                self.clock.pump([LOOK_EVERY] * int(TELL_EVERY / LOOK_EVERY + 1))
            self.assertEqual([(event["count"], event["queue"]) for event in events][2:], [(1, UNROUTED)])
        self.end()

    def test_missing_queue(self) -> None:
        """A queue that is not there costs its channel, and neither the connection nor the other queues."""

        def reply(method: Any) -> Any:
            if method.queue == ENRICH:
                return spec.Channel.Close(404, "NOT_FOUND - no queue", 50, 10)
            return spec.Queue.DeclareOk(method.queue, 4, 0)

        self.patch_reply(reply)
        self.watch.begin(self.connection)
        self.clock.pump([LOOK_AFTER, 0, 0])
        self.assertEqual(self.seen[:2], [Depth(4, 0), Depth(4, 0)])
        self.assertIsNone(self.connection.loss)
        self.end()

    def test_connection_goes(self) -> None:
        """When the connection goes nothing is left, whether a look is under way or not."""
        self.broker.frozen = True
        self.watch.begin(self.connection)
        self.clock.advance(LOOK_AFTER)
        self.end()

    def test_unrouted(self) -> None:
        """While messages find no queue, or no more of them can be kept, that is trouble; growth is counted."""
        self.depths[UNROUTED] = (5, 0)
        self.watch.begin(self.connection)
        self.clock.advance(LOOK_AFTER)
        self.assertEqual((self.watch.unrouted, self.metrics.total(BUS_UNROUTED)), ("", 0))  # they may be from long ago
        self.depths[UNROUTED] = (8, 0)
        self.clock.advance(LOOK_EVERY)
        self.assertIn("8 wait in streamer.unrouted", self.watch.unrouted)
        self.assertEqual(self.metrics.total(BUS_UNROUTED), 3)
        self.clock.pump([LOOK_EVERY] * 5)
        self.assertEqual(self.watch.unrouted, "")
        for count, troubled in ((9, True), (0, False)):
            self.depths[UNROUTED] = (count, 0)
            self.clock.advance(LOOK_EVERY)
            self.assertEqual(bool(self.watch.unrouted), troubled)
        self.depths[UNROUTED] = (UNROUTED_LIMIT, 0)
        with capturedLogs() as events:
            self.clock.pump([LOOK_EVERY] * int(2.5 * TELL_EVERY / LOOK_EVERY))
        self.assertIn("is full", self.watch.unrouted)
        self.assertEqual(len(events), 3)  # again and again, though it grows no more
        self.end()

    def test_missed(self) -> None:
        """A queue that is gone is trouble until it is back; who watches is told once."""
        gone: list[str] = []
        self.watch = Watch([ENRICH], self.clock, self.metrics, missed=gone.append)
        back = REPLIES[spec.Queue.Declare]
        self.patch_reply(lambda method: spec.Channel.Close(404, "NOT_FOUND - no queue", 50, 10))
        self.watch.begin(self.connection)
        self.clock.pump([LOOK_AFTER, LOOK_EVERY, LOOK_EVERY])
        self.assertEqual(gone, [ENRICH])
        self.assertIn("there is no queue streamer.enrich", self.watch.missing([ENRICH]))
        REPLIES[spec.Queue.Declare] = back
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.watch.missing([ENRICH]), "")
        self.end()

    def test_not_ours(self) -> None:
        """A queue that we may not look at is left out without a word."""
        self.patch_reply(lambda method: spec.Channel.Close(403, "ACCESS_REFUSED - access to queue", 50, 10))
        self.watch.begin(self.connection)
        self.clock.pump([LOOK_AFTER, LOOK_EVERY])
        self.assertEqual((self.watch.missing([ENRICH]), self.seen), ("", []))
        self.end()

    def test_no_answer(self) -> None:
        """A queue that does not answer, for want of a leader, keeps nobody from looking at the others."""

        def reply(method: Any) -> Any:
            return spec.Basic.QosOk() if method.queue == ENRICH else spec.Queue.DeclareOk(method.queue, 4, 0)

        self.patch_reply(reply)
        self.watch.begin(self.connection)
        self.clock.pump([LOOK_AFTER, *[1.0] * int(deadline.SETUP + LOOK_EVERY), LOOK_AFTER])
        self.assertGreaterEqual(len(self.seen), 3)
        self.end()
