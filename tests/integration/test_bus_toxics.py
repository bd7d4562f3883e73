"""The bus behind a bad network: a real broker, and a proxy between that delays, cuts, corrupts and swallows."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher

from streamer.bus import deadline, logins, topology
from streamer.bus.address import Address, Host
from streamer.bus.connection import connect as connect_by_pika
from streamer.bus.driver import Driver
from streamer.bus.rabbitmq import RabbitBus
from streamer.bus.txamqp_connection import connect as connect_by_txamqp
from streamer.errors import BusStopped
from streamer.message import Entry
from streamer.metrics import BUS_CONNECTED, BUS_ENDINGS, BUS_PENDING, BUS_UNCONFIRMED, LOG_RESET, Metrics
from streamer.testing.proxy import ToxicProxy
from streamer.testing.toxics import (
    Bandwidth,
    Corrupt,
    Cut,
    Direction,
    HalfClose,
    HalfOpen,
    Latency,
    Refuse,
    Reset,
    Slices,
    Stall,
    Toxic,
)
from tests.bus_contract import Kit, raw
from tests.ledger import Ledger

UP, DOWN, BOTH = Direction.UP, Direction.DOWN, Direction.BOTH
SEED = int(os.environ.get("SEED", "20261121"))  # of the places to cut at
CUTS = int(os.environ.get("CUTS", "2"))  # of each of six sorts
DRIVERS: dict[str, Driver] = {"pika": connect_by_pika, "txamqp": connect_by_txamqp}
LATEST = 6.0  # seconds until a silent peer is given up; with a heartbeat of 1 s that takes 2 s, and taking leave 1 s
ROLES = ("publish", "work streamer.enrich", "log")


@attrs.define
class Behind:
    """A bus with a worker and a reader, and the proxy that all its connections go through."""

    bus: Any
    proxy: ToxicProxy
    metrics: Metrics
    ledger: Ledger
    work: Any = None
    log: Any = None

    @property
    def ready(self) -> bool:
        return bool(self.bus.ready and self.work.ready and self.log.ready)

    @property
    def any_ready(self) -> bool:
        return bool(self.bus.ready or self.work.ready or self.log.ready)

    @property
    def endings(self) -> float:
        return self.metrics.total(BUS_ENDINGS)

    def ended_by(self, cause: str) -> float:
        """Connections given up for a reason, whichever role's; each exchange that is published to has one."""
        return sum(count for metric, labels, count in self.metrics if metric is BUS_ENDINGS and labels[1] == cause)

    def causes(self, role: str) -> set[str]:
        """The named losses of a role."""
        known = ("broker", "protocol", "heartbeat", "lost", "stuck", "timeout", "refused", "unconfirmed", "doubt")
        return {cause for cause in known if self.metrics.value(BUS_ENDINGS, role, cause)}


@attrs.define
class Scene:
    """Buses behind proxies, before one broker."""

    kit: Kit
    address: Address
    connect: Driver
    proxies: list[ToxicProxy] = attrs.field(factory=list)

    async def behind(self, ledger: Ledger, prefetch: int = 100) -> Behind:
        """A bus that runs, with a worker and a reader, behind a proxy of its own."""
        found = await self.connecting(ledger)
        await self.kit.until(lambda: found.bus.ready, "the bus is ready")
        found.work = await self.kit.working(found.bus, topology.ENRICH, ledger.handled, prefetch)
        found.log = await self.kit.reading(found.bus, 60, ledger.entries.append)
        return found

    async def connecting(self, ledger: Ledger, *toxics: Toxic) -> Behind:
        """A bus that was started, behind a proxy with toxics."""
        host = self.address.hosts[0]
        proxy = ToxicProxy.on_loopback(self.kit.clock, host.name, host.port)
        proxy.startService()
        for toxic in toxics:
            proxy.put_on(toxic)
        self.proxies.append(proxy)
        fields = {name: getattr(self.address, name) for name in Address.__struct_fields__}
        address = Address(**{**fields, "hosts": (Host("127.0.0.1", proxy.port),)})
        metrics = Metrics()
        bus = RabbitBus(address, self.kit.clock, metrics, "toxics", delay=at_once, jitter=tiny, driver=self.connect)
        self.kit.buses.append(bus)
        bus.startService()
        return Behind(bus, proxy, metrics, ledger)

    def sleep(self, seconds: float) -> Deferred[None]:
        """For what is not to happen within some time."""
        return deferLater(self.kit.clock, seconds)


