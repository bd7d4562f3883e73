# -*- test-case-name: tests.unit.test_policy_source_table -*-
"""Rows of a streamer's `/status` → the table of `streamer sources`, as lines for a terminal.

A source has one line of numbers; what is wrong with it stands below, indented. Nothing is trusted to be there, or to
be what it should: the streamer may be of another version, and what it says may quote strangers.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from streamer.policy.rates import UNKNOWN, number, span
from streamer.policy.terminal import fitted, harmless, width

GAP = "  "  # between columns
HEAD = ("source", "type", "state", "items/s", "last", "reconn", "cursor")
RIGHT = frozenset({3, 4, 5})  # numbers
MOST = (24, 14, 10)  # columns of name, type and state
LEAST = 12  # columns of the cursor, however narrow the terminal is
CURSOR = 40  # columns of it at most
ABSURD = 1e15  # no number of a source is as large
NOTE = "  "  # before what is wrong


def source_table(rows: Mapping[str, Any], columns: int) -> list[str]:
    """The table.

    Args:
        rows: by source.
        columns: of the terminal; below 80 lines may be longer than it.
    """
    cells = [HEAD, *(_cells(name, row if isinstance(row, dict) else {}) for name, row in rows.items())]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    for place, most in enumerate(MOST):
        widths[place] = min(widths[place], most)
    before = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    over = before + min(widths[-1], LEAST) - columns
    if over > 0:  # names are long: cut them, for nothing else is
        widths[0] -= min(over, max(0, widths[0] - LEAST))
        before = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    widths[-1] = min(widths[-1], CURSOR, max(LEAST, columns - before))
    lines = []
    for line, row in zip(cells, (None, *rows.values()), strict=True):
        lines.append(GAP.join(_placed(place, text, widths[place]) for place, text in enumerate(line)).rstrip())
        for wrong in _wrong(row if isinstance(row, dict) else {}):
            lines += textwrap.wrap(
                wrong, max(columns, 40), initial_indent=NOTE, subsequent_indent=NOTE, break_on_hyphens=False
            )
    return lines


def _cells(name: object, row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        harmless(str(name)),
        _text(row.get("type")),
        _text(row.get("state")),
        number(_number(row.get("rate"))),
        span(_number(row.get("last_item_age"))),
        number(_number(row.get("reconnects"))),
        _text(row.get("cursor")),
    )


def _wrong(row: Mapping[str, Any]) -> list[str]:
    """What is wrong with a source, a sentence each."""
    found = [_text(row["said"])] if row.get("said") else []
    if row.get("stale"):
        found.append("it is open, but has sent no item for longer than expected")
    if row.get("paused"):
        found.append("reading waits for room")
    spooled = _number(row.get("spooled_bytes"))
    if spooled:
        found.append(f"{spooled:,.0f} bytes wait on disk for the bus")
    return found


def _placed(place: int, text: str, columns: int) -> str:
    if place == len(HEAD) - 1:
        return shortened(text, columns)
    return " " * (columns - width(text)) + text if place in RIGHT else fitted(text, columns)


def shortened(text: str, columns: int) -> str:
    """A harmless text cut in its middle: both ends of a cursor tell something."""
    if width(text) <= columns:
        return text
    tail = (columns - 1) // 2
    head = fitted(text, columns - tail).rstrip().removesuffix("…")
    kept = ""
    for character in reversed(text):
        if width(character + kept) > tail:
            break
        kept = character + kept
    return f"{head}…{kept}"


def _text(value: object) -> str:
    return harmless(str(value)) if value is not None and value != "" else UNKNOWN


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < ABSURD:
        return None
    return float(value)
