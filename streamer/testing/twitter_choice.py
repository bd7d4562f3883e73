# -*- test-case-name: tests.unit.test_testing_twitter -*-
"""What one connection to Twitter gets: what it asked for, and `limit` in the place of what is held back from it."""

from __future__ import annotations

import random
import zlib

import attrs

from streamer.testing.history import Line
from streamer.testing.twitter_feed import About
from streamer.testing.twitter_messages import limit
from streamer.testing.twitter_query import Asked

SHARDS = 4  # machines, each with a count of its own of what it held back
GRAINS = 10_000  # steps in which a share is measured


@attrs.define
class Choice:
    """Chooses lines for one connection.

    Args:
        opened: serial of the first line that came after it; limits and warnings of before are not its own.
        share: of all tweets that there are for it.
        limited: share of the tweets it asked for that are held back.
        chance: decides which.
    """

    asked: Asked
    opened: int
    share: float
    limited: float
    chance: random.Random
    held_back: int = 0
    _to_hold: int = 0
    _counts: list[int] = attrs.field(factory=lambda: [0] * SHARDS)

    def wants(self, line: Line) -> bool:
        """Whether the line is a tweet that was asked for."""
        about: About = line.about
        return about.kind == "tweet" and self._concerned(about)

    def __call__(self, line: Line) -> Line | None:
        """What to send of a line, or in its place; None sends nothing."""
        about: About = line.about
        match about.kind:
            case "limit":
                self._to_hold += about.hold if about.serial >= self.opened else 0
                return None
            case "warning":
                return line if self.asked.stall_warnings and about.serial >= self.opened else None
        if not self._concerned(about):
            return None
        live = about.kind == "tweet" and about.serial >= self.opened
        if live and (self._to_hold or self.chance.random() < self.limited):
            return self._hold(about)
        return line

    def _concerned(self, about: About) -> bool:
        if zlib.crc32(about.id.encode()) % GRAINS >= round(self.share * GRAINS):
            return False
        return about.facets is not None and self.asked.predicates.match(about.facets)

    def _hold(self, about: About) -> Line:
        self._to_hold = max(0, self._to_hold - 1)
        self.held_back += 1
        shard = zlib.crc32(about.id.encode()) // GRAINS % SHARDS
        self._counts[shard] += 1
        return Line(limit(self._counts[shard], about.now_ms))
