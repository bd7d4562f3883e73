# -*- test-case-name: tests.unit.test_bus_memory -*-
"""Checks of the bus's contract: the log and its readers."""

from __future__ import annotations

from twisted.internet.task import deferLater

from streamer.bus import topology
from streamer.bus.reader import READ_AHEAD
from streamer.interfaces import LAST, Offset
from streamer.message import Entry
from tests.bus_contract_kit import Kit, all_taken, event

LARGEST_CHUNK = 4096  # entries that RabbitMQ puts into one chunk at most


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


async def log_since(kit: Kit) -> None:
    """From so many seconds back: whatever came since is there, perhaps some before it, without a gap."""
    bus = await kit.bus()
    got: list[Entry] = []
    await all_taken(bus, map(event, range(20)))
    await kit.pause(3.0)
    await all_taken(bus, map(event, range(20, 40)))
    await kit.reading(bus, 1.0, got.append)
    first = got[0].offset
    assert first <= 20
    assert [entry.offset for entry in got] == list(range(first, 40))
    assert [entry.message for entry in got] == [event(number) for number in range(first, 40)]


async def log_last(kit: Kit) -> None:
    """LAST begins near the end, at the last entry at latest, and goes on with what comes."""
    bus = await kit.bus()
    got: list[Entry] = []
    await all_taken(bus, map(event, range(100)))
    await kit.pause(0.1)
    await all_taken(bus, map(event, range(100, 200)))
    log = await kit.reading(bus, LAST, got.append)
    first = got[0].offset
    assert [entry.offset for entry in got] == list(range(first, 200))
    await all_taken(bus, map(event, range(200, 210)))
    await kit.until(lambda: got[-1].offset >= 209, "what came since")
    assert [entry.offset for entry in got] == list(range(first, 210))
    await log.stop()


async def log_last_of_nothing(kit: Kit) -> None:
    """LAST of an empty log is the first entry that comes."""
    bus = await kit.bus()
    got: list[Entry] = []
    await kit.reading(bus, LAST, got.append)
    assert got == []
    await all_taken(bus, map(event, range(3)))
    await kit.until(lambda: len(got) >= 3, "what came")
    assert [entry.offset for entry in got] == [0, 1, 2]


async def log_again(kit: Kit) -> None:
    """One reader stops, another goes on from its last offset on another bus: nothing is missed or repeated."""
    bus = await kit.bus()
    one: list[Entry] = []
    two: list[Entry] = []
    whole: list[Entry] = []
    await all_taken(bus, map(event, range(100)))
    log = await kit.reading(bus, Offset(0), one.append)
    await all_taken(bus, map(event, range(100, 150)))
    await kit.until(lambda: len(one) >= 130, "it follows")
    await log.stop()
    seen = len(one)
    await all_taken(bus, map(event, range(150, 300)))
    other = await kit.bus()
    await kit.reading(other, Offset(one[-1].offset + 1), two.append)
    await all_taken(bus, map(event, range(300, 310)))
    await kit.reading(other, Offset(0), whole.append)
    await kit.until(lambda: seen + len(two) >= 310 and len(whole) >= 310, "both have all")
    assert len(one) == seen
    assert one + two == whole
    assert [entry.offset for entry in whole] == list(range(310))


async def log_paused_while_published(kit: Kit) -> None:
    """What is published while a reader is paused waits in the log, and is read after the pause, in order, once."""
    bus = await kit.bus()
    got: list[Entry] = []
    log = await kit.reading(bus, 0, got.append)
    log.pause()
    log.pause()
    for start in range(0, 1000, 100):
        await all_taken(bus, map(event, range(start, start + 100)))
    await kit.pause(0.2)
    assert len(got) <= READ_AHEAD + LARGEST_CHUNK
    log.resume()
    log.resume()
    await kit.until(lambda: len(got) >= 1000, "all is read")
    await all_taken(bus, map(event, range(1000, 1010)))
    await kit.until(lambda: len(got) >= 1010, "it goes on")
    assert [entry.offset for entry in got] == list(range(1010))
    assert [entry.message for entry in got] == [event(number) for number in range(1010)]


async def log_stopped_within(kit: Kit) -> None:
    """A receiver may stop its reader, or another one: neither gets any more."""
    bus = await kit.bus()
    one: list[Entry] = []
    two: list[Entry] = []
    await all_taken(bus, map(event, range(100)))

    def receive(entry: Entry) -> None:
        one.append(entry)
        if len(one) == 10:
            first.stop()
            second.stop()
            two.clear()

    second = await kit.reading(bus, Offset(0), two.append)
    first = bus.log(Offset(0), receive)
    await kit.until(lambda: len(one) >= 10, "it stopped")
    await all_taken(bus, map(event, range(100, 110)))
    await kit.pause(0.1)
    assert (len(one), two) == (10, [])
    assert not first.ready
    assert not second.ready


async def log_retention(kit: Kit) -> None:
    """The log is bounded by bytes; from an offset that has gone, one reads from the oldest there is, and sees it."""
    bus = await kit.bus()
    await kit.tighten(topology.LOG, "max-length-bytes", 30_000_000)  # more than a segment
    for number in range(12):
        await bus.publish(event(number, body=b"x" * 5_000_000))
    got: list[Entry] = []
    for _ in range(20):  # a broker forgets in a time of its own
        got.clear()
        log = await kit.reading(bus, Offset(0), got.append)
        if got and got[0].offset > 0:
            break
        await log.stop()
        await kit.pause(0.2)
    last = event(11).message_id
    await kit.until(lambda: got and got[-1].message.message_id == last, "the newest is there")
    numbers = [entry.message.timestamp_ms - event(0).timestamp_ms for entry in got]
    assert 0 < numbers[0] <= 11, numbers
    assert numbers == list(range(numbers[0], 12))
    offsets = [entry.offset for entry in got]
    assert offsets == sorted(set(offsets))
    assert offsets[0] >= numbers[0]  # a broker takes an offset for itself now and then
    assert got[0].message == event(numbers[0], body=b"x" * 5_000_000)


CHECKS = (
    log_history_and_live,
    log_without_history,
    log_from_offset,
    log_from_offset_ahead,
    paused_reader,
    stopped_reader,
    log_since,
    log_last,
    log_last_of_nothing,
    log_again,
    log_paused_while_published,
    log_stopped_within,
    log_retention,
)
