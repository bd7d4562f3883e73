"""One process a source, on a real RabbitMQ: over both drivers, through a network that falls silent, in a cluster that
loses a node, and with real processes that are killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from streamer.bus import logins
from streamer.bus.address import Address, Host
from streamer.bus.connection import connect as connect_by_pika
from streamer.bus.driver import Driver
from streamer.bus.lock import queue_of
from streamer.bus.rabbitmq import RabbitBus
from streamer.bus.txamqp_connection import connect as connect_by_txamqp
from streamer.errors import SourceTaken
from streamer.metrics import Metrics
from streamer.testing.cluster import RabbitCluster
from streamer.testing.proxy import ToxicProxy
from streamer.testing.rabbitmq import RabbitNode
from streamer.testing.toxics import Stall
from tests.bus_contract_kit import Kit
from tests.processes import Program, free_ports, get, get_json, simulate_x

DRIVERS: dict[str, Driver] = {"pika": connect_by_pika, "txamqp": connect_by_txamqp}
BEAT = 2  # seconds between heartbeats here, so that silence is noticed within 6 s, and a refusal believed after 10 s
NOTICED = 60.0  # seconds until whatever happens must have happened
# twistd with other heartbeats.
TWISTD = ("python", "-c", f"from streamer.bus import logins; logins.HEARTBEAT = {BEAT}\n"
          "from twisted.scripts.twistd import run; run()", "-n", "--pidfile", "", "streamer", "-c")  # fmt: skip
CONFIGURATION = """
[bus]
url = "{bus}"
[state]
directory = "{directory}"
[sources.birds]
type = "x-filtered"
token = "simulated-token"
base_url = "{upstream}"
[sources.birds.predicates]
rules = [{{ value = "cat has:geo", tag = "pets" }}]
[streamer]
admin = "tcp:{admin}:interface=127.0.0.1"
"""


@attrs.define
class Scene:
    """Processes' locks before one broker."""

    kit: Kit
    connect: Driver
    lost: list[str] = attrs.field(factory=list)
    proxies: list[ToxicProxy] = attrs.field(factory=list)
    _taking: list[Deferred[Any]] = attrs.field(factory=list)

    async def process(self, address: Address) -> RabbitBus:
        """A started bus."""
        bus = RabbitBus(address, reactor, Metrics(), "locking", jitter=lambda: 0.05, driver=self.connect)
        self.kit.buses.append(bus)
        bus.startService()
        return bus

    def behind(self, address: Address) -> tuple[ToxicProxy, Address]:
        """A proxy before a broker, and where it is."""
        host = address.hosts[0]
        proxy = ToxicProxy.on_loopback(reactor, host.name, host.port)
        proxy.startService()
        self.proxies.append(proxy)
        fields = {name: getattr(address, name) for name in Address.__struct_fields__}
        return proxy, Address(**{**fields, "hosts": (Host("127.0.0.1", proxy.port),)})

    def taking(self, bus: RabbitBus) -> list[Any]:
        """What comes of taking the lock, once something has."""
        outcome: list[Any] = []
        taking = bus.locks.take("birds", self.lost.append)
        taking.addCallbacks(lambda _: outcome.append("ours"), lambda failure: outcome.append(failure.value))
        return outcome

    async def until(self, true: Any, what: str) -> None:
        """Wait for something."""
        await self.kit.until(true, what, NOTICED)


@pytest.fixture
def driver() -> str:
    """What connections are made by, for tests that do not say."""
    return "pika"


