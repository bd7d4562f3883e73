"""Acks told in batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.acks import FLUSH_AFTER, STEP, Acks


class AcksTests(SynchronousTestCase):
    """Prefix, singles, timer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[tuple[int, bool]] = []

    def acks(self, prefetch: int, delivered: int) -> Acks:
        acks = Acks.for_prefetch(prefetch, lambda tag, multiple: self.told.append((tag, multiple)), self.clock)
        for tag in range(1, delivered + 1):
            acks.delivered(tag)
        return acks

    def test_batch(self) -> None:
        """A full batch is told at once, by one multiple ack."""
        acks = self.acks(8, 8)
        for tag in (2, 1, 4, 3):
            acks.done(tag)
        self.assertEqual(self.told, [(4, True)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timer(self) -> None:
        """Less than a batch is told a little later."""
        acks = self.acks(100, 3)
        acks.done(1)
        acks.done(2)
        self.assertEqual(self.told, [])
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual(self.told, [(2, True)])
        acks.done(3)
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual(self.told[1:], [(3, False)])

    def test_slow_head(self) -> None:
        """What is done behind one that is under way is told singly: it does not use up the prefetch."""
        acks = self.acks(100, 5)
        for tag in (1, 2, 4, 5):
            acks.done(tag)
        acks.flush()
        self.assertEqual(self.told, [(2, True), (4, False), (5, False)])
        acks.done(3)
        acks.flush()
        self.assertEqual(self.told[3:], [(3, False)])

    def test_prefetch_of_one(self) -> None:
        """With a prefetch of one each ack goes at once: the broker sends nothing before it."""
        acks = self.acks(1, 1)
        acks.done(1)
        self.assertEqual(self.told, [(1, False)])

    def test_rejected(self) -> None:
        """A rejected tag is never named in an ack: the broker would close the channel."""
        acks = self.acks(100, 3)
        self.assertTrue(acks.settled(3))
        self.assertFalse(acks.settled(3))
        acks.done(1)
        acks.done(2)
        acks.flush()
        self.assertEqual(self.told, [(2, True)])

    def test_closed(self) -> None:
        """After the channel is gone nothing is told, and no timer is left."""
        acks = self.acks(100, 3)
        acks.done(1)
        acks.close()
        acks.done(2)
        acks.flush()
        self.assertFalse(acks.settled(3))
        self.assertEqual((self.told, self.clock.getDelayedCalls()), ([], []))

    @given(st.permutations(range(1, 13)), st.sets(st.integers(1, 12)), st.integers(1, 30))
    def test_each_is_told_once(self, order: list[int], rejected: set[int], prefetch: int) -> None:
        """In whatever order handlers end, each done tag is acked exactly once, and no other."""
        told: list[tuple[int, bool]] = []
        clock = Clock()
        acks = Acks.for_prefetch(prefetch, lambda tag, multiple: told.append((tag, multiple)), clock)
        for tag in range(1, 13):
            acks.delivered(tag)
        unacked = list(range(1, 13))
        done: set[int] = set()
        for tag in order:
            if tag in rejected:
                acks.settled(tag)
                unacked.remove(tag)
            else:
                done.add(tag)
                acks.done(tag)
            while told:
                named, multiple = told.pop(0)
                self.assertIn(named, unacked)
                settled = [waiting for waiting in unacked if waiting <= named] if multiple else [named]
                self.assertLessEqual(set(settled), done)
                unacked = [waiting for waiting in unacked if waiting not in settled]
        clock.advance(FLUSH_AFTER)
        for named, multiple in told:
            unacked = [waiting for waiting in unacked if waiting > named or (not multiple and waiting != named)]
        self.assertEqual(unacked, [])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_left(self) -> None:
        """What is not settled is handed back in steps, in order, and the last step takes the rest."""
        for count, expected in ((0, []), (1, [1]), (STEP, [STEP]), (STEP + 1, [STEP, STEP + 1]), (70, [32, 64, 70])):
            self.assertEqual(self.acks(300, count).left(), expected)
        acks = self.acks(300, 40)
        acks.done(2)
        acks.flush()
        self.assertEqual(acks.left(), [33, 40])
