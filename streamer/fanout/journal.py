# -*- test-case-name: tests.unit.test_fanout_journal -*-
"""The numbered ring of events: all that the relay remembers, once for everybody.

Entries get contiguous places 0, 1, 2, … as they are appended. `floor` is the oldest place still held, `head` the
one the next entry will get. A repeat (a `message_id` seen lately) gets no place, but its offset is remembered:
another relay, whose history began later, may have taken it for a first sight and given out its position.

A deletion leaves nothing of what it deletes: the entries of the post that are still held keep their places and their
positions, but hold the deletion's event instead of their own. So a replay tells of it where the post stood. A scrub
does the same to the locations of an author, except that a post's own event stays and only loses its location.
"""

from __future__ import annotations

from collections import OrderedDict

import attrs
import msgspec

from streamer.fanout.held import Held
from streamer.fanout.logged import Logged, logged
from streamer.fanout.position import START, Mark, Verdict, check, parse
from streamer.message import Entry

ENTRIES_LIMIT = 50_000  # entries; 100 s of 500 events/s
BYTES_LIMIT = 64_000_000  # bytes of events, topics and ids
IDS_KEPT = 100_000  # ids remembered to tell repeats; they outlive the entries
REPEATS_KEPT = 10_000  # offsets of repeats remembered
FIRST_OFFSETS = 1  # logs number from 0 or from 1: nothing can stand before these


class Located(msgspec.Struct, frozen=True):
    """Where a position is; `place` is None unless it was found."""

    verdict: Verdict
    place: int | None = None


@attrs.define
class Journal:
    """The ring.

    Args:
        entries_limit: entries held at most, at least 1.
        bytes_limit: bytes held at most; the newest entry is held whatever its size.
        looked: the work of all searches so far: times that an entry was held against a pattern.
    """

    entries_limit: int = ENTRIES_LIMIT
    bytes_limit: int = BYTES_LIMIT
    floor: int = 0
    head: int = 0
    _entries: Held = attrs.field(factory=Held)
    _below: Logged | None = None  # the entry just under the floor, kept for its position
    looked: int = 0
    _ids: OrderedDict[str, int] = attrs.field(factory=OrderedDict)  # the place each was given
    _repeats: OrderedDict[int, tuple[str, int]] = attrs.field(factory=OrderedDict)  # offset: id, place after it

    def append(self, entry: Entry) -> Logged | None:
        """Take the next entry of the log.

        An offset that does not rise means that the log was deleted and made again: what was held is dropped.

        Returns:
            What was appended; None where it is a repeat.

        Raises:
            DecodeError: it could not stand in everybody's frame, see `logged`; count it and go on.
        """
        message = entry.message
        last = self._entries.get(self.head - 1)
        rises = last is None or entry.offset > last.offset
        if message.message_id in self._ids:
            if rises:
                self._repeats[entry.offset] = (message.message_id, self.head)
            if len(self._repeats) > REPEATS_KEPT:
                self._repeats.popitem(last=False)
            return None
        new = logged(entry)
        if not rises:
            self._forget()
        for message_id in new.gone:
            place = self._ids.get(message_id, -1)
            old = self._entries.get(place)
            if old is not None and old.message_id == message_id:
                self._entries.rewrite(place, old.replaced(new))
        new = self._entries.taken_back(new)
        self._ids[message.message_id] = self.head
        if len(self._ids) > IDS_KEPT:
            self._ids.popitem(last=False)
        self._entries.put(self.head, new)
        self.head += 1
        while self.head - self.floor > self.entries_limit or (
            self.bytes > self.bytes_limit and self.head - self.floor > 1
        ):
            self._evict()
        return new

    def __getitem__(self, place: int) -> Logged:
        """The entry at a place.

        Raises:
            KeyError: it is below the floor, or not there yet.
        """
        return self._entries[place]

    @property
    def bytes(self) -> int:
        """Bytes held: of events, topics and ids."""
        return self._entries.bytes

    @property
    def rewritten(self) -> int:
        """Entries so far whose event, or its location, was taken back while they were held."""
        return self._entries.rewritten

    def position(self, place: int) -> str:
        """The text for `everything before this place`.

        Args:
            place: `floor` to `head`; one that fell below the floor is written as the floor.
        """
        before = self._entries.get(place - 1, self._below)
        return START if before is None else before.position

    def locate(self, position: str) -> Located:
        """Where a position stands: found, expired or unknown."""
        mark = parse(position)
        if mark is None:
            return Located(Verdict.UNKNOWN)
        if mark.check is None:
            return self._start()
        below = self._below
        if below is not None and mark.offset <= below.offset:
            if mark.offset < below.offset:
                return Located(Verdict.EXPIRED)
            return _judged(mark, below.message_id, self.floor)
        place = self._first_after(mark.offset)
        if place > self.floor and self._entries[place - 1].offset == mark.offset:
            return _judged(mark, self._entries[place - 1].message_id, place)
        if mark.offset in self._repeats:
            message_id, after = self._repeats[mark.offset]
            return _judged(mark, message_id, after) if after >= self.floor else Located(Verdict.EXPIRED)
        first = self._entries.get(self.floor)
        if below is None and first is not None and mark.offset < first.offset:
            return Located(Verdict.EXPIRED)  # older than the history we were started with
        return Located(Verdict.UNKNOWN)

    def ahead(self, position: str) -> bool:
        """Whether a position is after everything read so far: it may be of an entry that is on its way here."""
        mark = parse(position)
        if mark is None or mark.check is None or mark.offset in self._repeats:
            return False
        last = self._entries.get(self.head - 1)
        return last is None or mark.offset > last.offset

    def _start(self) -> Located:
        first = self._entries.get(self.floor)
        if self._below is None and (first is None or first.offset <= FIRST_OFFSETS):
            return Located(Verdict.FOUND, self.floor)
        return Located(Verdict.EXPIRED)  # entries may have stood before our first one

    def _first_after(self, offset: int) -> int:
        """The first place whose entry has a greater offset; by bisection, for offsets rise."""
        low, high = self.floor, self.head
        while low < high:
            middle = (low + high) // 2
            if self._entries[middle].offset > offset:
                high = middle
            else:
                low = middle + 1
        return low

    def _evict(self) -> None:
        self._below = self._entries.take(self.floor)
        self.floor += 1

    def _forget(self) -> None:
        while self.floor < self.head:
            self._evict()
        self._below = None
        self._repeats.clear()


def _judged(mark: Mark, message_id: str, place: int) -> Located:
    if mark.check == check(message_id):
        return Located(Verdict.FOUND, place)
    return Located(Verdict.UNKNOWN)
