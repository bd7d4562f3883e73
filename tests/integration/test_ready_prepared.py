"""On a prepared broker no service may declare anything: what an operator takes away is named by `/ready` until the
deploying user has brought it back; then all is well by itself, and nothing is lost that the broker still has.

Messages that found no queue are trouble for a minute (`watch.FRESH`). The other tests do theirs in that minute, so
each looks for words of its own, and the last waits for all programs to be ready.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pika
import pytest

from streamer.bus import topology
from streamer.bus.lock import queue_of
from streamer.bus.permissions import OF_LOCKS, USERS
from streamer.message import RAW
from streamer.testing.rabbitmq import RabbitNode
from tests.integration.test_pipeline import CONFIGURATION, Listener, listening
from tests.integration.test_programs import TWISTD
from tests.integration.test_ready import NOTICED_WITHIN, ROLES, SOON, House
from tests.processes import BIN, Program, free_ports, get, get_json, post_json, simulate_x

VHOST = "/ready-prepared"
SHARDS = 2
LAYOUT = topology.layout(SHARDS)
ITEMS = tuple(binding for binding in LAYOUT.bindings if binding.exchange == RAW)
SHARD = topology.shard_queue(0)
OF_ROLE = {"streamer": "ingest", "enrich": "enrich", "relay": "relay"}  # whose user each program has
STAYS = 4.0  # seconds that a queue is watched not to come back; a refused declaration is tried again after 0.1 to 3 s
COMMAND_LIMIT = 30.0  # seconds


@attrs.define
class Prepared:
    """Programs on a prepared broker, an upstream that posts what it is told, and a client."""

    house: House
    upstream: str
    listener: Listener
    password: str
    written: int = 0

    def post(self, count: int) -> list[str]:
        """Have the upstream make posts, of authors at random; returns their texts."""
        texts = [f"cat number {self.written + number}" for number in range(count)]
        self.written += count
        for text in texts:
            assert post_json(f"{self.upstream}/_sim/inject", {"text": text}) == 200
        return texts

    def come(self, texts: list[str]) -> None:
        """Wait until the client has all of these."""
        self.listener.until(lambda: set(texts) <= self.come_already())

    def come_already(self) -> set[str]:
        """Texts of the posts that the client has."""
        return {event["data"]["text"] for event in self.listener.events if event["type"] == "streamer.post"}

    def command(self, user: str, *arguments: str) -> str:
        """What a command of ours prints, as that user of the broker; it must succeed."""
        environ = {**os.environ, "BUS": url(self.house.node, user, self.password)}
        done = subprocess.run(
            [str(BIN / "streamer"), *arguments, "--bus", "$BUS"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deploy(self) -> str:
        """Bring back what is missing, as the deploying user."""
        return self.command("deploy", "topology", "declare", "--shards", str(SHARDS))

    def unbind(self) -> None:
        """Take from all queues of items what brings them in, as the deploying user."""
        connection = pika.BlockingConnection(pika.URLParameters(url(self.house.node, "deploy", self.password)))
        channel = connection.channel()
        for binding in ITEMS:
            channel.queue_unbind(binding.queue, binding.exchange, binding.pattern)
        connection.close()

    def silent(self, words: str) -> None:
        """Wait until no program says this in its /ready."""
        for role in ROLES:
            program = self.house.programs[role]
            program.until(
                lambda role=role: words not in self.house.answers(role)[1], f"end of {words!r}", NOTICED_WITHIN
            )


def url(node: RabbitNode, user: str, password: str) -> str:
    """The broker's, for one of its users."""
    return f"amqp://streamer-{user}:{password}@127.0.0.1:{node.port}/{VHOST.replace('/', '%2F')}"


def install(node: RabbitNode, folder: Path, password: str) -> None:
    """Load the definitions as `streamer topology show` prints them, and give each user a password."""
    show = ("topology", "show", "--format", "json", "--shards", str(SHARDS), "--vhost", VHOST)
    shown = subprocess.run([str(BIN / "streamer"), *show], stdout=subprocess.PIPE, timeout=COMMAND_LIMIT, check=True)
    file = folder / "definitions.json"
    file.write_bytes(shown.stdout)
    node.rabbitmqctl("import_definitions", str(file))
    for user in USERS:
        node.rabbitmqctl("change_password", user.name, password)


