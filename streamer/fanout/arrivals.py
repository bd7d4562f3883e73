# -*- test-case-name: tests.unit.test_fanout_journal -*-
"""When the entries of a journal came, to the accuracy of the calls that ask.

What counts is when an entry came to this relay, not when its message says that it was made: a publisher whose clock is
wrong could otherwise have its events dropped before anybody is given them, or kept for ever.
"""

from __future__ import annotations

from collections import deque

import attrs


@attrs.define
class Arrivals:
    """How far the journal was, at moments: nothing is kept with the entries themselves."""

    _heads: deque[tuple[float, int]] = attrs.field(factory=deque)  # moment, head; heads rise

    def note(self, now: float, floor: int, head: int) -> None:
        """Everything before `head` has come by `now`, seconds since the epoch; what is below `floor` is gone."""
        while self._heads and self._heads[0][1] <= floor:
            self._heads.popleft()
        if head > (self._heads[-1][1] if self._heads else floor):
            self._heads.append((now, head))

    def before(self, moment: float) -> int | None:
        """The place below which everything had come by that moment; None where nothing had."""
        found = None
        for noted, head in self._heads:
            if noted > moment:
                break
            found = head
        return found

    @property
    def oldest(self) -> float | None:
        """When the oldest entry that is held came, seconds since the epoch; None where none is."""
        return self._heads[0][0] if self._heads else None
