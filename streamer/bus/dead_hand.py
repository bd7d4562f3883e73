# -*- test-case-name: tests.unit.test_bus_dead_queue -*-
"""Handing back what was taken from a queue, so that all is in its old order again.

Found by experiment with RabbitMQ 3.10.8: of more than 32 messages that one nack hands back it forgets the order (they
are the keys of an Erlang map), and of many nacks it makes one as soon as it is behind with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

NACKED = 32  # messages of one nack
NACKS = 16  # before their messages are looked for in the queue
LOOKS, LOOK_AFTER = 50, 0.01  # so often at most, after so many seconds each


async def hand_back(channel: Any, queue: str, hand: Mapping[int, int], clock: IReactorTime) -> None:
    """Hand back messages; nobody may consume from the channel any more.

    Args:
        channel: an IChannel.
        queue: from which they are.
        hand: rising delivery tags, and for each the number of the consumer that it was delivered to, rising too.
    """
    if not hand:
        return
    chunks: list[list[int]] = []
    consumer = None
    for tag, of in hand.items():
        if of != consumer or len(chunks[-1]) == NACKED:
            consumer = of
            chunks.append([])
        chunks[-1].append(tag)
    due = (await channel.depth(queue)).messages
    for number, tags in enumerate(chunks, 1):
        channel.nack(tags[-1], multiple=True)
        due += len(tags)
        if number % NACKS == 0:
            for _ in range(LOOKS):  # somebody else may be taking them, so that they are never all there
                if (await channel.depth(queue)).messages >= due:
                    break
                await deferLater(clock, LOOK_AFTER)
