"""Traffic through a cluster: a publisher, workers and log readers on buses of their own, in this process.

The workers stand in for enrichers: they publish an event for each item and ack it once that is confirmed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall, deferLater

from streamer.bus import topology
from streamer.bus.address import Address
from streamer.bus.rabbitmq import RabbitBus
from streamer.errors import BusStopped
from streamer.message import EVENTS, RAW, Decision, Delivery, Entry, Message, Topic
from streamer.metrics import BUS_ENDINGS, LOG_REPEATED, LOG_RESET, LOG_SKIPPED, REPUBLISHED, Metrics
from tests.integration.cluster_ledger import Ledger, derived_id, event_id, item_id

RATE = 200  # items a second, and as many events of the publisher's own
AUTHORS = 50
TICK = 0.01  # seconds between two looks at the rate
PREFETCH = 100
BODY = b"x" * 500
DRAIN_LIMIT = 20.0  # seconds until all that is confirmed has come out
POLL = 0.05  # seconds between two looks
READY_LIMIT = 60.0  # seconds until every bus is ready again


@attrs.define
class Traffic:
    """Publishes at a steady rate. What a full window held back is caught up with, as a source's spool would.

    Args:
        items: the bus that items are published on.
        events: the same for events.
    """

    items: Any
    events: Any
    clock: Any
    ledger: Ledger
    begun: float = 0.0
    outstanding: int = 0
    _made: int = 0
    _loop: LoopingCall | None = None

    def start(self) -> None:
        """Begin."""
        self.begun = self.clock.seconds()
        self._loop = LoopingCall(self._tick)
        self._loop.clock = self.clock
        self._loop.start(TICK).addErrback(lambda failure: failure.raiseException())

    def stop(self) -> None:
        """Publish no more."""
        if self._loop is not None and self._loop.running:
            self._loop.stop()

    def _tick(self) -> None:
        due = int((self.clock.seconds() - self.begun) * RATE)
        while self._made < due and self.outstanding + 2 <= self.items.window:
            number, author = divmod(self._made, AUTHORS)
            self._made += 1
            now_ms = int(self.clock.seconds() * 1000)
            self._publish(self.items, item(author, number, now_ms))
            self._publish(self.events, event(event_id(author, number), now_ms))

    def _publish(self, bus: Any, message: Message) -> None:
        self.outstanding += 1
        self.ledger.published += 1
        bus.publish(message).addCallbacks(self._confirmed, self._failed, callbackArgs=(message.message_id,))

    def _confirmed(self, _: None, message_id: str) -> None:
        self.outstanding -= 1
        self.ledger.confirmed.add(message_id)
        self.ledger.pauses["confirms"].note(self.clock.seconds())

    def _failed(self, failure: Any) -> None:
        failure.trap(BusStopped)  # at the end of a run that failed; nothing else may come


@attrs.define
class Cast:
    """All who take part.

    Args:
        address: all hosts of the cluster.
        reactor: the real one.
        shards: of the bus; each worker works all of them, and what has no shard.
        mixed: items and events are published on the same bus.
    """

    address: Address
    reactor: Any
    shards: int = 3
    workers: int = 3
    mixed: bool = True
    ledger: Ledger = attrs.field(factory=Ledger)
    buses: list[RabbitBus] = attrs.field(factory=list)
    subscriptions: list[Any] = attrs.field(factory=list)
    metrics: list[Metrics] = attrs.field(factory=list)
    traffic: Traffic = attrs.field(init=False)

    async def start(self) -> None:
        """Everybody connects; then the publisher begins."""
        items = self._bus("items")
        self.traffic = Traffic(items, items if self.mixed else self._bus("events"), self.reactor, self.ledger)
        queues = topology.worked_for_items(self.shards)
        for number in range(self.workers):
            bus = self._bus(f"worker {number}")
            self.subscriptions += [bus.work(queue, partial(self._handle, bus), PREFETCH) for queue in queues]
        for number, entries in enumerate(self.ledger.entries):
            bus = self._bus(f"reader {number}")
            self.subscriptions.append(bus.log(600.0, partial(self._read, entries)))
        await self.until(lambda: self.ready, "everybody is ready")
        self.traffic.start()

    @property
    def ready(self) -> bool:
        """Whether every bus and every subscription is."""
        return all(each.ready for each in (*self.buses, *self.subscriptions))

    @property
    def reconnects(self) -> int:
        """Connections that ended, of all buses."""
        return int(sum(metrics.total(BUS_ENDINGS) for metrics in self.metrics))

    async def until(self, predicate: Callable[[], object], what: str, limit: float = READY_LIMIT) -> None:
        """Look again and again until something is true."""
        end = self.reactor.seconds() + limit
        while not predicate():
            if self.reactor.seconds() > end:
                raise AssertionError(f"not within {limit:g} s: {what}; {'; '.join(bus.status for bus in self.buses)}")
            await self.wait(POLL)

    def wait(self, seconds: float) -> Deferred[None]:
        """Let it run."""
        return deferLater(self.reactor, seconds)

    async def newcomer(self, name: str) -> None:
        """A bus that connects now, with all that it declares: it gets ready, publishes, and leaves."""
        bus = self._bus(name)
        await self.until(lambda: bus.ready, f"{name} is ready")
        now_ms = int(self.reactor.seconds() * 1000)
        for message in (item(name, 0, now_ms), event(event_id(name, 0), now_ms)):
            await bus.publish(message)
            self.ledger.published += 1
            self.ledger.confirmed.add(message.message_id)
        await bus.stopService()
        self.buses.remove(bus)

    async def drain(self) -> None:
        """The publisher stops; then everything that is under way arrives, or `DRAIN_LIMIT` is over."""
        self.traffic.stop()
        await self.until(lambda: not self.traffic.outstanding, "every publish is confirmed")
        end = self.reactor.seconds() + DRAIN_LIMIT
        while self.ledger.complaints(ordered=False) and self.reactor.seconds() < end:
            await self.wait(0.5)

    async def stop(self) -> None:
        """Everybody leaves."""
        if self.buses:
            self.traffic.stop()
        await gatherResults([bus.stopService() for bus in self.buses])

    def counts(self) -> dict[str, Any]:
        """What the buses counted, summed over all of them."""
        endings: dict[str, int] = {}
        for metric, labels, value in itertools.chain.from_iterable(self.metrics):
            if metric is BUS_ENDINGS:
                cause = f"{labels[0]}: {labels[1]}"
                endings[cause] = endings.get(cause, 0) + int(value)
        return {
            "reconnects": endings,
            "republished": self._sum(REPUBLISHED),
            "entries_read_again": self._sum(LOG_REPEATED),
            "entries_skipped": self._sum(LOG_SKIPPED),
            "log_resets": self._sum(LOG_RESET),
        }

    def _sum(self, metric: Any) -> int:
        return int(sum(metrics.total(metric) for metrics in self.metrics))

    def _bus(self, name: str) -> RabbitBus:
        metrics = Metrics()
        bus = RabbitBus(self.address, self.reactor, metrics, name, shards=self.shards)
        self.metrics.append(metrics)
        self.buses.append(bus)
        bus.startService()
        return bus

    async def _handle(self, bus: RabbitBus, delivery: Delivery) -> Decision:
        self.ledger.handled.append(delivery.message.message_id)
        self.ledger.pauses["deliveries"].note(self.reactor.seconds())
        try:
            await bus.publish(event(derived_id(delivery.message.message_id), int(self.reactor.seconds() * 1000)))
        except BusStopped:
            return Decision.RETRY
        return Decision.ACK

    def _read(self, entries: list[tuple[int, str]], entry: Entry) -> None:
        entries.append((entry.offset, entry.message.message_id))
        if entries is self.ledger.entries[0]:
            self.ledger.pauses["entries"].note(self.reactor.seconds())


def item(author: int | str, number: int, now_ms: int) -> Message:
    """An author's item."""
    return Message(
        exchange=RAW,
        topic=Topic("raw.birds.post"),
        body=BODY,
        message_id=item_id(author, number),
        kind="post",
        timestamp_ms=now_ms,
        content_type="application/json",
        headers={"partitionkey": f"birds/{author}", "received": now_ms},
    )


def event(message_id: str, now_ms: int) -> Message:
    """An event."""
    return Message(
        exchange=EVENTS,
        topic=Topic("post.birds.en.jack"),
        body=BODY,
        message_id=message_id,
        kind="streamer.post",
        timestamp_ms=now_ms,
        content_type="application/cloudevents+json",
    )
