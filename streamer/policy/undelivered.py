# -*- test-case-name: tests.unit.test_policy_undelivered -*-
"""Cumulative counts of several servers, interleaved and unnamed → how many more items were kept back.

A v1.1 stream says `{"limit":{"track":1234}}`: so many matching posts it has kept back since the connection began. What
really comes is 6, 7, 4 or 13, 2, 7, 4, 22, 19, 33, 32 within a second: several servers feed one connection, and each
counts for itself (https://github.com/tweepy/tweepy/issues/1285). Read as one rising counter, that would lose the drops
of all servers but the busiest; added up as it comes, it would invent many.
"""

from __future__ import annotations

import attrs

SHARDS_LIMIT = 32  # servers told apart on one connection; recorded streams show four to eight


@attrs.define
class UndeliveredCounters:
    """The counters of one connection; make a new one for each, as the upstream does.

    A count belongs to the server whose last count is the largest not above it. The sum of all differences is therefore
    never more than the servers' own sum, whatever the order, and with one server it is exact. (Why never more: a
    server's rise is counted from a place at or above the one it really started from.)
    """

    limit: int = SHARDS_LIMIT
    _last: list[int] = attrs.field(factory=list)

    @property
    def total(self) -> int:
        """Items kept back so far, as far as can be told."""
        return sum(self._last)

    def take(self, count: int) -> tuple[int, int]:
        """A count came.

        Args:
            count: 0 or more, cumulative.

        Returns:
            The number of the server it was assigned to, from 0, and by how many items its count rose: 0 or more.
            Where all places are taken, a count below all others is merged into the smallest and adds nothing: too
            little rather than too much.
        """
        below = [(last, shard) for shard, last in enumerate(self._last) if last <= count]
        if below:
            last, shard = max(below)
            self._last[shard] = count
            return shard, count - last
        if len(self._last) < self.limit:
            self._last.append(count)
            return len(self._last) - 1, count
        return min(range(len(self._last)), key=self._last.__getitem__), 0
