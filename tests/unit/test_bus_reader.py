"""Reading the log from a broker that does as the test says."""

from __future__ import annotations

from pika import ConnectionParameters, spec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import role
from streamer.bus.acks import FLUSH_AFTER
from streamer.bus.connection import BrokerConnection
from streamer.bus.reader import QUIET, READ_AHEAD, RECOGNISE, Reader
from streamer.interfaces import Offset
from streamer.message import Entry
from streamer.metrics import BUS_ENDINGS, LOG_REPEATED, LOG_RESET, LOG_SKIPPED, Metrics
from tests.bus_broker import Broker, pika_properties
from tests.bus_contract import event

NOW = 1_795_000_000  # seconds since the epoch


class ReaderTests(SynchronousTestCase):
    """Where it starts, what it drops, when it has caught up."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.metrics = Metrics()
        self.broker = Broker(self.clock)
        self.entries: list[Entry] = []

    def reader(self, start: float | Offset) -> Reader:
        shared = role.Broker(
            [("here", self.broker)],
            lambda name: BrokerConnection(ConnectionParameters(heartbeat=0), self.clock),
            self.clock,
            self.metrics,
            lambda: 0.5,
        )
        reader = Reader(shared, start, self.entries.append)
        reader.role.start()
        self.clock.advance(0)
        self.assertTrue(reader.ready)
        return reader

    def deliver(self, tag: int, offset: int, number: int | None = None, made: float = 0.0) -> None:
        self.broker.deliver(tag, *self.entry(offset, offset if number is None else number, made))

    def entry(self, offset: int, number: int, made: float = 0.0) -> tuple[spec.BasicProperties, bytes]:
        message = event(number, timestamp_ms=round((NOW + made) * 1000))
        properties = pika_properties(message)
        properties.headers["x-stream-offset"] = offset
        return properties, message.body

    def lose(self) -> None:
        self.broker.link.abortConnection()
        self.clock.pump([0, 0.1])

    def start(self) -> object:
        consumes = [method for method in self.broker.methods if isinstance(method, spec.Basic.Consume)]
        return consumes[-1].arguments["x-stream-offset"]

    def stop(self, reader: Reader) -> None:
        stopping = reader.stop()
        self.clock.advance(0)
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def offsets(self) -> list[int]:
        return [entry.offset for entry in self.entries]

    def test_quiet_log(self) -> None:
        """With nothing coming for a while the history is read."""
        reader = self.reader(600)
        self.assertEqual(self.start(), "601s")
        self.clock.advance(QUIET - 0.1)
        self.deliver(1, 7, made=-60)
        self.clock.advance(QUIET - 0.1)
        self.assertNoResult(reader.caught_up)
        self.clock.advance(0.1)
        self.successResultOf(reader.caught_up)
        self.assertEqual(self.offsets(), [7])
        self.stop(reader)

    def test_busy_log(self) -> None:
        """An entry made after the start tells that the history is read, however busy the log is."""
        reader = self.reader(600)
        self.deliver(1, 7, made=-60)
        self.assertNoResult(reader.caught_up)
        self.deliver(2, 8, made=0.001)
        self.successResultOf(reader.caught_up)
        self.stop(reader)

    def test_no_history(self) -> None:
        """Without history it has caught up as soon as the broker confirms the consumer."""
        reader = self.reader(0)
        self.assertEqual(self.start(), "next")
        self.successResultOf(reader.caught_up)
        self.stop(reader)

    def test_lost_before_first_entry(self) -> None:
        """A connection lost before the first entry leaves no hole: the next one looks back to the first start."""
        reader = self.reader(0)
        self.clock.advance(10)
        self.lose()
        self.assertEqual(self.start(), "12s")
        self.stop(reader)

    def test_goes_on(self) -> None:
        """After a loss it starts at the last entry, and drops what it had, counted."""
        reader = self.reader(600)
        for tag, offset in enumerate((7, 8, 9), 1):
            self.deliver(tag, offset)
        self.lose()
        self.assertEqual(self.start(), 9)
        for tag, offset in enumerate((6, 7, 8, 9, 10), 1):
            self.deliver(tag, offset)
        self.clock.advance(RECOGNISE)
        self.assertEqual(self.offsets(), [7, 8, 9, 10])
        self.assertEqual(self.metrics.value(LOG_REPEATED), 4)
        self.assertEqual((self.metrics.total(BUS_ENDINGS), self.metrics.total(LOG_RESET)), (1, 0))
        self.stop(reader)

    def test_acks_are_credit(self) -> None:
        """Repeats are acked as well as new entries: the broker would stop sending otherwise."""
        reader = self.reader(600)
        self.deliver(1, 7)
        self.lose()
        self.deliver(1, 7)
        self.deliver(2, 8)
        self.clock.advance(FLUSH_AFTER)
        acks = [method for method in self.broker.methods if isinstance(method, spec.Basic.Ack)]
        self.assertEqual((acks[-1].delivery_tag, acks[-1].multiple), (2, True))
        self.stop(reader)

    def test_another_log(self) -> None:
        """Another entry in the last one's place: the new log is read by time, from its first entry."""
        reader = self.reader(600)
        self.deliver(1, 7)
        self.clock.advance(100)
        self.lose()
        self.deliver(1, 7, number=1007)
        self.deliver(2, 8, number=1008)
        self.clock.pump([0, 0.2, 0])
        self.assertEqual(self.start(), "102s")
        for tag, offset in enumerate(range(3), 1):
            self.deliver(tag, offset, number=1000 + offset, made=50)
        self.assertEqual(self.offsets(), [7, 0, 1, 2])
        self.assertEqual((self.metrics.value(LOG_RESET), self.metrics.value(LOG_SKIPPED)), (1, 0))
        self.lose()
        self.clock.advance(0.4)
        self.assertEqual(self.start(), 2)
        self.stop(reader)

    def test_shorter_log(self) -> None:
        """No entry at all after a loss: the log is shorter than it was, and read by time."""
        reader = self.reader(600)
        self.deliver(1, 7)
        self.lose()
        self.clock.pump([RECOGNISE, 0, 0.2])
        self.assertEqual(self.metrics.value(BUS_ENDINGS, "log", "doubt"), 1)
        self.assertEqual(self.start(), "5s")
        self.deliver(1, 0, number=1000, made=1)
        self.assertEqual(self.offsets(), [7, 0])
        self.stop(reader)

    def test_same_log_in_doubt(self) -> None:
        """A broker slow to show the last entry is read by time, from before the first one: nothing comes twice."""
        reader = self.reader(0)
        self.deliver(1, 7)
        self.lose()
        self.clock.pump([RECOGNISE, 0, 0.2])
        for tag, offset in enumerate((5, 6, 7, 8), 1):
            self.deliver(tag, offset, made=(offset - 7) / 1000)
        self.assertEqual(self.offsets(), [7, 8])
        self.assertEqual((self.metrics.value(LOG_RESET), self.metrics.value(LOG_REPEATED)), (0, 3))
        self.stop(reader)

    def test_trimmed(self) -> None:
        """What retention took while there was no connection is counted as skipped, and nothing else is."""
        reader = self.reader(600)
        self.deliver(1, 7)
        self.deliver(2, 8)
        self.lose()
        self.deliver(1, 20)
        self.deliver(2, 22)  # the broker took an offset for itself, as it does with each segment
        self.clock.advance(RECOGNISE)
        self.assertEqual(self.offsets(), [7, 8, 20, 22])
        self.assertEqual((self.metrics.value(LOG_SKIPPED), self.metrics.total(BUS_ENDINGS)), (11, 1))
        self.stop(reader)

    def test_nothing_after_doubt(self) -> None:
        """Entries that came in one packet with a doubtful one are left to the next connection."""
        reader = self.reader(600)
        self.deliver(1, 7)
        self.lose()
        self.broker.deliver_all((1, *self.entry(7, 1007)), (2, *self.entry(8, 1008)))
        self.assertEqual(self.offsets(), [7])
        self.stop(reader)

    def acked(self) -> int:
        """The highest delivery that was acked on the present connection."""
        self.clock.advance(FLUSH_AFTER)
        return max(
            (method.delivery_tag for method in self.broker.methods if isinstance(method, spec.Basic.Ack)), default=0
        )

    def test_from_offset(self) -> None:
        """It starts at the offset, drops what comes before that in its chunk, and goes on as ever after a loss."""
        reader = self.reader(Offset(7))
        self.assertEqual((self.start(), reader.role.name), (7, "log offset"))
        for tag, offset in enumerate((5, 6, 7, 8), 1):
            self.deliver(tag, offset, made=-60)
        self.assertEqual((self.offsets(), self.acked()), ([7, 8], 4))
        self.clock.advance(QUIET)
        self.successResultOf(reader.caught_up)
        self.lose()
        self.assertEqual(self.start(), 8)
        self.deliver(1, 8)
        self.deliver(2, 9)
        self.assertEqual(self.offsets(), [7, 8, 9])
        self.stop(reader)

    def test_from_offset_that_is_gone(self) -> None:
        """The oldest entry there is comes first, and nothing is taken for skipped or for another log's."""
        reader = self.reader(Offset(7))
        self.lose()
        self.assertEqual(self.start(), 7)
        self.deliver(1, 50)
        self.clock.advance(RECOGNISE)
        self.assertEqual(self.offsets(), [50])
        self.assertEqual((self.metrics.value(LOG_SKIPPED), self.metrics.value(LOG_RESET)), (0, 0))
        self.stop(reader)

    def test_from_offset_ahead(self) -> None:
        """A log that has not come so far is not doubted."""
        reader = self.reader(Offset(7))
        self.clock.advance(RECOGNISE)
        self.assertTrue(reader.ready)
        self.assertEqual(self.metrics.total(BUS_ENDINGS), 0)
        self.stop(reader)

    def test_pause(self) -> None:
        """While paused it takes what comes and withholds the acks, so that the credit runs out; then tells them."""
        reader = self.reader(600)
        self.deliver(1, 1, made=-60)
        reader.pause()
        for tag in range(2, READ_AHEAD + 2):
            self.deliver(tag, tag, made=-60)
        self.assertEqual(self.acked(), 1)
        self.deliver(READ_AHEAD + 2, READ_AHEAD + 2, made=1)
        self.clock.advance(QUIET * 3)
        self.assertNoResult(reader.caught_up)
        reader.resume()
        self.assertEqual(self.acked(), READ_AHEAD + 2)
        self.assertNoResult(reader.caught_up)
        self.clock.advance(QUIET * 2)
        self.successResultOf(reader.caught_up)
        self.assertEqual(len(self.entries), READ_AHEAD + 2)
        self.stop(reader)

    def test_pause_over_a_loss(self) -> None:
        """What was withheld on a connection that is gone is not told on the next, which is paused as well."""
        reader = self.reader(600)
        reader.pause()
        self.deliver(1, 1)
        self.deliver(2, 2)
        self.lose()
        self.broker.methods[:] = [method for method in self.broker.methods if not isinstance(method, spec.Basic.Ack)]
        self.deliver(1, 2)
        self.assertEqual(self.acked(), 0)
        reader.resume()
        self.assertEqual(self.acked(), 1)
        self.stop(reader)

    def test_nothing_after_stop(self) -> None:
        """Entries that come while we take leave of the broker are not given on."""
        reader = self.reader(600)
        stopping = reader.stop()
        self.deliver(1, 7)
        self.assertEqual(self.entries, [])
        self.clock.advance(0)
        self.successResultOf(stopping)
