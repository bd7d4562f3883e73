"""Getting to a broker, and what is said where that does not work: on a real node, and on ports of other kinds."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site

from streamer.bus import logins, topology
from streamer.bus.address import Address
from streamer.bus.rabbitmq import RabbitBus
from streamer.message import Decision, Delivery
from streamer.metrics import Metrics
from streamer.testing import broker_confirms
from streamer.testing.broker import Broker
from streamer.testing.broker_port import BrokerPort
from streamer.testing.rabbitmq import RabbitNode
from streamer.testing.rabbitmq_processes import free_port
from tests.bus_contract import event, raw
from tests.integration.certificates import certified

LIMIT = 15.0  # seconds
USER, PASSWORD = "limited", "hush-hush"


def small() -> float:
    """Jitter that reconnects soon, for the sake of the tests' time."""
    return 0.3


@attrs.define
class Place:
    """Makes buses, and stops them in the end."""

    buses: list[RabbitBus] = attrs.field(factory=list)

    def bus(self, url: str, jitter: Callable[[], float] = small) -> RabbitBus:
        bus = RabbitBus(Address.parse(url), reactor, Metrics(), "connections", jitter=jitter)
        self.buses.append(bus)
        bus.startService()
        return bus

    async def until(self, bus: RabbitBus, words: str, limit: float = LIMIT) -> float:
        """Wait for words in a bus's status; returns the seconds it took."""
        begun = reactor.seconds()
        while words not in bus.status:
            assert reactor.seconds() - begun < limit, f"{words!r} is not in {bus.status!r}"
            await deferLater(reactor, 0.02)
        assert PASSWORD not in bus.status
        return reactor.seconds() - begun


@pytest_twisted.async_yield_fixture
async def place() -> AsyncIterator[Place]:
    """A place for buses; when they are stopped, no timer of theirs is left."""
    found = Place()
    yield found
    for bus in found.buses:
        await bus.stopService()
    assert [call for call in reactor.getDelayedCalls() if "streamer.bus" in repr(call)] == []


@attrs.define
class Houses:
    """Virtual hosts of the node in several states, and a user with no rights in any."""

    node: RabbitNode
    names: tuple[str, ...]

    def url(self, name: str, user: str = USER, password: str = PASSWORD) -> str:
        return f"amqp://{user}:{password}@127.0.0.1:{self.node.port}/{name}"

    def owner(self, name: str) -> str:
        return self.url(name, "streamer", self.node.password)

    def ctl(self, *erlang: str) -> Deferred[str]:
        return deferToThread(self.node.rabbitmqctl, "eval", f"{', '.join(erlang)}.")


EMPTY, BARE, OTHER, PREPARED, CLOSED = HOUSES = ("p7-empty", "p7-bare", "p7-other", "p7-prepared", "p7-closed")


def rights(user: str, vhost: str, configure: str, write: str, read: str) -> str:
    """Erlang that sets permissions; rabbitmqctl for each would take seconds."""
    patterns = ", ".join(f'<<"{pattern}">>' for pattern in (configure, write, read))
    return f'rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"{vhost}">>, {patterns}, <<"t">>)'


def marker(vhost: str) -> str:
    """Erlang that declares the marker exchange."""
    name = f'{{resource, <<"{vhost}">>, exchange, <<"{topology.MARKER}">>}}'
    return f'rabbit_exchange:declare({name}, fanout, true, false, false, [], <<"t">>)'


@pytest.fixture(scope="module")
def houses(rabbit_node: RabbitNode) -> Houses:
    """All made by one command."""
    erlang = [f'rabbit_auth_backend_internal:add_user(<<"{USER}">>, <<"{PASSWORD}">>, <<"t">>)']
    for vhost in HOUSES:
        erlang.append(f'rabbit_vhost:add(<<"{vhost}">>, <<"t">>)')
        erlang.append(rights("streamer", vhost, ".*", ".*", ".*"))
        if vhost != CLOSED:
            erlang.append(rights(USER, vhost, "^$", "^$", "^$"))
    queue = f'{{resource, <<"{OTHER}">>, queue, <<"streamer.enrich">>}}'
    bare = '[{<<"x-queue-type">>, longstr, <<"quorum">>}]'
    erlang.append(f'rabbit_amqqueue:declare({queue}, true, false, {bare}, none, <<"t">>)')
    erlang.append(marker(PREPARED))
    rabbit_node.rabbitmqctl("eval", f"{', '.join(erlang)}.")
    return Houses(rabbit_node, HOUSES)


