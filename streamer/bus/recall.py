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
    _oldest_ms: int = 0  # when the message of the oldest one remembered was made
    _entries: deque[tuple[int, str, int]] = attrs.field(
        default=attrs.Factory(lambda self: deque(maxlen=self._limit), takes_self=True)
    )
    _repeats: dict[int, str] = attrs.field(factory=dict)
    _doubtful: bool = False

    def reconnected(self, doubtful: bool) -> None:
        """What is known may come again from now on.

        Args:
            doubtful: the log did not show the last entry read. What is not known then belongs to another log, but for
                what is older than all that is remembered, by offset and by time: it was there before the first entry
                read here. Without doubt every unknown one was, unless more than a chunk is remembered.
        """
        self._repeats = {offset: message_id for offset, message_id, _ in self._entries}
        self._oldest_ms = self._entries[0][2] if self._entries else 0
        self._doubtful = doubtful

    def see(self, offset: int, message_id: str, made_ms: int) -> Seen:
        """Judge an entry, and remember it: not a repeat, and not another log's as long as there was no doubt.

        Args:
            offset: its place in the log.
            message_id: of its message.
            made_ms: when its message was made, by whoever made it.
        """
        seen = Seen.NEW
        if self.last is not None and offset <= self.last:
            known = self._repeats.get(offset)
            if known == message_id or (known is None and self._before(offset, made_ms)):
                return Seen.REPEATED
            if not self._doubtful:
                return Seen.DOUBTFUL
            seen = Seen.OTHER
            self._doubtful = False
            self._entries.clear()
            self._repeats = {}
        self.last = offset
        self._entries.append((offset, message_id, made_ms))
        return seen

    def _before(self, offset: int, made_ms: int) -> bool:
        """Whether an unknown entry up to the last one was in this log before we read it."""
        if not self._doubtful:
            return len(self._repeats) < self._limit
        return offset < min(self._repeats, default=0) and made_ms <= self._oldest_ms
