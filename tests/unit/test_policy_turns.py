"""When a host may be asked again."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.turns import APART, AT_ONCE, MOST_IDLE, Turns


class TurnsTests(SynchronousTestCase):
    """One client, however many polls."""

    def test_apart(self) -> None:
        """The first may begin at once, the next a second later; one that comes later than that need not wait."""
        turns = Turns()
        self.assertEqual(0.0, turns.take("a", 100.0))
        self.assertEqual(0.75, turns.take("a", 100.25))
        turns.done("a")
        turns.done("a")
        self.assertEqual(0.0, turns.take("a", 110.0))

    def test_at_once(self) -> None:
        """No more than two are under way at once."""
        turns = Turns()
        turns.take("a", 0.0)
        turns.take("a", 5.0)
        self.assertIsNone(turns.take("a", 10.0))
        turns.done("a")
        self.assertEqual(0.0, turns.take("a", 10.0))

    def test_hosts(self) -> None:
        """Each host has its own."""
        turns = Turns()
        turns.take("a", 0.0)
        self.assertEqual(0.0, turns.take("b", 0.0))

    def test_clock_set_back(self) -> None:
        """A clock that was set back by a year makes nobody wait for a year."""
        turns = Turns()
        turns.take("a", 1e9)
        turns.done("a")
        wait = turns.take("a", 1e9 - 3e7)
        assert wait is not None
        self.assertLessEqual(wait, AT_ONCE * APART)

    def test_memory(self) -> None:
        """Hosts that are not asked any more are forgotten."""
        turns = Turns()
        turns.take("busy", 0.0)
        for number in range(5 * MOST_IDLE):
            turns.take(f"{number}.example", number * 0.1)
            turns.done(f"{number}.example")
        self.assertLessEqual(len(turns._hosts), MOST_IDLE)
        turns.done("busy")

    @given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 3), st.booleans())))
    def test_any_order(self, moves: list[tuple[str, float, bool]]) -> None:
        """Whatever is asked: never more than two at once, never two within a second."""
        turns, now = Turns(), 1000.0
        begun: dict[str, list[float]] = {"a": [], "b": []}
        under_way = {"a": 0, "b": 0}
        for host, passes, asks in moves:
            now += passes
            if not asks:
                if under_way[host]:
                    turns.done(host)
                    under_way[host] -= 1
                continue
            wait = turns.take(host, now)
            if wait is None:
                self.assertEqual(AT_ONCE, under_way[host])
                continue
            under_way[host] += 1
            begun[host].append(now + wait)
        for times in begun.values():
            for before, after in pairwise(times):
                self.assertGreaterEqual(after - before, APART - 1e-6)
