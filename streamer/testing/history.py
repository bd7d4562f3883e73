# -*- test-case-name: tests.unit.test_testing_history -*-
"""The last minutes of a stream, once for everybody: open connections read its end, backfill reads its past.

No connection has a queue of its own, so that a slow one costs nothing; it falls behind until it is dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, NamedTuple

import attrs

KEPT = 300.0  # seconds: what `backfill_minutes=5` can reach
MOST_BYTES = 128 * 1024 * 1024  # of lines kept, at high rates less than `KEPT` seconds of them
COMPACT_AT = 4096  # forgotten lines, after which their places are given back


class Line(NamedTuple):
    """A message without its line end.

    Args:
        id: of the post that it is; empty where it is another message.
        about: what a stream may choose by; who writes the line and who chooses agree on it.
    """

    data: bytes
    id: str = ""
    about: Any = None


class _Kept(NamedTuple):
    now_ms: int
    start: int  # bytes of all lines before it
    line: Line


@attrs.define
class History:
    """Numbered lines, the oldest of which are forgotten. A cursor is the number of the next line to read."""

    kept: float = KEPT
    most_bytes: int = MOST_BYTES
    end: int = 0  # number of the line that comes next
    written: int = 0  # bytes of all lines ever
    _lines: list[_Kept] = attrs.field(factory=list)
    _head: int = 0  # place of the oldest line in the list

    @property
    def first(self) -> int:
        """Number of the oldest line there is."""
        return self.end - (len(self._lines) - self._head)

    @property
    def size(self) -> int:
        """Bytes kept."""
        return self.written - self._lines[self._head].start if self._head < len(self._lines) else 0

    def append(self, now_ms: int, line: Line) -> None:
        """Add a line; `now_ms` does not go back."""
        self._lines.append(_Kept(now_ms, self.written, line))
        self.end += 1
        self.written += len(line.data)
        oldest = now_ms - int(self.kept * 1000)
        while self._lines[self._head].now_ms < oldest or self.size > self.most_bytes:
            self._head += 1
        if self._head >= COMPACT_AT and self._head * 2 > len(self._lines):
            del self._lines[: self._head]
            self._head = 0

    def since(self, when_ms: int) -> int:
        """Cursor of the oldest line written at or after that time."""
        at = bisect_left(self._lines, when_ms, lo=self._head, key=lambda kept: kept.now_ms)
        return self.end - (len(self._lines) - at)

    def written_ms(self, cursor: int) -> int | None:
        """When the line at the cursor was written, ms since the epoch; None where there is none yet."""
        return None if cursor >= self.end else self._lines[self._place(cursor)].now_ms

    def last(self, number: int, chosen: Callable[[Line], bool]) -> int:
        """Cursor after which there are so many chosen lines, or all there are."""
        place, found = len(self._lines), 0
        while place > self._head and found < number:
            place -= 1
            found += chosen(self._lines[place].line)
        return self.end - (len(self._lines) - place)

    def behind(self, cursor: int) -> int:
        """Bytes between the cursor and the end, forgotten ones left out."""
        return 0 if cursor >= self.end else self.written - self._lines[self._place(cursor)].start

    def read(self, cursor: int, most: int, until: int | None = None) -> tuple[list[Line], int]:
        """Some lines from the cursor on.

        Args:
            most: bytes, after which no further line is taken.
            until: number of the line to stop before.

        Returns:
            The lines and the new cursor; a cursor at a forgotten line goes on at the oldest there is.
        """
        stop = self._place(self.end if until is None else min(until, self.end))
        place = self._place(cursor)
        taken: list[Line] = []
        size = 0
        while place < stop and size < most:
            taken.append(self._lines[place].line)
            size += len(taken[-1].data)
            place += 1
        return taken, self.end - (len(self._lines) - place)

    def _place(self, cursor: int) -> int:
        return max(self._head, len(self._lines) - (self.end - cursor))
