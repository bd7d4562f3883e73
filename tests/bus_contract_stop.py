# -*- test-case-name: tests.unit.test_bus_memory -*-
"""Checks of the bus's contract: stopping workers, readers and the bus itself."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from streamer.bus import topology
from streamer.errors import BusStopped
from streamer.message import Decision, Delivery
from tests.bus_contract_kit import Gated, Kit, Notes, all_taken, event, ids, raw


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


async def stop_in_flow(kit: Kit) -> None:
    """A worker stopped in the middle of a flow: what it began is done, the next one gets just the rest, in order."""
    bus, two = await kit.bus(), Notes()
    one: list[str] = []

    async def slowly(delivery: Delivery) -> Decision:
        one.append(delivery.message.message_id)
        await deferLater(kit.clock, 0.005)
        return Decision.ACK

    work = await kit.working(bus, topology.ENRICH, slowly, prefetch=20)
    publishing = all_taken(bus, map(raw, range(500)))
    taken = Deferred.fromCoroutine(publishing)
    await kit.until(lambda: len(one) >= 50, "it is in the middle of it")
    await work.stop()
    begun = len(one)
    await taken
    await kit.working(bus, topology.ENRICH, two, prefetch=20)
    await kit.until(lambda: begun + len(two.got) >= 500, "the next one has the rest")
    assert len(one) == begun
    assert one + two.ids == ids(*range(500))
    highest = max(delivery.attempt for delivery in two.got)
    assert highest == 1 or (kit.counts_returned and highest == 2), highest


async def bus_stop_in_flow(kit: Kit) -> None:
    """A bus stopped while deliveries come in begins nothing more; where the broker outlives it, the rest is there."""
    bus, two = await kit.bus(), Notes()
    one: list[str] = []
    ended: list[str] = []
    stopping: list[Deferred[None]] = []

    async def slowly(delivery: Delivery) -> Decision:
        one.append(delivery.message.message_id)
        await deferLater(kit.clock, 0.005)
        while len(one) >= 50 and not stopping:  # however slow whoever stops it is
            await deferLater(kit.clock, 0.005)
        ended.append(delivery.message.message_id)
        return Decision.ACK

    await kit.working(bus, topology.ENRICH, slowly, prefetch=20)
    await all_taken(bus, map(raw, range(300)))
    await kit.until(lambda: len(one) >= 50, "it is in the middle of it")
    stopping.append(bus.stopService())
    await stopping[0]
    begun = len(one)
    assert sorted(ended) == sorted(one)
    await kit.pause(0.1)
    assert len(one) == begun < 300
    if bus.durable:
        await kit.working(await kit.bus(), topology.ENRICH, two, prefetch=20)
        await kit.until(lambda: begun + len(two.got) >= 300, "the next one has the rest")
        assert one + two.ids == ids(*range(300))


async def two_stops(kit: Kit) -> None:
    """Stopping a worker, a reader or a bus twice at once is stopping it once: both fire when it is done."""
    bus, gated = await kit.bus(), Gated()
    log = await kit.reading(bus, 0, lambda entry: None)
    work = await kit.working(bus, topology.ENRICH, gated)
    again = await kit.working(bus, topology.TRENDS, gated)
    await all_taken(bus, [raw(1), event(1)])
    await kit.until(lambda: len(gated.got) >= 2, "the handlers run")
    stopping = [work.stop(), work.stop()]
    reading = [log.stop(), log.stop()]
    await kit.pause(0.1)
    assert [stop.called for stop in stopping] == [False, False]
    gated.decide("birds/1", Decision.ACK)
    await gatherResults(stopping + reading)
    await work.stop()
    before = kit.clock.seconds()
    stopping = [bus.stopService(), bus.stopService(), again.stop()]
    await kit.pause(0.1)
    assert [stop.called for stop in stopping] == [False, False, False]
    gated.decide_all(Decision.ACK)
    await gatherResults(stopping)
    await bus.stopService()
    assert kit.clock.seconds() - before < 5.0


async def stop_while_stopping(kit: Kit) -> None:
    """A bus that stops waits for a worker that was stopped before, whose handler still publishes."""
    bus, gate = await kit.bus(), Deferred[None]()
    begun: list[Delivery] = []
    done: list[Delivery] = []

    async def handler(delivery: Delivery) -> Decision:
        begun.append(delivery)
        await gate
        await bus.publish(event(1))
        done.append(delivery)
        return Decision.ACK

    work = await kit.working(bus, topology.ENRICH, handler)
    await bus.publish(raw(1))
    await kit.until(lambda: begun, "the handler runs")
    leaving = work.stop()
    stopping = bus.stopService()
    await kit.pause(0.1)
    assert not leaving.called
    assert not stopping.called
    gate.callback(None)
    await gatherResults([leaving, stopping])
    assert len(done) == 1


async def begun_while_stopping(kit: Kit) -> None:
    """A bus that is stopping takes messages, for its handlers' sake, but no new subscription."""
    bus, gated = await kit.bus(), Gated()
    await kit.working(bus, topology.ENRICH, gated)
    await bus.publish(raw(1))
    await kit.until(lambda: gated.got, "the handler runs")
    stopping = bus.stopService()
    refused = []
    for verb in (lambda: bus.work(topology.ENRICH, Notes(), 1), lambda: bus.log(0, print)):
        try:
            verb()
        except BusStopped as error:
            refused.append(error)
    assert len(refused) == 2
    await bus.publish(event(1))
    gated.decide_all(Decision.ACK)
    await stopping


CHECKS = (
    stop_waits,
    bus_stop_waits,
    stop_gives_back_retries,
    stopped_bus,
    stop_in_flow,
    bus_stop_in_flow,
    two_stops,
    stop_while_stopping,
    begun_while_stopping,
)
