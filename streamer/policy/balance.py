# -*- test-case-name: tests.unit.test_policy_balance -*-
"""How many shards each of several workers should have.

A queue with a single active consumer serves whoever came first; so the process that starts first gets every shard, and
keeps them. It gives up what is more than its share, and goes to the end of the line: the next worker there gets it.
"""

from __future__ import annotations


def surplus(active: int, shards: int, workers: int) -> int:
    """How many of its shards a worker gives up.

    Args:
        active: shards that it is served from.
        shards: of all workers.
        workers: how many there are, itself included; 0 where that is not known.
    """
    if workers < 2:
        return 0
    share = -(-shards // workers)  # rounded up, so that shards are not handed round for ever
    return max(0, active - share)
