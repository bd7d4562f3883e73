"""When a client of a relay comes back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout.protocol import Close
from streamer.policy.rejoin import ASKED_LIMIT, CAP, Course, Rejoin, after_close, after_status


class CourseTests(SynchronousTestCase):
    """What an end asks for."""

    def test_close_codes(self) -> None:
        """As `fanout.protocol` says: 40xx and 1009 are final, 42xx and 1012 soon, 41xx and the rest back off."""
        for code in Close:
            expected = {40: Course.FINAL, 41: Course.BACK_OFF, 42: Course.SOON}.get(code // 100)
            expected = expected or {1009: Course.FINAL, 1012: Course.SOON}[code]
            self.assertEqual(expected, after_close(code), code)
        for code in (None, 1000, 1006, 1011, 4300, 3000):
            self.assertEqual(Course.BACK_OFF, after_close(code), code)

    def test_statuses(self) -> None:
        """A busy server passes, a no does not."""
        for status, course in ((503, Course.BACK_OFF), (502, Course.BACK_OFF), (429, Course.BACK_OFF)):
            self.assertEqual(course, after_status(status))
        for status in (200, 301, 400, 401, 403, 404, 426):
            self.assertEqual(Course.FINAL, after_status(status))


class RejoinTests(SynchronousTestCase):
    """How long."""

    def test_reach(self) -> None:
        """The reach doubles from the base to the cap, and begins anew after a connection that served for a while."""
        rejoin = Rejoin(lambda low, high: high)
        waits = [rejoin.wait(Course.BACK_OFF, followed=1.0) for _ in range(100)]
        self.assertEqual([0.5, 1, 2, 4, 8, 16, 20, 20], waits[:8])
        self.assertEqual(CAP, waits[-1])
        self.assertEqual(0.5, rejoin.wait(Course.BACK_OFF, followed=10.0))

    def test_asked(self) -> None:
        """What a server asks for is kept: as it is where it spreads its clients, spread by us where it does not."""
        rejoin = Rejoin(lambda low, high: high)
        self.assertEqual(7.5, rejoin.wait(Course.BACK_OFF, asked=7.0))
        self.assertEqual(1.25, rejoin.wait(Course.SOON, asked=1.25))
        self.assertEqual(5.0, rejoin.wait(Course.SOON))
        self.assertEqual(ASKED_LIMIT, rejoin.wait(Course.SOON, asked=1e12))

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from([Course.BACK_OFF, Course.SOON]), st.floats(0, 60)), max_size=40))
    def test_bounds(self, ends: list[tuple[Course, float]]) -> None:
        """No wait is negative or above the cap, where the server asks for nothing."""
        for jitter in (min, max):
            rejoin = Rejoin(jitter)
            for course, followed in ends:
                self.assertTrue(0 <= rejoin.wait(course, followed=followed) <= CAP)
