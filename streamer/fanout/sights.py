# -*- test-case-name: tests.unit.test_fanout_journal -*-
"""What a journal remembers of entries besides themselves: ids, repeats, and positions that are none."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from streamer.fanout.position import Mark

IDS_KEPT = 100_000  # ids remembered to tell repeats; they outlive the entries
REPEATS_KEPT = 10_000  # offsets of repeats remembered
DISPROVED_KEPT = 1_000  # positions remembered that another entry stands at
LONG_AGO = -(2**62)  # stands for the place of what was seen in a log before this one


@attrs.define
class Sights:
    """Ids with the place that each was given at first sight, and offsets at which nothing new stood.

    Args:
        kept: ids remembered; more than entries are held, or these could not be told from their repeats.
    """

    kept: int = IDS_KEPT
    _recent: OrderedDict[str, int] = attrs.field(factory=OrderedDict)
    _older: dict[str, int] = attrs.field(factory=dict)  # of entries that were read again, while they are held
    _repeats: OrderedDict[int, tuple[str, int]] = attrs.field(factory=OrderedDict)  # offset: id, place after it
    _disproved: OrderedDict[Mark, None] = attrs.field(factory=OrderedDict)
    _begin: int = LONG_AGO  # the first place that was given in this log

    def place(self, message_id: str) -> int | None:
        """The place that an id was given, whether the entry is still held or not; None where it is not known."""
        recent = self._recent.get(message_id)
        if recent is not None and recent >= self._begin:
            return recent
        older = self._older.get(message_id)
        return older if older is not None or recent is None else LONG_AGO

    def appended(self, message_id: str, place: int) -> None:
        """A new id; the one seen longest ago is forgotten."""
        self._recent[message_id] = place
        if len(self._recent) > self.kept:
            self._recent.popitem(last=False)

    def prepended(self, message_id: str, place: int) -> None:
        """An entry was read again, or for the first time, and is held until `evicted`."""
        self._older[message_id] = place

    def evicted(self, message_id: str, place: int) -> None:
        """The entry at that place is no longer held."""
        if self._older.get(message_id) == place:
            del self._older[message_id]

    def repeated(self, offset: int, message_id: str, place: int, older: bool = False) -> None:
        """At that offset stood a repeat; `place` comes after it. An older one makes no other be forgotten."""
        if older and len(self._repeats) >= REPEATS_KEPT:
            return
        self._repeats[offset] = (message_id, place)
        self._repeats.move_to_end(offset, last=not older)
        if len(self._repeats) > REPEATS_KEPT:
            self._repeats.popitem(last=False)

    def repeat_at(self, offset: int) -> tuple[str, int] | None:
        """The repeat at an offset, if there was one lately: its id, and the place after it."""
        return self._repeats.get(offset)

    def disprove(self, mark: Mark) -> None:
        """The log was read there, and another entry stands at that offset."""
        self._disproved[mark] = None
        if len(self._disproved) > DISPROVED_KEPT:
            self._disproved.popitem(last=False)

    def disproved(self, mark: Mark) -> bool:
        """Whether that was found lately."""
        return mark in self._disproved

    def begin_again(self, place: int) -> None:
        """Another log begins, at that place. Ids still tell repeats: what was published again was seen."""
        self._begin = place
        self._repeats.clear()
        self._disproved.clear()
