# -*- test-case-name: tests.unit.test_policy_overview -*-
"""What the processes of a system say of themselves → the tables of `streamer top`, as lines.

A process shows the tables of the roles it has: a pipeline has all. Nothing is trusted to be there: a service of
another version may not have it yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from streamer import metrics as m
from streamer.policy.histogram import INFINITE, quantile
from streamer.policy.rates import UNKNOWN, Pair, number, size, span
from streamer.policy.terminal import fitted, harmless, width

MILLION = 1_000_000
GAP = "  "  # between columns
SHARE = 0.99  # of events, whose lag is shown

Row = Sequence[str]


def overview(looks: Mapping[str, Pair | str], columns: int) -> list[str]:
    """The tables.

    Args:
        looks: by the address of the process; a sentence where it cannot be seen.
        columns: of the terminal; lines are cut there.
    """
    processes = {name: look for url, whole in looks.items() for name, look in _processes(url, whole)}
    pairs = [(name, look) for name, look in processes.items() if isinstance(look, Pair)]
    tables = [
        [AWAY, *((name, look) for name, look in processes.items() if isinstance(look, str))],
        [SOURCES, *(row for _, pair in pairs for row in _sources(pair))],
        [ENRICHERS, *(row for at, pair in pairs for row in _enrichers(at, pair))],
        [RELAYS, *(row for at, pair in pairs for row in _relays(at, pair))],
        [FANOUTS, *(row for at, pair in pairs for row in _fanouts(at, pair))],
        [SLOWEST, *(row for at, pair in pairs for row in _slowest(at, pair))],
    ]
    lines: list[str] = []
    for table in tables:
        if len(table) > 1:
            lines += [*([""] if lines else []), *_aligned(table)]
    return [fitted(harmless(text), columns).rstrip() for text in lines]


SOURCES: Row = ("SOURCE", "ITEMS/S", "LAST ITEM", "SPOOL", "STATE")
ENRICHERS: Row = ("ENRICHER", "ITEMS/S", "EVENTS/S", "FAILURES/S", "IN HAND", "STATE")
RELAYS: Row = ("RELAY", "CLIENTS", "BEHIND", "DELIVERED/S", "SKIPPED/S", "STATE")
FANOUTS: Row = ("JOURNAL", "EVENTS", "SIZE", "AGE", "CPU S/MILLION", "LAG P99")
SLOWEST: Row = ("SLOWEST", "RELAY", "FACE", "BEHIND", "PAUSED", "CONNECTED", "POLICY")
AWAY: Row = ("AWAY", "WHY")


def _processes(url: str, look: Pair | str) -> Iterator[tuple[str, Pair | str]]:
    """Who speaks at an address: one process, or several with their numbers."""
    name = urlsplit(url).netloc or url
    if isinstance(look, str) or not look.parts:
        yield name, look
        return
    for process, part in look.parts.items():
        yield f"{name}#{process}", part


def _sources(pair: Pair) -> Iterator[Row]:
    for name, row in pair.now.table("streamer").items():
        if isinstance(row, dict):
            last = row.get("last_item")
            yield (
                str(name),
                number(pair.rate(m.ITEMS, source=str(name))),
                span(pair.now.at - last if isinstance(last, int | float) else None),
                size(_number(row, "spooled_bytes")),
                str(row.get("said") or row.get("state") or UNKNOWN),
            )


def _enrichers(at: str, pair: Pair) -> Iterator[Row]:
    table = pair.now.table("enrich")
    if table:
        yield (
            at,
            number(pair.rate(m.HYDRATED, m.UNDECODED)),
            number(pair.rate(m.EVENTS_MADE)),
            number(pair.rate(m.UNDECODED, m.HYDRATOR_FAILURES)),
            number(_number(table, "in_hand")),
            _ready(table),
        )


def _relays(at: str, pair: Pair) -> Iterator[Row]:
    table, samples = pair.now.table("relay"), pair.now.samples
    if table:
        yield (
            at,
            _clients(samples.by(m.CLIENTS.name, "face")),
            number(samples.total(m.CLIENTS_BEHIND.name)),
            number(pair.rate(m.DELIVERED)),
            number(pair.rate(m.SKIPPED)),
            _ready(table),
        )


def _fanouts(at: str, pair: Pair) -> Iterator[Row]:
    samples = pair.now.samples
    if pair.now.table("relay"):
        floor = samples.total(m.JOURNAL_FLOOR.name)
        cost = pair.ratio(m.FANOUT_CPU, m.DELIVERED)
        yield (
            at,
            number(samples.total(m.JOURNAL_ENTRIES.name)),
            size(samples.total(m.JOURNAL_BYTES.name)),
            span(pair.now.at - floor if floor else None),
            UNKNOWN if cost is None else f"{cost * MILLION:.2f}",
            _lag(pair),
        )


def _slowest(at: str, pair: Pair) -> Iterator[Row]:
    rows = pair.now.table("relay").get("slowest")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            yield (
                str(row.get("session", UNKNOWN)),
                at,
                str(row.get("face", UNKNOWN)),
                number(_number(row, "behind")),
                span(_number(row, "paused_for")),
                span(_number(row, "connected_for")),
                str(row.get("policy", UNKNOWN)),
            )


def _clients(faces: Mapping[str, float]) -> str:
    return ", ".join(f"{number(count)} {face}" for face, count in faces.items() if count) or "0"


def _lag(pair: Pair) -> str:
    """Of the events since the last look; of all where there was none."""
    name = f"{m.FANOUT_LAG.name}_bucket"
    buckets = pair.now.samples.by(name, "le")
    if pair.before is not None:
        earlier = pair.before.samples.by(name, "le")
        if buckets.get(INFINITE, 0) >= earlier.get(INFINITE, 0):
            buckets = {bound: count - earlier.get(bound, 0) for bound, count in buckets.items()}
    lag = quantile(SHARE, buckets)
    if lag is None:
        return UNKNOWN
    return "> 30 s" if lag == float("inf") else f"≤ {span(lag)}"


def _ready(table: Mapping[str, Any]) -> str:
    ready = table.get("ready")
    return "ready" if ready is True else "not ready" if ready is False else UNKNOWN


def _number(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    return float(value) if isinstance(value, int | float) else None


def _aligned(rows: Sequence[Row]) -> Iterator[str]:
    """Columns side by side: the first and the last to the left, numbers to the right."""
    rows = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    for row in rows:
        cells = [
            fitted(cell, wide) if place in (0, last) else " " * (wide - width(cell)) + cell
            for place, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ]
        yield GAP.join(cells)