async def handled(delivery: Delivery) -> Decision:
    """A handler with nothing to do."""
    return Decision.ACK


@pytest_twisted.ensureDeferred
async def test_hosts(place: Place, rabbit_url: str) -> None:
    """With two of three hosts dead, the living one is reached in a fraction of a second, and publishes."""
    head, _, tail = rabbit_url.rpartition("@")
    bus = place.bus(f"{head}@127.0.0.1:{free_port()},localhost:{free_port()},{tail}", jitter=lambda: 0.99)
    assert await place.until(bus, "publish: connected to 127.0.0.1") < 2.0
    await bus.publish(event(1))


@pytest_twisted.ensureDeferred
async def test_rights(place: Place, houses: Houses) -> None:
    """Each missing right is named, with what it is for; given, the same bus goes on by itself."""
    bus = place.bus(houses.url(EMPTY))
    await place.until(bus, f"the user {USER!r} may not: exchange 'streamer.unrouted' asks for the right to configure")
    await place.until(bus, "install the topology by `streamer topology declare --management URL`")
    owner = place.bus(houses.owner(EMPTY))  # may do all, and makes what is missing
    work = owner.work(topology.TRENDS, handled, 10)
    await place.until(owner, "work streamer.trends: connected")
    await work.stop()
    # From here on as on a prepared broker: the marker is there, and nobody declares.
    await houses.ctl(marker(EMPTY), rights(USER, EMPTY, "^$", "^streamer.events$", "^$"))
    bus.work(topology.TRENDS, handled, 10)
    await place.until(bus, "publish: connected")
    await place.until(bus, "queue 'streamer.trends' asks for the right to read it, to consume")
    await bus.publish(event(1))
    refused = bus.publish(raw(1))
    await place.until(bus, "exchange 'streamer.raw' asks for the right to write to it, to publish")
    await houses.ctl(rights(USER, EMPTY, "^$", "^streamer.(events|raw)$", "^streamer.trends$"))
    await refused
    await place.until(bus, "work streamer.trends: connected")


@pytest_twisted.ensureDeferred
async def test_rights_to_bind(place: Place, houses: Houses) -> None:
    """A user that may declare, but not bind, is told so."""
    await houses.ctl(rights(USER, BARE, ".*", "^streamer.(unrouted|dead)$", ".*"))
    bus = place.bus(houses.url(BARE))
    await place.until(bus, "queue 'streamer.enrich' asks for the right to write to it, to bind it")


@pytest_twisted.ensureDeferred
async def test_login(place: Place, houses: Houses) -> None:
    """A wrong password, a virtual host that is not there or not ours: each with what to do about it."""
    for url, words in (
        (houses.url(EMPTY, password="other"), "user name or password in the broker's URL are wrong"),
        (houses.url(CLOSED), f"rabbitmqctl set_permissions -p {CLOSED} {USER} '^$' '^$' '^$'"),
        (houses.url("p7-nowhere"), "there is no such virtual host"),
    ):
        await place.until(place.bus(url), words)


@pytest_twisted.ensureDeferred
async def test_other_arguments(place: Place, houses: Houses) -> None:
    """A queue that was declared otherwise is named, with the argument and the ways out."""
    bus = place.bus(houses.owner(OTHER))
    await place.until(bus, "the queue 'streamer.enrich' was declared with another x-")
    await place.until(bus, "streamer topology check")


@pytest_twisted.ensureDeferred
async def test_missing_on_prepared(place: Place, houses: Houses) -> None:
    """On a broker that has the marker, a queue that is missing is to be installed."""
    bus = place.bus(houses.owner(PREPARED))
    bus.work(topology.TRENDS, handled, 10)
    await place.until(bus, "the queue 'streamer.trends' is not there")
    await place.until(bus, "`streamer topology declare --management URL` makes what is missing")


