"""Counts of several servers, interleaved: never negative, never more than the truth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.undelivered import SHARDS_LIMIT, UndeliveredCounters

# Which of up to five servers reports, and by how much its count rose since it last did.
REPORTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), max_size=60)


def truth(reports: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """For each report the count that the server sends, and the sum over all servers then."""
    counts: dict[int, int] = {}
    rows = []
    for server, rise in reports:
        counts[server] = counts.get(server, 0) + rise
        rows.append((counts[server], sum(counts.values())))
    return rows


class UndeliveredTests(SynchronousTestCase):
    """One connection's counters."""

    def test_one_server(self) -> None:
        """A single rising counter gives its differences."""
        counters = UndeliveredCounters()
        self.assertEqual([(0, 3), (0, 4), (0, 0), (0, 5)], [counters.take(count) for count in (3, 7, 7, 12)])

    def test_recorded(self) -> None:
        """6, 7, 4 within a second: two servers at least, and not one that went backwards."""
        counters = UndeliveredCounters()
        self.assertEqual([(0, 6), (0, 1), (1, 4)], [counters.take(count) for count in (6, 7, 4)])
        self.assertEqual(11, counters.total)

    def test_recorded_longer(self) -> None:
        """13, 2, 7, 4, 22, 19, 33, 32: each count goes to the nearest one below it."""
        counters = UndeliveredCounters()
        rows = [counters.take(count) for count in (13, 2, 7, 4, 22, 19, 33, 32)]
        self.assertEqual([(0, 13), (1, 2), (1, 5), (2, 4), (0, 9), (1, 12), (0, 11), (1, 13)], rows)
        self.assertEqual(33 + 32 + 4, counters.total)

    def test_bounded(self) -> None:
        """With all places taken, a lower count is merged into the smallest and adds nothing."""
        counters = UndeliveredCounters(limit=2)
        self.assertEqual([(0, 9), (1, 5)], [counters.take(9), counters.take(5)])
        self.assertEqual((1, 0), counters.take(3))
        self.assertEqual((1, 1), counters.take(6))

    def test_limit(self) -> None:
        """Counts that fall for ever open no more places than the limit."""
        counters = UndeliveredCounters()
        shards = {counters.take(count)[0] for count in range(1000, 0, -1)}
        self.assertEqual(SHARDS_LIMIT, len(shards))

    @given(REPORTS, st.integers(1, 8))
    def test_never_more_than_the_truth(self, reports: list[tuple[int, int]], limit: int) -> None:
        """No difference is negative; their sum never exceeds what was kept back, nor falls below the largest count."""
        counters = UndeliveredCounters(limit)
        told, largest = 0, 0
        for count, total in truth(reports):
            shard, rise = counters.take(count)
            told, largest = told + rise, max(largest, count)
            self.assertGreaterEqual(rise, 0)
            self.assertTrue(0 <= shard < limit)
            self.assertTrue(largest <= told <= total, (largest, told, total))
        self.assertEqual(told, counters.total)

    @given(st.lists(st.integers(0, 50), max_size=40))
    def test_exact_with_one_server(self, rises: list[int]) -> None:
        """Nothing is lost or invented where there is one counter."""
        counters = UndeliveredCounters()
        self.assertEqual(rises, [counters.take(sum(rises[: index + 1]))[1] for index in range(len(rises))])
