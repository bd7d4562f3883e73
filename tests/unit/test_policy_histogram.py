"""How long things took, in buckets, and how Prometheus sees them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.metrics import FANOUT_LAG, Metrics
from streamer.net.admin import render
from streamer.policy.exposition import parse
from streamer.policy.histogram import BOUNDS, INFINITE, LABELS, SUM, cumulative, observe, observe_all, quantile

TIMES = st.lists(st.floats(-1, 100), max_size=30)


def counted(metrics: Metrics) -> dict[str, float]:
    """What is in the metrics, by label."""
    return {label: number for _, (label,), number in metrics}


class HistogramTests(SynchronousTestCase):
    """The buckets."""

    def test_bounds_are_inclusive(self) -> None:
        """What takes exactly a bound's time is in its bucket; above the last bound is infinity, below 0 the first."""
        for seconds, label in ((0.001, "0.001"), (0.0011, "0.0025"), (30.0, "30"), (30.1, INFINITE), (-5, "0.001")):
            with self.subTest(seconds=seconds):
                metrics = Metrics()
                observe(metrics, FANOUT_LAG, seconds, 3)
                self.assertEqual({label: 3, SUM: 3 * max(seconds, 0)}, counted(metrics))

    @settings(max_examples=50, deadline=None)
    @given(TIMES)
    def test_all_at_once(self, times: list[float]) -> None:
        """Many observations at once count as each one does; none count nothing."""
        one, many = Metrics(), Metrics()
        for seconds in times:
            observe(one, FANOUT_LAG, seconds)
        observe_all(many, FANOUT_LAG, times)
        self.assertEqual(sorted(counted(one)), sorted(counted(many)))
        for label, number in counted(one).items():
            self.assertAlmostEqual(number, counted(many)[label], 6)

    @settings(max_examples=50, deadline=None)
    @given(TIMES)
    def test_cumulative(self, times: list[float]) -> None:
        """Each bucket holds all that is at most its bound, the last one everything."""
        metrics = Metrics()
        observe_all(metrics, FANOUT_LAG, times)
        shown = list(cumulative(counted(metrics)))
        self.assertEqual(list(LABELS), [label for label, _ in shown])
        expected = [sum(seconds <= bound for seconds in times) for bound in BOUNDS]
        self.assertEqual([*expected, len(times)], [count for _, count in shown])

    def test_quantile(self) -> None:
        """The bound under which a share of all lies; nothing of nothing."""
        metrics = Metrics()
        for seconds, count in ((0.004, 98), (0.2, 1), (100.0, 1)):
            observe(metrics, FANOUT_LAG, seconds, count)
        buckets = dict(cumulative(counted(metrics)))
        self.assertEqual([0.005, 0.25, float("inf")], [quantile(share, buckets) for share in (0.98, 0.99, 1.0)])
        self.assertIsNone(quantile(0.5, {}))

    def test_rendered(self) -> None:
        """`/metrics` has a histogram as Prometheus defines it: every bucket, its sum and its count."""
        metrics = Metrics()
        observe(metrics, FANOUT_LAG, 0.25, 2)
        observe(metrics, FANOUT_LAG, 50)
        text = render(metrics)
        self.assertIn("# TYPE streamer_fanout_lag_seconds histogram\n", text)
        self.assertNotIn('"sum"', text)
        samples = parse(text)
        buckets = samples.by("streamer_fanout_lag_seconds_bucket", "le")
        self.assertEqual(list(LABELS), list(buckets))
        self.assertEqual([0, 2, 2, 3], [buckets[le] for le in ("0.1", "0.25", "30", "+Inf")])
        self.assertEqual(50.5, samples.total("streamer_fanout_lag_seconds_sum"))
        self.assertEqual(3, samples.total("streamer_fanout_lag_seconds_count"))
