# -*- test-case-name: tests.unit.test_bus_topology -*-
"""Every exchange, queue and binding of the house, as data; both buses, `conf/rabbitmq/definitions.json` and the table
in `docs/bus.md` are made from it.

What a policy of RabbitMQ can carry is a policy here, for policies can be changed while all runs
(https://www.rabbitmq.com/docs/parameters#policies). There are two ways to install it:

* **Prepared**: an operator loads the definitions, or runs `streamer topology declare --management`. The marker
  exchange, which is declared last, says so; services then declare nothing, and need no right to.
* **Fresh**: a broker without the marker. Services declare everything themselves, with the policies as arguments: so it
  needs no preparation, and every bound is in force from the first message. The price is that changing one means
  deleting the queue first, for the broker answers a declaration that differs with 406 PRECONDITION_FAILED.

A publish that is routed to several queues is nacked as soon as one of them rejects it
(https://www.rabbitmq.com/docs/maxlength), so only the queues of items reject, of which a message comes to one; all
others drop their oldest message. Such a queue has no dead-letter exchange: the broker dead-letters what it drops there
too (https://www.rabbitmq.com/docs/dlx), which would push out what is dead for a reason.

All queues are quorum queues: while the node of a classic one is down, nobody can declare it, nor start.

A queue fills whether anybody works it or not. So one that not every house works is `optional`: it is declared by those
who work it, and from then on it is there like any other. Whoever gives up working it for good deletes it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping

import msgspec

from streamer.bus import shards
from streamer.message import EVENTS, RAW

Arguments = Mapping[str, str | int | bool]

UNROUTED = "streamer.unrouted"  # exchange and queue: what no binding wanted
DEAD = "streamer.dead"  # exchange and queue: what a worker could not do
ENRICH = "streamer.enrich"
TRENDS = "streamer.trends"
LOG = "streamer.log"
LOCKS = "streamer.source."  # begins the names of the queues that lock a source; see `bus.locks`
MARKER = "streamer.topology.v1"  # exchange; the number rises with changes that need other policies

DELIVERY_LIMIT = 10  # failed deliveries a message survives; the next one dead-letters it
ENRICH_LIMIT = 500_000  # messages; then publishers are nacked, which holds back the upstream
TRENDS_LIMIT = 100_000  # messages; the oldest go first
DEAD_LIMIT = 10_000  # messages; the oldest go first
LOOKED_AT_LIMIT = 1_000_000  # deliveries; a queue with a limit hands out first what was handed back
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
        type: `quorum` or `stream`.
        limit: messages ready at most; None where `policy` bounds it otherwise.
        rejects: at the limit refuse new messages, instead of dropping the oldest.
        delivery_limit: failed deliveries after which a message is dead-lettered; None for no limit.
        dead_letter: exchange for what was rejected or failed too often.
        optional: there only once somebody has worked it.
        single_active: only one consumer at a time is served, the next one takes over when it goes.
        ordered: worked in the order of each partition key (`bus.lanes`).
        policy: further keys of its policy.
        arguments: what no policy can carry, as the broker knows it.
    """

    name: str
    type: str = "quorum"
    limit: int | None = None
    rejects: bool = False
    delivery_limit: int | None = None
    dead_letter: str | None = None
    single_active: bool = False
    ordered: bool = False
    optional: bool = False
    policy: Arguments = {}
    arguments: Arguments = {}

    def policies(self) -> dict[str, str | int | bool]:
        """What its policy says, by RabbitMQ's names; as arguments they begin with `x-`."""
        keys: dict[str, str | int | bool] = {}
        if self.limit is not None:
            keys["max-length"] = self.limit
            keys["overflow"] = "reject-publish" if self.rejects else "drop-head"
        if self.delivery_limit is not None:
            keys["delivery-limit"] = self.delivery_limit
        if self.dead_letter is not None:
            keys["dead-letter-exchange"] = self.dead_letter
        return {**keys, **self.policy}

    def required(self) -> dict[str, str | int | bool]:
        """The arguments with which it must be declared."""
        active: dict[str, str | int | bool] = {"x-single-active-consumer": True} if self.single_active else {}
        return {"x-queue-type": self.type, **active, **self.arguments}


class Binding(msgspec.Struct, frozen=True):
    """What `exchange` hands on to `queue`."""

    exchange: str
    queue: str
    pattern: str = "#"


class Declare(msgspec.Struct, frozen=True):
    """One call to the broker: the name of pika's channel method, and its keywords."""

    method: str
    keywords: Mapping[str, object]


