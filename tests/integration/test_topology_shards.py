"""The number of shards is changed while items flow, in the order that `docs/bus.md` tells: none is lost or doubled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest_twisted
from twisted.internet.defer import DeferredList
from twisted.internet.task import LoopingCall

from streamer.bus import topology
from streamer.bus.address import Address
from streamer.bus.connection import connect
from streamer.bus.driver import Login
from streamer.bus.rabbitmq import RabbitBus
from streamer.bus.survey import survey
from streamer.bus.topology import declares, layout, worked_for_items
from streamer.bus.visit import Questions, visit
from streamer.message import Decision
from streamer.services.topology_declare import Declaring
from tests.bus_contract import Kit, raw

ENOUGH = 40  # items, after each step


@attrs.define
class Flow:
    """One publisher and the enrichers, each with a number of shards that may be changed by another in its place."""

    address: Address
    reactor: Any
    handled: list[str] = attrs.field(factory=list)
    answers: list[Any] = attrs.field(factory=list)
    publisher: Any = None
    enricher: Any = None
    kits: list[Kit] = attrs.field(factory=list)

    async def bus(self, shards: int) -> tuple[Kit, Any]:
        kit = Kit(
            self.reactor,
            lambda metrics, delay: RabbitBus(self.address, self.reactor, metrics, "flow", delay=delay, shards=shards),
        )
        self.kits.append(kit)
        return kit, await kit.bus()

    async def publish(self, shards: int) -> None:
        """From now on by a publisher of that number."""
        before, (_, self.publisher) = self.publisher, await self.bus(shards)
        if before is not None:
            await before.stopService()

    async def enrich(self, shards: int) -> None:
        """From now on by an enricher of that number; the one before hands back what it has not done."""
        before, (kit, self.enricher) = self.enricher, await self.bus(shards)
        if before is not None:
            await before.stopService()
        for queue in worked_for_items(shards):
            await kit.working(self.enricher, queue, self._handle)

    async def _handle(self, delivery: Any) -> Decision:
        self.handled.append(delivery.message.message_id)
        return Decision.ACK

    def more(self) -> None:
        """One item, of one of eight authors."""
        number = len(self.answers)
        message = raw(number, headers={"partitionkey": f"author{number % 8}"})
        self.answers.append(self.publisher.publish(message))

    async def errand(self, errand: Callable[[Any], Any]) -> Any:
        at = self.address
        login = Login(vhost=at.vhost, user=at.user, password=at.password, heartbeat=15, name="flow", version="0")
        return await visit(at.endpoints(self.reactor), lambda: connect(login, self.reactor), self.reactor, errand)

    async def flows(self) -> None:
        """Some items more come through."""
        enough = len(self.handled) + ENOUGH
        await self.kits[0].until(lambda: len(self.handled) >= enough, "items flow")

    async def empty(self, *queues: str) -> None:
        """Nothing waits in these."""
        waiting = 1
        while waiting:
            found = await self.errand(partial(survey, layout(2)))
            waiting = sum(one.depth.messages for one in found.found if one.depth is not None and one.name in queues)


async def prepare(connection: Any) -> None:
    """The topology as an operator installs it, but for the policies."""
    questions = Questions(connection)
    for declare in declares(layout(), bare=True):
        await questions.declare(declare.method, declare.keywords)
    await questions.declare("exchange_declare", {"exchange": topology.MARKER, "exchange_type": "fanout"})


@pytest_twisted.ensureDeferred
async def test_there_and_back(rabbit_url: str) -> None:
    """From no shards to two and back, with items published all the time."""
    from twisted.internet import reactor  # an integration test runs on the real one

    flow = Flow(Address.parse(rabbit_url), reactor)
    said: list[str] = []
    await flow.errand(prepare)
    await flow.publish(0)
    await flow.enrich(0)
    call = LoopingCall(flow.more)
    call.clock = reactor
    call.start(0.005)
    await flow.flows()
    assert await flow.errand(Declaring(layout(2), (), said.append).run), said
    await flow.flows()
    await flow.enrich(2)
    await flow.flows()
    await flow.publish(2)
    await flow.flows()
    found = await flow.errand(partial(survey, layout(2)))
    shards = [one for one in found.found if one.name in worked_for_items(2)[1:]]
    assert [one.depth is not None and one.depth.consumers for one in shards] == [1, 1]
    await flow.publish(0)
    await flow.flows()
    await flow.empty(*worked_for_items(2)[1:])
    await flow.enrich(0)
    assert await flow.errand(Declaring(layout(0), (), said.append).run), said
    await flow.flows()
    call.stop()
    await DeferredList(flow.answers)
    await flow.kits[0].until(lambda: len(set(flow.handled)) == len(flow.answers), "every item is handled")
    twice = [name for name, count in Counter(flow.handled).items() if count > 1]
    found = await flow.errand(partial(survey, layout(0)))
    lost = [one for one in found.found if one.name == topology.UNROUTED and one.depth is not None]
    for kit in flow.kits:
        await kit.stop()
    assert twice == []
    assert [one.depth.messages for one in lost if one.depth is not None] == [0]
