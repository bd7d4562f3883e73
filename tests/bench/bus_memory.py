"""A contestant of `make bench-bus`: the in-process bus, publishing and working in one process as it does.

What is measured is both together: a message published, routed, handed to its handler and acked.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from streamer.bus.factory import bus_for_url
from streamer.interfaces import IBus
from streamer.message import Decision, Delivery
from streamer.metrics import Metrics
from tests.bench.bus_load import PREFETCH, Arrivals, Taken
from tests.bench.bus_ours import message
from tests.bench.bus_twisted import run

TURN = 64  # messages published in one turn of the reactor, about what one read from an upstream brings


class Memory:
    """The contestant."""

    def __init__(self, bus: IBus) -> None:
        self._bus = bus

    async def both(self, exchange: str, topic: str, queue: str, count: int) -> Taken:
        """Publish and consume."""
        clock: Any = reactor
        done: Deferred[Taken] = Deferred()
        arrivals = Arrivals(count, done.callback)

        async def handle(_: Delivery) -> Decision:
            arrivals.one()
            return Decision.ACK

        working = self._bus.work(queue, handle, PREFETCH)
        for number in range(count):
            taken = self._bus.publish(message(exchange, topic, number, int(time.time() * 1000)))
            if not taken.called:
                await taken
            elif number % TURN == 0:
                await deferLater(clock, 0)
        found = await done
        await working.stop()
        return found


async def make(_: str) -> Memory:
    """Started."""
    bus = bus_for_url("memory:", reactor, Metrics(), "bench")
    bus.startService()
    return Memory(bus)


if __name__ == "__main__":
    run(make)
