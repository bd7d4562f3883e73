"""Handlers under way."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.crew import Crew
from streamer.message import Decision, Delivery
from streamer.metrics import DECISIONS, DELIVERIES, Metrics
from tests.bus_contract import Notes, raw


class CrewTests(SynchronousTestCase):
    """Concurrency, decisions, retries."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.settled: list[tuple[int, Decision]] = []

    def crew(self, handler: object, limit: int = 2) -> Crew:
        return Crew("q", handler, limit, self.clock, self.metrics, lambda attempt: float(attempt))  # type: ignore[arg-type]

    def take(self, crew: Crew, number: int, attempt: int = 1) -> None:
        crew.take(Delivery(raw(number), attempt), partial(self.note, number))

    def note(self, number: int, decision: Decision) -> None:
        self.settled.append((number, decision))

    def test_retry_is_held(self) -> None:
        """A retry is told only after its delay, in the place of a running handler."""
        crew = self.crew(Notes(lambda delivery: Decision.RETRY), limit=1)
        self.take(crew, 1, attempt=3)
        self.take(crew, 2)
        self.clock.advance(2.9)
        self.assertEqual((self.settled, crew.running), ([], 1))
        self.clock.advance(0.1)
        self.assertEqual(self.settled, [(1, Decision.RETRY)])
        self.assertEqual(self.metrics.value(DELIVERIES, "q"), 2)

    def test_failures(self) -> None:
        """A handler that raises, even before its first await, is a RETRY and is logged."""

        def handler(delivery: Delivery) -> Deferred[Decision]:
            raise ValueError("on purpose")

        crew = self.crew(handler)
        self.take(crew, 1)
        self.clock.advance(1)
        self.assertEqual(self.settled, [(1, Decision.RETRY)])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.metrics.value(DECISIONS, "q", "retry"), 1)

    def test_drain(self) -> None:
        """Draining gives held retries back, begins nothing, and fires when the last handler ends."""
        gate: Deferred[Decision] = Deferred()
        answers = [Deferred[Decision](), gate]
        answers[0].callback(Decision.RETRY)
        begun = []

        def handler(delivery: Delivery) -> Deferred[Decision]:
            begun.append(delivery)
            return answers[len(begun) - 1]

        crew = self.crew(handler)
        for number in (1, 2, 3):
            self.take(crew, number)
        draining = crew.drain()
        self.take(crew, 4)
        self.assertEqual(self.settled, [(1, Decision.RETRY)])
        self.assertNoResult(draining)
        gate.callback(Decision.ACK)
        self.successResultOf(draining)
        self.assertEqual((len(begun), self.clock.getDelayedCalls()), (2, []))

    def test_many_waiting(self) -> None:
        """Thousands that wait behind one are handled without nesting."""
        gate: Deferred[Decision] = Deferred()
        first = iter([gate])

        async def handler(delivery: Delivery) -> Decision:
            waiting = next(first, None)
            return Decision.ACK if waiting is None else await waiting

        crew = self.crew(handler, limit=1)
        for number in range(5000):
            self.take(crew, number)
        gate.callback(Decision.ACK)
        self.assertEqual([number for number, _ in self.settled], list(range(5000)))

    def test_forgotten(self) -> None:
        """What waited on a lost connection is not begun; what runs goes on."""
        gate: Deferred[Decision] = Deferred()
        crew = self.crew(lambda delivery: gate, limit=1)
        self.take(crew, 1)
        self.take(crew, 2)
        crew.forget_waiting()
        gate.callback(Decision.ACK)
        self.assertEqual(self.settled, [(1, Decision.ACK)])

    def test_handed_back(self) -> None:
        """What is handed back is told at once, whatever the delay of retries."""
        crew = self.crew(Notes(lambda delivery: Decision.RETURN))
        self.take(crew, 1, attempt=5)
        self.assertEqual((self.settled, crew.running), ([(1, Decision.RETURN)], 0))
        self.assertEqual(self.metrics.value(DECISIONS, "q", "return"), 1)

    def test_drained_twice(self) -> None:
        """Who asks again while handlers run is told at the same time, and at once later on."""
        gate: Deferred[Decision] = Deferred()
        crew = self.crew(lambda delivery: gate)
        self.take(crew, 1)
        draining = [crew.drain(), crew.drain()]
        for waiting in draining:
            self.assertNoResult(waiting)
        gate.callback(Decision.ACK)
        for waiting in (*draining, crew.drain()):
            self.successResultOf(waiting)
