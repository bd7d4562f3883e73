"""Up to when everything is ours, and when a repetition has come to the present."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.safe import CATCH_UP, MARGIN_MS, CatchUp, Safe


class SafeTests(SynchronousTestCase):
    """The point of one source."""

    def test_moves_with_the_bytes(self) -> None:
        """While nothing holds it, the point is the time of the last bytes, and never goes back."""
        safe = Safe()
        self.assertIsNone(safe.reached)
        safe.heard(10, 1_000)
        safe.heard(5, 1_000)
        self.assertEqual(10, safe.reached)

    def test_clock_set_back(self) -> None:
        """A clock that is set back takes the point with it: what is in the future cannot have been heard."""
        safe = Safe(reached=60_000)
        safe.heard(9_000, 10_000)
        self.assertEqual(9_000, safe.reached)
        safe.heard(8_000, 10_500)
        self.assertEqual(9_000, safe.reached)

    def test_held(self) -> None:
        """While the past is still to come, for whatever reason, the point stays."""
        safe = Safe(reached=10)
        safe.hold("repetition")
        safe.hold("recovery")
        safe.heard(20, 1_000)
        safe.release("repetition")
        safe.heard(30, 1_000)
        self.assertEqual(10, safe.reached)
        safe.release("recovery")
        safe.heard(40, 1_000)
        self.assertEqual(40, safe.reached)

    @given(st.lists(st.tuples(st.sampled_from(["heard", "hold", "release"]), st.integers(0, 1000))))
    def test_never_back(self, steps: list[tuple[str, int]]) -> None:
        """Whatever happens, the point never goes back and never moves while held."""
        safe, last, held = Safe(), -1, False
        for step, number in steps:
            if step == "heard":
                safe.heard(number, 1_000)
            elif step == "hold":
                safe.hold("x")
                held = True
            else:
                safe.release("x")
                held = False
            reached = -1 if safe.reached is None else safe.reached
            self.assertGreaterEqual(reached, last)
            if held:
                self.assertEqual(reached, last)
            last = reached


class CatchUpTests(SynchronousTestCase):
    """One connection."""

    def test_nothing_repeated(self) -> None:
        """A connection that repeats nothing is in the present at once."""
        self.assertTrue(CatchUp(1000.0, True).heard(1000.1, None, paused=False))

    def test_items_tell(self) -> None:
        """Items that tell when they were posted show the present; those of the past do not."""
        made = CatchUp(1000.0, False)
        self.assertFalse(made.heard(1001.0, 900_000, paused=False))
        self.assertFalse(made.heard(1002.0, 1_000_000 - MARGIN_MS - 1, paused=False))
        self.assertTrue(made.heard(1003.0, 1_000_100, paused=False))
        self.assertTrue(made.heard(1004.0, 900_000, paused=False))

    def test_time_tells(self) -> None:
        """Where no item tells, a minute of reading must do; pauses of ours do not count."""
        made = CatchUp(1000.0, False)
        self.assertFalse(made.heard(1000.0 + CATCH_UP - 1, None, paused=False))
        self.assertFalse(made.heard(1000.0 + CATCH_UP + 500, None, paused=True))
        self.assertTrue(made.heard(1000.0 + CATCH_UP + 502, None, paused=False))
