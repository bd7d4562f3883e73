"""Deliveries of one author, one after the other."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.lanes import Lanes
from streamer.message import PARTITION_KEY, Decision, Delivery
from streamer.metrics import DECISIONS, LANES_HELD, Metrics
from tests.bus_contract import raw

ACK, RETRY, RETURN = Decision.ACK, Decision.RETRY, Decision.RETURN


class LanesTests(SynchronousTestCase):
    """Turns, holds, giving up."""

    def setUp(self) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.running: dict[int, Deferred[Decision]] = {}
        self.begun: list[int] = []
        self.attempts: list[int] = []
        self.lanes = Lanes("q", self.handle, 3, lambda attempt: float(attempt), self.clock, self.metrics)

    async def handle(self, delivery: Delivery) -> Decision:
        number = int(delivery.message.message_id.partition("/")[2])
        self.begun.append(number)
        self.attempts.append(delivery.attempt)
        waiting: Deferred[Decision] = Deferred()
        self.running[number] = waiting
        return await waiting

    def take(self, number: int, key: str | None = "jack", attempt: int = 1) -> Deferred[Decision]:
        headers = {} if key is None else {PARTITION_KEY: key}
        return Deferred.fromCoroutine(self.lanes(Delivery(raw(number, headers=headers), attempt)))

    def end(self, number: int, decision: Decision = ACK) -> None:
        self.running.pop(number).callback(decision)

    def test_one_after_the_other(self) -> None:
        """Of one author one is handled at a time, in order; other authors, and items without one, do not wait."""
        results = [self.take(number) for number in range(3)]
        results += [self.take(3, "ann"), self.take(4, None), self.take(5, None)]
        self.assertEqual(self.begun, [0, 3, 4, 5])
        self.assertEqual(self.metrics.value(LANES_HELD, "q"), 2)
        for number in (3, 0, 1, 2, 5, 4):
            self.end(number)
        self.assertEqual(self.begun, [0, 3, 4, 5, 1, 2])
        self.assertEqual([self.successResultOf(result) for result in results], [ACK] * 6)
        self.assertEqual(self.metrics.value(LANES_HELD, "q"), 0)
        self.assertEqual((self.clock.getDelayedCalls(), self.lanes._lanes), ([], {}))

    def test_retry(self) -> None:
        """What is to be tried again is, in its place and after a while; those behind it wait until it is done."""
        first, behind = self.take(0), self.take(1)
        for attempt in (1, 2):
            self.end(0, RETRY)
            self.clock.advance(attempt - 0.1)
            self.assertEqual(self.begun, [0] * attempt)
            self.clock.advance(0.1)
        self.assertEqual((self.begun, self.attempts), ([0, 0, 0], [1, 2, 3]))
        self.end(0)
        self.end(1)
        self.assertEqual([self.successResultOf(one) for one in (first, behind)], [ACK, ACK])
        self.assertEqual(self.metrics.value(DECISIONS, "q", "retry"), 2)
        self.assertEqual((self.clock.getDelayedCalls(), self.lanes._lanes), ([], {}))

    def test_too_often(self) -> None:
        """What fails once more than the limit is rejected, the queue's own count of it included."""
        first, behind = self.take(0, attempt=3), self.take(1)
        self.end(0, RETRY)
        self.clock.advance(3)
        self.end(0, RETRY)
        self.assertEqual(self.successResultOf(first), Decision.REJECT)
        self.end(1)
        self.successResultOf(behind)

    def test_failing(self) -> None:
        """A handler that raises, or returns no decision, asks for another try."""
        result = self.take(0)
        self.running.pop(0).errback(ValueError("this test's handler fails on purpose"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.clock.advance(1)
        self.end(0, None)  # type: ignore[arg-type]
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.clock.advance(2)
        self.end(0)
        self.assertEqual(self.successResultOf(result), ACK)

    def test_rejected(self) -> None:
        """What is rejected holds nobody."""
        self.take(0)
        self.take(1)
        self.end(0, Decision.REJECT)
        self.assertEqual(self.begun, [0, 1])
        self.end(1)

    def test_returned(self) -> None:
        """With what is handed back goes all that waits behind it, in order."""
        results = [self.take(number) for number in range(3)]
        told: list[int] = []
        for number, result in enumerate(results):
            result.addCallback(lambda decision, number=number: told.append(number) or decision)
        self.end(0, RETURN)
        self.assertEqual(told, [0])
        self.take(3)
        self.clock.advance(0)
        self.assertEqual((told, self.begun), ([0, 1, 2], [0]))
        self.assertEqual(self.lanes._lanes, {})

    def test_returned_and_forgotten(self) -> None:
        """Should the connection go in that moment, nothing is left behind."""
        results = [self.take(number) for number in range(2)]
        self.end(0, RETURN)
        self.lanes.forget()
        self.assertEqual([self.successResultOf(result) for result in results], [RETURN] * 2)
        self.assertEqual((self.clock.getDelayedCalls(), self.lanes._lanes), ([], {}))

    def test_forget(self) -> None:
        """When the connection goes, what waits, for its turn or for another try, is handed back; what runs keeps its
        lane until it ends, and is not tried again: by then it is there a second time."""
        running = self.take(0)
        waiting = [self.take(1), self.take(2)]
        paused = self.take(3, "ann")
        waiting.append(self.take(4, "ann"))
        self.end(3, RETRY)
        self.lanes.forget()
        self.assertEqual([self.successResultOf(one) for one in (*waiting, paused)], [RETURN] * 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        again = self.take(0)
        self.take(3, "ann")
        self.assertEqual(self.begun, [0, 3, 3])
        self.end(0, RETRY)
        self.assertEqual(self.successResultOf(running), RETURN)
        self.assertEqual(self.begun, [0, 3, 3, 0])
        self.end(0)
        self.end(3)
        self.successResultOf(again)
        self.assertEqual((self.clock.getDelayedCalls(), self.lanes._lanes), ([], {}))

    def test_many_at_once(self) -> None:
        """Handlers that never wait do not nest, however many are in the lane."""

        async def handler(delivery: Delivery) -> Decision:
            return await first if delivery.message.message_id == "birds/0" else ACK

        first: Deferred[Decision] = Deferred()
        self.lanes = Lanes("q", handler, 3, lambda attempt: 0.0, self.clock, self.metrics)
        results = [self.take(number) for number in range(5000)]
        first.callback(ACK)
        self.assertEqual({self.successResultOf(result) for result in results}, {ACK})

    @given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=12), st.integers(0, 2**32))
    def test_any_interleaving(self, items: list[tuple[str, int]], seed: int) -> None:
        """Whatever ends when, and however often it fails: each key's runs are in order, one at a time."""
        scene, chance = LanesTests(), random.Random(seed)
        scene.setUp()
        failures = {number: count for number, (_, count) in enumerate(items)}
        results = [scene.take(number, key) for number, (key, _) in enumerate(items)]
        while scene.running or scene.clock.getDelayedCalls():
            keys = [items[number][0] for number in scene.running]
            self.assertEqual(len(keys), len(set(keys)))
            if scene.running and chance.random() < 0.8:
                number = chance.choice(sorted(scene.running))
                failures[number] -= 1
                scene.end(number, RETRY if failures[number] >= 0 else ACK)
            else:
                scene.clock.advance(1)
        self.assertEqual([scene.successResultOf(result) for result in results], [ACK] * len(items))
        for key in "ab":
            runs = [number for number in scene.begun if items[number][0] == key]
            self.assertEqual(runs, sorted(runs))
        self.assertEqual(scene.lanes._lanes, {})
