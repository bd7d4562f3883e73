# -*- test-case-name: tests.unit.test_fanout_cohort -*-
"""What clients with the same set of patterns share: the index of their events, and the frames made from it.

A cohort numbers its events: `ordinal` n is the n-th event it matched (negative for those found by looking back).
A client of it is an ordinal, see `cursor`. A topic is matched once per cohort, when its event is appended, and a
frame is joined once per (from, to), however many clients there are. Deletions are in every cohort.

Looking back is what costs: an entry must be matched that nobody here had matched yet. The journal's `looked` counts
it, so that who asks can be charged; and what several sets of patterns cover together is learnt from the cohorts of
each, as `marks`.
"""

from __future__ import annotations

import functools
import operator
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence

import attrs
import msgspec

from streamer.fanout.encoding import RELAY, Encoding
from streamer.fanout.interest import Interest
from streamer.fanout.journal import Journal
from streamer.fanout.logged import Logged
from streamer.fanout.marks import Marks, marked, places

FRAME_LIMIT = 64_000  # bytes of events in one frame; an event that is longer goes alone
FRAMES_KEPT = 64  # joined frames remembered, for all cohorts together
LAST_LOOK_LIMIT = 20_000  # entries that are searched for the last events; with rarer ones there are fewer of them
_MARKED_AS_LOOKED = 10  # places of an index that cost as much to mark as one entry to match
_STRIDE = 1_000  # entries that are searched before looking whether that was enough
_SLACK = 1024  # evicted ordinals kept before the list is cut


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Events as bytes for the socket, in one encoding.

    Args:
        size: bytes of them, before they were compressed.
        end: the ordinal that follows them.
        position: the place after the last of them.
    """

    data: bytes
    size: int
    events: int
    end: int
    position: str


Key = tuple[int, int, int, Encoding]  # a cohort's number, from, to


@attrs.define(eq=False)
class Frames:
    """The frames joined last, for all cohorts of a hub."""

    limit: int = FRAMES_KEPT
    _known: OrderedDict[Key, Batch] = attrs.field(factory=OrderedDict, repr=False)

    def get(self, key: Key) -> Batch | None:
        """The frame, if it was joined lately."""
        return self._known.get(key)

    def put(self, key: Key, batch: Batch) -> None:
        """Remember a frame; the oldest is forgotten."""
        self._known[key] = batch
        if len(self._known) > self.limit:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Forget all frames: an event in one of them is no longer to be told."""
        self._known.clear()


