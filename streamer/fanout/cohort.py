# -*- test-case-name: tests.unit.test_fanout_cohort -*-
"""What clients with the same set of patterns share: the index of their events, and the frames made from it.

A cohort numbers its events: `ordinal` n is the n-th event it matched (negative for those found by looking back).
A client of it is an ordinal, see `cursor`. A topic is matched once per cohort, when its event is appended, and a
frame is joined once per (from, to), however many clients there are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator

import attrs
import msgspec

from streamer.fanout.framing import text_frame
from streamer.fanout.journal import Journal, Logged
from streamer.fanout.protocol import events_payload
from streamer.fanout.topics import Matcher, matcher

FRAME_LIMIT = 64_000  # bytes of events in one frame; an event that is longer goes alone
FRAMES_KEPT = 64  # joined frames remembered, for all cohorts together
_SLACK = 1024  # evicted ordinals kept before the list is cut


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Events as one websocket frame.

    Args:
        end: the ordinal that follows them.
        position: the place after the last of them.
    """

    data: bytes
    events: int
    end: int
    position: str


@attrs.define(eq=False)
class Frames:
    """The frames joined last, for all cohorts of a hub."""

    limit: int = FRAMES_KEPT
    _known: OrderedDict[tuple[int, int, int], Batch] = attrs.field(factory=OrderedDict, repr=False)

    def get(self, key: tuple[int, int, int]) -> Batch | None:
        """The frame for (cohort's number, from, to), if it was joined lately."""
        return self._known.get(key)

    def put(self, key: tuple[int, int, int], batch: Batch) -> None:
        """Remember a frame; the oldest is forgotten."""
        self._known[key] = batch
        if len(self._known) > self.limit:
            self._known.popitem(last=False)


@attrs.define(eq=False)
class Cohort:
    """The events that one set of patterns matches.

    Args:
        patterns: checked.
        number: its own among the cohorts that share `frames`, never used again.
        users: cursors and replays that read here; the hub drops a cohort that has none.
    """

    patterns: frozenset[str]
    number: int
    _journal: Journal = attrs.field(repr=False)
    _frames: Frames = attrs.field(repr=False)
    users: int = 0
    matches: Matcher = attrs.field(init=False, repr=False)
    _since: int = attrs.field(init=False)  # the index covers the places from here to the head
    _places: array[int] = attrs.field(factory=lambda: array("q"), repr=False)
    _dead: int = 0  # entries at the start of the list that fell below the floor
    _shift: int = 0  # the ordinal of the list's first entry

    def __attrs_post_init__(self) -> None:
        self.matches = matcher(self.patterns)
        self._since = self._journal.head

    @property
    def first(self) -> int:
        """The ordinal of the oldest event still held (`end` where there is none)."""
        self._trim()
        return self._shift + self._dead

    @property
    def end(self) -> int:
        """The ordinal that the next event will get."""
        return self._shift + len(self._places)

    def offer(self, place: int, topic: str) -> bool:
        """The entry at `place` was just appended; whether it is one of ours."""
        if self.matches(topic):
            self._places.append(place)
            return True
        return False

    def place_of(self, ordinal: int) -> int:
        """Where the event stands; the journal's head for `end`. Only for ordinals from `first` on."""
        index = ordinal - self._shift
        return self._places[index] if index < len(self._places) else self._journal.head

    def ordinal_of(self, place: int) -> int:
        """The first event at or after a place. Looks back as far as that takes and the floor allows."""
        self._cover(place)
        return self._shift + bisect_left(self._places, place, self._dead)

    def last(self, count: int) -> int:
        """The ordinal of the `count`-th last event, or of the first there is."""
        journal = self._journal
        place = self._since
        missing = count - (self.end - self.first)
        while missing > 0 and place > journal.floor:
            place -= 1
            missing -= bool(self.matches(journal[place].topic))
        self._cover(place)
        return max(self.first, self.end - count)

    def between(self, start: int, stop: int) -> Iterator[tuple[int, Logged]]:
        """The events from ordinal `start` to before ordinal `stop`, with their places."""
        for index in range(start - self._shift, stop - self._shift):
            place = self._places[index]
            yield place, self._journal[place]

    def batch(self, start: int, stop: int) -> Batch:
        """The frame of the events from `start` on, up to `FRAME_LIMIT` or `stop`; shared by all who ask the same.

        Args:
            start: at least `first`, less than `stop`.
        """
        known = self._frames.get((self.number, start, stop))
        if known is not None:
            return known
        chosen: list[bytes] = []
        size = 0
        last = None
        for _, logged in self.between(start, stop):
            size += len(logged.event) + 1
            if chosen and size > FRAME_LIMIT:
                break
            chosen.append(logged.event)
            last = logged
        assert last is not None  # noqa: S101 - start < stop, or the caller is broken
        batch = Batch(
            data=text_frame(events_payload(last.position, chosen)),
            events=len(chosen),
            end=start + len(chosen),
            position=last.position,
        )
        self._frames.put((self.number, start, stop), batch)
        return batch

    def _cover(self, place: int) -> None:
        place = max(place, self._journal.floor)
        if place >= self._since:
            return
        # Nothing was trimmed yet, or the index would begin at a floor and `place` not be before it.
        journal, matches = self._journal, self.matches
        found = array("q", (at for at in range(place, self._since) if matches(journal[at].topic)))
        self._places[:0] = found
        self._shift -= len(found)
        self._since = place

    def _trim(self) -> None:
        floor = self._journal.floor
        if self._since >= floor:
            return
        self._since = floor
        self._dead = bisect_left(self._places, floor, self._dead)
        if self._dead > _SLACK and self._dead * 2 > len(self._places):
            del self._places[: self._dead]
            self._shift += self._dead
            self._dead = 0
