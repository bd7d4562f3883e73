# -*- test-case-name: tests.unit.test_policy_overview -*-
"""What the admin endpoint of one process said at two moments → rates, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from streamer.metrics import Metric
from streamer.policy.exposition import Samples

UNKNOWN = "-"


@attrs.frozen
class Look:
    """One look at one process.

    Args:
        at: seconds since the epoch.
        status: the document of `/status`.
        samples: the numbers of `/metrics`.
    """

    at: float
    status: Mapping[str, Any]
    samples: Samples

    @property
    def parts(self) -> Mapping[str, Look | str]:
        """Of an endpoint that speaks for several processes each one, by its number; a sentence where it is away."""
        listed = self.status.get("processes")
        found: dict[str, Look | str] = {}
        for row in listed if isinstance(listed, list) else []:
            if isinstance(row, dict):
                number, status = str(row.get("process", "")), row.get("status")
                seen = (
                    Look(self.at, status, self.samples.only("process", number)) if isinstance(status, dict) else None
                )
                found[number] = seen or str(row.get("trouble") or "says nothing of itself")
        return found

    def table(self, name: str) -> Mapping[str, Any]:
        """A table of the status; empty where it has none."""
        found = self.status.get(name)
        return found if isinstance(found, dict) else {}


@attrs.frozen
class Pair:
    """Two looks at one process; the first one is None until there are two."""

    before: Look | None
    now: Look

    @property
    def parts(self) -> Mapping[str, Pair | str]:
        """As those of the look, each with its own earlier one."""
        earlier = {} if self.before is None else self.before.parts
        return {
            number: look if isinstance(look, str) else Pair(_seen(earlier.get(number)), look)
            for number, look in self.now.parts.items()
        }

    def grown(self, metric: Metric, **labels: str) -> float | None:
        """By how much a counter has grown; None where that is not known, or the process was started anew."""
        if self.before is None:
            return None
        grown = self.now.samples.total(metric.name, **labels) - self.before.samples.total(metric.name, **labels)
        return grown if grown >= 0 else None

    def rate(self, *metrics: Metric, **labels: str) -> float | None:
        """By how much counters grow together, a second."""
        seconds = 0.0 if self.before is None else self.now.at - self.before.at
        grown = [self.grown(metric, **labels) for metric in metrics]
        if seconds <= 0 or None in grown:
            return None
        return sum(number for number in grown if number is not None) / seconds

    def ratio(self, metric: Metric, of: Metric) -> float | None:
        """By how much a counter has grown for one of another."""
        grown, whole = self.grown(metric), self.grown(of)
        return grown / whole if grown is not None and whole else None


def _seen(look: Look | str | None) -> Look | None:
    return look if isinstance(look, Look) else None


def number(value: float | None) -> str:
    """`0`, `0.3`, `12.5`, `1,234`; `-` where it is not known."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if value >= 99.95 or value == int(value) else f"{value:.1f}"


def span(seconds: float | None) -> str:
    """A length of time in the unit that suits it."""
    if seconds is None:
        return UNKNOWN
    seconds = max(seconds, 0.0)
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def size(value: float | None) -> str:
    """Bytes in the decimal unit that suits them."""
    if value is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"
