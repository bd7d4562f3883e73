# -*- test-case-name: tests.unit.test_policy_source_table -*-
"""How many a second, over the last minute: from a count that is looked at each second, so no message costs more."""

from __future__ import annotations

from collections import deque

import attrs

SPAN = 60.0  # seconds that it is about
LOOKS = 61  # kept; with one each second they span a minute


@attrs.define
class Rate:
    """The rate of one count that only grows."""

    _looks: deque[tuple[float, float]] = attrs.field(factory=lambda: deque(maxlen=LOOKS))

    def look(self, now: float, count: float) -> None:
        """Note how much it is now; after a clock that was set back it begins anew."""
        if self._looks and now < self._looks[-1][0]:
            self._looks.clear()
        while self._looks and self._looks[0][0] < now - SPAN:
            self._looks.popleft()
        self._looks.append((now, count))

    @property
    def value(self) -> float | None:
        """A second; None before there are two looks."""
        if len(self._looks) < 2:
            return None
        (begun, before), (now, count) = self._looks[0], self._looks[-1]
        return (count - before) / (now - begun) if now > begun else None
