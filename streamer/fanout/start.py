# -*- test-case-name: tests.unit.test_fanout_session -*-
"""Where a subscription begins, and what its client is told where that is not what it asked for."""

from __future__ import annotations

from typing import Any

import msgspec

from streamer.fanout.arrivals import ago
from streamer.fanout.cohort import Cohort
from streamer.fanout.journal import Journal
from streamer.fanout.position import START, Verdict


class Start(msgspec.Struct, frozen=True):
    """The place of a subscription's first event.

    Args:
        verdict: of the position or time the client named; FOUND where it named none.
        oldest: the oldest position that could be served instead, where it was not found.
    """

    place: int
    verdict: Verdict = Verdict.FOUND
    oldest: str | None = None

    def facts(self) -> dict[str, Any]:
        """What `subd` and `welcome` say about it."""
        if self.verdict is Verdict.FOUND:
            return {"recovered": True}
        return {"recovered": False, "reason": self.verdict.value, "oldest": self.oldest}


def after(journal: Journal, position: str) -> Start:
    """Begin after a position; where it cannot be served, with what comes next.

    Or with what came within a time such as "5m"; where some of that has left, with the oldest there is.
    """
    seconds = ago(position)
    if seconds is not None:
        return _within(journal, seconds)
    located = journal.locate(position)
    if located.place is not None:
        return Start(located.place)
    return Start(journal.head, located.verdict, _oldest(journal))


def _within(journal: Journal, seconds: float) -> Start:
    place = journal.arrivals.within(seconds)
    if place is not None and place >= journal.floor:
        return Start(place)
    if journal.locate(START).place is not None:  # nothing has left
        return Start(journal.floor)
    return Start(journal.floor, Verdict.EXPIRED, _oldest(journal))


def _oldest(journal: Journal) -> str:
    """The oldest position that can be served; of entries that were never read no position is known."""
    oldest = journal.position(journal.floor)
    if journal.locate(oldest).place is None and journal.floor < journal.head:
        return journal.position(journal.floor + 1)
    return oldest


def begin(journal: Journal, cohort: Cohort, position: str | None, last: int | None) -> Start:
    """Begin as `after` does, or where there is no position that can be served with the last events, or with the next.

    Args:
        cohort: of the subscription's patterns; asked for the last events.
    """
    start = Start(journal.head) if position is None else after(journal, position)
    if last is None or (position is not None and start.verdict is Verdict.FOUND):
        return start
    return Start(cohort.place_of(cohort.last(last)), start.verdict, start.oldest)
