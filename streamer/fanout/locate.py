# -*- test-case-name: tests.unit.test_fanout_journal -*-
"""Where in a journal a position stands, if it does, and what is wrong with it otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streamer.fanout.position import FIRST_OFFSETS, Mark, Verdict, check

if TYPE_CHECKING:
    from streamer.fanout.journal import Journal


class Located(msgspec.Struct, frozen=True):
    """Where a position is; `place` is None unless it was found."""

    verdict: Verdict
    place: int | None = None


def located_start(journal: Journal) -> Located:
    """Where the beginning of the log is."""
    edge = journal.edge
    if edge is None or (edge.offset <= FIRST_OFFSETS and edge is journal.held.get(journal.floor)):
        return Located(Verdict.FOUND, journal.floor)
    return Located(Verdict.EXPIRED)  # entries may have stood before our first one


def located_mark(journal: Journal, mark: Mark) -> Located:
    """Where the place after some entry is."""
    edge, held = journal.edge, journal.held
    if edge is not None and mark.offset < edge.offset:
        return Located(Verdict.EXPIRED)
    if edge is not None and mark.offset == edge.offset:
        below = edge is not held.get(journal.floor)
        return _judged(mark, edge.message_id, journal.floor if below else journal.floor + 1)
    place = _first_after(journal, mark.offset)
    if place > journal.floor and held[place - 1].offset == mark.offset:
        return _judged(mark, held[place - 1].message_id, place)
    repeat = journal.sights.repeat_at(mark.offset)
    if repeat is not None:
        message_id, after = repeat
        return _judged(mark, message_id, after) if after >= journal.floor else Located(Verdict.EXPIRED)
    return Located(Verdict.UNKNOWN)


def _first_after(journal: Journal, offset: int) -> int:
    """The first place whose entry has a greater offset; by bisection, for offsets rise."""
    low, high = journal.floor, journal.head
    while low < high:
        middle = (low + high) // 2
        if journal.held[middle].offset > offset:
            high = middle
        else:
            low = middle + 1
    return low


def _judged(mark: Mark, message_id: str, place: int) -> Located:
    if mark.check == check(message_id):
        return Located(Verdict.FOUND, place)
    return Located(Verdict.UNKNOWN)
