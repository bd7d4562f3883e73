# -*- test-case-name: tests.unit.test_bus_memory_bounds -*-
"""How much the in-process bus holds at most, so that a small machine knows what it needs.

In bytes of bodies and headers; Python's own share comes to about `OVERHEAD` a message on top:

=============================  ===================  ==================  ==========================
what                           messages             bytes               beyond that
=============================  ===================  ==================  ==========================
all queues of items together   `QUEUE_MESSAGES`     `QUEUE_BYTES`       publishers are answered late
streamer.trends                `QUEUE_MESSAGES`     `QUEUE_BYTES`       the oldest go
streamer.dead, .unrouted, each `ASIDE_MESSAGES`     `ASIDE_BYTES`       the oldest go
the log                        `RING_ENTRIES`       `RING_BYTES`        the oldest go, and those of `RING_AGE`
=============================  ===================  ==================  ==========================

A queue takes a last message beyond its bytes. What publishers wait to be answered for comes on top: as many messages
as they publish without waiting, which is `IBus.window` for each that keeps to it (the gauge `bus_pending` tells). So
do those that handlers are at: the prefetch of each worker.
"""

from __future__ import annotations

from streamer.bus import topology
from streamer.bus.topology import Layout, Queue
from streamer.message import Message

QUEUE_MESSAGES = 20_000  # messages that wait; a queue's own limit in the topology where that is lower
QUEUE_BYTES = 67_108_864  # bytes that wait
ASIDE_MESSAGES = 10_000  # messages kept for a person to look at
ASIDE_BYTES = 16_777_216  # bytes kept for a person to look at
RING_ENTRIES = 100_000  # entries of the log
RING_BYTES = 67_108_864  # bytes of the log
OVERHEAD = 1_500  # bytes that a message takes beside its body and headers, about; measured by the tests

_UNITS = {"s": 1, "m": 60, "h": 3600, "D": 86_400, "M": 2_592_000, "Y": 31_536_000}  # seconds, as RabbitMQ counts


def seconds(age: str) -> float:
    """An age as a stream's policy has it (`6h`), in seconds; https://www.rabbitmq.com/docs/streams#retention."""
    return float(int(age[:-1]) * _UNITS[age[-1]])


RING_AGE = seconds(topology.LOG_MAX_AGE)


def weight(message: Message) -> int:
    """The bytes of a message that may be many; its topic, id and kind are short."""
    size = len(message.body)
    for value in message.headers.values():
        if isinstance(value, str):
            size += len(value)
    return size


def bounds(queue: Queue, layout: Layout) -> tuple[int, int]:
    """Messages and bytes that a queue of this layout holds at most."""
    if queue.name in (topology.DEAD, topology.UNROUTED):
        messages, size = ASIDE_MESSAGES, ASIDE_BYTES
    else:
        sharing = sum(other.rejects for other in layout.queues.values()) if queue.rejects else 1
        messages, size = QUEUE_MESSAGES // sharing, QUEUE_BYTES // sharing
    return min(messages, queue.limit or messages), size
