"""How shards spread over workers."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.balance import surplus


class BalanceTests(SynchronousTestCase):
    """A share is what is left when all have the same, rounded up."""

    def test_rows(self) -> None:
        """What is more than the share is given up; alone, or not knowing, nothing is."""
        rows = ((8, 8, 1, 0), (8, 8, 0, 0), (8, 8, 2, 4), (4, 8, 2, 0), (8, 8, 3, 5), (3, 8, 3, 0), (1, 2, 5, 0))
        for active, shards, workers, expected in rows:
            with self.subTest(active=active, shards=shards, workers=workers):
                self.assertEqual(surplus(active, shards, workers), expected)

    @given(st.integers(1, 40), st.integers(2, 8), st.data())
    def test_settles(self, shards: int, workers: int, data: st.DataObject) -> None:
        """However the shards lie at first, after a few rounds nobody gives up any more, and nobody has too many."""
        orders = st.permutations(range(workers))
        lines = [deque(data.draw(orders)) for _ in range(shards)]  # who waits for each shard; the first is served
        for _ in range(workers * 2):
            for worker in range(workers):
                mine = [line for line in lines if line[0] == worker]
                for line in mine[: surplus(len(mine), shards, workers)]:
                    line.rotate(-1)
        counts = [sum(line[0] == worker for line in lines) for worker in range(workers)]
        self.assertLessEqual(max(counts), -(-shards // workers))
