"""Least privilege, proven: on a prepared broker each service does its work as its own user, which may declare nothing
but the locks of sources, where it is the streamer's, and each is refused what is not its own.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from streamer.bus import topology
from streamer.bus.address import Address
from streamer.bus.connection import connect
from streamer.bus.definitions import definitions
from streamer.bus.driver import ChannelRefused, IChannel, Login
from streamer.bus.lock import EXCLUSIVE, queue_of
from streamer.bus.permissions import USERS
from streamer.bus.rabbitmq import RabbitBus
from streamer.bus.topology import layout
from streamer.bus.visit import visit
from streamer.errors import BusError
from streamer.message import EVENTS, RAW, Decision, Entry, Topic
from streamer.testing.rabbitmq import RabbitNode
from tests.bus_contract import Kit, Notes, event, raw

PASSWORD = "for tests"
_numbers = itertools.count(1)

Act = Callable[[IChannel], Any]


@attrs.define
class Prepared:
    """A broker that has loaded the definitions, each user with a password."""

    node: RabbitNode
    vhost: str
    kits: list[Kit] = attrs.field(factory=list)

    def address(self, user: str) -> Address:
        login = f"streamer-{user}:{PASSWORD.replace(' ', '%20')}"
        return Address.parse(f"amqp://{login}@127.0.0.1:{self.node.port}/{self.vhost.replace('/', '%2F')}")

    async def bus(self, user: str) -> tuple[Kit, Any]:
        """A started bus of that user, with shards."""
        from twisted.internet import reactor

        def make(metrics: Any, delay: Any) -> RabbitBus:
            return RabbitBus(self.address(user), reactor, metrics, user, delay=delay, shards=2)

        kit = Kit(reactor, make)
        self.kits.append(kit)
        return kit, await kit.bus()

    async def act(self, user: str, *acts: Act) -> list[str]:
        """What the broker says to each act, in a connection of that user; empty for a yes."""
        from twisted.internet import reactor

        address, said = self.address(user), []
        login = Login(
            vhost=address.vhost, user=address.user, password=address.password, heartbeat=15, name="act", version="0"
        )

        for one in acts:  # a connection each: a yes leaves the channel open
            await visit(address.endpoints(reactor), lambda: connect(login, reactor), reactor, partial(_one, one, said))
        return said


async def _one(act: Act, said: list[str], connection: Any) -> None:
    channel = await connection.aside()
    try:
        await act(channel)
        await channel.prefetch(1)  # a publish is refused by the channel's end, which comes before this is answered
    except ChannelRefused as refused:
        said.append(str(refused))
    else:
        said.append("")


@pytest_twisted.async_yield_fixture
async def prepared(rabbit_node: RabbitNode, tmp_path: Path) -> AsyncIterator[Prepared]:
    """The broker, with shards; buses are stopped afterwards."""
    vhost = f"/house{next(_numbers)}"
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(definitions(layout(2), vhost)))
    await deferToThread(rabbit_node.rabbitmqctl, "import_definitions", str(file))
    passwords = "".join(
        f'rabbit_auth_backend_internal:change_password(<<"{user.name}">>, <<"{PASSWORD}">>, <<"tests">>), '
        for user in USERS
    )
    await deferToThread(rabbit_node.rabbitmqctl, "eval", f"{passwords}ok.")
    made = Prepared(rabbit_node, vhost)
    yield made
    for kit in made.kits:
        await kit.stop()


@pytest_twisted.ensureDeferred
async def test_everybody_works(prepared: Prepared) -> None:
    """Items are published, enriched, read from the log; one dies, is found by the operator and replayed. No user may
    configure anything but its locks, and none needs to.
    """
    _, streamer = await prepared.bus("ingest")
    await streamer.locks.take("birds", pytest.fail)
    enriching, enrich = await prepared.bus("enrich")
    relaying, relay = await prepared.bus("relay")
    operating, operator = await prepared.bus("operator")
    entries: list[Entry] = []
    dead = Notes()

    async def handle(delivery: Any) -> Decision:
        if delivery.message.message_id == "birds/2" and not dead.ids:
            return Decision.REJECT
        number = int(delivery.message.message_id.rpartition("/")[2])
        await enrich.publish(event(number))
        return Decision.ACK

    async def replay(delivery: Any) -> Decision:
        await dead(delivery)
        await operator.publish(delivery.message)
        return Decision.ACK

    await enriching.working(enrich, topology.ENRICH, handle)
    for number in range(2):
        await enriching.working(enrich, topology.shard_queue(number), handle)
    await relaying.reading(relay, 60, entries.append)
    await operating.working(operator, topology.DEAD, replay)
    for number in range(6):
        headers = {"partitionkey": f"author{number}"} if number % 2 else {}
        await streamer.publish(raw(number, headers=headers))
    await relay.publish(event(100, topic=Topic("chat.web.room")))
    await relaying.until(lambda: len({entry.message.message_id for entry in entries}) == 7, "all are in the log")
    assert dead.ids == ["birds/2"]
    await streamer.locks.release("birds")
    await streamer.locks.take("birds", pytest.fail)


BIND = {"queue": topology.LOG, "exchange": EVENTS, "routing_key": "post.#"}
OTHER = {"queue": "streamer.log2", "durable": True, "arguments": {"x-queue-type": "quorum"}}
QUEUES = (*layout(1).queues, topology.LOG)


def _declare(channel: IChannel) -> Any:
    return channel.declare("queue_declare", OTHER)


def _redeclare(channel: IChannel) -> Any:
    marker = {"exchange": topology.MARKER, "exchange_type": "fanout", "durable": True, "arguments": {"x": 1}}
    return channel.declare("exchange_declare", marker)


def _bind(channel: IChannel) -> Any:
    return channel.declare("queue_bind", BIND)


def _lock(channel: IChannel) -> Any:
    return channel.declare("queue_declare", {"queue": queue_of("birds"), **EXCLUSIVE})


def _with_lock(act: Act) -> Act:
    """Do something to a lock of one's own."""

    async def acting(channel: IChannel) -> None:
        await _lock(channel)
        await act(channel)

    return acting


