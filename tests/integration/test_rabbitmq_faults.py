"""What the bus does when the broker fails: every publish is answered, nothing confirmed is lost, all come back."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from streamer.bus import deadline, topology
from streamer.bus.address import Address, Host
from streamer.bus.rabbitmq import RabbitBus
from streamer.errors import BusStopped
from streamer.message import Entry
from streamer.metrics import BUS_BLOCKED, BUS_ENDINGS, BUS_PENDING, BUS_UNCONFIRMED, LOG_RESET, REPUBLISHED
from streamer.testing.rabbitmq import RabbitNode, free_port
from tests.bus_contract import Kit, Notes, event, raw
from tests.ledger import Ledger


@attrs.define
class Scene:
    """A kit whose broker can be made to fail."""

    kit: Kit
    node: RabbitNode
    address: Address

    @property
    def vhost(self) -> str:
        return self.address.vhost

    def ctl(self, *arguments: str) -> Deferred[str]:
        """rabbitmqctl, without stopping the reactor."""
        return deferToThread(self.node.rabbitmqctl, *arguments)


@pytest_twisted.async_yield_fixture
async def scene(rabbit_node: RabbitNode, rabbit_url: str) -> AsyncIterator[Scene]:
    """A scene; its buses are stopped afterwards, and no timer of theirs is left."""
    from twisted.internet import reactor  # an integration test runs on the real one

    address = Address.parse(rabbit_url)
    kit = Kit(
        reactor, lambda metrics, delay: RabbitBus(address, reactor, metrics, "faults", delay=delay, jitter=small)
    )
    yield Scene(kit, rabbit_node, address)
    await kit.stop()
    left = [call for call in reactor.getDelayedCalls() if "streamer.bus" in repr(call)]
    assert left == []


def small() -> float:
    """Jitter that reconnects soon, for the sake of the tests' time."""
    return 0.1


async def stage(scene: Scene) -> tuple[Any, Ledger, Any, Any]:
    """A bus with a worker and a reader."""
    bus, ledger = await scene.kit.bus(), Ledger()
    work = await scene.kit.working(bus, topology.ENRICH, ledger.handled, prefetch=100)
    log = await scene.kit.reading(bus, 60, ledger.entries.append)
    return bus, ledger, work, log


@pytest_twisted.ensureDeferred
async def test_connections_closed(scene: Scene) -> None:
    """All connections closed in the middle of a run: everything goes on, nothing is lost, no log entry comes twice."""
    bus, ledger, work, log = await stage(scene)
    await ledger.run(scene.kit, bus, lambda: scene.ctl("close_all_connections", "--vhost", scene.vhost, "an exercise"))
    await ledger.check(scene.kit)
    await scene.kit.until(lambda: scene.kit.metrics.total(BUS_ENDINGS) >= 3, "all three noticed")
    await scene.kit.until(lambda: work.ready and log.ready, "both are back")
    for role in ("publish", "work streamer.enrich", "log"):
        assert scene.kit.metrics.value(BUS_ENDINGS, role, "broker") >= 1


@pytest_twisted.ensureDeferred
async def test_node_killed(scene: Scene) -> None:
    """The node killed and started again in the middle of a run: the same."""
    bus, ledger, work, log = await stage(scene)

    await deferToThread(scene.node.settle)

    def crash() -> None:
        scene.node.kill9()
        scene.node.start()

    await ledger.run(scene.kit, bus, lambda: deferToThread(crash))
    await ledger.check(scene.kit)
    await scene.kit.until(lambda: work.ready and log.ready, "both are back")
    assert scene.kit.metrics.total(REPUBLISHED) > 0


@pytest_twisted.ensureDeferred
async def test_memory_alarm(scene: Scene) -> None:
    """A broker out of memory blocks publishing, which waits and says so; it goes on when the alarm is over."""
    bus = await scene.kit.bus()
    await bus.publish(raw(0))
    await scene.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        answers = [bus.publish(raw(1))]
        await scene.kit.until(lambda: not bus.ready, "the broker blocks us")
        answers += [bus.publish(raw(number)) for number in range(2, 20)]
        assert "takes no messages" in bus.status
        assert scene.kit.metrics.value(BUS_BLOCKED, "publish") == 1
        assert not any(answer.called for answer in answers)
    finally:
        await scene.ctl("set_vm_memory_high_watermark", "0.6")
    await DeferredList(answers)
    await scene.kit.until(lambda: bus.ready, "the broker takes messages again")
    assert scene.kit.metrics.value(BUS_BLOCKED, "publish") == 0
    assert scene.kit.metrics.total(BUS_ENDINGS) == 0


