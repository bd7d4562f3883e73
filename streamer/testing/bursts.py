# -*- test-case-name: tests.unit.test_testing_posts -*-
"""When everybody speaks of the same thing: a tag's share of the posts rises, peaks and decays, and trends exist."""

from __future__ import annotations

import attrs

PERIOD = 90.0  # seconds from the start of one burst to the start of the next
RISE = 15.0  # seconds to the peak
HALF_LIFE = 20.0  # seconds in which it halves afterwards
PEAK = 0.5  # share of the posts at the peak


@attrs.frozen
class Bursts:
    """A timetable of bursts, one tag after the other.

    Args:
        tags: what bursts, in this order, for ever.
        start_ms: when the first one starts, ms since the epoch.
    """

    tags: tuple[str, ...]
    start_ms: int

    def at(self, now_ms: int) -> tuple[str, float]:
        """The tag of the moment, and its share of the posts, 0 to `PEAK`."""
        number, elapsed = divmod((now_ms - self.start_ms) / 1000, PERIOD)
        return self.tags[int(number) % len(self.tags)], share(elapsed)


def share(elapsed: float) -> float:
    """How much of everything a burst is, `elapsed` seconds after its start."""
    if elapsed < RISE:
        return PEAK * elapsed / RISE
    return float(PEAK * 0.5 ** ((elapsed - RISE) / HALF_LIFE))