def at_once(attempt: int) -> float:
    """Seconds that a failed delivery is held."""
    return 0.0


def tiny() -> float:
    """Jitter that reconnects within 0.1 s, for the sake of the tests' time."""
    return 0.003


def in_order(ledger: Ledger) -> bool:
    """Whether events came into the log in the order they were published in, but for those that came again."""
    first = list(dict.fromkeys(int(entry.message.message_id.rpartition(":")[2]) for entry in ledger.entries))
    return first == sorted(first)


@pytest.fixture
def driver() -> str:
    """What connections are made by, for tests that do not say."""
    return "pika"


@pytest_twisted.async_yield_fixture
async def scene(rabbit_url: str, driver: str) -> AsyncIterator[Scene]:
    """A scene; afterwards no bus, socket or timer is left of it."""
    from twisted.internet import reactor  # an integration test runs on the real one

    before = set(reactor.getDelayedCalls())
    unhandled: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        if "Unhandled" in (event.get("log_format") or ""):
            unhandled.append(repr(event.get("log_failure")))

    globalLogPublisher.addObserver(observe)
    kit = Kit(reactor, lambda metrics, delay: None)
    made = Scene(kit, Address.parse(rabbit_url), DRIVERS[driver])
    yield made
    for proxy in made.proxies:
        proxy.heal()
    await kit.stop()
    for proxy in made.proxies:
        await proxy.stopService()
    await deferLater(kit.clock, 0)  # a turn in which the reactor forgets what called us
    left = [call for call in set(reactor.getDelayedCalls()) - before if call.active()]
    gc.collect()  # which is when a Deferred tells that nobody heard of its failure
    globalLogPublisher.removeObserver(observe)
    assert (left, unhandled) == ([], [])


@pytest.mark.parametrize("driver", DRIVERS)
@pytest_twisted.ensureDeferred
async def test_one_byte_slices(scene: Scene) -> None:
    """With every byte on its own, both ways, from the handshake on, all is correct, in order, and comes once."""
    ledger = Ledger(size=20)
    behind = await scene.behind(ledger)
    behind.proxy.put_on(Slices(1))
    for link in behind.proxy.connections:
        link.reset()
    await scene.kit.until(lambda: behind.endings == 3 and behind.ready, "all are back")
    await DeferredList([ledger.publish(behind.bus) for _ in range(30)])
    await ledger.check(scene.kit)
    assert ledger.handled.ids == [raw(number).message_id for number in range(1, 30, 2)]
    assert [entry.message.body for entry in ledger.entries] == [b"x" * 20] * 15
    assert behind.endings == 3


@pytest_twisted.ensureDeferred
async def test_slow_network(scene: Scene) -> None:
    """Late by 50 ms, more or less, and with 400 kB/s, everything arrives, once, and no connection is given up."""
    ledger = Ledger()
    behind = await scene.behind(ledger)
    behind.proxy.put_on(Latency(0.05, jitter=0.04))
    behind.proxy.put_on(Bandwidth(400_000))
    begun = scene.kit.clock.seconds()
    await ledger.publish(behind.bus)
    assert scene.kit.clock.seconds() - begun > 0.02
    await DeferredList([ledger.publish(behind.bus) for _ in range(300)])
    ledger.size = 200_000  # two frames
    await ledger.publish(behind.bus)
    await ledger.check(scene.kit)
    assert len(ledger.handled.ids) == len(set(ledger.handled.ids))
    assert behind.endings == 0


