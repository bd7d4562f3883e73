"""A contestant of `make bench-bus`: pika's Twisted adapter, by hand, as well as one reasonably can.

The raw channel beneath the adapter's, for that has a Deferred and a queue for each message; confirms stream, and what
is not confirmed is remembered, so that it could be published again; each turn publishes what the window has room for;
64 deliveries are acked together. (Feeding pika slices of 4 or 8 KiB changes nothing here.)
"""

from __future__ import annotations

import time
from typing import Any

import pika
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from tests.bench.bus_load import (
    ACKED,
    BODY,
    CONTENT_TYPE,
    KIND,
    PREFETCH,
    WINDOW,
    Arrivals,
    Delays,
    Stopwatch,
    Taken,
    message_id,
    wire_headers,
)
from tests.bench.bus_twisted import Paced, run


def properties(number: int) -> Any:
    """Those of an item of ours."""
    now_ms = int(time.time() * 1000)
    return pika.BasicProperties(
        content_type=CONTENT_TYPE,
        headers=wire_headers(number, now_ms),
        delivery_mode=2,
        message_id=message_id(number),
        timestamp=now_ms // 1000,
        type=KIND,
    )


class Publishing:
    """Publishes a number of messages over a channel of its own."""

    def __init__(self, channel: Any, exchange: str, topic: str, count: int) -> None:
        self._channel, self._exchange, self._topic, self._count = channel, exchange, topic, count
        self._sent = 0
        self._waiting: dict[int, bytes] = {}  # by tag, rising
        self._turn: Any = None
        self._done: Deferred[None] = Deferred()

    async def run(self) -> Taken:
        """All of them."""
        selected: Deferred[Any] = Deferred()
        self._channel.confirm_delivery(ack_nack_callback=self._told, callback=selected.callback)
        await selected
        watch = Stopwatch()
        self._publish()
        await self._done
        return watch.taken(self._count)

    def _publish(self) -> None:
        self._turn = None
        publish, waiting = self._channel.basic_publish, self._waiting
        for _ in range(min(WINDOW - len(waiting), self._count - self._sent)):
            self._sent += 1
            waiting[self._sent] = BODY
            publish(self._exchange, self._topic, BODY, properties(self._sent))

    def _told(self, frame: Any) -> None:
        method = frame.method
        if method.NAME != "Basic.Ack":
            raise RuntimeError(f"the broker said {method}")
        waiting = self._waiting
        if not method.multiple:
            del waiting[method.delivery_tag]
        else:
            while waiting and (first := next(iter(waiting))) <= method.delivery_tag:
                del waiting[first]
        if self._sent < self._count:
            if self._turn is None:
                clock: Any = reactor
                self._turn = clock.callLater(0, self._publish)
        elif not waiting and not self._done.called:
            self._done.callback(None)


class Pika:
    """The contestant. Publishing has a connection of its own, as it should."""

    def __init__(self, publisher: Any, consumer: Any) -> None:
        self._publisher, self._consumer = publisher, consumer

    async def publish(self, exchange: str, topic: str, count: int) -> Taken:
        """See Contestant."""
        channel = await opened(self._publisher)
        taken = await Publishing(channel, exchange, topic, count).run()
        channel.close()
        return taken

    async def consume(self, queue: str, count: int) -> Taken:
        """See Contestant."""
        done: Deferred[Taken] = Deferred()
        arrivals = Arrivals(count, done.callback)

        def handle(channel: Any, method: Any, _: Any, __: bytes) -> None:
            tag = method.delivery_tag
            if not tag % ACKED or tag == count:
                channel.basic_ack(tag, True)
            arrivals.one()

        channel = await consuming(self._consumer, queue, handle)
        taken = await done
        channel.close()
        return taken

    async def delays(self, exchange: str, topic: str, queue: str, count: int) -> Delays:
        """See Contestant."""
        publishing = await opened(self._publisher)
        selected: Deferred[Any] = Deferred()
        publishing.confirm_delivery(ack_nack_callback=lambda _: None, callback=selected.callback)
        await selected
        paced = Paced(count, lambda number: publishing.basic_publish(exchange, topic, BODY, properties(number)))

        def handle(channel: Any, method: Any, found: Any, _: bytes) -> None:
            paced.handled(int(found.message_id.partition("/")[2]))
            channel.basic_ack(method.delivery_tag)

        channel = await consuming(self._consumer, queue, handle)
        delays = await paced.run()
        channel.close()
        publishing.close()
        return delays


async def opened(connection: Any) -> Any:
    """A new channel."""
    answer: Deferred[Any] = Deferred()
    connection._impl.channel(on_open_callback=answer.callback)
    return await answer


async def consuming(connection: Any, queue: str, handle: Any) -> Any:
    """A new channel with a consumer."""
    channel = await opened(connection)
    limited: Deferred[Any] = Deferred()
    channel.basic_qos(prefetch_count=PREFETCH, callback=limited.callback)
    await limited
    begun: Deferred[Any] = Deferred()
    channel.basic_consume(queue, on_message_callback=handle, callback=begun.callback)
    await begun
    return channel


async def make(url: str) -> Pika:
    """Connected twice."""
    parameters = pika.URLParameters(url)
    endpoint = TCP4ClientEndpoint(reactor, parameters.host, parameters.port)
    found = []
    for _ in range(2):
        connection = await connectProtocol(endpoint, TwistedProtocolConnection(parameters))
        await connection.ready
        found.append(connection)
    return Pika(*found)


if __name__ == "__main__":
    run(make)
