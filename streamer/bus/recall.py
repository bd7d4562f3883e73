# -*- test-case-name: tests.unit.test_bus_recall -*-
"""Whether an entry of the log was read before, and whether the log is still the same one."""

from __future__ import annotations

import enum
from collections import deque

import attrs

REMEMBERED = 8192  # entries by which a log is recognised; more than a broker puts into one chunk


class Seen(enum.Enum):
    """What an entry is to a reader."""

    NEW = "new"
    REPEATED = "repeated"
    DOUBTFUL = "doubtful"  # another message than at this offset before: look at more of the log, in doubt
    OTHER = "other"  # the same, and in doubt: the first entry of another log


@attrs.define
class Recall:
    """The last entries read.

    A new connection reads from the last entry on, and gets the start of its chunk before it.
    """

    _limit: int = REMEMBERED
    last: int | None = None
    _entries: deque[tuple[int, str]] = attrs.field(
        default=attrs.Factory(lambda self: deque(maxlen=self._limit), takes_self=True)
    )
    _repeats: dict[int, str] = attrs.field(factory=dict)
    _doubtful: bool = False

    def reconnected(self, doubtful: bool) -> None:
        """What is known may come again from now on.

        Args:
            doubtful: the log did not show the last entry read. What is not known then belongs to another log; without
                doubt it came before the first entry read here, unless more than a chunk is remembered.
        """
        self._repeats = dict(self._entries)
        self._doubtful = doubtful

    def see(self, offset: int, message_id: str) -> Seen:
        """Judge an entry, and remember it: not a repeat, and not another log's as long as there was no doubt."""
        seen = Seen.NEW
        if self.last is not None and offset <= self.last:
            known = self._repeats.get(offset)
            if known == message_id or (known is None and not self._doubtful and len(self._repeats) < self._limit):
                return Seen.REPEATED
            if not self._doubtful:
                return Seen.DOUBTFUL
            seen = Seen.OTHER
            self._doubtful = False
            self._entries.clear()
            self._repeats = {}
        self.last = offset
        self._entries.append((offset, message_id))
        return seen
