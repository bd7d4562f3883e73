# -*- test-case-name: tests.unit.test_services_cold -*-
"""Which positions are waited for while older events are read, how long, and which need not be tried again."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from streamer.fanout.journal import Journal
from streamer.fanout.position import Mark, Verdict

COLD_WAITING = 1_000  # positions waited for, by however many clients
PATIENCE = 10.0  # seconds that a position is waited for
REFUSED_FOR = 10.0  # seconds in which a position that could not be served is not tried again
REFUSED_KEPT = 1_000  # such positions remembered
GONE_FOR = 60.0  # seconds in which nothing is tried below what the log, or the memory for it, was found to have


@attrs.define(eq=False)
class Waiting:
    """Positions by when they are given up. Times are seconds since the epoch."""

    _until: dict[Mark, float] = attrs.field(factory=dict)
    _refused: OrderedDict[Mark, float] = attrs.field(factory=OrderedDict)  # until when
    _floor: int = 0  # no offset below it can be served
    _floor_until: float = 0.0
    _highest: int = 0  # offset of those that wait

    def take(self, mark: Mark, now: float) -> bool:
        """Whether a position may be waited for, or is already."""
        until = self._until.get(mark)
        if until is not None:
            return now < until
        refused = mark.offset < self._floor and now < self._floor_until
        if refused or now < self._refused.get(mark, 0.0) or self.full:
            return False
        self._until[mark] = now + PATIENCE
        self._highest = max(self._highest, mark.offset)
        return True

    @property
    def full(self) -> bool:
        """Whether no more may wait."""
        return len(self._until) >= COLD_WAITING

    def lowest(self, now: float) -> Mark | None:
        """The position to read from; None where nobody waits."""
        for mark in [mark for mark, until in self._until.items() if now >= until]:
            self._drop(mark, now)
        return min(self._until, key=lambda mark: mark.offset, default=None)

    def reaches(self, offset: int) -> bool:
        """Whether somebody waits at that offset or above."""
        return offset <= self._highest

    def refuse_below(self, offset: int, now: float) -> None:
        """Positions below that offset cannot be served."""
        self._floor, self._floor_until = offset, now + GONE_FOR

    def settle(self, read: Mark, journal: Journal, now: float) -> None:
        """A stretch was read from a position: only those wait on that need another one."""
        for mark in list(self._until):
            located = journal.locate(mark.text)
            if mark == read or mark.offset < self._floor or (journal.edge and located.verdict is not Verdict.EXPIRED):
                del self._until[mark]
        if journal.locate(read.text).verdict is Verdict.EXPIRED or journal.edge is None:
            self._drop(read, now)
        self._highest = max((mark.offset for mark in self._until), default=0)

    def _drop(self, mark: Mark, now: float) -> None:
        self._until.pop(mark, None)
        self._refused[mark] = now + REFUSED_FOR
        self._refused.move_to_end(mark)
        if len(self._refused) > REFUSED_KEPT:
            self._refused.popitem(last=False)
