# -*- test-case-name: tests.unit.test_fanout_cohort -*-
"""The journal, the cohorts that read it, and who must be woken. One for each relay.

What an event costs does not depend on how many clients there are: it is matched once per cohort whose first topic
word could fit (a deletion concerns all), and waking is left to a tick that visits the members of those cohorts only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import attrs

from streamer.errors import DecodeError
from streamer.fanout.cohort import Cohort, Frames
from streamer.fanout.journal import Journal
from streamer.fanout.logged import Logged
from streamer.fanout.topics import first_words
from streamer.message import Entry
from streamer.metrics import (
    BAD_EVENTS,
    JOURNAL_BYTES,
    JOURNAL_ENTRIES,
    JOURNAL_EVICTED,
    REPEATED_EVENTS,
    Metrics,
)

Wake = Callable[[], None]
_ANY = ""  # the bucket of cohorts that want events whatever their first word; no topic word is empty


@attrs.define(eq=False)
class Hub:
    """What all sessions of a relay share."""

    journal: Journal
    metrics: Metrics
    _cohorts: dict[frozenset[str], Cohort] = attrs.field(factory=dict)
    _frames: Frames = attrs.field(factory=Frames)
    _made: int = 0
    _by_word: dict[str, dict[Cohort, None]] = attrs.field(factory=dict)
    _members: dict[Cohort, dict[Wake, None]] = attrs.field(factory=dict)
    _touched: dict[Cohort, None] = attrs.field(factory=dict)

    def append(self, entry: Entry) -> bool:
        """Take the next entry of the log. Whether anybody is to be woken: call `due` soon."""
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
        self.metrics.set(JOURNAL_ENTRIES, to=journal.head - journal.floor)
        self.metrics.set(JOURNAL_BYTES, to=journal.bytes)
        if journal.floor > floor:
            self.metrics.add(JOURNAL_EVICTED, by=journal.floor - floor)
        if journal.rewritten > rewritten:
            self._frames.clear()
        place = journal.head - 1
        for cohort in self._concerned(logged):
            if cohort.offer(place, logged) and cohort in self._members:
                self._touched[cohort] = None
        return bool(self._touched)

    def _concerned(self, logged: Logged) -> Iterable[Cohort]:
        """The cohorts that may want an event: all of them where it takes something back."""
        if logged.deletion:
            return self._cohorts.values()
        word = logged.topic.partition(".")[0]
        return itertools.chain(self._by_word.get(word, ()), self._by_word.get(_ANY, ()))

    def due(self) -> list[Wake]:
        """Whoever has something new to read since the last call."""
        wakes = [wake for cohort in self._touched for wake in self._members.get(cohort, ())]
        self._touched.clear()
        return wakes

    def enter(self, patterns: frozenset[str]) -> Cohort:
        """The cohort of these patterns, to be given back with `leave`."""
        cohort = self._cohorts.get(patterns)
        if cohort is None:
            self._made += 1
            cohort = self._cohorts[patterns] = Cohort(patterns, self._made, self.journal, self._frames)
            for word in first_words(patterns) or {_ANY}:
                self._by_word.setdefault(word, {})[cohort] = None
        cohort.users += 1
        return cohort

    def leave(self, cohort: Cohort) -> None:
        """Undo one `enter`; a cohort that nobody reads costs nothing from then on."""
        cohort.users -= 1
        if cohort.users:
            return
        del self._cohorts[cohort.patterns]
        self._touched.pop(cohort, None)
        for word in first_words(cohort.patterns) or {_ANY}:
            bucket = self._by_word[word]
            del bucket[cohort]
            if not bucket:
                del self._by_word[word]

    def watch(self, cohort: Cohort, wake: Wake) -> None:
        """Have `wake` called when the cohort gets an event."""
        self._members.setdefault(cohort, {})[wake] = None

    def unwatch(self, cohort: Cohort, wake: Wake) -> None:
        """Undo `watch`."""
        members = self._members[cohort]
        del members[wake]
        if not members:
            del self._members[cohort]

    @property
    def cohorts(self) -> int:
        """Distinct sets of patterns being read."""
        return len(self._cohorts)
