"""When to try again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.delivery import RECONNECT_CEILING, RETRY_CEILING, STEADY_AFTER, Reconnect, retry_delay


class DeliveryTests(SynchronousTestCase):
    """Delays by attempt."""

    def test_retry(self) -> None:
        """A failed delivery is held twice as long each time, up to a ceiling."""
        self.assertEqual([retry_delay(attempt) for attempt in (1, 2, 3, 7)], [0.05, 0.1, 0.2, 3.2])
        self.assertEqual([retry_delay(attempt) for attempt in (8, 10**6)], [RETRY_CEILING] * 2)

    def test_reconnect(self) -> None:
        """The ceiling of the delay doubles from 0.2 s to 30 s; jitter takes a share of it."""
        reconnect = Reconnect(lambda: 0.5)
        delays = [reconnect.delay(0.0) for _ in range(10)]
        self.assertEqual(delays[:4], [0.1, 0.2, 0.4, 0.8])
        self.assertEqual(delays[-1], RECONNECT_CEILING / 2)

    def test_steady(self) -> None:
        """Only a connection that was usable for a while makes the next loss count as the first."""
        reconnect = Reconnect(lambda: 1.0)
        for _ in range(5):
            reconnect.delay(0.0)
        self.assertEqual(reconnect.delay(STEADY_AFTER - 1), 0.2 * 2**5)
        self.assertEqual(reconnect.delay(STEADY_AFTER), 0.2)

    def test_others(self) -> None:
        """While other hosts are untried, the pause stays as short as the first, and the next one is not longer."""
        reconnect = Reconnect(lambda: 0.5)
        self.assertEqual([reconnect.delay(0.0, whole) for whole in (False, False, True, False, True)],
                         [0.1, 0.1, 0.1, 0.1, 0.2])  # fmt: skip

    @given(st.lists(st.floats(0, 100), max_size=100), st.floats(0, 0.999))
    def test_bounds(self, ran: list[float], share: float) -> None:
        """No delay is negative or above the ceiling."""
        reconnect = Reconnect(lambda: share)
        for seconds in ran:
            self.assertTrue(0 <= reconnect.delay(seconds) <= RECONNECT_CEILING)
