"""The in-process bus: the contract, on a Clock, and what only it does."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import deadline, topology
from streamer.bus.memory import MemoryBus
from streamer.bus.memory_bounds import RING_AGE
from streamer.bus.memory_broker import AT_ONCE
from streamer.errors import BusStopped
from streamer.interfaces import Offset
from streamer.message import Decision, Delivery, Entry
from streamer.metrics import (
    BUS_CONNECTED,
    BUS_DROPPED,
    BUS_QUEUE_CONSUMERS,
    BUS_QUEUE_MESSAGES,
    BUS_UNROUTED,
    LOG_SKIPPED,
    Metrics,
)
from tests import bus_contract
from tests.bus_contract import POLL, Gated, Notes, event, ids, raw

NOW = 1_795_000_000.0  # seconds since the epoch


@pytest.mark.parametrize("check", bus_contract.CHECKS, ids=lambda check: check.__name__)
def test_contract(check: bus_contract.Check) -> None:
    """The in-process bus keeps each promise of the contract, and leaves no timer behind."""
    clock = Clock()
    clock.advance(NOW)
    kit = bus_contract.memory_kit(clock)

    async def whole() -> None:
        try:
            await check(kit)
        finally:
            await kit.stop()

    running = Deferred.fromCoroutine(whole())
    results: list[object] = []
    running.addBoth(results.append)
    while not results:
        clock.advance(POLL)
    if isinstance(results[0], Failure):
        results[0].raiseException()
    assert clock.getDelayedCalls() == []


class MemoryBusTests(SynchronousTestCase):
    """What only the in-process bus does."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.metrics = Metrics()
        self.bus = MemoryBus(self.clock, self.metrics)

    def test_before_start(self) -> None:
        """Messages are taken before the start, but handed out only after it."""
        notes = Notes()
        work = self.bus.work(topology.ENRICH, notes, 10)
        self.assertIsNone(self.successResultOf(self.bus.publish(raw(1))))
        self.clock.advance(1)
        self.assertEqual(notes.got, [])
        self.assertFalse(work.ready)
        self.bus.startService()
        self.clock.advance(0)
        self.assertEqual(len(notes.got), 1)
        self.assertTrue(work.ready)
        self.assertEqual(self.metrics.value(BUS_CONNECTED, "memory"), 1)

    def test_never_within_publish(self) -> None:
        """A handler or a receiver never runs inside the publisher's call."""
        self.bus.startService()
        notes, entries = Notes(), list[Entry]()
        self.bus.work(topology.TRENDS, notes, 10)
        self.bus.log(0, entries.append)
        self.clock.advance(0)
        self.bus.publish(event(1))
        self.assertEqual((notes.got, entries), ([], []))
        self.clock.advance(0)
        self.assertEqual((len(notes.got), len(entries)), (1, 1))

    def test_full_queue_holds_publishers(self) -> None:
        """At its limit the work queue takes messages but answers late, and fails the late ones when it stops."""
        self.bus.startService()
        queue = self.bus._broker.queues[topology.ENRICH]
        queue.places.max_messages = 2
        answers = [self.bus.publish(raw(number)) for number in range(5)]
        self.assertEqual([answer.called for answer in answers], [True, True, False, False, False])
        gates: list[Deferred[Decision]] = []

        def handler(delivery: object) -> Deferred[Decision]:
            gates.append(Deferred())
            return gates[-1]

        self.bus.work(topology.ENRICH, handler, 2)
        self.clock.advance(0)
        # Two are under way, three wait: still over the limit until the third one begins.
        gates[0].callback(Decision.ACK)
        self.clock.advance(0)
        self.assertEqual([answer.called for answer in answers], [True] * 5)
        late = self.bus.publish(raw(5))
        stopping = self.bus.stopService()
        for gate in gates[1:]:
            gate.callback(Decision.ACK)
        self.successResultOf(stopping)
        self.failureResultOf(late, BusStopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_full_queue_drops_oldest(self) -> None:
        """A queue nobody must wait for drops its oldest, and counts them; bytes count as well as messages."""
        self.successResultOf(self.bus.work(topology.TRENDS, Notes(), 1).stop())
        queue = self.bus._broker.queues[topology.TRENDS]
        queue.places.max_messages = 3
        queue.places.max_bytes = 10
        for number in range(5):
            self.successResultOf(self.bus.publish(event(number, body=b"1234")))
        self.assertEqual(len(queue), 2)
        self.assertEqual(self.metrics.value(BUS_DROPPED, topology.TRENDS), 3)

    def test_log_skips(self) -> None:
        """A reader that the log overtakes goes on with what is left, and the loss is counted."""
        self.bus.startService()
        entries: list[Entry] = []
        self.bus.log(0, entries.append)
        self.bus._broker.log.ring.max_entries = 3
        for number in range(10):
            self.bus.publish(event(number))
        self.clock.advance(0)
        self.assertEqual([entry.offset for entry in entries], [7, 8, 9])
        self.assertEqual(self.metrics.value(LOG_SKIPPED), 7)
        self.assertEqual(self.metrics.value(BUS_DROPPED, topology.LOG), 7)

    def test_history_by_time(self) -> None:
        """History is counted back from now, by when the log took an entry."""
        self.bus.startService()
        for number in range(10):
            self.bus.publish(event(number))
            self.clock.advance(1)
        entries: list[Entry] = []
        log = self.bus.log(3, entries.append)
        self.assertNoResult(log.caught_up)
        self.clock.advance(0)
        self.successResultOf(log.caught_up)
        self.assertEqual([entry.offset for entry in entries], [7, 8, 9])

    def test_turns_are_bounded(self) -> None:
        """A long queue is handed out over several turns of the reactor."""
        self.bus.startService()
        notes = Notes()
        self.bus.work(topology.ENRICH, notes, 1000)
        for number in range(600):
            self.bus.publish(raw(number))
        handed: list[int] = []
        self.clock.callLater(0, lambda: handed.append(len(notes.got)))  # due after the first turn, before the second
        self.clock.advance(0)
        self.assertEqual(handed, [256])
        self.assertEqual(len(notes.got), 600)

    def test_stuck_handler(self) -> None:
        """A handler that never ends delays the stop by a bounded time only."""
        self.bus.startService()
        self.bus.work(topology.ENRICH, lambda delivery: Deferred(), 1)
        self.bus.publish(raw(1))
        self.clock.advance(0)
        stopping = self.bus.stopService()
        self.clock.advance(19)
        self.assertNoResult(stopping)
        self.clock.advance(1)
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        del stopping
        gc.collect()  # a failure that nobody took would be logged now
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_nobody_works_trends(self) -> None:
        """Posts are kept by the log alone while nobody works streamer.trends, and nothing is lost at the stop."""
        self.bus.startService()
        for number in range(10):
            self.bus.publish(event(number))
        self.assertEqual(self.bus.status, "in this process; waiting: nothing; log at 10")
        self.assertEqual((self.metrics.total(BUS_DROPPED), self.metrics.total(BUS_UNROUTED)), (0, 0))

    def test_work_begun_in_a_handler(self) -> None:
        """A handler may begin to work a queue that was not there."""
        self.bus.startService()
        notes = Notes()

        async def handler(delivery: Delivery) -> Decision:
            self.bus.work(topology.TRENDS, notes, 1)
            return Decision.ACK

        self.bus.publish(event(1))
        self.bus.work(topology.ENRICH, handler, 1)
        self.bus.publish(raw(1))
        self.clock.advance(0)
        self.bus.publish(event(2))
        self.clock.advance(0)
        self.assertEqual(notes.ids, [event(2).message_id])

    def test_unknown_queue(self) -> None:
        """An unknown queue is an error that lists the known ones; so is a prefetch out of range."""
        with self.assertRaisesRegex(ValueError, "known are streamer.unrouted, streamer.dead, streamer.enrich"):
            self.bus.work("streamer.enrch", Notes(), 1)
        with self.assertRaisesRegex(ValueError, "prefetch must be 1 to 65535, not 0"):
            self.bus.work(topology.ENRICH, Notes(), 0)

    def test_status(self) -> None:
        """The status tells what waits where, and the unrouted are counted."""
        self.bus.startService()
        self.bus.publish(raw(1, topic="other"))  # type: ignore[arg-type]
        self.bus.publish(raw(2))
        self.bus.publish(event(1))
        self.assertEqual(
            self.bus.status, "in this process; waiting: 1 in streamer.unrouted, 1 in streamer.enrich; log at 1"
        )
        self.assertEqual(self.metrics.value(BUS_UNROUTED, "streamer.raw"), 1)

    def test_stuck_worker(self) -> None:
        """A worker's stop waits so long for its handlers; then the next one gets what they had, and they come late."""
        self.bus.startService()
        gated, notes = Gated(), Notes()
        work = self.bus.work(topology.ENRICH, gated, 2)
        for number in range(3):
            self.bus.publish(raw(number))
        self.clock.advance(0)
        stopping = work.stop()
        gated.decide("birds/1", Decision.ACK)
        self.clock.advance(deadline.DRAIN - 1)
        self.assertNoResult(stopping)
        self.clock.advance(1)
        self.successResultOf(stopping)
        self.bus.work(topology.ENRICH, notes, 1)
        self.clock.advance(0)
        gated.decide("birds/0", Decision.RETRY)
        self.clock.advance(60)
        self.assertEqual((notes.ids, notes.attempts), (ids(0, 2), [1, 1]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_single_active_hand_over(self) -> None:
        """The next worker begins when the last one's handlers are done, with what that one gave back, in order."""
        self.bus.startService()
        gated, notes = Gated(), Notes()
        first = self.bus.work(topology.TRENDS, gated, 4)
        second = self.bus.work(topology.TRENDS, notes, 1)
        for number in range(6):
            self.bus.publish(event(number))
        self.clock.advance(0)
        self.assertEqual((first.active, second.active, first.workers), (True, False, 2))
        stopping = first.stop()
        gated.decide(event(3).message_id, Decision.RETURN)
        gated.decide(event(1).message_id, Decision.RETRY)
        gated.decide(event(0).message_id, Decision.ACK)
        self.clock.advance(1)
        self.assertEqual((notes.got, second.active), ([], False))
        gated.decide(event(2).message_id, Decision.RETURN)
        self.successResultOf(stopping)
        self.clock.advance(0)
        self.assertEqual(notes.ids, [event(number).message_id for number in range(1, 6)])
        self.assertEqual(notes.attempts, [2, 1, 1, 1, 1])
        self.assertTrue(second.active)

    def test_given_back_to_its_place(self) -> None:
        """What is given back out of order is handed out in order, before all that was never handed out."""
        self.bus.startService()
        gated, notes = Gated(), Notes()
        work = self.bus.work(topology.ENRICH, gated, 5)
        for number in range(7):
            self.bus.publish(raw(number))
        self.clock.advance(0)
        stopping = work.stop()
        for number in (3, 0, 4, 2, 1):
            gated.decide(f"birds/{number}", Decision.RETURN)
        self.successResultOf(stopping)
        self.bus.work(topology.ENRICH, notes, 1)
        self.clock.advance(0)
        self.assertEqual(notes.ids, ids(*range(7)))

    def test_returned_once_a_turn(self) -> None:
        """What is handed back at once goes to its place, and is handed out in another turn; others come between."""
        self.bus.startService()
        notes = Notes(lambda delivery: Decision.RETURN)
        self.bus.work(topology.ENRICH, notes, 10)
        self.bus.publish(raw(1))
        self.bus.publish(raw(2))
        queue = self.bus._broker.queues[topology.ENRICH]
        self.assertTrue(queue.hand_out(256))
        self.assertEqual((notes.ids, len(queue)), (ids(1), 2))

    def test_returned_to_a_full_queue(self) -> None:
        """Where the oldest must go, that is what was given back, also at the moment of giving back."""
        self.bus.startService()
        gated = Gated()
        queue = self.bus._broker.queue(topology.TRENDS)
        queue.places.max_messages = 2
        self.bus.work(topology.TRENDS, gated, 1)
        self.bus.publish(event(0))
        self.clock.advance(0)
        for number in (1, 2):
            self.bus.publish(event(number))
        gated.decide_all(Decision.RETURN)
        self.clock.advance(0)
        self.assertEqual(gated.ids, [event(0).message_id, event(1).message_id])
        self.assertEqual(self.metrics.value(BUS_DROPPED, topology.TRENDS), 1)

    def test_answers_within_a_turn(self) -> None:
        """So many publishes are answered at once; the rest at the turn's end, or when the bus stops."""
        self.bus.startService()
        self.clock.advance(0)
        answers = [self.bus.publish(event(number)) for number in range(AT_ONCE + 3)]
        self.assertEqual(sum(answer.called for answer in answers), AT_ONCE)
        self.clock.advance(0)
        self.assertTrue(all(answer.called for answer in answers))
        answers = [self.bus.publish(event(number)) for number in range(AT_ONCE + 3)]
        self.successResultOf(self.bus.stopService())
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failing_receiver(self) -> None:
        """A receiver that fails is logged; it, and all the others, go on with the next entry."""
        self.bus.startService()
        seen: list[int] = []
        others: list[Entry] = []

        def receive(entry: Entry) -> None:
            seen.append(entry.offset)
            if entry.offset == 1:
                raise ValueError("on purpose")

        self.bus.log(0, receive)
        self.bus.log(0, others.append)
        for number in range(3):
            self.bus.publish(event(number))
        self.clock.advance(0)
        self.assertEqual((seen, len(others)), ([0, 1, 2], 3))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_log_forgets_by_age(self) -> None:
        """What is older than the topology says has left when somebody begins to read; no timer waits for that."""
        self.bus.startService()
        for number in range(3):
            self.bus.publish(event(number))
        self.clock.advance(RING_AGE + 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        entries: list[Entry] = []
        self.bus.log(Offset(0), entries.append)
        self.clock.advance(0)
        self.assertEqual([entry.offset for entry in entries], [2])
        self.assertEqual(self.metrics.value(BUS_DROPPED, topology.LOG), 2)

    def test_gauges(self) -> None:
        """What waits where and who works there is shown once a turn, and nothing after the stop."""
        self.bus.startService()
        gated = Gated()
        work = self.bus.work(topology.ENRICH, gated, 1)
        for number in range(3):
            self.bus.publish(raw(number))
        self.assertEqual(self.metrics.value(BUS_QUEUE_MESSAGES, topology.ENRICH), 0)
        self.clock.advance(0)
        shown = [self.metrics.value(gauge, topology.ENRICH) for gauge in (BUS_QUEUE_MESSAGES, BUS_QUEUE_CONSUMERS)]
        self.assertEqual(shown, [2, 1])
        work.stop()
        self.clock.advance(0)
        self.assertEqual(self.metrics.value(BUS_QUEUE_CONSUMERS, topology.ENRICH), 0)
        stopping = self.bus.stopService()
        gated.decide_all(Decision.ACK)
        self.successResultOf(stopping)
        self.assertEqual((self.metrics.total(BUS_QUEUE_MESSAGES), self.metrics.total(BUS_QUEUE_CONSUMERS)), (0, 0))
