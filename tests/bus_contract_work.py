# -*- test-case-name: tests.unit.test_bus_memory -*-
"""Checks of the bus's contract: what is published is handed to workers."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults

from streamer.bus import topology
from streamer.message import RAW, Decision, Delivery, Entry, Topic
from streamer.metrics import DECISIONS, PUBLISHED
from tests.bus_contract_kit import Gated, Kit, Notes, all_taken, event, ids, raw


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


async def sizes(kit: Kit) -> None:
    """Bodies of nothing and of 5 MB arrive as they were sent, at a worker and in the log."""
    bus, notes = await kit.bus(), Notes()
    entries: list[Entry] = []
    bodies = [b"", b"x" * 5_000_000, b"", b"\x00\xff" * 2_500_000]
    await kit.working(bus, topology.ENRICH, notes)
    await kit.reading(bus, 0, entries.append)
    await all_taken(bus, [raw(number, body) for number, body in enumerate(bodies)])
    await all_taken(bus, [event(number, body=body) for number, body in enumerate(bodies)])
    await kit.until(lambda: len(notes.got) >= 4 and len(entries) >= 4, "all have come")
    assert [delivery.message.body for delivery in notes.got] == bodies
    assert [entry.message.body for entry in entries] == bodies


async def many_topics(kit: Kit) -> None:
    """A thousand topics: each message is handled once, under its own, in order; so does the log have them."""
    bus, notes = await kit.bus(), Notes()
    entries: list[Entry] = []
    items = [raw(number, topic=Topic(f"raw.s{number}.k{number % 7}")) for number in range(1000)]
    events = [event(number, topic=Topic(f"post.birds.en.author{number}")) for number in range(1000)]
    await kit.working(bus, topology.ENRICH, notes, prefetch=100)
    await kit.reading(bus, 0, entries.append)
    await all_taken(bus, [message for pair in zip(items, events, strict=True) for message in pair])
    await kit.until(lambda: len(notes.got) >= 1000 and len(entries) >= 1000, "all have come")
    assert [delivery.message for delivery in notes.got] == items
    assert [entry.message for entry in entries] == events


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


async def prefetch_apart(kit: Kit) -> None:
    """Workers on two queues have each a prefetch of their own; one that stands still does not hold up the other."""
    bus, one, two = await kit.bus(), Gated(), Gated()
    await kit.working(bus, topology.ENRICH, one, prefetch=2)
    await kit.working(bus, topology.TRENDS, two, prefetch=3)
    await all_taken(bus, [raw(number) for number in range(10)] + [event(number) for number in range(10)])
    await kit.until(lambda: len(one.got) >= 2 and len(two.got) >= 3, "both have begun")
    await kit.pause(0.2)
    assert (len(one.got), len(two.got)) == (2, 3)
    while len(two.got) < 10 or two.gates:
        two.decide_all(Decision.ACK)
        await kit.pause(0.02)
    assert len(one.got) == 2
    one.decide_all(Decision.ACK)
    await kit.until(lambda: len(one.got) >= 4, "the next two")
    while one.gates:
        one.decide_all(Decision.ACK)
        await kit.pause(0.02)
    assert one.ids == ids(*range(10))


async def publishing_handlers(kit: Kit) -> None:
    """Handlers that publish and wait for it, many at once, whose messages reach handlers that publish too."""
    bus = await kit.bus()
    entries: list[Entry] = []

    async def derive(delivery: Delivery) -> Decision:
        number = int(delivery.message.message_id.partition("/")[2])
        await bus.publish(event(number))
        return Decision.ACK

    async def derive_again(delivery: Delivery) -> Decision:
        number = int(delivery.message.message_id.partition(":")[2])
        await bus.publish(event(1000 + number, topic=Topic("trend.birds")))
        return Decision.ACK

    await kit.working(bus, topology.ENRICH, derive, prefetch=50)
    await kit.working(bus, topology.TRENDS, derive_again, prefetch=50)
    await kit.reading(bus, 0, entries.append)
    await all_taken(bus, map(raw, range(300)))
    await kit.until(lambda: len(entries) >= 600, "what all of them published")
    expected = [event(number).message_id for number in (*range(300), *range(1000, 1300))]
    assert sorted(entry.message.message_id for entry in entries) == sorted(expected)


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


async def first_attempts_in_order(kit: Kit) -> None:
    """What one publisher publishes is first handed out in its order, whatever is tried again in between."""
    bus = await kit.bus()
    notes = Notes(
        lambda delivery: Decision.RETRY if delivery.attempt < 3 and len(notes.got) % 7 == 0 else Decision.ACK
    )
    await kit.working(bus, topology.ENRICH, notes, prefetch=10)
    await all_taken(bus, map(raw, range(200)))
    await kit.until(lambda: kit.metrics.value(DECISIONS, topology.ENRICH, "ack") >= 200, "all are done")
    assert [delivery.message.message_id for delivery in notes.got if delivery.attempt == 1] == ids(*range(200))
    assert len(notes.got) > 200


async def work_before_start(kit: Kit) -> None:
    """Work, a reader and messages from before the start are taken up with it."""
    bus, notes = kit.unstarted(), Notes()
    entries: list[Entry] = []
    work = bus.work(topology.ENRICH, notes, 10)
    log = bus.log(60, entries.append)
    answers = [bus.publish(message) for number in range(5) for message in (raw(number), event(number))]
    assert not work.ready
    assert not log.ready
    assert not bus.ready
    await kit.pause(0.05)
    assert (notes.got, entries) == ([], [])
    bus.startService()
    await gatherResults(answers)
    await log.caught_up
    await kit.until(lambda: len(notes.got) >= 5 and len(entries) >= 5, "all have come")
    await kit.until(lambda: work.ready and log.ready and bus.ready, "all are ready")
    assert notes.ids == ids(*range(5))
    assert [entry.message for entry in entries] == [event(number) for number in range(5)]


CHECKS = (
    publish_then_work,
    round_trip,
    sizes,
    many_topics,
    competing,
    prefetch_bounds,
    prefetch_apart,
    publishing_handlers,
    single_active,
    optional_queue,
    retries_in_order,
    first_attempts_in_order,
    work_before_start,
)