@pytest_twisted.ensureDeferred
async def test_all_reset(scene: Scene) -> None:
    """All connections reset in the middle of a run, then refused for a while: nothing is lost, all come back."""
    ledger = Ledger()
    behind = await scene.behind(ledger)

    async def happen() -> None:
        behind.proxy.put_on(Refuse(times=6))
        behind.proxy.put_on(Reset())
        await scene.kit.until(lambda: not behind.any_ready, "all are gone")
        behind.proxy.take_off(Reset)
        await scene.kit.until(lambda: behind.ready, "all are back")

    await ledger.run(scene.kit, behind.bus, lambda: Deferred.fromCoroutine(happen()), count=1000, pause=0.005)
    await ledger.check(scene.kit)
    assert in_order(ledger)
    assert behind.proxy.refused == 6
    for role in ROLES:
        assert behind.causes(role) <= {"lost", "refused"}
        assert behind.causes(role)


async def phases(scene: Scene) -> dict[Direction, tuple[int, int]]:
    """Bytes one way until a connection is logged in, and until it is set up."""
    behind = await scene.connecting(Ledger(), Latency(0.03))
    sizes: dict[str, dict[Direction, int]] = {}

    def watch() -> bool:
        state = behind.bus.status.partition(" at ")[0].removeprefix("publish: ")
        if behind.proxy.connections:
            (link,) = behind.proxy.connections
            sizes[state] = {one: link.lane(one).passed for one in (UP, DOWN)}
        return bool(behind.bus.ready)

    await scene.kit.until(watch, "the bus is ready")
    behind.proxy.take_off(Latency)
    return {one: (sizes["logging in"][one], sizes["declaring the topology"][one]) for one in (UP, DOWN)}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest_twisted.ensureDeferred
async def test_cuts(scene: Scene) -> None:
    """Cut or reset anywhere, in the handshake, a declare, a publish or a delivery: nothing is lost, all recover."""
    places, ledger = await phases(scene), Ledger()
    behind = await scene.behind(ledger)
    chance, proxy = random.Random(SEED), behind.proxy
    plan: list[tuple[Toxic, Direction, bool]] = []
    for one in (UP, DOWN):
        login, setup = places[one]
        assert 100 < login < setup
        for _ in range(CUTS):
            kind = chance.choice((Cut, Reset))
            plan.append((kind(chance.randrange(login), times=1), one, True))
            plan.append((kind(chance.randrange(login, setup), times=1), one, True))
            plan.append((kind(chance.randrange(5000), times=1), one, False))
    chance.shuffle(plan)

    async def happen() -> None:
        for toxic, direction, anew in plan:
            struck = sum(proxy.struck.values())
            if anew:
                for link in proxy.connections:
                    link.reset()
            proxy.put_on(toxic, direction)
            await scene.kit.until(lambda: sum(proxy.struck.values()) > struck, f"{toxic} {direction} strikes")  # noqa: B023
            await scene.kit.until(lambda: behind.ready, f"all are back after {toxic} {direction}")

    await ledger.run(scene.kit, behind.bus, lambda: Deferred.fromCoroutine(happen()), count=300, pause=0.02)
    await ledger.check(scene.kit)
    assert in_order(ledger)
    assert proxy.struck[Cut] + proxy.struck[Reset] == len(plan) == 6 * CUTS
    assert behind.metrics.total(LOG_RESET) == 0


@pytest_twisted.ensureDeferred
async def test_half_closed(scene: Scene) -> None:
    """A FIN from either side, alone, ends the connection; all recover."""
    ledger = Ledger()
    behind = await scene.behind(ledger)
    for direction in (UP, DOWN):
        before = behind.endings
        behind.proxy.put_on(HalfClose(), direction)
        await scene.kit.until(lambda: behind.endings >= before + 3, "all three noticed")  # noqa: B023
        behind.proxy.take_off(HalfClose)
        await scene.kit.until(lambda: behind.ready, "all are back")
    await DeferredList([ledger.publish(behind.bus) for _ in range(30)])
    await ledger.check(scene.kit)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest_twisted.ensureDeferred