def _unlock(channel: IChannel) -> Any:
    return channel.declare("queue_delete", {"queue": queue_of("birds")})


def _consume(queue: str) -> Act:
    arguments = {"x-stream-offset": "next"} if queue == topology.LOG else {}

    async def act(channel: Any) -> None:
        await channel.prefetch(1)
        # pika's own: what is delivered is nobody's business here.
        channel.raw.basic_consume(queue, on_message_callback=lambda *_: None, arguments=arguments)

    return act


def _publish(exchange: str, topic: str) -> Act:
    async def act(channel: Any) -> None:
        channel.raw.basic_publish(exchange, topic, b"")

    return act


# What each may do, of all that is tried below.
ALLOWED: dict[str, dict[str, set[Any]]] = {
    "ingest": {"consume": set(), "publish": {(RAW, "raw.birds.post")}},
    "enrich": {
        "consume": {topology.ENRICH, topology.shard_queue(0)},
        "publish": {(EVENTS, "post.birds"), (EVENTS, "raw.birds.post")},
    },
    "relay": {"consume": {topology.LOG}, "publish": {(EVENTS, "post.birds"), (EVENTS, "raw.birds.post")}},
    "operator": {
        "consume": {topology.DEAD, topology.UNROUTED},
        "publish": {(RAW, "raw.birds.post"), (EVENTS, "post.birds"), (EVENTS, "raw.birds.post")},
    },
}


@pytest_twisted.ensureDeferred
async def test_nobody_does_more(prepared: Prepared) -> None:
    """Each user is refused every queue, exchange and topic that is not its own, in words that name what it lacks."""
    publishes = [(exchange, topic) for exchange in (RAW, EVENTS) for topic in ("raw.birds.post", "post.birds")]
    publishes += [(topology.DEAD, ""), (topology.UNROUTED, "")]
    queues = [queue for queue in QUEUES if queue != topology.TRENDS]
    for user, allowed in ALLOWED.items():
        may: list[bool] = [False, False, False, user == "ingest"]
        acts: list[Act] = [_declare, _redeclare, _bind, _lock]
        for queue in queues:
            may.append(queue in allowed["consume"])
            acts.append(_consume(queue))
        for exchange, topic in publishes:
            may.append((exchange, topic) in allowed["publish"])
            acts.append(_publish(exchange, topic))
        said = await prepared.act(user, *acts)
        assert [not sentence for sentence in said] == may, (user, said)
        refusals = [sentence for sentence in said if sentence]
        assert all(sentence.startswith("403 ACCESS_REFUSED") for sentence in refusals), refusals
        assert said[0] == (
            f"403 ACCESS_REFUSED - access to queue 'streamer.log2' in vhost '{prepared.vhost}' refused for user "
            f"'streamer-{user}'"
        )


@pytest_twisted.ensureDeferred
async def test_locks_hold_nothing(prepared: Prepared) -> None:
    """The streamer's user may make and delete the queue of a lock; it may neither fill, bind nor read it."""
    acts = [_unlock, _consume(queue_of("birds")), _publish("", queue_of("birds"))]
    for exchange in (RAW, EVENTS):
        keywords = {"queue": queue_of("birds"), "exchange": exchange, "routing_key": "#"}
        acts.append(lambda channel, keywords=keywords: channel.declare("queue_bind", keywords))
    said = await prepared.act("ingest", *map(_with_lock, acts))
    assert [sentence[:18] for sentence in said] == ["", *["403 ACCESS_REFUSED"] * 4], said


@pytest_twisted.ensureDeferred
async def test_older_rights(prepared: Prepared) -> None:
    """Whose user was made before there were locks is told by which command it may lock."""
    rights = f"-p {prepared.vhost} streamer-ingest ^$ ^streamer\\.raw$ ^streamer\\.topology\\.v1$"
    await deferToThread(prepared.node.rabbitmqctl, "set_permissions", *rights.split())
    _, streamer = await prepared.bus("ingest")
    with pytest.raises(BusError, match=r"`rabbitmqctl set_permissions -p \S+ streamer-ingest '\^streamer"):
        await streamer.locks.take("birds", pytest.fail)
    assert streamer.ready


@pytest_twisted.ensureDeferred
async def test_told_by_the_bus(prepared: Prepared) -> None:
    """A service with another's user says in its status what it was refused, and is not ready."""
    kit, bus = await prepared.bus("relay")
    work = bus.work(topology.ENRICH, Notes(), 1)
    await kit.until(lambda: "ACCESS_REFUSED" in bus.status, "the refusal is shown")
    assert "access to queue 'streamer.enrich'" in bus.status
    assert "streamer-relay" in bus.status
    assert not work.ready