@attrs.define(eq=False)
class Cohort:
    """The events that one set of patterns matches.

    Args:
        patterns: checked.
        number: its own among the cohorts that share `frames`, never used again.
        users: cursors and subscriptions that read here; the hub drops a cohort that has none.
    """

    patterns: frozenset[str]
    number: int
    _journal: Journal = attrs.field(repr=False)
    _frames: Frames = attrs.field(repr=False)
    users: int = 0
    _since: int = attrs.field(init=False)  # the index covers the places from here to the head
    _places: array[int] = attrs.field(factory=lambda: array("q"), repr=False)
    _dead: int = 0  # entries at the start of the list that fell below the floor
    _shift: int = 0  # the ordinal of the list's first entry
    _marked: tuple[tuple[int, int], Marks] | None = attrs.field(default=None, repr=False)  # asked for last

    def __attrs_post_init__(self) -> None:
        self._since = self._journal.head

    @property
    def first(self) -> int:
        """The ordinal of the oldest event still held (`end` where there is none)."""
        floor = self._journal.floor
        if self._since < floor:
            self._since = floor
            self._dead = bisect_left(self._places, floor, self._dead)
            if self._dead > _SLACK and self._dead * 2 > len(self._places):
                del self._places[: self._dead]
                self._shift += self._dead
                self._dead = 0
        return self._shift + self._dead

    @property
    def end(self) -> int:
        """The ordinal that the next event will get."""
        return self._shift + len(self._places)

    def take(self, place: int) -> None:
        """The entry at `place` was just appended, and is one of ours."""
        self._places.append(place)
        if not len(self._places) % _SLACK:
            self.first  # noqa: B018 - asking for it cuts the index, which nobody else may do for long

    def place_of(self, ordinal: int) -> int:
        """Where the event stands; the journal's head for `end`. Only for ordinals from `first` on."""
        index = ordinal - self._shift
        return self._places[index] if index < len(self._places) else self._journal.head

    def ordinal_of(self, place: int) -> int:
        """The first event at or after a place. Looks back as far as that takes and the floor allows."""
        self._cover(place)
        return self._shift + bisect_left(self._places, place, self._dead)

    def last(self, count: int) -> int:
        """The ordinal of the `count`-th last event that the patterns match, or of the first there is.

        Deletions after it are events too, and are not counted. Looks back over `LAST_LOOK_LIMIT` entries.
        """
        journal, ordinal, missing = self._journal, self.end, count
        oldest = max(journal.floor, journal.head - LAST_LOOK_LIMIT)
        low = journal.head
        while missing > 0 and low > oldest:
            low = max(oldest, low - _STRIDE)
            self._cover(low)
            first = self.ordinal_of(low)
            while missing > 0 and ordinal > first:
                ordinal -= 1
                logged = journal[self.place_of(ordinal)]
                missing -= not logged.deletion
        return ordinal

    def marks(self, start: int, stop: int) -> Marks:
        """Which of the places from `start` to before `stop` are ours."""
        if self._marked is None or self._marked[0] != (start, stop):
            self._cover(start)
            first = bisect_left(self._places, start, self._dead)
            last = bisect_left(self._places, stop, first)
            self._journal.looked += (last - first) // _MARKED_AS_LOOKED
            self._marked = ((start, stop), marked(self._places[first:last], start, stop))
        return self._marked[1]

    def learn(self, start: int, known: Sequence[Cohort]) -> None:
        """Look back to a place through cohorts that have: those whose patterns together are ours."""
        start = max(start, self._journal.floor)
        if start < self._since and known:
            union = functools.reduce(operator.or_, (one.marks(start, self._since) for one in known))
            self._prepend(start, places(union, start, self._since))

    def batch(self, start: int, stop: int, encoding: Encoding = RELAY) -> Batch:
        """The events from `start` on, up to `FRAME_LIMIT` or `stop`; shared by all who ask the same.

        Args:
            start: at least `first`, less than `stop`.
        """
        known = self._frames.get((self.number, start, stop, encoding))
        if known is not None:
            return known
        chosen: list[Logged] = []
        held = size = 0
        for index in range(start - self._shift, stop - self._shift):
            logged = self._journal[self._places[index]]
            size += len(logged.event) + 1
            if chosen and size > FRAME_LIMIT:
                break
            held = size
            chosen.append(logged)
        position = chosen[-1].position
        batch = Batch(encoding.events(position, chosen), held, len(chosen), start + len(chosen), position)
        self._frames.put((self.number, start, stop, encoding), batch)
        return batch

    def _cover(self, place: int) -> None:
        place = max(place, self._journal.floor)
        if place >= self._since:
            return
        journal, find = self._journal, tree(self.patterns).find
        held = ((at, journal[at]) for at in range(place, self._since))
        found = array("q", (at for at, logged in held if logged.deletion or find(logged.topic)))
        journal.looked += self._since - place
        self._prepend(place, found)

    def _prepend(self, place: int, found: array[int]) -> None:
        if self._dead:  # the floor rose over these and was lowered again since; theirs are not the ordinals below
            del self._places[: self._dead]
            self._shift += self._dead
            self._dead = 0
        self._places[:0] = found
        self._shift -= len(found)
        self._since = place


def tree(patterns: frozenset[str]) -> Interest[bool]:
    """What finds True for the topics that any of the patterns matches, and nothing for others."""
    made: Interest[bool] = Interest(0)
    made.add(patterns, True)
    return made
