# -*- test-case-name: tests.unit.test_bus_memory -*-
"""Checks of the bus's contract: publishing, and being told of it."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults

from streamer.bus import topology
from streamer.errors import MessageRefused
from streamer.message import Decision, Topic
from streamer.metrics import REFUSED
from tests.bus_contract_kit import Gated, Kit, Notes, all_taken, ids, raw


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


async def beyond_the_window(kit: Kit) -> None:
    """A publisher that does not keep to the window is served all the same, in order."""
    bus, notes = await kit.bus(), Notes()
    await kit.working(bus, topology.ENRICH, notes, prefetch=100)
    count = bus.window * 3
    await all_taken(bus, map(raw, range(count)))
    await kit.until(lambda: len(notes.got) >= count, "all are handled")
    assert notes.ids == [f"birds/{number}" for number in range(count)]


async def publishing_when_answered(kit: Kit) -> None:
    """A publisher may publish the next message when it is told of the last one, thousands of times."""
    bus, notes = await kit.bus(), Notes()
    done: Deferred[None] = Deferred()
    count = 2000

    def publish(number: int) -> None:
        if number == count:
            done.callback(None)
        else:
            bus.publish(raw(number)).addCallbacks(lambda _: publish(number + 1), done.errback)

    await kit.working(bus, topology.ENRICH, notes, prefetch=100)
    publish(0)
    await done
    await kit.until(lambda: len(notes.got) >= count, "all are handled")
    assert notes.ids == ids(*range(count))


async def publishing_without_rest(kit: Kit) -> None:
    """A publisher that waits for each message, and for nothing else, lets others have their turn."""
    bus, notes = await kit.bus(), Notes()
    await kit.working(bus, topology.ENRICH, notes, prefetch=100)
    handled = []
    for number in range(500):
        await bus.publish(raw(number))
        handled.append(len(notes.got))
    assert handled[-1] > 100, handled[-1]
    await kit.until(lambda: len(notes.got) >= 500, "all are handled")


async def full_queue(kit: Kit) -> None:
    """At a full queue of items publishers are answered late; nothing is lost, whoever stops working it meanwhile."""
    bus, one, two = await kit.bus(), Gated(), Notes()
    await kit.tighten(topology.ENRICH, "max-length", 20)
    answers: list[Deferred[None]] = []
    while all(answer.called for answer in answers):  # a quorum queue takes some more until it says so
        assert len(answers) < 400, "the queue is never full"
        answers += [bus.publish(raw(number)) for number in range(len(answers), len(answers) + 20)]
        await kit.pause(0.2)
    count = len(answers)
    assert count > 20
    work = await kit.working(bus, topology.ENRICH, one, prefetch=5)
    await kit.until(lambda: len(one.got) >= 5, "five are begun")
    stopping = work.stop()
    for id_ in one.ids[:3]:
        one.decide(id_, Decision.ACK)
    one.decide_all(Decision.RETURN)
    await stopping
    assert len(one.got) == 5
    await kit.working(bus, topology.ENRICH, two, prefetch=10)
    await gatherResults(answers)
    await kit.until(lambda: len(two.got) >= count - 3, "the others are handled")
    assert sorted(one.ids[:3] + two.ids) == sorted(ids(*range(count)))


CHECKS = (
    refused,
    unrouted,
    beyond_the_window,
    publishing_when_answered,
    publishing_without_rest,
    full_queue,
)
