"""A contestant of `make bench-bus`: txAMQP 0.8.2 as it is, with the description of AMQP that it lacks and confirms.

The description is our own driver's. Its delegate knows no confirms, so it is taught some here. Its codec writes
integers as 32 bits without a sign and cannot read others, so the times in milliseconds are strings here: a delivery
with a 64-bit header, as all items of ours have, and RabbitMQ's own of a redelivery, costs it the connection.
"""

from __future__ import annotations

import time
from typing import Any

import pika
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from txamqp.client import TwistedDelegate
from txamqp.content import Content
from txamqp.endpoint import AMQEndpoint
from txamqp.factory import AMQFactory

from streamer.bus.txamqp_spec import DESCRIPTION
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

PATIENCE = 5.0  # seconds for a delivery
CONSUMER = "bench"


class Confirming(TwistedDelegate):  # type: ignore[misc]  # txAMQP has no types
    """Tells of confirms."""

    told: Any = None

    def basic_ack(self, _: Any, message: Any) -> None:
        """From the broker."""
        self.told(message.delivery_tag, message.multiple)


class Connecting(AMQFactory):  # type: ignore[misc]
    """Makes clients with that delegate."""

    def buildProtocol(self, addr: Any) -> Any:
        """The one there will be."""
        return self.protocol(Confirming(), vhost=self._vhost, spec=self._spec, heartbeat=self._heartbeat)


def content(number: int) -> Any:
    """An item of ours, as far as it can be written."""
    now_ms = int(time.time() * 1000)
    return Content(
        BODY,
        properties={
            "content-type": CONTENT_TYPE,
            "headers": {name: str(value) for name, value in wire_headers(number, now_ms).items()},
            "delivery-mode": 2,
            "message-id": message_id(number),
            "timestamp": now_ms // 1000,
            "type": KIND,
        },
    )


class Publishing:
    """Publishes a number of messages."""

    def __init__(self, client: Any, channel: Any, exchange: str, topic: str, count: int) -> None:
        client.delegate.told = self._told
        self._channel, self._exchange, self._topic, self._count = channel, exchange, topic, count
        self._sent = 0
        self._waiting: dict[int, bytes] = {}  # by tag, rising
        self._turn: Any = None
        self._done: Deferred[None] = Deferred()

    async def run(self) -> Taken:
        """All of them."""
        await self._channel.confirm_select()
        watch = Stopwatch()
        self._publish()
        await self._done
        return watch.taken(self._count)

    def _publish(self) -> None:
        self._turn = None
        for _ in range(min(WINDOW - len(self._waiting), self._count - self._sent)):
            self._sent += 1
            self._waiting[self._sent] = BODY
            self._channel.basic_publish(exchange=self._exchange, routing_key=self._topic, content=content(self._sent))

    def _told(self, tag: int, multiple: bool) -> None:
        waiting = self._waiting
        if not multiple:
            del waiting[tag]
        else:
            while waiting and (first := next(iter(waiting))) <= tag:
                del waiting[first]
        if self._sent < self._count:
            if self._turn is None:
                clock: Any = reactor
                self._turn = clock.callLater(0, self._publish)
        elif not waiting and not self._done.called:
            self._done.callback(None)


class TxAMQP:
    """The contestant; a connection for each verb."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def publish(self, exchange: str, topic: str, count: int) -> Taken:
        """See Contestant."""
        client, channel = await self._opened()
        taken = await Publishing(client, channel, exchange, topic, count).run()
        await client.close()
        return taken

    async def consume(self, queue: str, count: int) -> Taken:
        """See Contestant."""
        client, channel, deliveries = await self._consuming(queue)
        found: list[Taken] = []
        arrivals = Arrivals(count, found.append)
        try:
            while not found:
                delivery = await deliveries.get(timeout=PATIENCE)
                tag = delivery.delivery_tag
                if not tag % ACKED or tag == count:
                    channel.basic_ack(tag, True)
                arrivals.one()
        finally:
            await client.close()
        return found[0]

    async def delays(self, exchange: str, topic: str, queue: str, count: int) -> Delays:
        """See Contestant."""
        client, publishing = await self._opened()
        consumer, channel, deliveries = await self._consuming(queue)
        client.delegate.told = lambda *_: None
        await publishing.confirm_select()

        def publish(number: int) -> None:
            publishing.basic_publish(exchange=exchange, routing_key=topic, content=content(number))

        async def take() -> None:
            for _ in range(count):
                delivery = await deliveries.get(timeout=PATIENCE)
                paced.handled(int(delivery.content["message-id"].partition("/")[2]))
                channel.basic_ack(delivery.delivery_tag)

        paced = Paced(count, publish)
        Deferred.fromCoroutine(take()).addErrback(paced.failed)
        try:
            return await paced.run()
        finally:
            await client.close()
            await consumer.close()

    async def _opened(self) -> tuple[Any, Any]:
        at = pika.URLParameters(self._url)  # txAMQP's own way of reading a URL breaks on the port
        user, password = at.credentials.username, at.credentials.password
        factory = Connecting(spec=str(DESCRIPTION))
        client = await AMQEndpoint(reactor, at.host, at.port, user, password, at.virtual_host).connect(factory)
        channel = await client.channel(1)
        await channel.channel_open()
        return client, channel

    async def _consuming(self, queue: str) -> tuple[Any, Any, Any]:
        client, channel = await self._opened()
        await channel.basic_qos(prefetch_count=PREFETCH)
        deliveries = await client.queue(CONSUMER)
        await channel.basic_consume(queue=queue, consumer_tag=CONSUMER)
        return client, channel, deliveries


async def make(url: str) -> TxAMQP:
    """Not connected yet."""
    return TxAMQP(url)


if __name__ == "__main__":
    run(make)