@pytest_twisted.ensureDeferred
async def test_queue_deleted(scene: Scene) -> None:
    """A deleted queue is declared again, and its worker comes back to it."""
    bus, notes = await scene.kit.bus(), Notes()
    work = await scene.kit.working(bus, topology.ENRICH, notes)
    await scene.ctl("delete_queue", "--vhost", scene.vhost, topology.ENRICH)
    await scene.kit.until(lambda: scene.kit.metrics.total(BUS_ENDINGS), "the worker noticed")
    assert scene.kit.metrics.value(BUS_ENDINGS, "work streamer.enrich", "cancelled") == 1
    await scene.kit.until(lambda: work.ready, "the worker is back")
    await bus.publish(raw(1))
    await scene.kit.until(lambda: notes.got, "it works")


@pytest_twisted.ensureDeferred
async def test_log_deleted(scene: Scene) -> None:
    """After the log was deleted, readers read the new one from its start, and count that it is another."""
    bus, entries = await scene.kit.bus(), list[Entry]()
    for number in range(10):
        await bus.publish(event(number))
    log = await scene.kit.reading(bus, 60, entries.append)
    assert len(entries) == 10
    await scene.ctl("delete_queue", "--vhost", scene.vhost, topology.LOG)
    await scene.kit.until(lambda: scene.kit.metrics.total(BUS_ENDINGS), "the reader noticed")
    await scene.kit.until(lambda: log.ready, "the reader is back")
    for number in range(10, 15):
        await bus.publish(event(number))
    await scene.kit.until(lambda: len(entries) >= 15, "the new log is read")
    assert [entry.message.message_id for entry in entries] == [event(number).message_id for number in range(15)]
    assert scene.kit.metrics.total(LOG_RESET) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "wrong"}, "403 ACCESS_REFUSED - Login was refused"),
        ({"vhost": "nowhere"}, "530 NOT_ALLOWED - vhost nowhere not found"),
        ({"hosts": (Host("127.0.0.1", 1),)}, "refused"),
    ],
    ids=["password", "vhost", "port"],
)
@pytest_twisted.ensureDeferred
async def test_reason(scene: Scene, changes: dict[str, Any], words: str) -> None:
    """Where we are not let in, the status gives the broker's reason, and stopping hands the messages back."""
    fields = {name: getattr(scene.address, name) for name in Address.__struct_fields__}
    address = Address(**{**fields, **changes})
    bus = RabbitBus(address, scene.kit.clock, scene.kit.metrics, jitter=small)
    scene.kit.buses.append(bus)
    bus.startService()
    answer = bus.publish(raw(1))
    await scene.kit.until(lambda: words in bus.status, f"the status has {words!r}")
    assert not bus.ready
    assert scene.address.password not in bus.status
    stopping = bus.stopService()
    await stopping
    with pytest.raises(BusStopped):
        await answer


@pytest_twisted.ensureDeferred
async def test_next_host(scene: Scene) -> None:
    """Of several hosts the next one is tried where one refuses."""
    hosts = (Host("127.0.0.1", free_port()), Host("127.0.0.1", free_port()), *scene.address.hosts)
    fields = {name: getattr(scene.address, name) for name in Address.__struct_fields__}
    bus = RabbitBus(Address(**{**fields, "hosts": hosts}), scene.kit.clock, scene.kit.metrics, jitter=small)
    scene.kit.buses.append(bus)
    bus.startService()
    await bus.publish(raw(1))
    assert scene.kit.metrics.value(BUS_ENDINGS, "publish", "refused") <= 2  # hosts are tried in any order


@pytest_twisted.ensureDeferred
async def test_frozen_broker(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a broker that no longer reads, and megabytes unsent, stopping still ends, and hands the messages back."""
    monkeypatch.setattr(deadline, "FLUSH", 1.0)
    monkeypatch.setattr(deadline, "CLOSE", 0.5)
    bus, notes = await scene.kit.bus(), Notes()
    await scene.kit.working(bus, topology.ENRICH, notes)
    server = scene.node.pid
    os.kill(server, signal.SIGSTOP)
    try:
        answers = [bus.publish(raw(number, b"x" * 1_000_000)) for number in range(50)]
        await deferLater(scene.kit.clock, 0)
        await scene.kit.until(lambda: not bus.ready, "the transport's buffer stays full")
        assert scene.kit.metrics.value(BUS_PENDING) + scene.kit.metrics.value(BUS_UNCONFIRMED) == 50
        begun = scene.kit.clock.seconds()
        await bus.stopService()
        assert scene.kit.clock.seconds() - begun < 10
        results = await DeferredList(answers, consumeErrors=True)
        assert [result.check(BusStopped) for _, result in results] == [BusStopped] * 50
    finally:
        os.kill(server, signal.SIGCONT)
