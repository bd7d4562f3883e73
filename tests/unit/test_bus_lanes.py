"""Deliveries of one author, one after the other."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.lanes import HELD_LIMIT, Lanes
from streamer.message import PARTITION_KEY, Decision, Delivery
from streamer.metrics import LANES_HELD, ORDER_GIVEN_UP, Metrics
from tests.bus_contract import raw

ACK, RETRY, RETURN = Decision.ACK, Decision.RETRY, Decision.RETURN


class LanesTests(SynchronousTestCase):
    """Turns, holds, giving up."""

    def setUp(self) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.running: dict[int, Deferred[Decision]] = {}
        self.begun: list[int] = []
        self.lanes = Lanes("q", self.handle, 10, self.clock, self.metrics)

    async def handle(self, delivery: Delivery) -> Decision:
        number = int(delivery.message.message_id.partition("/")[2])
        self.begun.append(number)
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

    def test_retry_holds(self) -> None:
        """What is to be tried again holds those behind it until it has come back and is done."""
        self.take(0)
        behind = self.take(1)
        self.end(0, RETRY)
        self.take(2)
        self.assertEqual(self.begun, [0])
        self.take(0, attempt=2)
        self.assertEqual((self.begun, self.lanes.retrying), ([0, 0], True))
        self.end(0)
        self.assertEqual((self.begun, self.lanes.retrying), ([0, 0, 1], False))
        self.end(1)
        self.end(2)
        self.successResultOf(behind)
        self.assertEqual((self.clock.getDelayedCalls(), self.lanes._lanes), ([], {}))

    def test_dead(self) -> None:
        """What goes to the dead letters holds nobody: by REJECT, or by its last attempt; nor does what is returned."""
        for decision, attempt in ((Decision.REJECT, 1), (RETRY, 11), (RETURN, 1)):
            self.begun.clear()
            self.take(0, attempt=attempt)
            self.take(1)
            self.end(0, decision)
            self.assertEqual(self.begun, [0, 1])
            self.end(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failing(self) -> None:
        """A handler that raises asks for another try, so it holds its lane."""
        failed = self.take(0)
        self.take(1)
        self.running.pop(0).errback(ValueError("this test's handler fails on purpose"))
        self.failureResultOf(failed, ValueError)
        self.assertEqual(self.begun, [0])
        self.take(0, attempt=2)
        self.end(0)
        self.assertEqual(self.begun, [0, 0, 1])
        self.end(1)

    def test_never_comes_back(self) -> None:
        """A lane does not wait for ever for what is to come back."""
        self.take(0)
        self.take(1)
        self.end(0, RETRY)
        self.clock.advance(HELD_LIMIT - 1)
        self.assertEqual(self.begun, [0])
        self.clock.advance(1)
        self.assertEqual((self.begun, self.metrics.value(ORDER_GIVEN_UP, "q")), ([0, 1], 1))
        self.end(1)
        self.assertEqual((self.clock.getDelayedCalls(), self.lanes._lanes), ([], {}))

    def test_forget(self) -> None:
        """When the connection goes, what waits is handed back, and what runs keeps its lane until it ends."""
        self.take(0)
        waiting = [self.take(1), self.take(2)]
        self.take(3, "ann")
        held = self.take(4, "ann")
        self.end(3, RETRY)
        self.lanes.forget()
        self.assertEqual([self.successResultOf(one) for one in (*waiting, held)], [RETURN] * 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        again = self.take(0)
        self.take(3, "ann")
        self.assertEqual(self.begun, [0, 3, 3])
        self.end(0)
        self.end(0)
        self.end(3)
        self.successResultOf(again)
        self.assertEqual(self.lanes._lanes, {})

    def test_forget_for_good(self) -> None:
        """At a stop nothing is held any more."""
        self.take(0)
        self.lanes.forget(for_good=True)
        self.end(0, RETRY)
        self.assertEqual((self.clock.getDelayedCalls(), self.lanes._lanes), ([], {}))

    def test_many_at_once(self) -> None:
        """Handlers that never wait do not nest, however many are in the lane."""

        async def handler(delivery: Delivery) -> Decision:
            return await first if delivery.message.message_id == "birds/0" else ACK

        first: Deferred[Decision] = Deferred()
        self.lanes = Lanes("q", handler, 10, self.clock, self.metrics)
        results = [self.take(number) for number in range(5000)]
        first.callback(ACK)
        self.assertEqual({self.successResultOf(result) for result in results}, {ACK})

    @given(st.data())
    def test_any_interleaving(self, data: Any) -> None:
        """Behind a queue that gives back what failed at its old place, first runs of an author are always in order,
        and each is run until it is done."""
        self.setUp()
        queue = [(number, data.draw(st.sampled_from("ab"))) for number in range(12)]
        keys, ready, attempts = dict(queue), [number for number, _ in queue], dict.fromkeys(range(12), 1)
        done: list[int] = []

        def settle(decision: Decision, number: int) -> None:
            if decision is ACK:
                done.append(number)
            else:
                attempts[number] += decision is RETRY
                ready.append(number)
                ready.sort()

        def deliver() -> None:
            number = ready.pop(0)
            self.take(number, keys[number], attempts[number]).addCallback(settle, number)

        while len(done) < 12:
            moves = [*(["deliver"] if ready else []), *sorted(self.running)]
            move = data.draw(st.sampled_from(moves))
            if move == "deliver":
                deliver()
            else:
                self.end(move, RETRY if attempts[move] < 4 and data.draw(st.booleans()) else ACK)
        for key in "ab":
            mine = [number for number in done if keys[number] == key]
            self.assertEqual(mine, sorted(mine))
        self.assertEqual((self.clock.getDelayedCalls(), self.lanes._lanes), ([], {}))
