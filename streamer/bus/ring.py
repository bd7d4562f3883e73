# -*- test-case-name: tests.unit.test_bus_ring -*-
"""The log of the in-process bus: numbered, bounded by count, by bytes and by age, oldest out first.

It has no timer: what is too old leaves when something is added, and when somebody begins to read.
"""

from __future__ import annotations

import bisect

import attrs

from streamer.bus.memory_bounds import RING_AGE, RING_BYTES, RING_ENTRIES, weight
from streamer.message import Entry, Message


@attrs.define
class Ring:
    """Entries `first` up to, not including, `next`; offsets start from 0 and rise by one.

    Kept in a list whose front is given up piece by piece: appending, evicting and random access all cost O(1).
    """

    max_entries: int = RING_ENTRIES
    max_bytes: int = RING_BYTES
    max_age: float = RING_AGE
    first: int = 0
    next: int = 0
    _bytes: int = 0
    _base: int = 0  # offset of the list's element 0
    _entries: list[Entry | None] = attrs.field(factory=list)
    _times: list[float] = attrs.field(factory=list)

    def append(self, message: Message, now: float) -> None:
        """Add an entry; the oldest leave, the newest never does."""
        self._entries.append(Entry(self.next, message))
        self._times.append(max(now, self._times[-1]) if self._times else now)  # clocks are set back, too
        self.next += 1
        self._bytes += weight(message)
        while self._bytes > self.max_bytes or self.next - self.first > self.max_entries:
            if not self._evict():
                break
        if self._times[self.first - self._base] < now - self.max_age:
            self.expire(now)

    def expire(self, now: float) -> None:
        """What is too old leaves, but for the newest."""
        while self.next > self.first and self._times[self.first - self._base] < now - self.max_age:
            if not self._evict():
                break

    def since(self, moment: float) -> int:
        """Offset of the first entry taken at or after a moment; `next` where there is none."""
        return self._base + bisect.bisect_left(self._times, moment, lo=self.first - self._base)

    def read(self, offset: int, most: int) -> list[Entry]:
        """Up to so many entries from an offset on, or from the first one still there."""
        start = max(offset, self.first) - self._base
        return [entry for entry in self._entries[start : start + most] if entry is not None]

    def _evict(self) -> bool:
        """The oldest leaves, unless it is the only one. Returns whether it did."""
        if self.next - self.first <= 1:
            return False
        place = self.first - self._base
        entry = self._entries[place]
        if entry is not None:
            self._bytes -= weight(entry.message)
        self._entries[place] = None
        self.first += 1
        if place >= 1024 and place * 2 > len(self._entries):
            del self._entries[: place + 1]
            del self._times[: place + 1]
            self._base = self.first
        return True
