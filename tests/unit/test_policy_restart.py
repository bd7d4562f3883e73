"""When changed predicates are worth a new connection."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.restart import COALESCE, MAX_DELAY, MIN_DELAY, Plan, delay

COUNTS = st.integers(min_value=0, max_value=10**9)


class DelayTests(SynchronousTestCase):
    """The curve."""

    def test_curve(self) -> None:
        """600 s with nothing pending, then by the square root of the number down to 120 s at ninety."""
        self.assertEqual(
            [600, 440, 370, 320, 280, 240, 210, 180, 150, 120], [delay(count) for count in range(0, 91, 10)]
        )

    def test_floor(self) -> None:
        """The floor holds beyond ninety, where the consumers of 2010 fell through it (T1)."""
        self.assertEqual([120, 120, 120, 120], [delay(count) for count in (93, 120, 144, 10**6)])

    @given(COUNTS, COUNTS)
    def test_monotonic(self, one: int, other: int) -> None:
        """More changes never wait longer, and nobody waits less than the floor or more than the maximum."""
        few, many = sorted((one, other))
        self.assertGreaterEqual(delay(few), delay(many))
        self.assertTrue(MIN_DELAY <= delay(many) <= delay(few) <= MAX_DELAY)


class PlanTests(SynchronousTestCase):
    """One source's plan."""

    def test_first(self) -> None:
        """The first restart waits for nothing."""
        plan = Plan()
        plan.change(1000.0, 1, asked=False)
        self.assertEqual(1000.0, plan.due)

    def test_minus_the_time_since(self) -> None:
        """The delay counts from the last restart, and what is overdue is due now."""
        plan = Plan(last=1000.0)
        plan.change(1100.0, 10, asked=False)
        self.assertEqual(1440.0, plan.due)
        plan = Plan(last=1000.0)
        plan.change(5000.0, 0, asked=True)
        self.assertEqual(5000.0, plan.due)

    def test_more_changes_come_sooner(self) -> None:
        """Each further change moves the restart forward, along the curve."""
        plan = Plan(last=1000.0)
        plan.change(1010.0, 10, asked=False)
        plan.change(1020.0, 90, asked=False)
        self.assertEqual(1120.0, plan.due)

    def test_coalesce_before(self) -> None:
        """A change that comes within two seconds of the restart goes along and does not move it."""
        plan = Plan(last=1000.0)
        plan.change(1100.0, 50, asked=False)
        self.assertEqual(1240.0, plan.due)
        plan.change(1240.0 - COALESCE / 2, 1, asked=False)
        self.assertEqual(1240.0, plan.due)

    def test_coalesce_after(self) -> None:
        """Who asks for a restart within two seconds of one has had it; a change still counts."""
        plan = Plan()
        plan.began(1000.0)
        plan.change(1001.0, 0, asked=True)
        self.assertIsNone(plan.due)
        plan.change(1001.0, 90, asked=True)
        self.assertEqual(1120.0, plan.due)

    def test_changed_back(self) -> None:
        """A change that was taken back needs no restart, unless somebody asked for one."""
        plan = Plan(last=1000.0)
        plan.change(1010.0, 10, asked=False)
        plan.change(1011.0, 0, asked=False)
        self.assertIsNone(plan.due)
        plan.change(1012.0, 0, asked=True)
        plan.change(1013.0, 0, asked=False)
        self.assertEqual(1600.0, plan.due)

    @given(st.lists(st.tuples(st.floats(0, 700), st.integers(0, 200), st.booleans()), max_size=30))
    def test_never_sooner_than_the_floor(self, changes: list[tuple[float, int, bool]]) -> None:
        """Whatever is asked, two restarts are at least the floor apart."""
        plan, now, restarts = Plan(), 1000.0, [-math.inf]
        for wait, pending, asked in changes:
            now += wait
            if plan.due is not None and plan.due <= now:
                restarts.append(plan.due)
                plan.began(plan.due)
            plan.change(now, pending, asked=asked)
        self.assertTrue(all(b - a >= MIN_DELAY for a, b in itertools.pairwise(restarts)))
