"""A contestant of `make bench-bus`: our bus, used as the services use it.

A publisher keeps to the bus's window and is told of each message by the Deferred of its own; a handler is an `async
def` that answers with a Decision.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from streamer.bus.factory import bus_for_url
from streamer.interfaces import IBus, ISubscription
from streamer.message import Decision, Delivery, Message, Topic
from streamer.metrics import Metrics
from tests.bench.bus_load import (
    BODY,
    CONTENT_TYPE,
    KIND,
    PREFETCH,
    Arrivals,
    Delays,
    Stopwatch,
    Taken,
    headers,
    message_id,
)
from tests.bench.bus_twisted import Paced, run

POLL = 0.01  # seconds between two looks at whether it is ready


def message(exchange: str, topic: str, number: int, now_ms: int) -> Message:
    """One of ours."""
    return Message(
        exchange=exchange,
        topic=Topic(topic),
        body=BODY,
        message_id=message_id(number),
        kind=KIND,
        timestamp_ms=now_ms,
        content_type=CONTENT_TYPE,
        headers=headers(number, now_ms),
    )


class Publishing:
    """Publishes a number of messages, as many at a time as the bus wants under way."""

    def __init__(self, bus: IBus, exchange: str, topic: str, count: int) -> None:
        self._bus, self._exchange, self._topic, self._count = bus, exchange, topic, count
        self._sent = self._confirmed = 0
        self._done: Deferred[None] = Deferred()

    async def run(self) -> Taken:
        """All of them."""
        watch = Stopwatch()
        for _ in range(min(self._bus.window, self._count)):
            self._next()
        await self._done
        return watch.taken(self._count)

    def _next(self) -> None:
        number = self._sent
        self._sent += 1
        taken = self._bus.publish(message(self._exchange, self._topic, number, int(time.time() * 1000)))
        taken.addCallbacks(self._taken, self._done.errback)

    def _taken(self, _: None) -> None:
        self._confirmed += 1
        if self._sent < self._count:
            self._next()
        elif self._confirmed == self._count:
            self._done.callback(None)


class Ours:
    """The contestant."""

    def __init__(self, bus: IBus) -> None:
        self._bus = bus

    async def publish(self, exchange: str, topic: str, count: int) -> Taken:
        """See Contestant."""
        return await Publishing(self._bus, exchange, topic, count).run()

    async def consume(self, queue: str, count: int) -> Taken:
        """See Contestant."""
        done: Deferred[Taken] = Deferred()
        arrivals = Arrivals(count, done.callback)

        async def handle(_: Delivery) -> Decision:
            arrivals.one()
            return Decision.ACK

        working: ISubscription = self._bus.work(queue, handle, PREFETCH)
        taken = await done
        await working.stop()
        return taken

    async def delays(self, exchange: str, topic: str, queue: str, count: int) -> Delays:
        """See Contestant."""

        def publish(number: int) -> None:
            self._bus.publish(message(exchange, topic, number, int(time.time() * 1000)))

        paced = Paced(count, publish)

        async def handle(delivery: Delivery) -> Decision:
            paced.handled(int(delivery.message.message_id.partition("/")[2]))
            return Decision.ACK

        working: ISubscription = self._bus.work(queue, handle, PREFETCH)
        await ready(working)
        found = await paced.run()
        await working.stop()
        return found


async def ready(what: Any) -> None:
    """Wait until it says so."""
    clock: Any = reactor
    while not what.ready:
        await deferLater(clock, POLL)


async def make(url: str) -> Ours:
    """Connected."""
    bus = bus_for_url(url, reactor, Metrics(), "bench")
    bus.startService()
    await ready(bus)
    return Ours(bus)


if __name__ == "__main__":
    run(make)
