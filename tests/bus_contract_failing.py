# -*- test-case-name: tests.unit.test_bus_memory -*-
"""Checks of the bus's contract: what fails, is rejected or handed back."""

from __future__ import annotations

from typing import Any

from streamer.bus import topology
from streamer.message import Decision, Delivery
from streamer.metrics import DECISIONS
from tests.bus_contract_kit import LIMIT, Gated, Kit, Notes, all_taken, ids, raw


def died(kit: Kit, delivery: Delivery, queue: str, reason: str) -> None:
    """Check the death of one that just died."""
    death = delivery.death
    assert death is not None
    assert (death.queue, death.reason) == (queue, reason)
    assert abs(death.at - kit.clock.seconds()) < LIMIT + 1, death


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
    """A message that fails once more than the delivery limit ends in streamer.dead, as it was, with the reason."""
    bus, dead = await kit.bus(), Notes()
    notes = Notes(lambda delivery: Decision.RETRY)
    await kit.working(bus, topology.ENRICH, notes)
    await kit.working(bus, topology.DEAD, dead)
    await bus.publish(raw(1, b"poison"))
    await kit.until(lambda: dead.got, "it is dead")
    assert notes.attempts == list(range(1, topology.DELIVERY_LIMIT + 2))
    assert [delivery.message for delivery in dead.got] == [raw(1, b"poison")]
    assert {delivery.death for delivery in notes.got} == {None}
    died(kit, dead.got[0], topology.ENRICH, "delivery_limit")


async def reject(kit: Kit) -> None:
    """REJECT sends a message to streamer.dead at once, with the reason; those around it are not concerned."""
    bus, dead = await kit.bus(), Notes()
    notes = Notes(lambda delivery: Decision.REJECT if delivery.message.body == b"bad" else Decision.ACK)
    await kit.working(bus, topology.ENRICH, notes)
    await kit.working(bus, topology.DEAD, dead)
    await all_taken(bus, [raw(1), raw(2, b"bad", headers={"cursor": "7"}), raw(3)])
    await kit.until(lambda: dead.got, "it is dead")
    assert [delivery.message for delivery in dead.got] == [raw(2, b"bad", headers={"cursor": "7"})]
    assert notes.ids == ids(1, 2, 3)
    died(kit, dead.got[0], topology.ENRICH, "rejected")


async def dead_attempts(kit: Kit) -> None:
    """A dead letter's attempts begin at 1 again; trying it again keeps its death, and rejected there it is gone."""
    bus = await kit.bus()
    notes = Notes(lambda delivery: Decision.RETRY if delivery.attempt < 4 else Decision.REJECT)
    dead = Notes(lambda delivery: Decision.RETRY if delivery.attempt < 3 else Decision.REJECT)
    after = Notes()
    await kit.working(bus, topology.ENRICH, notes)
    work = await kit.working(bus, topology.DEAD, dead)
    await bus.publish(raw(1))
    await kit.until(lambda: len(dead.got) >= 3, "three attempts at the dead one")
    assert notes.attempts == [1, 2, 3, 4]
    assert dead.attempts == [1, 2, 3]
    deaths = {delivery.death for delivery in dead.got}
    assert len(deaths) == 1
    died(kit, dead.got[0], topology.ENRICH, "rejected")
    await work.stop()
    await kit.working(bus, topology.DEAD, after)
    await kit.pause(0.1)
    assert after.got == []


async def dead_in_order(kit: Kit) -> None:
    """Dead letters come in the order of their dying."""
    bus, gated, dead = await kit.bus(), Gated(), Notes()
    await kit.working(bus, topology.ENRICH, gated)
    await all_taken(bus, map(raw, range(5)))
    await kit.until(lambda: len(gated.got) >= 5, "all are begun")
    for number in (3, 0, 4, 1, 2):
        gated.decide(f"birds/{number}", Decision.REJECT)
    await kit.working(bus, topology.DEAD, dead, prefetch=1)
    await kit.until(lambda: len(dead.got) >= 5, "all are dead")
    assert dead.ids == ids(3, 0, 4, 1, 2)


async def returned(kit: Kit) -> None:
    """What is handed back is delivered again soon, delay or not, to anybody, and does not die of being handed back."""
    bus, dead = await kit.bus(lambda attempt: 3600.0), Notes()
    one, two = Notes(lambda delivery: Decision.RETURN), Notes()
    await kit.working(bus, topology.DEAD, dead)
    work = await kit.working(bus, topology.ENRICH, one, prefetch=1)
    await kit.working(await kit.bus(), topology.ENRICH, two, prefetch=1)
    await all_taken(bus, map(raw, range(5)))
    await kit.until(lambda: len(two.got) >= 5, "the other worker has all")
    assert sorted(two.ids) == ids(*range(5))
    assert one.got
    assert dead.got == []
    highest = max(delivery.attempt for delivery in one.got + two.got)
    assert highest == 1 or kit.counts_returned, highest
    assert kit.metrics.value(DECISIONS, topology.ENRICH, "return") == len(one.got)
    await work.stop()


async def returned_often(kit: Kit) -> None:
    """Being handed back does not count as failing, but for brokers that cannot tell; there it ends at the limit."""
    bus, dead = await kit.bus(), Notes()
    times = topology.DELIVERY_LIMIT + 5
    notes = Notes(lambda delivery: Decision.RETURN if len(notes.got) < times else Decision.ACK)
    await kit.working(bus, topology.ENRICH, notes, prefetch=1)
    await kit.working(bus, topology.DEAD, dead)
    await bus.publish(raw(1))
    if kit.counts_returned:
        await kit.until(lambda: dead.got, "it is dead")
        assert notes.attempts == list(range(1, topology.DELIVERY_LIMIT + 2))
        died(kit, dead.got[0], topology.ENRICH, "delivery_limit")
    else:
        await kit.until(lambda: len(notes.got) >= times, "it came back each time")
        assert set(notes.attempts) == {1}
        assert dead.got == []


async def given_back_first(kit: Kit) -> None:
    """What is handed back, or to be tried again, comes before all that was never handed out; in order when it was."""
    for decision in (Decision.RETURN, Decision.RETRY):
        bus, gated, notes = await kit.bus(), Gated(), Notes()
        work = await kit.working(bus, topology.ENRICH, gated, prefetch=4)
        await all_taken(bus, map(raw, range(8)))
        await kit.until(lambda gated=gated: len(gated.got) >= 4, "four are begun")
        stopping = work.stop()
        gated.decide("birds/2", Decision.ACK)
        gated.decide_all(decision)
        await stopping
        work = await kit.working(bus, topology.ENRICH, notes, prefetch=1)
        await kit.until(lambda notes=notes: len(notes.got) >= 7, "the rest")
        assert notes.ids == ids(0, 1, 3, 4, 5, 6, 7)
        again = 2 if decision is Decision.RETRY or kit.counts_returned else 1
        assert notes.attempts == [again] * 3 + [1] * 4
        await work.stop()


CHECKS = (
    retry,
    failing_handler,
    delivery_limit,
    reject,
    dead_attempts,
    dead_in_order,
    returned,
    returned_often,
    given_back_first,
)