@pytest.fixture(scope="module")
def prepared(rabbit_node: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """All three programs, each with a user and a file of its own, ready; nothing is posted but by a test."""
    folder, password = tmp_path_factory.mktemp("prepared"), rabbit_node.password
    install(rabbit_node, folder, password)
    page, *admins = free_ports(4)
    ports = dict(zip(ROLES, admins, strict=True))
    with ExitStack() as stack:
        simulation, upstream = simulate_x(folder, "--rate", "0.000001")
        stack.enter_context(simulation)
        programs = {}
        for role in ROLES:
            file = folder / f"{role}.toml"
            written = CONFIGURATION.format(
                bus=url(rabbit_node, OF_ROLE[role], password),
                upstream=upstream,
                page=page,
                admin=ports["streamer"],
                enrich_admin=ports["enrich"],
                relay_admin=ports["relay"],
            )
            file.write_text(written.replace("[enrich]\n", f"[enrich]\nshards = {SHARDS}\n"))
            programs[role] = stack.enter_context(Program(folder, role, *TWISTD, role, "-c", str(file)))
        house = House(rabbit_node, VHOST, simulation, programs, ports)
        house.ready()
        listener = Listener(stack.enter_context(listening(page)))
        yield Prepared(house, upstream, listener, password)


def test_flow(prepared: Prepared) -> None:
    """Without any right to configure but for locks, posts of all shards come from the upstream to a client."""
    rights = prepared.house.node.rabbitmqctl("list_permissions", "--no-table-headers", "--vhost", VHOST).splitlines()
    configure = {user: configure for user, configure, *_ in (row.split("\t") for row in rights)}
    assert {configure[f"streamer-{user}"] for user in OF_ROLE.values()} == {"^$", OF_LOCKS}
    prepared.come(prepared.post(12))
    depths = prepared.house.depths()
    locks = {name for name in depths if name.startswith(topology.LOCKS)}
    assert locks == {queue_of("birds")}
    assert set(depths) - locks == {*LAYOUT.queues, *LAYOUT.streams} - {topology.TRENDS}
    assert [depths[name] for name in (topology.UNROUTED, topology.DEAD)] == [0, 0]
    worked = [
        prepared.house.total("enrich", "deliveries_total", f'"{topology.shard_queue(n)}"') for n in range(SHARDS)
    ]
    assert min(worked) > 0
    assert sum(worked) >= 12


def test_binding_removed(prepared: Prepared) -> None:
    """Items that no binding wants: the streamer is not ready, and counts them; once bound again they are replayed."""
    house = prepared.house
    streamer = house.programs["streamer"]
    streamer.until(lambda: looked_at(house, topology.UNROUTED), "first look at what is unrouted", SOON)
    before = house.total("streamer", "bus_unrouted_total")
    prepared.unbind()
    texts = prepared.post(20)
    took = house.unready("find no queue", ("streamer",))
    print("noticed after", took)
    assert house.total("streamer", "bus_unrouted_total") >= before + 20
    assert not set(texts) & prepared.come_already()
    bound = prepared.deploy()
    for binding in ITEMS:
        assert f"bind {binding.queue} to {RAW}, {binding.pattern}: done" in bound
    assert house.depths()[topology.UNROUTED] == 20
    prepared.command("operator", "dead", "replay", "--queue", "unrouted", "--all", "--yes")
    prepared.come(texts)
    streamer.until(lambda: not house.depths()[topology.UNROUTED], "empty queue of what is unrouted", SOON)


def test_queue_deleted(prepared: Prepared) -> None:
    """A deleted work queue is named by who works it and who publishes into it, until it is declared by who may."""
    house, words = prepared.house, f"no queue {SHARD}"
    house.node.rabbitmqctl("delete_queue", "--vhost", VHOST, SHARD)
    took = house.unready(f"no queue '{SHARD}'", ("enrich",))  # in the broker's own words, to its consumer
    took |= house.unready(words, ("streamer",))
    print("noticed after", took)
    end = time.monotonic() + STAYS
    while time.monotonic() < end:
        for role in ("streamer", "enrich"):
            assert house.answers(role)[0] == 503
        assert words in house.answers("streamer")[1]
        assert SHARD not in house.depths()
    assert f"declare queue {SHARD}" in prepared.deploy()
    prepared.silent(words)
    enrich = house.programs["enrich"]
    enrich.until(lambda: works(house, SHARD), f"consumer of {SHARD}", NOTICED_WITHIN)
    prepared.come(prepared.post(12))


def test_write_right_revoked(prepared: Prepared) -> None:
    """Who may not publish any more says which right is missing, and by which command it is given; then it goes on."""
    house = prepared.house
    marker = f"^{re.escape(topology.MARKER)}$"
    house.node.rabbitmqctl("set_permissions", "--vhost", VHOST, "streamer-ingest", "^$", "^$", marker)
    # RabbitMQ remembers for a channel what it may do.
    house.node.rabbitmqctl("close_all_user_connections", "streamer-ingest", "an exercise")
    texts = prepared.post(4)
    house.unready(f"'streamer-ingest' may not: exchange '{RAW}' asks for the right to write to it", ("streamer",))
    said = house.answers("streamer")[1]
    advised = re.search(r"`rabbitmqctl (set_permissions [^`]+)`", said)
    assert advised is not None, said
    house.node.rabbitmqctl(*shlex.split(advised[1]))
    prepared.come(texts)


def test_all_ready(prepared: Prepared) -> None:
    """After all of it every program is ready by itself, and still the one that was started."""
    house = prepared.house
    house.ready()
    assert house.depths()[topology.UNROUTED] == 0
    for role in ROLES:
        assert "Traceback" not in house.programs[role].said(), house.programs[role].said()
    prepared.come(prepared.post(12))
    texts = [event["data"]["text"] for event in prepared.listener.events if event["type"] == "streamer.post"]
    assert sorted(texts) == sorted(f"cat number {number}" for number in range(prepared.written))


def looked_at(house: House, queue: str) -> bool:
    """Whether the streamer has looked how much is in a queue."""
    _, text = get(f"http://127.0.0.1:{house.ports['streamer']}/metrics")
    return f'streamer_bus_queue_messages{{queue="{queue}"}}' in text.decode()


def works(house: House, queue: str) -> bool:
    """Whether the enricher's consumer of a queue is confirmed."""
    status = get_json(f"http://127.0.0.1:{house.ports['enrich']}/status")
    return bool(status["enrich"]["queues"][queue]["ready"])
