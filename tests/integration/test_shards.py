"""Shards on RabbitMQ: enrichers share them, take over from each other, and keep the order of each author."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from zope.interface import implementer

from streamer.activity import Activity
from streamer.bus import topology, watch
from streamer.bus.address import Address
from streamer.bus.driver import Loss
from streamer.bus.rabbitmq import RabbitBus
from streamer.bus.shards import routed
from streamer.events.post import post
from streamer.interfaces import IEventKind, ISource
from streamer.message import PARTITION_KEY, Decision, Delivery, Entry, Event, Item, Message
from streamer.metrics import SHARDS_GIVEN_UP, UNDECODED, Metrics
from streamer.secrets import Secret
from streamer.services import balancing
from streamer.services.enrich import EnrichService
from streamer.sources.x_sample import x_sample
from tests.bus_contract import Kit

SHARDS = 4
AUTHORS = 40


def item(number: int) -> Message:
    """A post of one of the authors, who take turns at random."""
    author = random.Random(number).randrange(AUTHORS)
    body = {"data": {"id": str(number + 1), "author_id": str(author), "text": f"post {number}"}}
    return Item(
        source="birds",
        kind="post",
        id=str(number + 1),
        received=1_795_000_000_000,
        body=json.dumps(body).encode(),
        partition=str(author),
    ).message()


@implementer(IEventKind)
@attrs.define
class Failing:
    """Derives posts, and fails a fifth of the time."""

    name: str = "post"
    chance: random.Random = attrs.field(factory=lambda: random.Random(7))

    def derive(self, activity: Activity, now_ms: int) -> Event | None:
        if self.chance.random() < 0.2:
            raise ValueError("this test's event kind fails on purpose")
        return post.derive(activity, now_ms)


@attrs.define
class House:
    """Enrichers, a publisher and a reader of the log on one broker."""

    kit: Kit
    make: Any
    services: list[tuple[Any, EnrichService, Metrics]] = attrs.field(factory=list)
    entries: list[Entry] = attrs.field(factory=list)

    async def enricher(self, kind: Any = post) -> EnrichService:
        """One more process, as it were."""
        metrics = Metrics()
        bus = self.make(metrics)
        source = x_sample.build("birds", x_sample.settings(token=Secret("t" * 20)))
        service = EnrichService(
            bus, {"birds": ISource(source)}, [], [IEventKind(kind)], self.kit.clock, metrics, shards=SHARDS
        )
        bus.startService()
        service.startService()
        self.services.append((bus, service, metrics))
        await self.kit.until(lambda: service.ready, "the enricher is ready")
        return service

    def shares(self) -> list[int]:
        """How many shards each enricher is served from."""
        return [
            sum(work.active for queue, work in service._works.items() if queue != topology.ENRICH)
            for _, service, _ in self.services
        ]

    def posts(self) -> list[tuple[str, int]]:
        """Author and id of each event, the first time it came."""
        seen: dict[int, str] = {}
        for entry in self.entries:
            data = json.loads(entry.message.body)["data"]
            seen.setdefault(int(data["id"]), data["author"]["id"])
        return [(author, id_) for id_, author in seen.items()]

    def out_of_order(self) -> list[tuple[str, int, int]]:
        """Each author's posts that came after a later one: author, the later one, the post."""
        last: dict[str, int] = {}
        found = []
        for author, id_ in self.posts():
            if id_ < last.get(author, 0):
                found.append((author, last[author], id_))
            last[author] = max(id_, last.get(author, 0))
        return found


