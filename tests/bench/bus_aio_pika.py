"""A contestant of `make bench-bus`: aio-pika on asyncio, as its documentation shows it.

Its robust connection, a channel with publisher confirms, each publish awaited by one of a window of tasks; an
IncomingMessage has `ack(multiple=True)`, so 64 deliveries are acked together.
"""

from __future__ import annotations

import asyncio
import datetime
import sys
import time
from typing import Any

import aio_pika

from tests.bench.bus_load import (
    ACKED,
    BODY,
    CONTENT_TYPE,
    KIND,
    PACE,
    PREFETCH,
    WINDOW,
    Arrivals,
    Delays,
    Stopwatch,
    Taken,
    message_id,
    obey,
    wire_headers,
)


def message(number: int) -> Any:
    """An item of ours."""
    now = time.time()
    headers: dict[str, Any] = dict(wire_headers(number, int(now * 1000)))
    return aio_pika.Message(
        BODY,
        headers=headers,
        content_type=CONTENT_TYPE,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message_id(number),
        timestamp=datetime.datetime.fromtimestamp(now, datetime.UTC),
        type=KIND,
    )


class AioPika:
    """The contestant."""

    def __init__(self, publisher: Any, consumer: Any) -> None:
        self._publisher, self._consumer = publisher, consumer

    async def publish(self, exchange: str, topic: str, count: int) -> Taken:
        """See Contestant."""
        channel = await self._publisher.channel(publisher_confirms=True)
        target = await channel.get_exchange(exchange, ensure=False)
        numbers = iter(range(count))

        async def publish() -> None:
            for number in numbers:  # shared: whoever is free takes the next one
                await target.publish(message(number), topic, mandatory=False)

        watch = Stopwatch()
        async with asyncio.TaskGroup() as group:
            for _ in range(WINDOW):
                group.create_task(publish())
        taken = watch.taken(count)
        await channel.close()
        return taken

    async def consume(self, queue: str, count: int) -> Taken:
        """See Contestant."""
        done: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        arrivals = Arrivals(count, done.set_result)

        async def handle(found: Any) -> None:
            tag = found.delivery_tag
            if not tag % ACKED or tag == count:
                await found.ack(multiple=True)
            arrivals.one()

        channel = await self._consuming(queue, handle)
        taken = await done
        await channel.close()
        return taken

    async def delays(self, exchange: str, topic: str, queue: str, count: int) -> Delays:
        """See Contestant."""
        channel = await self._publisher.channel(publisher_confirms=True)
        target = await channel.get_exchange(exchange, ensure=False)
        begun, delays = [0.0] * count, [0.0] * count
        arrived = asyncio.Semaphore(0)

        async def handle(found: Any) -> None:
            number = int(found.message_id.partition("/")[2])
            delays[number] = (time.perf_counter() - begun[number]) * 1e6
            arrived.release()
            await found.ack()

        consuming = await self._consuming(queue, handle)
        publishing = []
        start = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(start + number * PACE - time.perf_counter())
            begun[number] = time.perf_counter()
            publishing.append(asyncio.create_task(target.publish(message(number), topic, mandatory=False)))
        for _ in range(count):
            await arrived.acquire()
        await asyncio.gather(*publishing)
        await consuming.close()
        await channel.close()
        return Delays(delays)

    async def _consuming(self, name: str, handle: Any) -> Any:
        channel = await self._consumer.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.get_queue(name, ensure=False)
        await queue.consume(handle, no_ack=False)
        return channel


async def main() -> None:
    """Be it, over two connections."""
    connections = [await aio_pika.connect_robust(sys.argv[1]) for _ in range(2)]
    loop = asyncio.get_running_loop()
    await obey(AioPika(*connections), lambda: loop.run_in_executor(None, sys.stdin.readline))
    for connection in connections:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
