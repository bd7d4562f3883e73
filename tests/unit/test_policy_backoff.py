"""The table of causes: a test a row, and the two floors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy import backoff
from streamer.policy.backoff import CAUSES, PROFILES, Backoff


def plain(profile: str = "x", jitter: float = 0.0) -> Backoff:
    """A back-off whose jitter is known."""
    return Backoff(PROFILES[profile], lambda: jitter)


def delays(cause: str, attempts: int, profile: str = "x") -> list[float | None]:
    """The delays of the first failures in a row, never healthy."""
    policy = plain(profile)
    return [policy.after(cause, healthy=False) for _ in range(attempts)]


ROWS = [
    (backoff.NETWORK, [0.25, 0.5, 0.75, 1.0]),
    (backoff.HTTP, [5, 10, 20, 40, 80, 160, 320, 320]),
    (backoff.RATE_LIMIT, [60, 120, 240, 480, 960, 960]),
    (backoff.CONNECTION_LIMIT, [5, 10, 20]),
    (backoff.AUTHORISATION, [300, 600, 1200, 2400, 3600, 3600]),
    (backoff.REFUSED, [None, None]),
    (backoff.NO_RULES, [60, 120, 240, 480, 960, 960]),
    (backoff.DISCONNECT, [0.25, 0.5, 0.75]),
    (backoff.SLOW, [5, 10, 20]),
    (backoff.STALL, [0.25, 0.5, 0.75]),
    (backoff.UNEXPECTED, [0.25, 0.5, 1, 2, 4, 8, 16, 16]),
]


@pytest.mark.parametrize(("cause", "expected"), ROWS)
def test_row(cause: str, expected: list[float | None]) -> None:
    """The first delays of each cause are those of the upstream's rule."""
    assert delays(cause, len(expected)) == expected


class BackoffTests(SynchronousTestCase):
    """What holds across the rows."""

    def test_every_row_is_tested(self) -> None:
        """Whoever adds a cause adds its row above."""
        self.assertEqual(set(CAUSES), {cause for cause, _ in ROWS})

    def test_network_cap(self) -> None:
        """Linear steps end at 16 s."""
        self.assertEqual(16, delays(backoff.NETWORK, 100)[-1])

    def test_profile_2010(self) -> None:
        """The series of the first consumers: 10, 30, 70, 150, 240."""
        self.assertEqual([10, 30, 70, 150, 240, 240], delays(backoff.HTTP, 6, "2010"))

    def test_at_once_after_health(self) -> None:
        """A drop of a healthy connection is followed by an immediate attempt, once."""
        policy = plain()
        self.assertEqual(0, policy.after(backoff.NETWORK, healthy=True))
        self.assertEqual(0.25, policy.after(backoff.NETWORK, healthy=False))

    def test_accept_and_close_is_no_tight_loop(self) -> None:
        """A server that answers 200 and closes never proves health, so its delays grow (HB, TW, T5)."""
        grown = [delay for delay in delays(backoff.NETWORK, 20) if delay is not None]
        self.assertEqual(sorted(grown), grown)
        self.assertGreater(grown[-1], 4)

    def test_health_resets_all(self) -> None:
        """After a healthy session each schedule starts anew."""
        policy = plain()
        for _ in range(5):
            policy.after(backoff.HTTP, healthy=False)
        policy.after(backoff.NETWORK, healthy=True)
        self.assertEqual(5, policy.after(backoff.HTTP, healthy=False))

    def test_causes_count_apart(self) -> None:
        """A rate limit between two network errors does not hurry either."""
        policy = plain()
        policy.after(backoff.RATE_LIMIT, healthy=False)
        self.assertEqual(0.25, policy.after(backoff.NETWORK, healthy=False))
        self.assertEqual(120, policy.after(backoff.RATE_LIMIT, healthy=False))

    def test_retry_after_is_a_floor(self) -> None:
        """The later of the schedule and the upstream's own figure counts."""
        self.assertEqual(900, plain().after(backoff.RATE_LIMIT, healthy=False, retry_after=900))
        self.assertEqual(60, plain().after(backoff.RATE_LIMIT, healthy=False, retry_after=3))

    def test_retry_after_is_capped(self) -> None:
        """Whatever an upstream asks for, a source is tried again within the hour."""
        self.assertEqual(3600, plain().after(backoff.HTTP, healthy=False, retry_after=99_999_999))

    def test_our_mistakes_are_not_healed_by_items(self) -> None:
        """A frame that breaks us again and again meets a growing delay, though items came before it."""
        policy = plain()
        grown = [policy.after(backoff.UNEXPECTED, healthy=True) for _ in range(5)]
        self.assertEqual([0.25, 0.5, 1, 2, 4], grown)

    def test_jitter(self) -> None:
        """A delay is shortened or lengthened by at most its share."""
        self.assertEqual(5 * 1.12, plain(jitter=1).after(backoff.HTTP, healthy=False))
        self.assertEqual(5 * 0.88, plain(jitter=-1).after(backoff.HTTP, healthy=False))

    @given(st.sampled_from(sorted(CAUSES)), st.integers(1, 2000), st.floats(-1, 1))
    def test_never_negative_never_endless(self, cause: str, failures: int, jitter: float) -> None:
        """No number of failures makes a delay negative (T1), huge or less than a quarter second less its jitter."""
        row = CAUSES[cause]
        if row.schedule is None:
            return
        delay = row.schedule(failures)
        self.assertGreaterEqual(delay, 0.25)
        self.assertLessEqual(delay, 3600)
