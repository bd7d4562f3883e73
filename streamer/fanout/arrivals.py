# -*- test-case-name: tests.unit.test_fanout_arrivals -*-
"""When the entries of a journal came, to the accuracy of the calls that ask.

What counts is when an entry came to this relay, not when its message says that it was made: a publisher whose clock is
wrong could otherwise have its events dropped before anybody is given them, or kept for ever.

Only for who asks what came within the last minutes, the history that a relay reads when it starts counts from when it
was made: it all came in one moment, which is not what is asked about. Nothing is dropped by that.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from operator import itemgetter

import attrs

AGO_LIMIT = 86_400.0  # seconds that one may ask back
FRESH = 5.0  # seconds: what was made so lately is no history
HISTORY_WITHIN = 60.0  # seconds from its first entry on in which history is read; what comes then came then
STEP = 1.0  # seconds between two notes of when history was made, at least

_AGO = re.compile(r"([0-9]{1,9})([smh])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0}
_moment = itemgetter(0)


def ago(text: str) -> float | None:
    """The seconds in a text such as "300s", "5m" or "2h"; None where it is none. No position looks like that."""
    match = _AGO.fullmatch(text)
    return None if match is None else float(match[1]) * _UNITS[match[2]]


@attrs.define
class Arrivals:
    """How far the journal was, at moments: nothing is kept with the entries themselves.

    Attributes:
        now: when `note` was called last, seconds since the epoch.
    """

    now: float = 0.0
    _heads: deque[tuple[float, int]] = attrs.field(factory=deque)  # moment, head; heads rise
    _dated: deque[tuple[float, int]] = attrs.field(factory=deque)  # the same, but history as it was made; both rise
    _head: int = 0  # at the last note
    _history: bool = True  # what is appended may be history
    _history_began: float | None = None  # when some of it was there first

    def note(self, now: float, floor: int, head: int) -> None:
        """Everything before `head` has come by `now`, seconds since the epoch; what is below `floor` is gone."""
        while self._heads and self._heads[0][1] <= floor:
            self._heads.popleft()
        if head > (self._heads[-1][1] if self._heads else floor):
            self._heads.append((now, head))
        self._date(now, floor, head)
        self.now, self._head = now, head

    def made(self, moment: float, place: int) -> None:
        """An entry is appended there; to be told of each.

        Args:
            moment: by its publisher's clock, seconds since the epoch.
        """
        if not self._history:
            return
        if moment <= 0.0:  # it does not say
            self._history = bool(self._dated)
        elif self.now and moment > self.now - FRESH:
            self._history = False
        elif not self._dated or moment >= self._dated[-1][0] + STEP:  # so all before it was made by then
            self._dated.append((moment, place))

    def before(self, moment: float) -> int | None:
        """The place below which everything had come by that moment; None where nothing had."""
        found = None
        for noted, head in self._heads:
            if noted > moment:
                break
            found = head
        return found

    def within(self, seconds: float) -> int | None:
        """The first place that may have come in the last so many seconds, be it held or not.

        None where the journal does not reach back so far.
        """
        index = bisect_right(self._dated, self.now - seconds, key=_moment)
        return self._dated[index - 1][1] if index else None

    @property
    def oldest(self) -> float | None:
        """When the oldest entry that is held came, seconds since the epoch; None where none is."""
        return self._heads[0][0] if self._heads else None

    def _date(self, now: float, floor: int, head: int) -> None:
        dated = self._dated
        if self._history:
            while dated and dated[-1][0] > now:  # a publisher's clock is wrong
                dated.pop()
            if head > floor:
                began = self._history_began = now if self._history_began is None else self._history_began
                quiet = head == self._head  # for a second: then all was read
                self._history = not quiet and now - began < HISTORY_WITHIN
        if not self._history and head > (dated[-1][1] if dated else floor):
            dated.append((max(now, dated[-1][0]) if dated else now, head))
        while len(dated) > 1 and dated[1][1] <= floor:  # one is kept, to know since when all is held
            dated.popleft()
