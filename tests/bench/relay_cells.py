# -*- test-case-name: tests.unit.test_bench_relay -*-
"""What `make bench-relay` measures: the cells, what is found in one, and when a server has had enough."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

import attrs

RATES = (1, 10, 100, 1_000, 2_000)  # events/s
BEYOND = (4_000, 8_000)  # to find the highest rate of those who stand 2,000
CLIENTS = (100, 500, 5_000)
MIDDLE = 500  # clients, of the aims, of compression and of different subscriptions
BUSY = (100, 1_000, 2_000)  # events/s, where not all of RATES are measured
VARIANTS = 50  # different subscriptions

REACHED = 0.95  # of what was asked for; a server that delivers less has failed in that cell
LATE = 1_000.0  # ms of p99; so has one that is later


@attrs.frozen
class Cell:
    """One server's circumstances.

    Args:
        rate: events/s.
        deflate: the clients offer permessage-deflate.
        variants: different subscriptions among the clients.
    """

    clients: int
    rate: int
    deflate: bool = False
    variants: int = 1

    @property
    def deliveries(self) -> float:
        """A second, asked for."""
        return self.rate * self.clients / self.variants


@attrs.frozen
class Found:
    """What was measured in a cell.

    Args:
        deliveries: a second.
        cpu: cores that the server used.
        kernel: share of it that is the kernel's, to some hundredths of a second.
        reader: cores that the reader used.
        others: share of the server's core that others used; what makes a window a bad one.
        p50, p99: latencies in milliseconds, from the event's making to the reader's read.
        least, most: of the clients' counts of events; equal where the server is fair.
        lost: events that clients missed, were sent twice or had not asked for, and connections lost.
    """

    cell: Cell
    deliveries: float
    cpu: float
    kernel: float
    reader: float
    others: float
    p50: float
    p99: float
    least: int
    most: int
    lost: int
    seconds: float

    @property
    def per_million(self) -> float | None:
        """CPU seconds of the server by million deliveries; None where there were none."""
        return self.cpu / self.deliveries * 1e6 if self.deliveries else None

    @property
    def stood(self) -> bool:
        """Whether the server kept up; a window may begin or end between two events."""
        spare = self.cell.clients / self.cell.variants / self.seconds
        return not self.lost and self.p99 <= LATE and self.deliveries >= REACHED * self.cell.deliveries - spare


def sweep(
    rates: Iterable[int], measure: Callable[[int], Found], beyond: Iterable[int] = (), limit: float = float("inf")
) -> list[Found]:
    """Measure at rising rates until the server fails; that cell is the last.

    Args:
        beyond: rates that are tried after `rates`.
        limit: cores of the reader from which on it, not the server, may be what bounds a rate beyond.
    """
    found: list[Found] = []
    for rate in (*rates, *beyond):
        found.append(measure(rate))
        if not found[-1].stood or (found[-1].reader > limit and found[-1].cell.rate >= max(rates)):
            break
    return found


def highest(found: Iterable[Found]) -> float | None:
    """The most deliveries a second that came in any cell."""
    return max((one.deliveries for one in found), default=None)


def ratio(ours: Sequence[Found], theirs: Sequence[Found]) -> float | None:
    """The median over the rounds of our CPU seconds by million deliveries divided by theirs in the same round."""
    ratios = [
        mine.per_million / other.per_million
        for mine, other in zip(ours, theirs, strict=True)
        if mine.per_million is not None and other.per_million
    ]
    return statistics.median(ratios) if ratios else None


def middle(rounds: Sequence[Found]) -> Found:
    """The medians of a cell's rounds, each figure by itself; what was lost in any."""
    median = statistics.median
    return attrs.evolve(
        rounds[0],
        deliveries=median(one.deliveries for one in rounds),
        cpu=median(one.cpu for one in rounds),
        kernel=median(one.kernel for one in rounds),
        reader=median(one.reader for one in rounds),
        others=median(one.others for one in rounds),
        p50=median(one.p50 for one in rounds),
        p99=median(one.p99 for one in rounds),
        least=min(one.least for one in rounds),
        most=max(one.most for one in rounds),
        lost=sum(one.lost for one in rounds),
    )
