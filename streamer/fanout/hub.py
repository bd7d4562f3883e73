# -*- test-case-name: tests.unit.test_fanout_cohort -*-
"""The journal, the cohorts that read it, and who must be served. One for each relay.

What an event costs does not depend on how many clients there are: the cohorts that want it are found at once, in a
tree of all their patterns (a deletion concerns all). Serving is left to a tick, `flush`, that visits those cohorts
only: their fronts are written to, and whoever else reads them is woken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from streamer.errors import DecodeError
from streamer.fanout.cohort import Cohort, Frames
from streamer.fanout.encoding import Encoding
from streamer.fanout.front import Front, Reader
from streamer.fanout.interest import Interest
from streamer.fanout.journal import Journal
from streamer.message import Entry
from streamer.metrics import (
    BAD_EVENTS,
    JOURNAL_EVICTED,
    REPEATED_EVENTS,
    Metrics,
)

if TYPE_CHECKING:
    from streamer.fanout.live import Live

STEP = 100  # clients that are written to together


@attrs.define(eq=False)
class Hub:
    """What all sessions of a relay share."""

    journal: Journal
    metrics: Metrics
    _cohorts: dict[frozenset[str], Cohort] = attrs.field(factory=dict)
    _frames: Frames = attrs.field(factory=Frames)
    _made: int = 0
    _interest: Interest[Cohort] = attrs.field(factory=Interest)
    _watchers: dict[Cohort, dict[Live, None]] = attrs.field(factory=dict)
    _fronts: dict[Cohort, dict[Encoding, Front]] = attrs.field(factory=dict)
    _touched: dict[Cohort, None] = attrs.field(factory=dict)
    _waiting: dict[Reader, None] = attrs.field(factory=dict)  # those that have more than fitted into their turn
    _writing: deque[Front] = attrs.field(factory=deque)  # of the tick under way
    _waking: deque[Reader] = attrs.field(factory=deque)  # of the tick under way

    def append(self, entry: Entry) -> bool:
        """Take the next entry of the log. Whether anybody is to be served: call `flush` soon."""
        journal = self.journal
        floor, rewritten = journal.floor, journal.rewritten
        try:
            logged = journal.append(entry)
        except DecodeError:
            self.metrics.add(BAD_EVENTS)
            return False
        if logged is None:
            self.metrics.add(REPEATED_EVENTS)
            return False
        if journal.floor > floor:
            self.metrics.add(JOURNAL_EVICTED, by=journal.floor - floor)
        if journal.rewritten > rewritten:
            self._frames.clear()
        place = journal.head - 1
        for cohort in self._cohorts.values() if logged.deletion else self._interest.find(logged.topic):
            cohort.take(place)
            self._touched[cohort] = None
        return bool(self._touched)

    def flush(self, budget: int, now: float, late: Callable[[], bool] = lambda: False, tick: bool = True) -> bool:
        """Serve at most `budget` clients of those that have something to read.

        Args:
            late: asked after each client that is woken, and each `STEP` that are written to: whether to stop.
            tick: begin with what has come since the last tick; else only go on with what is under way, and with those
                that have more to catch up with than fitted into their turn.

        Returns:
            Whether there is more to go on with: call it again in another turn.
        """
        writing, waking = self._writing, self._waking
        if tick:
            self._gather()
        if not writing and not waking:
            waking.extend(self._waiting)
            self._waiting.clear()
        while budget > 0:
            if writing:
                step = min(budget, STEP)
                left = writing[0].flush(step, now)
                budget -= step - left
                if left:
                    writing.popleft()
            elif waking:
                waking.popleft().wake()
                budget -= 1
            else:
                break
            if late():
                break
        return bool(writing or waking or self._waiting)

    @property
    def writing(self) -> bool:
        """Whether the last tick's events are still being written to those that had caught up."""
        return bool(self._writing)

    def later(self, reader: Reader) -> None:
        """Wake a client with the next `flush`, for it has more to read."""
        self._waiting[reader] = None

    def _gather(self) -> None:
        under_way = set(self._writing)
        for cohort in self._touched:
            fronts = self._fronts.get(cohort, {}).values()
            self._writing.extend(front for front in fronts if front.busy and front not in under_way)
            self._waking.extend(live.reader for live in self._watchers.get(cohort, ()))
        self._touched.clear()

    def enter(self, patterns: frozenset[str]) -> Cohort:
        """The cohort of these patterns, to be given back with `leave`."""
        cohort = self._cohorts.get(patterns)
        if cohort is None:
            self._made += 1
            cohort = self._cohorts[patterns] = Cohort(patterns, self._made, self.journal, self._frames)
            self._interest.add(patterns, cohort)
        cohort.users += 1
        return cohort

    def leave(self, cohort: Cohort) -> None:
        """Undo one `enter`; a cohort that nobody reads costs nothing from then on."""
        cohort.users -= 1
        if cohort.users:
            return
        del self._cohorts[cohort.patterns]
        self._touched.pop(cohort, None)
        self._fronts.pop(cohort, None)
        self._interest.remove(cohort.patterns, cohort)

    def watch(self, cohort: Cohort, live: Live) -> None:
        """Have the client woken when the cohort gets an event."""
        self._watchers.setdefault(cohort, {})[live] = None

    def unwatch(self, cohort: Cohort, live: Live) -> None:
        """Undo `watch`."""
        watchers = self._watchers[cohort]
        del watchers[live]
        if not watchers:
            del self._watchers[cohort]

    def front(self, cohort: Cohort, encoding: Encoding) -> Front:
        """Those who have been given all that a cohort has, in that encoding."""
        fronts = self._fronts.setdefault(cohort, {})
        if encoding not in fronts:
            fronts[encoding] = Front(cohort, encoding, self.metrics)
        return fronts[encoding]

    @property
    def cohorts(self) -> int:
        """Distinct sets of patterns being read."""
        return len(self._cohorts)