class Layout(msgspec.Struct, frozen=True):
    """All of it, for a number of shards.

    Args:
        queues: those that `IBus.work` takes.
        streams: what `IBus.log` reads.
        unbound: bindings of another number of shards, which would double or divert messages.
    """

    exchanges: Mapping[str, Exchange]
    queues: Mapping[str, Queue]
    streams: Mapping[str, Queue]
    bindings: tuple[Binding, ...]
    unbound: tuple[Binding, ...] = ()


EXCHANGES = {
    exchange.name: exchange
    for exchange in (
        Exchange(name=UNROUTED, type="fanout"),
        Exchange(name=DEAD, type="fanout"),
        Exchange(name=RAW, alternate=UNROUTED),
        Exchange(name=EVENTS, alternate=UNROUTED),
    )
}

_STREAM = Queue(
    name=LOG,
    type="stream",
    policy={"max-age": LOG_MAX_AGE, "max-length-bytes": LOG_LIMIT},
    arguments={"x-stream-max-segment-size-bytes": LOG_SEGMENT},
)


def _items(name: str, ordered: bool = False) -> Queue:
    return Queue(
        name=name,
        limit=ENRICH_LIMIT,
        rejects=True,
        delivery_limit=DELIVERY_LIMIT,
        dead_letter=DEAD,
        single_active=ordered,
        ordered=ordered,
        # Safe hand-over to the dead; it asks for a queue that rejects
        # (https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering).
        policy={"dead-letter-strategy": "at-least-once"},
    )


def shard_queue(number: int) -> str:
    """The queue of a shard."""
    return f"{ENRICH}.{shards.word(number)}"


@functools.cache
def layout(count: int = 0) -> Layout:
    """The topology with so many shards; with none all items go to one queue.

    With shards, items that have none (`raw.birds.gap`) go to the common queue, and so do those of publishers that know
    nothing of shards.
    """
    numbers = range(count)
    queues = (
        Queue(name=UNROUTED, limit=UNROUTED_LIMIT, delivery_limit=LOOKED_AT_LIMIT),
        Queue(name=DEAD, limit=DEAD_LIMIT, delivery_limit=LOOKED_AT_LIMIT),
        _items(ENRICH),
        *(_items(shard_queue(number), ordered=True) for number in numbers),
        Queue(name=TRENDS, limit=TRENDS_LIMIT, delivery_limit=DELIVERY_LIMIT, single_active=True, optional=True),
    )
    everything, common = Binding(RAW, ENRICH, "raw.#"), Binding(RAW, ENRICH, "raw.*.*")
    return Layout(
        exchanges=EXCHANGES,
        queues={queue.name: queue for queue in queues},
        streams={LOG: _STREAM},
        bindings=(
            Binding(UNROUTED, UNROUTED),
            Binding(DEAD, DEAD),
            common if count else everything,
            *(Binding(RAW, shard_queue(number), f"raw.*.*.{shards.word(number)}") for number in numbers),
            Binding(EVENTS, TRENDS, "post.#"),
            Binding(EVENTS, LOG),
        ),
        unbound=(everything if count else common,),
    )


def worked_for_items(count: int) -> tuple[str, ...]:
    """The queues that whoever enriches works, with so many shards."""
    return (ENRICH, *map(shard_queue, range(count)))


def declares(of: Layout, worked: Collection[str] = (), *, bare: bool = False) -> list[Declare]:
    """Every call that makes the topology, in an order in which each finds what it refers to. All may be repeated.

    Args:
        worked: queues that the caller works; optional ones are left out unless they are among these.
        bare: leave to policies what they can carry.
    """
    queues = [
        queue for queue in (*of.queues.values(), *of.streams.values()) if not queue.optional or queue.name in worked
    ]
    names = {queue.name for queue in queues}
    calls = [
        Declare(
            "exchange_declare",
            {
                "exchange": exchange.name,
                "exchange_type": exchange.type,
                "durable": True,
                "arguments": {} if bare or exchange.alternate is None else {"alternate-exchange": exchange.alternate},
            },
        )
        for exchange in of.exchanges.values()
    ]
    for queue in queues:
        carried = {} if bare else {f"x-{key}": value for key, value in queue.policies().items()}
        arguments = {**queue.required(), **carried}
        calls.append(Declare("queue_declare", {"queue": queue.name, "durable": True, "arguments": arguments}))
    for method, bindings in (("queue_bind", of.bindings), ("queue_unbind", of.unbound)):
        calls += [
            Declare(method, {"queue": binding.queue, "exchange": binding.exchange, "routing_key": binding.pattern})
            for binding in bindings
            if binding.queue in names
        ]
    return calls
