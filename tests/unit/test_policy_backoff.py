"""The table of causes: a test a row, and the two floors."""

from __future__ import annotations

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


NAMES = {value for name, value in vars(backoff).items() if name.isupper() and isinstance(value, str)}


class RowTests(SynchronousTestCase):
    """A test for each row of the table: the upstream's rule in figures. Its name is the row's."""

    def row(self, cause: str, expected: list[float | None], *, at_once: bool = False, alarm: bool = False) -> None:
        """The first delays without health, and what the row says about health and operators."""
        self.assertEqual(expected, delays(cause, len(expected)))
        self.assertEqual((at_once, alarm), (CAUSES[cause].at_once, CAUSES[cause].alarm))
        first = plain().after(cause, healthy=True)
        self.assertEqual(0 if at_once else expected[0], first)

    def test_network(self) -> None:
        """A lost connection: at once after health, then 0.25 s more each time, up to 16 s."""
        self.row(backoff.NETWORK, [0.25, 0.5, 0.75, 1.0], at_once=True)
        self.assertEqual([15.75, 16, 16], delays(backoff.NETWORK, 65)[-3:])

    def test_http(self) -> None:
        """A server error: 5 s, doubling, up to 320 s."""
        self.row(backoff.HTTP, [5, 10, 20, 40, 80, 160, 320, 320])

    def test_rate_limit(self) -> None:
        """420 and 429: a minute, doubling; somebody should look."""
        self.row(backoff.RATE_LIMIT, [60, 120, 240, 480, 960, 960], alarm=True)

    def test_connection_limit(self) -> None:
        """TooManyConnections is no rate limit: 5 s, doubling, up to 320 s."""
        self.row(backoff.CONNECTION_LIMIT, [5, 10, 20, 40, 80, 160, 320, 320])

    def test_usage_cap(self) -> None:
        """The quota is used up: a slow probe, and somebody should look."""
        self.row(backoff.USAGE_CAP, [900, 1800, 3600, 3600], alarm=True)

    def test_authorisation(self) -> None:
        """401 and 403: a slow probe, and somebody should look."""
        self.row(backoff.AUTHORISATION, [300, 600, 1200, 2400, 3600, 3600], alarm=True)

    def test_refused(self) -> None:
        """A request that is wrong stays wrong: never again with this configuration (T2, T3)."""
        self.row(backoff.REFUSED, [None, None], alarm=True)

    def test_no_rules(self) -> None:
        """409: somebody may add rules; look again slowly."""
        self.row(backoff.NO_RULES, [60, 120, 240, 480, 960, 960], alarm=True)

    def test_disconnect(self) -> None:
        """A restart of the upstream is a drop."""
        self.row(backoff.DISCONNECT, [0.25, 0.5, 0.75], at_once=True)
        self.assertEqual(16, delays(backoff.DISCONNECT, 100)[-1])

    def test_slow(self) -> None:
        """Cut off for being slow: never at once, and somebody should look."""
        self.row(backoff.SLOW, [5, 10, 20, 40, 80, 160, 320, 320], alarm=True)

    def test_stall(self) -> None:
        """Silence is a drop that nobody told us of."""
        self.row(backoff.STALL, [0.25, 0.5, 0.75], at_once=True)
        self.assertEqual(16, delays(backoff.STALL, 100)[-1])

    def test_unexpected(self) -> None:
        """A mistake of ours: 0.25 to 16 s, and somebody should look."""
        self.row(backoff.UNEXPECTED, [0.25, 0.5, 1, 2, 4, 8, 16, 16], alarm=True)

    def test_gone(self) -> None:
        """410: never again with this configuration, and somebody should look."""
        self.row(backoff.GONE, [None, None], alarm=True)

    def test_finished(self) -> None:
        """A recording at its end: that is how it should be."""
        self.row(backoff.FINISHED, [None, None])

    def test_polls(self) -> None:
        """Who polls is patient with errors, also after a healthy session."""
        self.assertEqual([15, 30, 60, 120, 240, 480, 900], delays(backoff.NETWORK, 7, "poll"))
        for cause in (backoff.HTTP, backoff.STALL):
            self.assertEqual([60, 120, 240, 480, 960, 1920, 3600], delays(cause, 7, "poll"))
        self.assertEqual(15, plain("poll").after(backoff.NETWORK, healthy=True))

    def test_every_row_has_its_test(self) -> None:
        """Whoever adds a cause adds its row and its test here."""
        self.assertEqual(NAMES, set(CAUSES))
        for profile in PROFILES.values():
            self.assertEqual(NAMES, set(profile))
        missing = [cause for cause in CAUSES if not hasattr(self, f"test_{cause.replace('-', '_')}")]
        self.assertEqual([], missing)


class RetryAfterTests(SynchronousTestCase):
    """The header, in both its forms."""

    def test_seconds(self) -> None:
        """A number of seconds."""
        self.assertEqual(120, backoff.retry_after(" 120 ", 5.0))

    def test_date(self) -> None:
        """An HTTP date, counted from now; also in the two old forms, and without a zone."""
        now = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
        for date in ("Tue, 14 Nov 2023 22:15:20 GMT", "Tuesday, 14-Nov-23 22:15:20 GMT", "14 Nov 2023 22:15:20"):
            self.assertEqual(120, backoff.retry_after(date, now), date)

    def test_nothing(self) -> None:
        """What is missing, past or nonsense asks for nothing."""
        for written in (None, "", "0", "-5", "soon", "1e9", "nan", "9" * 400, "Tue, 14 Nov 1923 22:15:20 GMT", "²"):
            self.assertIsNone(backoff.retry_after(written, 1_700_000_000.0), written)

    @given(st.text(max_size=40))
    def test_any_text(self, written: str) -> None:
        """Whatever an upstream writes there: a positive number of seconds, or none."""
        wait = backoff.retry_after(written, 1_700_000_000.0)
        self.assertTrue(wait is None or 0 < wait < 10**16)


class BackoffTests(SynchronousTestCase):
    """What holds across the rows."""

    def test_profile_2010(self) -> None:
        """The series of the first consumers: 10, 30, 70, 150, 240."""
        self.assertEqual([10, 30, 70, 150, 240, 240], delays(backoff.HTTP, 6, "2010"))
        for cause in set(CAUSES) - {backoff.HTTP}:
            self.assertEqual(delays(cause, 5), delays(cause, 5, "2010"))

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
