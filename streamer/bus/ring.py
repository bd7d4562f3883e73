# -*- test-case-name: tests.unit.test_bus_ring -*-
"""The log of the in-process bus: numbered, bounded by count and by bytes, oldest out first."""

from __future__ import annotations

import bisect

import attrs

from streamer.message import Entry, Message

RING_ENTRIES = 100_000  # entries kept at most
RING_BYTES = 67_108_864  # bytes of bodies kept at most


@attrs.define
class Ring:
    """Entries `first` up to, not including, `next`; offsets start from 0 and rise by one.

    Kept in a list whose front is given up piece by piece: appending, evicting and random access all cost O(1).
    """

    max_entries: int = RING_ENTRIES
    max_bytes: int = RING_BYTES
    first: int = 0
    next: int = 0
    _bytes: int = 0
    _base: int = 0  # offset of the list's element 0
    _entries: list[Entry | None] = attrs.field(factory=list)
    _times: list[float] = attrs.field(factory=list)

    def append(self, message: Message, now: float) -> None:
        """Add an entry; the oldest leave, the newest never does."""
        self._entries.append(Entry(self.next, message))
        self._times.append(now)
        self.next += 1
        self._bytes += len(message.body)
        while self.next - self.first > 1 and (
            self.next - self.first > self.max_entries or self._bytes > self.max_bytes
        ):
            self._evict()

    def since(self, moment: float) -> int:
        """Offset of the first entry taken at or after a moment; `next` where there is none."""
        return self._base + bisect.bisect_left(self._times, moment, lo=self.first - self._base)

    def read(self, offset: int, most: int) -> list[Entry]:
        """Up to so many entries from an offset on, or from the first one still there."""
        start = max(offset, self.first) - self._base
        return [entry for entry in self._entries[start : start + most] if entry is not None]

    def _evict(self) -> None:
        place = self.first - self._base
        entry = self._entries[place]
        if entry is not None:
            self._bytes -= len(entry.message.body)
        self._entries[place] = None
        self.first += 1
        if place >= 1024 and place * 2 > len(self._entries):
            del self._entries[: place + 1]
            del self._times[: place + 1]
            self._base = self.first