async def test_silent_peers(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that hangs, or is gone, with bytes unsent or without, is noticed, and all wait until it is back."""
    monkeypatch.setattr(logins, "HEARTBEAT", 1)
    monkeypatch.setattr(deadline, "HANDSHAKE", 1.0)
    monkeypatch.setattr(deadline, "CLOSE", 1.0)
    shared, logs = Ledger(), list[list[Entry]]()

    async def silent(number: int, toxic: Toxic, direction: Direction, unsent: int) -> None:
        ledger = Ledger(first=number * 1000, size=200_000, handled=shared.handled)
        behind = await scene.behind(ledger)
        case = f"{toxic} {direction}, {unsent} unsent"
        behind.proxy.put_on(toxic, direction)
        begun = scene.kit.clock.seconds()
        for _ in range(unsent):
            ledger.publish(behind.bus)
        await scene.kit.until(lambda: all(behind.causes(role) for role in ROLES), f"{case}: noticed")
        assert scene.kit.clock.seconds() - begun < LATEST, case
        for role in ROLES:
            assert behind.causes(role) <= {"heartbeat", "stuck", "timeout", "lost"}, case
        end = scene.kit.clock.seconds() + 1.5
        while scene.kit.clock.seconds() < end:
            assert not behind.any_ready, case
            await scene.sleep(0.05)
        behind.proxy.take_off(type(toxic))
        await scene.kit.until(lambda: behind.ready, f"{case}: all are back")
        ledger.publish(behind.bus)
        await DeferredList(ledger.answers)
        shared.answers += ledger.answers
        shared.confirmed += ledger.confirmed
        logs.append(ledger.entries)

    cases = [(HalfOpen(), UP, 0), (HalfOpen(), DOWN, 40)]
    cases += [(toxic, BOTH, unsent) for toxic in (Stall(), HalfOpen()) for unsent in (0, 40)]
    await gatherResults(
        [Deferred.fromCoroutine(silent(number, *case)) for number, case in enumerate(cases)], consumeErrors=True
    )
    for shared.entries in logs:
        await shared.check(scene.kit)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest_twisted.ensureDeferred
async def test_corrupt(scene: Scene) -> None:
    """A byte of a frame's head or end changed on the way: the connection is given up for a reason that is named."""
    ledger = Ledger(size=100)
    receives, publishes = await scene.behind(ledger), await scene.connecting(Ledger())
    await scene.kit.until(lambda: publishes.bus.ready, "the other bus is ready")
    kind, channel, size, end_of_confirm = 0, 1, 3, 20  # places in a frame
    plan = [(publishes, UP, "broker", place) for place in (kind, channel, size)]
    plan += [(publishes, DOWN, "protocol", place) for place in (kind, channel, size, end_of_confirm)]
    plan += [(receives, DOWN, "protocol", place) for place in (kind, channel, size)]
    for behind, direction, cause, place in plan:
        before, named = behind.endings, behind.ended_by(cause)
        behind.proxy.put_on(Corrupt(place, times=1), direction)
        answers = [ledger.publish(publishes.bus) for _ in range(10)]
        what = f"{direction}, byte {place}"
        await scene.kit.until(lambda: behind.endings > before, f"{what}: noticed", limit=5)  # noqa: B023
        assert (behind.endings, behind.ended_by(cause)) == (before + 1, named + 1), what
        assert behind.proxy.struck.pop(Corrupt) == 1
        await scene.kit.until(lambda: receives.ready and publishes.bus.ready, f"{what}: all are back")
        await DeferredList(answers)
    await ledger.check(scene.kit)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest_twisted.ensureDeferred
async def test_stopped_while_silent(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping with a peer that hangs, is gone, or never answered keeps its deadlines; messages are handed back."""
    monkeypatch.setattr(deadline, "FLUSH", 1.0)
    monkeypatch.setattr(deadline, "CLOSE", 0.5)
    monkeypatch.setattr(deadline, "DRAIN", 1.0)

    async def stopped(toxic: Toxic, unsent: int) -> None:
        behind = await scene.behind(Ledger(size=1_000_000))
        behind.proxy.put_on(toxic)
        await stop(behind, unsent)

    async def stopped_early(toxic: Toxic) -> None:
        behind = await scene.connecting(Ledger(), toxic)
        await scene.kit.until(lambda: behind.proxy.connections, "it connects")
        await stop(behind, 3)

    async def stop(behind: Behind, unsent: int) -> None:
        answers = [behind.bus.publish(raw(number, b"x" * behind.ledger.size)) for number in range(unsent)]
        await scene.sleep(0.1)
        assert behind.metrics.value(BUS_PENDING) + behind.metrics.value(BUS_UNCONFIRMED) == unsent
        begun = scene.kit.clock.seconds()
        if behind.work is not None:
            await gatherResults([behind.work.stop(), behind.log.stop()])
            assert scene.kit.clock.seconds() - begun < 3.0
        await behind.bus.stopService()
        assert scene.kit.clock.seconds() - begun < 5.0
        results = await DeferredList(answers, consumeErrors=True)
        assert [result.check(BusStopped) for _, result in results] == [BusStopped] * unsent
        assert not behind.bus.ready

    cases = [stopped(toxic, unsent) for toxic in (Stall(), HalfOpen()) for unsent in (0, 20)]
    cases += [stopped_early(Stall()), stopped_early(HalfOpen())]
    await gatherResults([Deferred.fromCoroutine(case) for case in cases], consumeErrors=True)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest_twisted.ensureDeferred
async def test_stopped_while_lost(scene: Scene) -> None:
    """Connections that are lost while the bus takes leave of the broker: it stops at once, and has cleaned up."""
    ledger = Ledger()
    behind = await scene.behind(ledger)
    behind.proxy.put_on(Stall())
    answers = [ledger.publish(behind.bus) for _ in range(20)]
    stopping = behind.bus.stopService()
    await scene.sleep(0.05)
    assert not stopping.called
    begun = scene.kit.clock.seconds()
    behind.proxy.put_on(Reset())
    await stopping
    assert scene.kit.clock.seconds() - begun < 1.0
    results = await DeferredList(answers, consumeErrors=True)
    assert [result.check(BusStopped) for _, result in results] == [BusStopped] * 20
    assert [behind.metrics.value(BUS_CONNECTED, role) for role in ROLES] == [0, 0, 0]


@pytest_twisted.ensureDeferred
async def test_stopped_on_a_slow_network(scene: Scene) -> None:
    """Stopping waits for confirms and acks that are under way: nothing is handed back, nothing delivered again."""
    ledger = Ledger()
    behind = await scene.behind(ledger)
    await DeferredList([ledger.publish(behind.bus) for _ in range(60)])
    behind.proxy.put_on(Latency(0.05))
    await scene.kit.until(lambda: len(ledger.handled.ids) == 30, "all items are handled")
    late = [ledger.publish(behind.bus) for _ in range(100)]
    await behind.bus.stopService()
    assert [succeeded for succeeded, _ in await DeferredList(late, consumeErrors=True)] == [True] * 100
    assert behind.endings == 0
    await scene.behind(ledger)
    await scene.kit.until(lambda: len(set(ledger.handled.ids)) == 80, "the rest is handled")
    first = {raw(number).message_id for number in range(1, 60, 2)}
    again = [delivery.message.message_id for delivery in ledger.handled.got[30:]]
    assert not first.intersection(again)
