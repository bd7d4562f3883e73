"""What `make bench-bus` prints: medians of rounds, how far they lie apart, and ratios within a round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import attrs

from tests.bench.bus_load import Taken
from tests.bench.figures import percentile
from tests.bench.relay_tables import NOTHING, table

Rounds = Sequence[Taken | None]  # of one contestant; None where it failed


@attrs.define
class Work:
    """One kind of work, and what it took each contestant in each round."""

    title: str
    found: dict[str, list[Taken | None]] = attrs.field(factory=dict)
    reasons: dict[str, str] = attrs.field(factory=dict)  # why a contestant failed, the last time it did

    def add(self, name: str, taken: Taken | None, reason: str = "") -> None:
        """One more round; with a reason where it failed."""
        self.found.setdefault(name, []).append(taken)
        if reason:
            self.reasons[name] = reason

    def forget(self) -> None:
        """As if nothing had been measured."""
        self.found.clear()
        self.reasons.clear()

    def sort(self, names: Sequence[str]) -> None:
        """Have the contestants in that order."""
        self.found = {name: self.found[name] for name in names if name in self.found}


def rate(taken: Taken) -> float:
    """Messages a second by the clock on the wall."""
    return taken.count / taken.seconds


def per_cpu(taken: Taken) -> float:
    """Messages by CPU second of the contestant's process."""
    return taken.count / max(taken.cpu, 1e-9)


def values(rounds: Rounds, of: Callable[[Taken], float]) -> list[float]:
    """The rounds that did not fail."""
    return [of(taken) for taken in rounds if taken is not None]


def spread(found: Sequence[float]) -> str:
    """The median, and the range."""
    if not found:
        return NOTHING
    return f"{statistics.median(found):,.0f} ({min(found):,.0f} to {max(found):,.0f})"


def paired(ours: Rounds, theirs: Rounds, of: Callable[[Taken], float]) -> float | None:
    """The median of our figure divided by theirs of the same round; None without a round that both finished."""
    ratios = [of(one) / of(other) for one, other in zip(ours, theirs, strict=False) if one and other]
    return statistics.median(ratios) if ratios else None


def work_table(work: Work, ours: str) -> str:
    """A row a contestant: messages a second, and by CPU second, and where there is a peer, both of ours by its."""
    rows = []
    mine, alone = work.found.get(ours, []), len(work.found) == 1
    for name, rounds in work.found.items():
        row = [name]
        for of in (rate, per_cpu):
            row.append(spread(values(rounds, of)))
            if not alone:
                row.append("" if name == ours else _ratio(paired(mine, rounds, of)))
        rows.append(row)
    share = [] if alone else ["ours by its"]
    head = ["contestant", "messages/s", *share, "messages by CPU second", *share]
    reasons = [f"{name} failed: {reason}" for name, reason in work.reasons.items()]
    return "\n\n".join([table(head, rows), *reasons])


def delay_table(found: Mapping[str, Sequence[float]]) -> str:
    """A row a contestant, of microseconds: what half and all but a hundredth of its messages took at most."""
    rows = [
        [
            name,
            f"{len(delays):,}",
            *map(milliseconds, (percentile(delays, 0.5), percentile(delays, 0.99), max(delays))),
        ]
        for name, delays in found.items()
    ]
    return table(["contestant", "messages", "p50, ms", "p99, ms", "longest, ms"], rows)


def milliseconds(microseconds: float) -> str:
    """With as many digits as mean something."""
    return f"{microseconds / 1000:.2f}"


def _ratio(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"
