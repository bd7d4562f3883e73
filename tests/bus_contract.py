# -*- test-case-name: tests.unit.test_bus_memory -*-
"""What every bus promises, as checks that run on any of them: on a Clock in memory, on a reactor over RabbitMQ.

A check is a coroutine function that takes a `Kit`. None sleeps: they poll, with a limit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from streamer.bus import topology
from streamer.bus.reader import READ_AHEAD
from streamer.errors import BusStopped, MessageRefused
from streamer.interfaces import IBus, Offset
from streamer.message import EVENTS, RAW, Decision, Delivery, Entry, Message, Topic
from streamer.metrics import DECISIONS, PUBLISHED, REFUSED, Metrics

POLL = 0.01  # seconds between two looks
LIMIT = 20.0  # seconds until a check gives up
LARGEST_CHUNK = 4096  # entries that RabbitMQ puts into one chunk at most


@attrs.define
class Kit:
    """What a check needs.

    Args:
        make: a new bus on the same broker, not started; takes the delay function of retries.
    """

    clock: Any
    make: Callable[[Metrics, Callable[[int], float]], Any]
    metrics: Metrics = attrs.field(factory=Metrics)
    buses: list[Any] = attrs.field(factory=list)

    async def bus(self, delay: Callable[[int], float] = lambda attempt: 0.0) -> Any:
        """A started bus; retries are immediate unless told otherwise."""
        bus = IBus(self.make(self.metrics, delay))
        self.buses.append(bus)
        bus.startService()
        await self.until(lambda: bus.ready, "the bus is ready")
        return bus

    async def until(self, predicate: Callable[[], object], what: str, limit: float = LIMIT) -> None:
        """Poll until something is true."""
        end = self.clock.seconds() + limit
        while not predicate():
            if self.clock.seconds() > end:
                raise AssertionError(f"not within {limit:g} s: {what} ({[bus.status for bus in self.buses]})")
            await deferLater(self.clock, POLL)

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
        return [delivery.message.message_id for delivery in self.got]


async def all_taken(bus: Any, messages: Iterable[Message]) -> None:
    """Publish without waiting in between, then wait for all."""
    await gatherResults([bus.publish(message) for message in messages], consumeErrors=True)


async def publish_then_work(kit: Kit) -> None:
    """What was published before and after a worker came is handed to it, in order, once."""
    bus, notes = await kit.bus(), Notes()
    await all_taken(bus, map(raw, range(20)))
    await kit.working(bus, topology.ENRICH, notes)
    await all_taken(bus, map(raw, range(20, 40)))
    await kit.until(lambda: len(notes.got) >= 40, "all are handled")
    assert notes.ids == [f"birds/{number}" for number in range(40)]
    assert {delivery.attempt for delivery in notes.got} == {1}
    assert kit.metrics.value(PUBLISHED, RAW) == 40
    assert kit.metrics.value(DECISIONS, topology.ENRICH, "ack") == 40


async def round_trip(kit: Kit) -> None:
    """Bodies (UTF-8, empty, 1 MiB, binary), topics, headers and milliseconds arrive as they were sent."""
    bus, notes = await kit.bus(), Notes()
    messages = [
        raw(1, "kākāpō 🦜".encode()),
        raw(2, b""),
        raw(3, bytes(range(256)) * 4096),
        raw(4, topic=Topic("raw.vögel.post")),
        raw(5, headers={"cursor": "ā|1", "received": 1_795_000_000_999, "small": -1, "large": 2**63 - 1, "empty": ""}),
        raw(6, timestamp_ms=1),
    ]
    await kit.working(bus, topology.ENRICH, notes)
    await all_taken(bus, messages)
    await kit.until(lambda: len(notes.got) >= len(messages), "all are handled")
    assert [delivery.message for delivery in notes.got] == messages


async def competing(kit: Kit) -> None:
    """Two workers share a queue: each message goes to one of them, and neither is left out."""
    bus, one, two = await kit.bus(), Notes(), Notes()
    await kit.working(bus, topology.ENRICH, one, prefetch=5)
    await kit.working(await kit.bus(), topology.ENRICH, two, prefetch=5)
    await all_taken(bus, map(raw, range(300)))
    await kit.until(lambda: len(one.got) + len(two.got) >= 300, "all are handled")
    assert sorted(one.ids + two.ids) == sorted(f"birds/{number}" for number in range(300))
    assert one.got
    assert two.got


async def retry(kit: Kit) -> None:
    """RETRY brings a message back with a higher attempt."""
    bus = await kit.bus()
    notes = Notes(lambda delivery: Decision.RETRY if delivery.attempt < 4 else Decision.ACK)
    await kit.working(bus, topology.ENRICH, notes)
    await bus.publish(raw(1))
    await kit.until(lambda: len(notes.got) >= 4, "four attempts")
    assert [delivery.attempt for delivery in notes.got] == [1, 2, 3, 4]


async def failing_handler(kit: Kit) -> None:
    """A handler that raises, or returns what is no decision, asks for RETRY."""
    seen = []

    async def handler(delivery: Delivery) -> Any:
        seen.append(delivery.attempt)
        if delivery.attempt == 1:
            raise ValueError("this test's handler fails on purpose")
        return None if delivery.attempt == 2 else Decision.ACK

    bus = await kit.bus()
    await kit.working(bus, topology.ENRICH, handler)
    await bus.publish(raw(1))
    await kit.until(lambda: len(seen) >= 3, "three attempts")
    assert seen == [1, 2, 3]


async def delivery_limit(kit: Kit) -> None:
    """A message that fails once more than the delivery limit ends in streamer.dead, as it was."""
    bus, dead = await kit.bus(), Notes()
    notes = Notes(lambda delivery: Decision.RETRY)
    await kit.working(bus, topology.ENRICH, notes)
    await kit.working(bus, topology.DEAD, dead)
    await bus.publish(raw(1, b"poison"))
    await kit.until(lambda: dead.got, "it is dead")
    assert [delivery.attempt for delivery in notes.got] == list(range(1, topology.DELIVERY_LIMIT + 2))
    assert [delivery.message for delivery in dead.got] == [raw(1, b"poison")]


async def reject(kit: Kit) -> None:
    """REJECT sends a message to streamer.dead at once."""
    bus, dead = await kit.bus(), Notes()
    notes = Notes(lambda delivery: Decision.REJECT if delivery.message.body == b"bad" else Decision.ACK)
    await kit.working(bus, topology.ENRICH, notes)
    await kit.working(bus, topology.DEAD, dead)
    await all_taken(bus, [raw(1), raw(2, b"bad"), raw(3)])
    await kit.until(lambda: dead.got, "it is dead")
    assert [delivery.message for delivery in dead.got] == [raw(2, b"bad")]
    assert notes.ids == ["birds/1", "birds/2", "birds/3"]


async def prefetch_bounds(kit: Kit) -> None:
    """No more than `prefetch` handlers run at once; as one ends, the next begins."""
    waiting: list[Deferred[Decision]] = []
    begun = []

    async def handler(delivery: Delivery) -> Decision:
        begun.append(delivery.message.message_id)
        waiting.append(Deferred())
        return await waiting[-1]

    bus = await kit.bus()
    await kit.working(bus, topology.ENRICH, handler, prefetch=3)
    await all_taken(bus, map(raw, range(10)))
    for ended in range(10):
        expected = min(10, ended + 3)
        await kit.until(lambda expected=expected: len(begun) >= expected, f"{expected} have begun")
        assert len(begun) == expected
        waiting[ended].callback(Decision.ACK)
    await kit.until(lambda: kit.metrics.value(DECISIONS, topology.ENRICH, "ack") >= 10, "all are done")


async def log_history_and_live(kit: Kit) -> None:
    """The log gives its history and then what comes, in order, once, by rising offsets that all readers share."""
    bus = await kit.bus()
    one: list[Entry] = []
    two: list[Entry] = []
    await all_taken(bus, map(event, range(100)))
    log = await kit.reading(bus, 600, one.append)
    assert [entry.message for entry in one] == [event(number) for number in range(100)]
    assert log.ready
    await all_taken(bus, map(event, range(100, 150)))
    await kit.reading(await kit.bus(), 600, two.append)
    await all_taken(bus, map(event, range(150, 200)))
    await kit.until(lambda: len(one) >= 200 and len(two) >= 200, "both readers have all")
    assert one == two
    assert [entry.message for entry in one] == [event(number) for number in range(200)]
    offsets = [entry.offset for entry in one]
    assert offsets == sorted(set(offsets))
    assert offsets[0] == 0


async def log_without_history(kit: Kit) -> None:
    """With no history asked for, a reader begins with what comes next; the log grew without any reader."""
    bus = await kit.bus()
    got: list[Entry] = []
    await all_taken(bus, map(event, range(10)))
    await kit.reading(bus, 0, got.append)
    await all_taken(bus, map(event, range(10, 15)))
    await kit.until(lambda: len(got) >= 5, "what came next")
    assert [entry.message for entry in got] == [event(number) for number in range(10, 15)]
    assert got[0].offset == 10


async def log_from_offset(kit: Kit) -> None:
    """From an offset, that entry comes first and then all after it, live ones too; other readers are not disturbed."""
    bus = await kit.bus()
    all_: list[Entry] = []
    some: list[Entry] = []
    await all_taken(bus, map(event, range(300)))
    live = await kit.reading(bus, 600, all_.append)
    part = await kit.reading(bus, Offset(123), some.append)
    assert [entry.offset for entry in some] == list(range(123, 300))
    await all_taken(bus, map(event, range(300, 310)))
    await kit.until(lambda: len(all_) >= 310 and len(some) >= 187, "both have what came since")
    assert some == all_[123:]
    await part.stop()
    assert not part.ready
    assert live.ready


async def log_from_offset_ahead(kit: Kit) -> None:
    """An offset that the log has not reached is waited for."""
    bus = await kit.bus()
    got: list[Entry] = []
    await all_taken(bus, map(event, range(5)))
    await kit.reading(bus, Offset(5), got.append)
    assert got == []
    await all_taken(bus, map(event, range(5, 8)))
    await kit.until(lambda: len(got) >= 3, "what came")
    assert [entry.offset for entry in got] == [5, 6, 7]


async def paused_reader(kit: Kit) -> None:
    """A paused reader gets little more, whatever comes; when it goes on, it gets everything in order, once."""
    bus = await kit.bus()
    count = READ_AHEAD * 12
    got: list[Entry] = []

    def receive(entry: Entry) -> None:
        got.append(entry)
        if len(got) == 100:
            log.pause()

    for start in range(0, count, count // 4):  # so that the broker makes several chunks of them
        await all_taken(bus, map(event, range(start, start + count // 4)))
    log = bus.log(Offset(0), receive)
    await kit.until(lambda: len(got) >= 100, "the pause begins")
    await deferLater(kit.clock, 1.0)
    assert len(got) < 100 + READ_AHEAD + LARGEST_CHUNK, len(got)
    assert not log.caught_up.called
    log.resume()
    await log.caught_up
    assert [entry.offset for entry in got] == list(range(count))


async def stopped_reader(kit: Kit) -> None:
    """A stopped reader gets nothing more."""
    bus = await kit.bus()
    one: list[Entry] = []
    two: list[Entry] = []
    log = await kit.reading(bus, 0, one.append)
    await kit.reading(bus, 0, two.append)
    await log.stop()
    assert not log.ready
    await bus.publish(event(1))
    await kit.until(lambda: two, "the other reader has it")
    assert one == []


async def stop_waits(kit: Kit) -> None:
    """Stopping a bus lets running handlers finish, publishing meanwhile; what they did is not delivered again."""
    gate: Deferred[None] = Deferred()
    begun = []
    bus = await kit.bus()

    async def handler(delivery: Delivery) -> Decision:
        begun.append(delivery)
        await gate
        await bus.publish(event(1))
        return Decision.ACK

    notes = Notes()
    await kit.working(bus, topology.TRENDS, notes)
    work = await kit.working(bus, topology.ENRICH, handler)
    await bus.publish(raw(1))
    await kit.until(lambda: begun, "the handler runs")
    stopping = work.stop()
    assert not work.ready
    assert not stopping.called
    gate.callback(None)
    await stopping
    again = Notes()
    await kit.working(bus, topology.ENRICH, again)
    await bus.publish(raw(2))
    await kit.until(lambda: again.got and notes.got, "the next message, and the event")
    assert again.ids == ["birds/2"]


async def bus_stop_waits(kit: Kit) -> None:
    """Stopping the bus itself lets handlers finish and publish, and only then refuses."""
    gate: Deferred[None] = Deferred()
    begun, done = [], []
    bus = await kit.bus()

    async def handler(delivery: Delivery) -> Decision:
        begun.append(delivery)
        await gate
        await bus.publish(event(1))
        done.append(delivery)
        return Decision.ACK

    await kit.working(bus, topology.ENRICH, handler)
    await bus.publish(raw(1))
    await kit.until(lambda: begun, "the handler runs")
    stopping = bus.stopService()
    assert not stopping.called
    gate.callback(None)
    await stopping
    assert len(done) == 1


async def stop_gives_back_retries(kit: Kit) -> None:
    """A retry that is held when its worker stops is given back at once."""
    bus = await kit.bus(lambda attempt: 3600.0)
    notes, again = Notes(lambda delivery: Decision.RETRY), Notes()
    work = await kit.working(bus, topology.ENRICH, notes)
    await bus.publish(raw(1))
    await kit.until(lambda: notes.got, "the handler ran")
    await work.stop()
    await kit.working(bus, topology.ENRICH, again)
    await kit.until(lambda: again.got, "it came back")
    assert [delivery.attempt for delivery in again.got] == [2]


async def stopped_bus(kit: Kit) -> None:
    """After the stop, publishing fails with BusStopped, and so do the other verbs."""
    bus = await kit.bus()
    await bus.publish(raw(1))
    await bus.stopService()
    assert not bus.ready
    try:
        await bus.publish(raw(2))
    except BusStopped:
        pass
    else:
        raise AssertionError("publish went through a stopped bus")
    for verb in (lambda: bus.work(topology.ENRICH, Notes(), 1), lambda: bus.log(0, print)):
        try:
            verb()
        except BusStopped:
            continue
        raise AssertionError("a stopped bus took a subscription")


async def refused(kit: Kit) -> None:
    """What can never be carried fails with MessageRefused, is counted, and stops nothing behind it."""
    bus, notes = await kit.bus(), Notes()
    await kit.working(bus, topology.ENRICH, notes)
    for bad in (
        raw(1, topic=Topic("raw." + "ā" * 130)),
        raw(1, message_id="i" * 256),
        raw(1, headers={"ratio": 0.5}),
        raw(1, headers={"CC": "birds"}),
        raw(1, headers={"large": 2**63}),
        raw(1, exchange="streamer.nowhere"),
    ):
        try:
            await bus.publish(bad)
        except MessageRefused:
            continue
        raise AssertionError(f"{bad} was not refused")
    await bus.publish(raw(2))
    await kit.until(lambda: notes.got, "the good one")
    assert notes.ids == ["birds/2"]
    assert kit.metrics.total(REFUSED) == 6


async def unrouted(kit: Kit) -> None:
    """A message no binding wants is confirmed, and kept in streamer.unrouted."""
    bus, notes = await kit.bus(), Notes()
    message = raw(1, topic=Topic("other.birds"))
    await bus.publish(message)
    await kit.working(bus, topology.UNROUTED, notes)
    await kit.until(lambda: notes.got, "it is in streamer.unrouted")
    assert [delivery.message for delivery in notes.got] == [message]


async def single_active(kit: Kit) -> None:
    """Only one worker of streamer.trends is served; when it stops, the next one takes over."""
    bus, one, two = await kit.bus(), Notes(), Notes()
    first = await kit.working(bus, topology.TRENDS, one)
    await kit.working(await kit.bus(), topology.TRENDS, two)
    await all_taken(bus, map(event, range(50)))
    await kit.until(lambda: len(one.got) >= 50, "the first worker has all")
    assert two.got == []
    await first.stop()
    await all_taken(bus, map(event, range(50, 60)))
    await kit.until(lambda: len(two.got) >= 10, "the second worker took over")
    assert len(one.got) == 50


async def optional_queue(kit: Kit) -> None:
    """streamer.trends is there once somebody worked it: nothing before is kept, and everything after."""
    bus, one, two = await kit.bus(), Notes(), Notes()
    await all_taken(bus, map(event, range(10)))
    work = await kit.working(bus, topology.TRENDS, one)
    await bus.publish(event(10))
    await kit.until(lambda: one.got, "what came after")
    assert one.ids == [event(10).message_id]
    await work.stop()
    await bus.publish(event(11))
    await kit.working(bus, topology.TRENDS, two)
    await kit.until(lambda: two.got, "what came while nobody worked")
    assert two.ids == [event(11).message_id]


async def retries_in_order(kit: Kit) -> None:
    """A retried message comes before those behind it: with one at a time the order is kept."""
    bus = await kit.bus()
    notes = Notes(lambda delivery: Decision.RETRY if delivery.attempt < 3 else Decision.ACK)
    await all_taken(bus, map(raw, range(4)))
    await kit.working(bus, topology.ENRICH, notes, prefetch=1)
    await kit.until(lambda: len(notes.got) >= 12, "three attempts for each")
    assert notes.ids == [f"birds/{number}" for number in range(4) for _ in range(3)]


async def beyond_the_window(kit: Kit) -> None:
    """A publisher that does not keep to the window is served all the same, in order."""
    bus, notes = await kit.bus(), Notes()
    await kit.working(bus, topology.ENRICH, notes, prefetch=100)
    count = bus.window * 3
    await all_taken(bus, map(raw, range(count)))
    await kit.until(lambda: len(notes.got) >= count, "all are handled")
    assert notes.ids == [f"birds/{number}" for number in range(count)]


Check = Callable[[Kit], Awaitable[None]]

CHECKS: tuple[Check, ...] = (
    publish_then_work,
    round_trip,
    competing,
    retry,
    failing_handler,
    delivery_limit,
    reject,
    prefetch_bounds,
    log_history_and_live,
    log_without_history,
    log_from_offset,
    log_from_offset_ahead,
    paused_reader,
    stopped_reader,
    stop_waits,
    bus_stop_waits,
    stop_gives_back_retries,
    stopped_bus,
    refused,
    unrouted,
    single_active,
    optional_queue,
    retries_in_order,
    beyond_the_window,
)
