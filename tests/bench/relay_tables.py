# -*- test-case-name: tests.unit.test_bench_relay -*-
"""What `make bench-relay` prints: Markdown tables, as docs/performance.md has them, and the aims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tests.bench.relay_cells import Cell, Found

Results = Mapping[str, Sequence[Found]]  # by server
NOTHING = "–"  # not measured: it had failed at a lower rate


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand below each other; the first is text, the others are figures."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (cell.ljust(width) if at == 0 else cell.rjust(width)
                          for at, (cell, width) in enumerate(zip(cells, widths, strict=True)))  # fmt: skip
        return f"| {' | '.join((first, *others))} |"

    rule = [("-" * width if at == 0 else "-" * (width - 1) + ":") for at, width in enumerate(widths)]
    return "\n".join(map(line, (head, rule, *rows)))


def by_rate(results: Results, rates: Sequence[int], show: Callable[[Found], str]) -> str:
    """A row a server, a column a rate."""
    rows = []
    for name, found in results.items():
        cells = {one.cell.rate: show(one) for one in found}
        rows.append([name, *(cells.get(rate, NOTHING) for rate in rates)])
    return table(["server", *(f"{rate:,}/s" for rate in rates)], rows)


def cost(found: Found) -> str:
    """CPU seconds by million deliveries and cores, with a mark where the server did not keep up."""
    figure = found.per_million
    text = NOTHING if figure is None else f"{figure:.3g}" if figure < 100 else f"{figure:,.0f}"
    return f"{text} ({found.cpu:.2f}){mark(found)}"


def latency(found: Found) -> str:
    """p50 and p99 in milliseconds."""
    return f"{milliseconds(found.p50)} / {milliseconds(found.p99)}{mark(found)}"


def deliveries(found: Found) -> str:
    """A second."""
    return f"{found.deliveries:,.0f}{mark(found)}"


def mark(found: Found) -> str:
    """What a reader must know of a cell."""
    if found.lost:
        return " lost"
    return "" if found.stood else " fails"


def milliseconds(value: float) -> str:
    """Three digits."""
    return (
        NOTHING if value < 0 else f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
    )


def live(name: str, found: Found) -> str:
    """One cell, as soon as it is measured."""
    cell: Cell = found.cell
    circumstances = [f"{cell.rate:>5,}/s x {cell.clients:>5,}"]
    if cell.deflate:
        circumstances.append("deflate")
    if cell.variants > 1:
        circumstances.append(f"{cell.variants} subscriptions")
    figures = (
        f"{found.deliveries:>11,.0f}/s  {cost(found):>18}  kernel {found.kernel:4.0%}  p50/p99 {latency(found)} ms  "
        f"clients got {found.least:,} to {found.most:,}  reader {found.reader:.2f}, others {found.others:.2f}"
    )
    return f"{name:16} {' '.join(circumstances):32} {figures}"


def aim(what: str, value: float | None, limit: float | None, unit: str = "", *, most: bool = True) -> str:
    """A figure beside what it should be at most, or at least, where there is such a limit."""
    if value is None:
        return f"{what:64} not measured"
    figure = f"{what:64} {value:8.2f}{unit}"
    if limit is None:
        return figure
    met = value <= limit if most else value >= limit
    word = "at most" if most else "at least"
    return f"{figure}   aim {word} {limit:g}{unit}: {'met' if met else 'MISSED'}"
