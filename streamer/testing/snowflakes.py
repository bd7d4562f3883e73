# -*- test-case-name: tests.unit.test_testing_posts -*-
"""Ids and times as X writes them."""

from __future__ import annotations

import functools
from datetime import UTC, datetime

import attrs

EPOCH = 1_288_834_974_657  # ms since the Unix epoch: when X began to count
WORKERS = 1024  # machines that an id can name


@functools.lru_cache(maxsize=16)  # many posts share a millisecond
def rfc3339(time_ms: int) -> str:
    """The time in UTC with milliseconds, as `2026-11-21T04:00:00.123Z`."""
    whole, thousandths = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{thousandths:03d}Z"


@attrs.define
class Snowflakes:
    """Rising ids: milliseconds since X's epoch, ten bits of `worker`, twelve bits of sequence."""

    worker: int = 0
    _last: int = 0

    def next(self, now_ms: int) -> str:
        """A new id, greater than all before it, even where the clock stands or goes back."""
        wanted = max(now_ms - EPOCH, 1) << 22 | (self.worker % WORKERS) << 12
        self._last = max(wanted, self._last + 1)
        return str(self._last)
