# -*- test-case-name: tests.unit.test_bus_topology -*-
"""Every exchange, queue and binding of the house, as data; both buses are built from it.

All arguments stand in the declaration rather than in a broker policy: so a fresh broker needs no preparation, and
every bound is in force from the first message. The price is that changing one means deleting the queue first: the
broker answers a declaration that differs with 406 PRECONDITION_FAILED, which `IBus.status` then shows.

A publish that is routed to several queues is nacked as soon as one of them rejects it
(https://www.rabbitmq.com/docs/maxlength), so only `streamer.enrich`, the one queue on its exchange, rejects; all
others drop their oldest message. Such a queue has no dead-letter exchange: the broker dead-letters what it drops there
too (https://www.rabbitmq.com/docs/dlx), which would push out what is dead for a reason.

A queue fills whether anybody works it or not. So one that not every house works is `optional`: it is declared by those
who work it, and from then on it is there like any other. Whoever gives up working it for good deletes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from streamer.message import EVENTS, RAW

Arguments = Mapping[str, str | int | bool]

UNROUTED = "streamer.unrouted"  # exchange and queue: what no binding wanted
DEAD = "streamer.dead"  # exchange and queue: what a worker could not do
ENRICH = "streamer.enrich"
TRENDS = "streamer.trends"
LOG = "streamer.log"

DELIVERY_LIMIT = 10  # failed deliveries a message survives; the next one dead-letters it
ENRICH_LIMIT = 500_000  # messages; then publishers are nacked, which holds back the upstream
TRENDS_LIMIT = 100_000  # messages; the oldest go first
DEAD_LIMIT = 10_000  # messages; the oldest go first
UNROUTED_LIMIT = 10_000  # messages; the oldest go first
LOG_MAX_AGE = "6h"  # kept at most; a stream forgets whole segments
LOG_LIMIT = 1_000_000_000  # bytes kept at most
LOG_SEGMENT = 20_000_000  # bytes; small, because at least one whole segment is always kept


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A durable exchange; `alternate` gets what no binding of this one wants."""

    name: str
    type: str = "topic"
    alternate: str | None = None


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A durable queue.

    Args:
        type: `quorum`, `classic` or `stream`.
        limit: messages ready at most; None where `arguments` bound it otherwise.
        rejects: at the limit refuse new messages, instead of dropping the oldest.
        delivery_limit: failed deliveries after which a message is dead-lettered; None for no limit.
        dead_letter: exchange for what was rejected or failed too often.
        optional: there only once somebody has worked it.
        single_active: only one consumer at a time is served, the next one takes over when it goes.
        arguments: further ones, as the broker knows them.
    """

    name: str
    type: str = "quorum"
    limit: int | None = None
    rejects: bool = False
    delivery_limit: int | None = None
    dead_letter: str | None = None
    single_active: bool = False
    optional: bool = False
    arguments: Arguments = {}


class Binding(msgspec.Struct, frozen=True):
    """What `exchange` hands on to `queue`."""

    exchange: str
    queue: str
    pattern: str = "#"


class Declare(msgspec.Struct, frozen=True):
    """One call to the broker: the name of pika's channel method, and its keywords."""

    method: str
    keywords: Mapping[str, object]


EXCHANGES = {
    exchange.name: exchange
    for exchange in (
        Exchange(name=UNROUTED, type="fanout"),
        Exchange(name=DEAD, type="fanout"),
        Exchange(name=RAW, alternate=UNROUTED),
        Exchange(name=EVENTS, alternate=UNROUTED),
    )
}

QUEUES = {
    queue.name: queue
    for queue in (
        Queue(name=UNROUTED, type="classic", limit=UNROUTED_LIMIT),
        Queue(name=DEAD, limit=DEAD_LIMIT),
        Queue(
            name=ENRICH,
            limit=ENRICH_LIMIT,
            rejects=True,
            delivery_limit=DELIVERY_LIMIT,
            dead_letter=DEAD,
            # Safe hand-over to the dead; it asks for a queue that rejects
            # (https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering).
            arguments={"x-dead-letter-strategy": "at-least-once"},
        ),
        Queue(name=TRENDS, limit=TRENDS_LIMIT, delivery_limit=DELIVERY_LIMIT, single_active=True, optional=True),
    )
}
"""The queues that `IBus.work` takes."""

STREAMS = {
    LOG: Queue(
        name=LOG,
        type="stream",
        arguments={
            "x-max-age": LOG_MAX_AGE,
            "x-max-length-bytes": LOG_LIMIT,
            "x-stream-max-segment-size-bytes": LOG_SEGMENT,
        },
    )
}
"""What `IBus.log` reads."""

BINDINGS = (
    Binding(UNROUTED, UNROUTED),
    Binding(DEAD, DEAD),
    Binding(RAW, ENRICH, "raw.#"),
    Binding(EVENTS, TRENDS, "post.#"),
    Binding(EVENTS, LOG),
)


def declares(worked: Collection[str] = ()) -> list[Declare]:
    """Every call that makes the topology, in an order in which each finds what it refers to. All may be repeated.

    Args:
        worked: queues that the caller works; optional ones are left out unless they are among these.
    """
    queues = [queue for queue in (*QUEUES.values(), *STREAMS.values()) if not queue.optional or queue.name in worked]
    names = {queue.name for queue in queues}
    calls = [
        Declare(
            "exchange_declare",
            {
                "exchange": exchange.name,
                "exchange_type": exchange.type,
                "durable": True,
                "arguments": {} if exchange.alternate is None else {"alternate-exchange": exchange.alternate},
            },
        )
        for exchange in EXCHANGES.values()
    ]
    calls += [
        Declare("queue_declare", {"queue": queue.name, "durable": True, "arguments": _arguments(queue)})
        for queue in queues
    ]
    calls += [
        Declare("queue_bind", {"queue": binding.queue, "exchange": binding.exchange, "routing_key": binding.pattern})
        for binding in BINDINGS
        if binding.queue in names
    ]
    return calls


def _arguments(queue: Queue) -> dict[str, str | int | bool]:
    arguments: dict[str, str | int | bool] = {"x-queue-type": queue.type}
    if queue.limit is not None:
        arguments["x-max-length"] = queue.limit
        arguments["x-overflow"] = "reject-publish" if queue.rejects else "drop-head"
    if queue.delivery_limit is not None:
        arguments["x-delivery-limit"] = queue.delivery_limit
    if queue.dead_letter is not None:
        arguments["x-dead-letter-exchange"] = queue.dead_letter
    if queue.single_active:
        arguments["x-single-active-consumer"] = True
    return {**arguments, **queue.arguments}