@pytest_twisted.ensureDeferred
async def test_name_that_does_not_resolve(place: Place) -> None:
    """A host name that nobody knows is told of, by name; the bus goes on trying, and stops at once when told to."""
    bus = place.bus("amqp://broker.invalid")
    await place.until(bus, "cannot use broker.invalid:5672: DNS lookup failed", limit=12)


HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"


class Mute(Protocol):
    """Says nothing."""


class Secret(Resource):
    """A page."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"hello"


@pytest_twisted.ensureDeferred
async def test_other_servers(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What listens there and is no broker is named: a web server, TLS, another version of AMQP, one that says
    nothing, and a port where nobody listens.
    """
    monkeypatch.setattr("streamer.bus.deadline.HANDSHAKE", 1.0)
    mute, tls = Factory.forProtocol(Mute), f"ssl:0:interface=127.0.0.1:privateKey={certified(tmp_path)}"
    tcp = "tcp:0:interface=127.0.0.1"
    for described, factory, words in (
        (tcp, BrokerPort(lambda: Broker(reactor, greets=HTTP)), "it answered 'HTTP/1.1 400 Bad Request'"),
        (tcp, Site(Secret()), "no answer within 1 s to the login at 127.0.0.1"),  # waits for the end of a line
        (tls, mute, "begins with amqps://"),  # Twisted's hangs up without an alert
        (tcp, BrokerPort(lambda: Broker(reactor, greets=b"AMQP\x00\x01\x00\x00")), "it speaks AMQP 1.0"),
        (tcp, mute, "no answer within 1 s to the login at 127.0.0.1"),
    ):
        listening = await serverFromString(reactor, described).listen(factory)
        bus = place.bus(f"amqp://127.0.0.1:{listening.getHost().port}")
        await place.until(bus, words)
        await bus.stopService()
        await listening.stopListening()
    await place.until(place.bus(f"amqp://127.0.0.1:{free_port()}"), "Connection was refused by other side")


@pytest_twisted.ensureDeferred
async def test_fake_broker(place: Place) -> None:
    """The fake broker on a port: what it confirms is confirmed; what it does not, is, after a cut, by the next."""
    confirming = [broker_confirms.together(10), lambda tag: (), broker_confirms.each]
    port = BrokerPort(lambda: Broker(reactor, confirming=confirming[min(len(port.brokers), 2)]))
    listening = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(port)
    try:
        bus = place.bus(f"amqp://127.0.0.1:{listening.getHost().port}")
        await place.until(bus, "connected")
        for answer in [bus.publish(event(number)) for number in range(10)]:
            await answer
        port.cut()
        await place.until(bus, "waiting")
        await place.until(bus, "connected")
        late = bus.publish(event(11))
        await deferLater(reactor, 0.1)
        assert not late.called
        port.cut()
        await late
        assert port.brokers[2].received == port.brokers[1].received
        await bus.stopService()
    finally:
        port.cut()
        await listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_hung(place: Place, rabbit_node: RabbitNode, rabbit_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that hangs, with its TCP alive, is called silent before it is given up; going on, it is ready again."""
    monkeypatch.setattr(logins, "HEARTBEAT", 5)
    bus = place.bus(rabbit_url)
    log = bus.log(0, lambda entry: None)
    await place.until(bus, "log: connected")
    await deferLater(reactor, 6)  # idle: it is well, and must be taken for well
    assert bus.ready
    assert log.ready
    os.kill(rabbit_node.pid, signal.SIGSTOP)
    try:
        await place.until(bus, "log: connected to 127.0.0.1:" + str(rabbit_node.port) + ", but it has been silent")
        assert not log.ready
    finally:
        os.kill(rabbit_node.pid, signal.SIGCONT)
    begun = reactor.seconds()
    while not (log.ready and bus.ready):
        await deferLater(reactor, 0.05)
        assert reactor.seconds() - begun < LIMIT
    await bus.publish(event(1))