@pytest_twisted.async_yield_fixture
async def scene(driver: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """A scene; afterwards no bus is left of it."""
    monkeypatch.setattr(logins, "HEARTBEAT", BEAT)
    made = Scene(Kit(reactor, lambda metrics, delay: None), DRIVERS[driver])
    yield made
    for proxy in made.proxies:
        proxy.heal()
    await made.kit.stop()
    for proxy in made.proxies:
        await proxy.stopService()


@pytest.mark.parametrize("driver", DRIVERS)
@pytest_twisted.ensureDeferred
async def test_contract(scene: Scene, rabbit_url: str, rabbit_node: RabbitNode) -> None:
    """One has it, a second one is refused after a while, the next has it as soon as it is released or its holder
    stops; the queue is gone at the end.
    """
    address = Address.parse(rabbit_url)
    first, second, third = [await scene.process(address) for _ in range(3)]
    await first.locks.take("birds", scene.lost.append)
    await first.locks.take("cats", scene.lost.append)
    refused = scene.taking(second)
    await scene.until(lambda: "another process has its lock" in second.locks.waits("birds"), "it is told why it waits")
    await scene.until(lambda: refused, "the second one is refused")
    assert isinstance(refused[0], SourceTaken)
    assert f"`rabbitmqctl list_queues -p {address.vhost} name owner_pid`" in str(refused[0])
    owner = await deferToThread(rabbit_node.rabbitmqctl, "list_queues", "-p", address.vhost, "name", "owner_pid")
    (pid,) = {row.split()[1] for row in owner.splitlines() if row.startswith("streamer.source.")}
    connections = await deferToThread(rabbit_node.rabbitmqctl, "list_connections", "pid", "client_properties")
    (holder,) = [row for row in connections.splitlines() if row.startswith(pid)]
    assert f'"locking locks {os.uname().nodename} {os.getpid()}"' in holder
    waiting = scene.taking(third)
    await scene.until(lambda: third.locks.waits("birds"), "the third one waits")
    await first.locks.release("birds")
    await scene.until(lambda: waiting == ["ours"], "the third one has it")
    again = scene.taking(second)
    await scene.until(lambda: "another process" in second.locks.waits("birds"), "the second one waits again")
    await third.stopService()
    await scene.until(lambda: again == ["ours"], "the second one has it")
    await second.stopService()
    await first.stopService()
    assert scene.lost == []
    await deferToThread(gone, rabbit_node, address.vhost)


def gone(node: RabbitNode, vhost: str) -> None:
    """No lock is left at the broker."""
    assert "streamer.source" not in node.rabbitmqctl("list_queues", "-p", vhost, "name")


@pytest.mark.parametrize("driver", DRIVERS)
@pytest_twisted.ensureDeferred
async def test_silent_link(scene: Scene, rabbit_url: str) -> None:
    """When the link of the holder falls silent, another has the lock after the heartbeat; the first one is told when
    it is back. Where nobody came meanwhile, it simply has it again.
    """
    address = Address.parse(rabbit_url)
    proxy, through = scene.behind(address)
    first, second = await scene.process(through), await scene.process(address)
    assert await scene.kit.until(lambda: first.ready, "it is ready") is None
    await first.locks.take("birds", scene.lost.append)
    proxy.put_on(Stall())
    await scene.until(lambda: not first.locks.role.ready, "the silence is noticed")
    proxy.take_off(Stall)
    await scene.until(lambda: first.locks.role.ready and not first.locks.waits("birds"), "it is back")
    outcome = scene.taking(second)
    await scene.until(
        lambda: "another process has its lock" in second.locks.waits("birds"), "it is the holder's again"
    )
    proxy.put_on(Stall())
    await scene.until(lambda: outcome == ["ours"], "the other one takes over")
    assert scene.lost == []
    proxy.take_off(Stall)
    await scene.until(lambda: scene.lost, "the first one is told")
    (sentence,) = scene.lost
    assert "source 'birds' is followed by another process" in sentence
    assert second.locks.role.ready
    assert second.locks.waits("birds") == ""


@pytest_twisted.ensureDeferred
async def test_cluster(scene: Scene) -> None:
    """The lock holds on all nodes; its holder's node is killed, and the holder has it again by another node."""
    if not RabbitNode.available():
        pytest.skip("RabbitMQ is not installed here (Debian's package rabbitmq-server)")
    cluster = RabbitCluster()
    await deferToThread(cluster.start)
    try:
        nodes = [Address.parse(node.url) for node in cluster.nodes]
        everywhere = Address.parse(cluster.url)
        first = await scene.process(everywhere)
        await first.locks.take("birds", scene.lost.append)
        at = next(number for number, node in enumerate(cluster.nodes) if str(node.port) in first.locks.role.status)
        others = [await scene.process(node) for number, node in enumerate(nodes) if number != at]
        refused = [scene.taking(other) for other in others]
        await scene.until(lambda: all(refused), "all others are refused")
        assert [type(outcome[0]) for outcome in refused] == [SourceTaken] * 2
        await deferToThread(cluster.settle)
        await deferToThread(cluster.nodes[at].kill9)
        await scene.until(lambda: not first.locks.role.ready, "the loss is noticed")
        await scene.until(lambda: first.locks.role.ready and not first.locks.waits("birds"), "it is back")
        refused = [scene.taking(other) for other in others]
        await scene.until(lambda: all(refused), "all others are refused again")
        assert [type(outcome[0]) for outcome in refused] == [SourceTaken] * 2
        assert scene.lost == []
        await scene.kit.stop()
    finally:
        await deferToThread(cluster.stop)


class Streamers:
    """Streamers of one source, each with a state directory of its own, at one broker.

    Each has an upstream of its own, too: X lets nobody connect twice, which would keep them apart by itself.
    """

    def __init__(self, folder: Path, stack: ExitStack, bus: str) -> None:
        self.folder, self.stack, self.bus = folder, stack, bus

    def start(self, name: str) -> tuple[Program, int]:
        """Another one, and the port of its admin endpoint."""
        (admin,) = free_ports(1)
        (self.folder / name).mkdir()
        simulation, upstream = simulate_x(self.folder / name, "--rate", "20")
        self.stack.enter_context(simulation)
        file = self.folder / f"{name}.toml"
        file.write_text(
            CONFIGURATION.format(bus=self.bus, directory=self.folder / name, upstream=upstream, admin=admin)
        )
        return self.stack.enter_context(Program(self.folder, name, *TWISTD, str(file))), admin


def test_processes(rabbit_url: str, tmp_path: Path) -> None:
    """A second streamer says at once what it waits for, and ends with a sentence; once the first one was killed, the
    next follows at once; and a stop hands over at once, too.
    """
    with ExitStack() as stack:
        streamers = Streamers(tmp_path, stack, rabbit_url)
        first, first_admin = streamers.start("first")
        first.until_ready(first_admin)
        second, second_admin = streamers.start("second")
        words = b"source birds: another process has its lock"
        second.until(lambda: words in get(f"http://127.0.0.1:{second_admin}/ready")[1], "word of the other")
        second.process.wait(NOTICED)
        assert second.process.returncode == 1, second.said()
        assert "source 'birds' is followed by another process, which has the queue" in second.said()
        assert "is connected." not in second.said()
        assert get(f"http://127.0.0.1:{first_admin}/ready")[0] == 200
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        third, third_admin = streamers.start("third")
        third.until_ready(third_admin)
        assert "another process" not in third.said()
        fourth, fourth_admin = streamers.start("fourth")
        fourth.until(lambda: words in get(f"http://127.0.0.1:{fourth_admin}/ready")[1], "word of the other")
        assert third.stop() == -signal.SIGTERM
        fourth.until_ready(fourth_admin)
        rows = get_json(f"http://127.0.0.1:{fourth_admin}/status")["streamer"]
        assert rows["birds"]["state"] == "streaming"
        assert fourth.stop() == -signal.SIGTERM


def test_back_from_silence(rabbit_url: str, rabbit_node: RabbitNode, tmp_path: Path) -> None:
    """A streamer that was frozen for longer than its heartbeat, as a machine that sleeps, finds that another follows
    its source, and ends with that sentence; the other goes on.
    """
    assert sys.platform == "linux"
    with ExitStack() as stack:
        streamers = Streamers(tmp_path, stack, rabbit_url)
        first, first_admin = streamers.start("first")
        first.until_ready(first_admin)
        first.process.send_signal(signal.SIGSTOP)
        second, second_admin = streamers.start("second")
        second.until_ready(second_admin)
        first.process.send_signal(signal.SIGCONT)
        assert first.process.wait(NOTICED) == 1, first.said()
        assert "source 'birds' is followed by another process" in first.said()
        assert get(f"http://127.0.0.1:{second_admin}/ready")[0] == 200
        assert second.stop() == -signal.SIGTERM
        assert queue_of("birds") not in rabbit_node.rabbitmqctl("list_queues", "-p", Address.parse(rabbit_url).vhost)
