# -*- test-case-name: tests.unit.test_net_player -*-
"""When the items of a recording were received → when to play each."""

from __future__ import annotations

import attrs

LATE = 1.0  # seconds behind, beyond which what was missed is not made up for: it goes on from there
GRAIN = 0.01  # seconds that an item may be early, so that a quick recording does not take a timer an item


@attrs.define
class Pace:
    """The pace of one recording.

    Args:
        speed: times its own; None as fast as it is taken.
        rate: items a second, instead of its own times.
    """

    speed: float | None = 1.0
    rate: float | None = None
    _begin: float | None = None  # when the first item was due, seconds
    _first: int = 0  # when that was received, ms
    _count: int = 0

    def due(self, received_ms: int, now: float) -> float:
        """When the next item is due, in seconds as `now`; call it once for each."""
        if self._begin is None:
            self._begin, self._first, self._count = now, received_ms, 0
        if self.rate is not None:
            due = self._begin + self._count / self.rate
        elif self.speed is not None:
            due = self._begin + (received_ms - self._first) / 1000 / self.speed
        else:
            return now
        self._count += 1
        late = now - due
        if late > LATE:
            self._begin += late
            return now
        return due

    def anew(self) -> None:
        """The next item is the first of another round: it comes at once, or as the rate says."""
        if self.rate is None:
            self._begin = None
