# -*- test-case-name: tests.unit.test_bus_memory -*-
"""What the checks of the bus's contract are made with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from streamer.interfaces import IBus, Offset
from streamer.message import EVENTS, RAW, Decision, Delivery, Message, Topic
from streamer.metrics import Metrics

POLL = 0.01  # seconds between two looks
LIMIT = 20.0  # seconds until a check gives up


@attrs.define
class Kit:
    """What a check needs.

    Args:
        make: a new bus on the same broker, not started; takes the delay function of retries, and where a check is
            about shards their number.
        bound: make the broker bound a queue more tightly: its name, `max-length` or `max-length-bytes`, how many.
        counts_returned: a delivery that is handed back counts as one that failed; RabbitMQ's do, until 4.3.
    """

    clock: Any
    make: Callable[..., Any]
    bound: Callable[[str, str, int], Awaitable[None]] | None = None
    counts_returned: bool = False
    metrics: Metrics = attrs.field(factory=Metrics)
    buses: list[Any] = attrs.field(factory=list)

    async def bus(self, delay: Callable[[int], float] = lambda attempt: 0.0, shards: int = 0) -> Any:
        """A started bus; retries are immediate unless told otherwise."""
        bus = self.unstarted(delay, shards)
        bus.startService()
        await self.until(lambda: bus.ready, "the bus is ready")
        return bus

    def unstarted(self, delay: Callable[[int], float] = lambda attempt: 0.0, shards: int = 0) -> Any:
        """A bus that is stopped in the end."""
        bus = IBus(self.make(self.metrics, delay, shards) if shards else self.make(self.metrics, delay))
        if bus not in self.buses:
            self.buses.append(bus)
        return bus

    async def until(self, predicate: Callable[[], object], what: str, limit: float = LIMIT) -> None:
        """Poll until something is true."""
        end = self.clock.seconds() + limit
        while not predicate():
            if self.clock.seconds() > end:
                raise AssertionError(f"not within {limit:g} s: {what} ({[bus.status for bus in self.buses]})")
            await deferLater(self.clock, POLL)

    async def pause(self, seconds: float) -> None:
        """Let so much time go by: only to see that nothing happens, or where time is the matter."""
        await deferLater(self.clock, seconds)

    async def working(self, bus: Any, queue: str, handler: Any, prefetch: int = 10) -> Any:
        """A worker that is ready."""
        work = bus.work(queue, handler, prefetch)
        await self.until(lambda: work.ready, "the worker is ready")
        return work

    async def reading(self, bus: Any, start: float | Offset, receive: Any) -> Any:
        """A reader of the log that has caught up."""
        log = bus.log(start, receive)
        await log.caught_up
        return log

    async def tighten(self, queue: str, key: str, most: int) -> None:
        """Bound a queue more tightly than the topology does."""
        assert self.bound is not None, "this kit cannot bound queues"
        await self.bound(queue, key, most)

    async def stop(self) -> None:
        """Stop every bus."""
        for bus in self.buses:
            await bus.stopService()


def raw(number: int, body: bytes = b"{}", **changes: Any) -> Message:
    """An item's message."""
    fields: dict[str, Any] = {
        "exchange": RAW,
        "topic": Topic("raw.birds.post"),
        "body": body,
        "message_id": f"birds/{number}",
        "kind": "post",
        "timestamp_ms": 1_795_000_000_123 + number,
        "content_type": "application/json",
    }
    return Message(**{**fields, **changes})


def event(number: int, **changes: Any) -> Message:
    """An event's message."""
    fields: dict[str, Any] = {
        "exchange": EVENTS,
        "topic": Topic("post.birds.en.jack"),
        "message_id": f"/sources/birds#post:{number}",
        "kind": "streamer.post",
        "content_type": "application/cloudevents+json",
    }
    return raw(number, **{**fields, **changes})


def ids(*numbers: int) -> list[str]:
    """The ids of items."""
    return [f"birds/{number}" for number in numbers]


@attrs.define
class Notes:
    """A handler that notes what it gets."""

    decide: Callable[[Delivery], Decision] = lambda delivery: Decision.ACK
    got: list[Delivery] = attrs.field(factory=list)

    async def __call__(self, delivery: Delivery) -> Decision:
        self.got.append(delivery)
        return self.decide(delivery)

    @property
    def ids(self) -> list[str]:
        """Of what it got."""
        return [delivery.message.message_id for delivery in self.got]

    @property
    def attempts(self) -> list[int]:
        """Of what it got."""
        return [delivery.attempt for delivery in self.got]


@attrs.define
class Gated:
    """A handler that notes what it gets, and decides when it is told."""

    got: list[Delivery] = attrs.field(factory=list)
    gates: dict[str, Deferred[Decision]] = attrs.field(factory=dict)

    async def __call__(self, delivery: Delivery) -> Decision:
        self.got.append(delivery)
        gate: Deferred[Decision] = Deferred()
        self.gates[delivery.message.message_id] = gate
        return await gate

    def decide(self, id_: str, decision: Decision) -> None:
        """Let one that runs end."""
        self.gates.pop(id_).callback(decision)

    def decide_all(self, decision: Decision) -> None:
        """Let all that run end, in the order of their coming."""
        for id_ in list(self.gates):
            self.decide(id_, decision)

    @property
    def ids(self) -> list[str]:
        """Of what it got."""
        return [delivery.message.message_id for delivery in self.got]


async def all_taken(bus: Any, messages: Iterable[Message]) -> None:
    """Publish without waiting in between, then wait for all."""
    await gatherResults([bus.publish(message) for message in messages], consumeErrors=True)
