# -*- test-case-name: tests.unit.test_bus_memory -*-
"""The kit of the in-process bus, on a Clock and on a reactor alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamer.bus import topology
from streamer.bus.memory import MemoryBus
from streamer.metrics import Metrics
from tests.bus_contract_kit import Kit


def memory_kit(clock: Any) -> Kit:
    """All buses on one broker are one bus in memory."""
    made: list[MemoryBus] = []

    def make(metrics: Metrics, delay: Callable[[int], float], shards: int = 0) -> MemoryBus:
        if not made:
            made.append(MemoryBus(clock, metrics, delay=delay, shards=shards))
        return made[0]

    async def bound(queue: str, key: str, most: int) -> None:
        broker = made[0]._broker
        held: Any = broker.log.ring if queue == topology.LOG else broker.queues[queue].places
        name = {"max-length": "max_messages", "max-length-bytes": "max_bytes"}[key]
        assert hasattr(held, name)
        setattr(held, name, most)

    return Kit(clock, make, bound)
