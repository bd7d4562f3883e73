"""Losses of single items, gathered into gaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.losses import PERIOD_MS, Losses


class LossesTests(SynchronousTestCase):
    """One source."""

    def test_gathered(self) -> None:
        """Losses of one cause are announced together, a minute after the first, with their number and span."""
        losses = Losses()
        losses.note("limit", 3, 1_000, 2_000)
        losses.note("limit", 4, 2_500, 3_000)
        losses.note("shed", 1, 2_000, 2_000)
        self.assertEqual([], losses.due(1_000 + PERIOD_MS - 1))
        (gap,) = losses.due(1_000 + PERIOD_MS)
        self.assertEqual(("limit", 1_000, 3_000, 7, False), (gap.cause, gap.start, gap.end, gap.missed, gap.filled))
        self.assertEqual([], losses.due(1_000 + PERIOD_MS))

    def test_at_the_end(self) -> None:
        """What is left is announced when the process ends."""
        losses = Losses()
        losses.note("limit", 3, 1_000, 2_000)
        self.assertEqual(1, len(losses.due(0, all_of_them=True)))
        self.assertEqual([], losses.due(0, all_of_them=True))

    @given(st.lists(st.tuples(st.sampled_from(["limit", "shed"]), st.integers(1, 9), st.integers(0, 50_000))))
    def test_none_is_lost(self, noted: list[tuple[str, int, int]]) -> None:
        """However they come, every single loss is announced once."""
        losses, now, announced = Losses(), 0, 0
        for cause, count, wait in noted:
            now += wait
            losses.note(cause, count, now - 10, now)
            announced += sum(gap.missed or 0 for gap in losses.due(now))
        announced += sum(gap.missed or 0 for gap in losses.due(now, all_of_them=True))
        self.assertEqual(sum(count for _, count, _ in noted), announced)
