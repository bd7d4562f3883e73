# -*- test-case-name: tests.unit.test_bus_shards -*-
"""Order at scale: the items of one author go to one of N queues, each of which one worker at a time is served from.

The publisher writes the shard's number into the topic, `raw.birds.post.s07`, and each queue is bound to its own: plain
topic bindings, the same on every version of RabbitMQ, unlike its hash exchanges, after a restart of which a key may
lead to another queue. Items without a partition key have no shard and go to the common queue.
"""

from __future__ import annotations

import functools
import zlib

import msgspec

from streamer.message import PARTITION_KEY, RAW, Message, Topic

SHARDS_LIMIT = 64  # queues; each worker has a connection for each
KEYS = 8192  # authors whose shard is remembered; the longest unused are forgotten


def word(number: int) -> str:
    """The last word of a shard's topics: `s07`."""
    return f"s{number:02d}"


@functools.lru_cache(KEYS)
def shard(key: str, shards: int) -> int:
    """Which shard a key belongs to, for ever: every publisher of every version must say the same."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % shards


def routed(message: Message, shards: int) -> Message:
    """The message as it is published with so many shards."""
    if not shards or message.exchange != RAW or (key := message.headers.get(PARTITION_KEY)) is None:
        return message
    topic = Topic(f"{message.topic}.{word(shard(str(key), shards))}")
    return msgspec.structs.replace(message, topic=topic)