@pytest_twisted.async_yield_fixture
async def house(rabbit_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A house that looks at its shares every second, and leaves no timer behind."""
    from twisted.internet import reactor  # an integration test runs on the real one

    monkeypatch.setattr(watch, "LOOK_EVERY", 0.3)
    monkeypatch.setattr(watch, "LOOK_AFTER", 0.1)
    monkeypatch.setattr(balancing, "BALANCE_EVERY", 0.7)
    address = Address.parse(rabbit_url)

    def make(metrics: Metrics, delay: Any = lambda attempt: 0.0) -> RabbitBus:
        return RabbitBus(address, reactor, metrics, "shards", delay=delay, jitter=lambda: 0.1, shards=SHARDS)

    built = House(Kit(reactor, make), make)
    yield built
    for bus, service, _ in built.services:
        await service.stopService()
        await bus.stopService()
    await built.kit.stop()
    left = [call for call in reactor.getDelayedCalls() if "streamer" in repr(call)]
    assert left == []


@pytest_twisted.ensureDeferred
async def test_shares_and_order(house: House) -> None:
    """The first enricher has all shards; others that come get their shares; one that is cut off loses them to the
    others; whatever happens, each author's posts come out in order, and none is missing."""
    kit = house.kit
    bus = await kit.bus()
    await kit.reading(bus, 60, house.entries.append)
    answers: list[Deferred[None]] = []

    async def publish(count: int) -> None:
        for _ in range(count):
            answers.append(bus.publish(item(len(answers))))
            if len(answers) % 50 == 0:
                await deferLater(kit.clock, 0.05)
        await DeferredList(answers)

    async def settles(*expected: list[int]) -> None:
        for _ in range(60):
            await publish(60)  # who is served shows by being served
            if sorted(house.shares()) in expected:
                return
            await deferLater(kit.clock, 0.2)
        seen = [[work.workers for work in service._works.values()] for _, service, _ in house.services]
        raise AssertionError(f"the shares are {house.shares()}, and not {expected}; workers seen: {seen}")

    await house.enricher()
    await settles([4])
    await house.enricher()
    await settles([2, 2])
    assert house.services[0][2].value(SHARDS_GIVEN_UP) >= 2
    await house.enricher()
    await settles([0, 2, 2], [1, 1, 2])  # a share is rounded up
    given_up, _, _ = house.services[house.shares().index(2)]
    for subscription in list(given_up._subscriptions):
        subscription.role.connection.abort(Loss("test", "cut off"))
    await publish(600)
    await kit.until(lambda: len(house.posts()) == len(answers), "every post has come out")
    assert house.out_of_order() == []
    assert [metrics.total(UNDECODED) for _, _, metrics in house.services] == [0, 0, 0]


@pytest_twisted.ensureDeferred
async def test_crash_of_handlers(house: House) -> None:
    """Handlers that fail at first, again and again and at any place, do not disturb the order."""
    await house.enricher(Failing())
    bus = await house.kit.bus()
    await house.kit.reading(bus, 60, house.entries.append)
    await DeferredList([bus.publish(item(number)) for number in range(400)])
    await house.kit.until(lambda: len(house.posts()) == 400, "every post has come out")
    assert house.out_of_order() == []


@pytest.mark.parametrize("way", ["stopped", "cut off"])
@pytest_twisted.ensureDeferred
async def test_order_at_handovers(house: House, way: str) -> None:
    """Workers come and go with their hands full; the first run of each author's items is always in order."""
    kit, chance = house.kit, random.Random(11)
    count, queue = 1500, topology.shard_queue(0)
    begun: list[tuple[str, int]] = []
    done: set[int] = set()

    async def handle(delivery: Delivery) -> Decision:
        message = delivery.message
        number = int(message.message_id.partition("/")[2])
        begun.append((str(message.headers[PARTITION_KEY]), number))
        await deferLater(kit.clock, chance.random() * 0.01)
        done.add(number)
        return Decision.ACK if chance.random() < 0.95 else Decision.RETRY

    bus = await kit.bus()
    wanted = [one for number in range(count * SHARDS) if (one := item(number)).headers]
    mine = [one for one in wanted if routed(one, SHARDS).topic.endswith(".s00")][:count]
    await DeferredList([bus.publish(message) for message in mine])
    workers = [house.make(Metrics()) for _ in range(2)]
    works = []
    for worker in workers:
        worker.startService()
        works.append(worker.work(queue, handle, 24))
    for turn in range(6):
        before = len(done)
        await kit.until(lambda before=before: len(done) > before + 60 or len(done) == len(mine), "some more are done")
        if len(done) == len(mine):
            break
        await kit.until(lambda: any(work.active for work in works), "one of them is served")
        active = next(number for number, work in enumerate(works) if work.active)
        if way == "stopped":
            await works[active].stop()
            works[active] = workers[active].work(queue, handle, 24)
        else:
            works[active].role.connection.abort(Loss("test", "cut off"))
            await kit.until(lambda active=active: works[active].ready, f"the worker is back in turn {turn}")
    await kit.until(lambda: len(done) == len(mine), "all are done", 60)
    first: dict[int, str] = {}
    for author, number in begun:
        first.setdefault(number, author)
    for author in {author for author, _ in begun}:
        numbers = [number for number, whose in first.items() if whose == author]
        assert numbers == sorted(numbers), (author, numbers)
    for worker in workers:
        await worker.stopService()
