# -*- test-case-name: tests.unit.test_policy_histogram -*-
"""How long things took, counted in fixed buckets: the numbers of a Prometheus histogram.

Counted are the observations of each bucket alone, so that one costs a search and two additions, and the numbers of
several processes can be added; `cumulative` makes of them what is shown:
https://prometheus.io/docs/concepts/metric_types/#histogram

In `Metrics` a histogram is its buckets, by their upper bound `le`, and beside them the sum of what was observed, under
the label `SUM`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from streamer.metrics import Metric, Metrics

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds, inclusive
INFINITE = "+Inf"
LABELS = (*(f"{bound:g}" for bound in BOUNDS), INFINITE)
SUM = "sum"


def observe(metrics: Metrics, metric: Metric, seconds: float, count: int = 1) -> None:
    """Count `count` observations of so many seconds each; a clock that was set back makes none below 0."""
    seconds = max(seconds, 0.0)
    metrics.add(metric, LABELS[bisect_left(BOUNDS, seconds)], by=count)
    metrics.add(metric, SUM, by=seconds * count)


def observe_all(metrics: Metrics, metric: Metric, times: Sequence[float]) -> None:
    """Count each of many observations once, in seconds, for a third of what `observe` costs each."""
    counted: dict[str, int] = {}
    for seconds in times:
        label = LABELS[bisect_left(BOUNDS, seconds)]
        counted[label] = counted.get(label, 0) + 1
    for label, count in counted.items():
        metrics.add(metric, label, by=count)
    if counted:
        metrics.add(metric, SUM, by=sum(max(seconds, 0.0) for seconds in times))


def cumulative(counted: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Each bucket's upper bound and how many observations were at most that, in order, the last being all.

    Args:
        counted: by label, as in `Metrics`; what was never counted may be missing.
    """
    total = 0.0
    for label in LABELS:
        total += counted.get(label, 0.0)
        yield label, total


def quantile(share: float, buckets: Mapping[str, float]) -> float | None:
    """The upper bound of the bucket in which a share of all observations is reached, in seconds.

    Args:
        share: from 0 to 1.
        buckets: cumulative, by `le`, as `/metrics` shows them; or what was added to them between two looks.

    Returns:
        None where nothing was observed; infinity where the bucket has no bound.
    """
    total = buckets.get(INFINITE, 0.0)
    if total <= 0:
        return None
    for label, bound in zip(LABELS, BOUNDS, strict=False):
        if buckets.get(label, 0.0) >= share * total:
            return bound
    return float("inf")
