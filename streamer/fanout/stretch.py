# -*- test-case-name: tests.unit.test_fanout_stretch -*-
"""Older entries, read from the log again for a client that comes back late, until they join the journal.

A stretch begins with the entry that the client's position names, which proves the position right or wrong, and ends
with the entry that the journal remembers at its floor. What lies between is then all there, in order: the bus gives
each entry of the log once. Where it becomes too long its older end is given up, and serves whoever asked for less.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from streamer.errors import DecodeError
from streamer.fanout.logged import Logged, logged
from streamer.fanout.position import FIRST_OFFSETS, Mark, check
from streamer.message import Entry

if TYPE_CHECKING:
    from streamer.fanout.hub import Hub
    from streamer.fanout.journal import Journal
    from streamer.fanout.sights import Sights

PIECE = 2_000  # entries that are put before the journal in one turn


class Outcome(enum.Enum):
    """What became of reading a stretch; the values are labels of the metric."""

    READ = "read"  # it joins the journal
    EXPIRED = "expired"  # the log no longer has its beginning
    UNKNOWN = "unknown"  # another entry stands at its beginning: the position was of another log
    LIMIT = "limit"  # too long, or took too long
    FAILED = "failed"  # the log could not be read, or is another one than the journal was read from


@attrs.define(eq=False)
class Stretch:
    """One stretch being read.

    Args:
        mark: the position that it begins after.
        limit: bytes that it may have.
        base: the entry before its first one; None where that is the first of the log.
        oldest: offset of the first entry that the log gave; None before that.
        disproved: another entry stands where the position was said to be. What follows is read all the same, for
            others who wait; so nobody can have them refused by naming places that are none.
    """

    mark: Mark
    limit: int
    _journal: Journal = attrs.field(repr=False)
    base: Logged | None = None
    oldest: int | None = None
    disproved: bool = False
    _entries: deque[Logged] = attrs.field(factory=deque, repr=False)
    _size: int = 0
    _ids: set[str] = attrs.field(factory=set, repr=False)
    _last: int = -1  # the offset read last

    def take(self, entry: Entry) -> Outcome | None:
        """Take the next entry of the log. Returns what became of the whole, None while it is to go on."""
        first, self.oldest = self.oldest is None, entry.offset if self.oldest is None else self.oldest
        if entry.offset <= self._last:
            return Outcome.FAILED
        if (met := self.meet()) is not None:
            return met
        self._last = entry.offset
        if first and self.mark.check is not None:
            return self._begin(entry)
        if first and entry.offset > FIRST_OFFSETS:
            return Outcome.EXPIRED
        edge = self._journal.edge
        if edge is not None and entry.offset >= edge.offset:
            if (entry.offset, entry.message.message_id) != (edge.offset, edge.message_id):
                return Outcome.FAILED
            self._entries.append(edge)
            if edge is not self._journal.held.get(self._journal.floor):
                self._grow(edge)
            return Outcome.READ
        self._hold(entry)
        return None

    def meet(self) -> Outcome | None:
        """Join a journal that was empty, and of whose first entries some may have been read here before there.

        Returns:
            What became of the whole; None where the journal is still empty, or begins further on.
        """
        edge, entries = self._journal.edge, self._entries
        if edge is None or self._last < edge.offset:
            return None
        while entries and entries[-1].offset > edge.offset:
            early = entries.pop()
            self._size -= early.size
            self._ids.discard(early.message_id)
        if not entries or (entries[-1].offset, entries[-1].message_id) != (edge.offset, edge.message_id):
            return Outcome.FAILED
        entries[-1] = edge
        return Outcome.READ

    @property
    def reach(self) -> int:
        """The lowest offset of a position that it could still serve."""
        return self.mark.offset if self.base is None else self.base.offset

    def pieces(self) -> Iterator[tuple[Logged | None, list[Logged]]]:
        """The entry before each piece, and its entries; the newest piece comes first, so that each joins the journal.

        Only once it is READ; what was yielded is held here no longer.
        """
        entries = self._entries
        while True:
            piece = [entries.pop() for _ in range(min(PIECE, len(entries)))]
            piece.reverse()
            yield (entries[-1] if entries else self.base), piece
            if not entries:
                return

    def _begin(self, entry: Entry) -> Outcome | None:
        if entry.offset != self.mark.offset:
            return Outcome.EXPIRED if entry.offset > self.mark.offset else Outcome.FAILED
        self.disproved = check(entry.message.message_id) != self.mark.check
        try:
            self.base = logged(entry)
        except DecodeError:
            self.disproved = True  # no relay gives out a position for that
            return Outcome.UNKNOWN
        return None

    def _hold(self, entry: Entry) -> None:
        try:
            new = logged(entry)
        except DecodeError:
            return  # counted when it was read live, by whatever relay did
        if new.message_id in self._ids and self._journal.sights.place(new.message_id) is None:
            return
        self._ids.add(new.message_id)
        self._entries.append(new)
        self._grow(new)

    def _grow(self, new: Logged) -> None:
        self._size += new.size
        while self._size > self.limit:
            self.base = self._entries.popleft()
            self._size -= self.base.size
            self._ids.discard(self.base.message_id)


def placed(
    base: Logged | None, entries: Sequence[Logged], floor: int, sights: Sights
) -> tuple[list[Logged], list[tuple[Logged, int]]]:
    """Which entries get the places below a floor, the last one the highest: each exactly the place it had before.

    Where an entry and repeats of it stand side by side, which of them had the place is not known, and the first has
    it: so nobody whose position is after the first is sent a repeat.

    Returns:
        Those entries, newest first; and the repeats, each with the place after it.

    Raises:
        ValueError: they are not what stood there before; do without them.
    """
    first = {entry.message_id: index for index, entry in reversed(list(enumerate(entries)))}
    kept: list[Logged] = []
    repeats: list[tuple[Logged, int]] = []
    for index in range(len(entries) - 1, -1, -1):
        entry, place = entries[index], floor - len(kept)
        was = sights.place(entry.message_id)
        if was == place - 1 or (was is None and first[entry.message_id] == index):
            kept.append(entry)
        elif kept and kept[-1].message_id == entry.message_id:
            repeats.append((kept[-1], place + 1))
            kept[-1] = entry
        else:
            repeats.append((entry, place))
    if kept and base is not None and kept[-1].message_id == base.message_id:
        repeats.append((kept.pop(), floor - len(kept)))
    for entry, _ in repeats:
        was = sights.place(entry.message_id)
        if was is not None and 0 < floor - was <= len(kept) and kept[floor - was - 1].message_id != entry.message_id:
            raise ValueError(f"entry {entry.offset} had another place when it was read before")
    return kept, repeats


def refill(hub: Hub, base: Logged | None, entries: Sequence[Logged]) -> bool:
    """Put a piece before the journal; see `Journal.prepend`. Whether it joined.

    Indexes are cut to what is held first, and frames forgotten: both may know places that had other contents.
    """
    for cohort in hub._cohorts.values():
        cohort._marked = None
        cohort.first  # noqa: B018 - asking for it cuts the index at the floor
    if not hub.journal.prepend(base, entries):
        return False
    hub._frames.clear()
    return True
