"""`streamer topology` against a real broker with its management API: what it shows loads, what it checks is true."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from streamer.bus import topology
from streamer.bus.address import Address
from streamer.bus.connection import connect
from streamer.bus.definitions import definitions
from streamer.bus.driver import Login
from streamer.bus.survey import Presence, survey
from streamer.bus.topology import layout
from streamer.bus.verdict import Row, rows
from streamer.bus.visit import visit
from streamer.errors import BusError
from streamer.services.topology_compare import compare, gather
from streamer.services.topology_declare import Declaring, prepare, steps
from streamer.services.topology_management import Management, Refused, Request, path
from streamer.testing.rabbitmq import RabbitNode, free_port

DEFINITIONS = Path(__file__).resolve().parents[2] / "conf/rabbitmq/definitions.json"
SURPLUS = ["queue streamer.enrich.s00", "queue streamer.enrich.s01"]
LIMIT = 15.0  # seconds until the broker tells what takes effect

_numbers = itertools.count(1)


@attrs.define
class House:
    """A virtual host nobody has used; most is called without the command around it, which takes a second each time."""

    node: RabbitNode
    port: int
    vhost: str

    @property
    def api(self) -> Management:
        return self.login("streamer", self.node.password)

    def login(self, user: str, password: str) -> Management:
        """The management API as somebody else."""
        return Management.at(f"http://127.0.0.1:{self.port}", user, password)

    def url(self, user: str = "streamer", password: str = "") -> str:
        login = f"{user}:{password or self.node.password}"
        return f"amqp://{login}@127.0.0.1:{self.node.port}/{self.vhost.replace('/', '%2F')}"

    async def visit(self, errand: Callable[[Any], Any]) -> Any:
        """An errand over AMQP."""
        from twisted.internet import reactor  # an integration test runs on the real one

        address = Address.parse(self.url())
        login = Login(
            vhost=address.vhost,
            user=address.user,
            password=address.password,
            heartbeat=15,
            name="topology",
            version="0",
        )
        return await visit(address.endpoints(reactor), lambda: connect(login, reactor), reactor, errand)

    async def check(self, shards: int = 0, wrong: Collection[str] = ()) -> dict[str, Row]:
        """The rows by kind and name, once just these are wrong: what takes effect is told a little later."""
        from twisted.internet import reactor

        house, end = layout(shards), time.monotonic() + LIMIT
        while True:
            found = await self.visit(partial(survey, house))
            documents = gather(self.api, self.vhost, "streamer")
            prepared = found.marker is Presence.THERE
            judged = [
                *rows(house, found),
                *compare(house, documents, "streamer", prepared=prepared, known=[one.name for one in found.surplus]),
            ]
            by_name = {f"{row.kind} {row.name}": row for row in judged}
            later = [name for name, row in by_name.items() if "ask again" in (row.note or "")]
            if (set(problems(by_name)) == set(wrong) and not later) or time.monotonic() > end:
                break
            await deferLater(reactor, 0.3)
        assert set(problems(by_name)) == set(wrong)
        assert later == []
        return by_name

    def prepare(self, shards: int = 0, *, api: Management | None = None, users: bool = False) -> tuple[bool, str]:
        """Whether all was done, and what was said."""
        said: list[str] = []
        every = list(steps(layout(shards), self.vhost, (), users=users))
        return prepare(api or self.api, every, said.append), "\n".join(said)

    def make(self, *parts: str, **body: Any) -> None:
        """Something at the broker."""
        self.api.send(Request("PUT", path(parts[0], self.vhost, *parts[1:]), body))

    def publish(self, exchange: str, topic: str) -> None:
        """A message."""
        message = {"properties": {}, "routing_key": topic, "payload": "x", "payload_encoding": "string"}
        self.api.send(Request("POST", path("exchanges", self.vhost, exchange, "publish"), message))

    def load(self, shards: int = 0, *, users: bool = True) -> None:
        """Load the definitions, by the API."""
        document = definitions(layout(shards), self.vhost, [topology.TRENDS] if shards else [], users=users)
        self.api.send(Request("POST", "definitions", document))

    def password(self, user: str, password: str) -> None:
        """Give a user a password."""
        there = self.api.get("users", user)
        self.api.send(Request("PUT", path("users", user), {"password": password, "tags": ",".join(there["tags"])}))

    def authenticates(self, user: str, password: str) -> bool:
        """Whether the user may log in; those without a tag are told so, in other words."""
        try:
            self.login(user, password).get("whoami")
        except Refused as refused:
            return refused.reason == "Not management user"
        return True


def topology_command(*arguments: str, **environ: str) -> Deferred[subprocess.CompletedProcess[str]]:
    """The command, as one types it; the bus comes in the environment."""
    bus = ("--bus", "$BUS") if environ else ()
    return deferToThread(
        subprocess.run,
        [sys.executable, "-m", "streamer", "topology", *arguments, *bus],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def problems(rows: dict[str, Row]) -> dict[str, str]:
    return {name: row.problem for name, row in rows.items() if row.problem is not None}


@pytest.fixture(scope="module")
def managed_node() -> Iterator[tuple[RabbitNode, int]]:
    """A node with the management API, and its port."""
    if not RabbitNode.available():
        pytest.skip("RabbitMQ is not installed here (Debian's package rabbitmq-server)")
    port = free_port()
    settings = f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\ncollect_statistics_interval = 500\n"
    # What takes effect on a queue is told with its statistics, which go from hand to hand every 5 s; here every 1.
    for table in ("global.minute", "basic.minute", "detailed.10"):
        settings += f"management.sample_retention_policies.{table} = 1\n"
    with RabbitNode(plugins=("rabbitmq_management",), settings=settings) as node:
        ticks = "".join(f"application:set_env(rabbit, {kind}_tick_interval, 500), " for kind in ("quorum", "stream"))
        node.rabbitmqctl("eval", f"{ticks}ok.")
        yield node, port


@pytest.fixture
def house(managed_node: tuple[RabbitNode, int]) -> House:
    node, port = managed_node
    made = House(node, port, f"/feed{next(_numbers)}")
    made.api.send(Request("PUT", path("vhosts", made.vhost), {}))
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    made.api.send(Request("PUT", path("permissions", made.vhost, "streamer"), rights))
    return made


@pytest_twisted.ensureDeferred
async def test_definitions_load(managed_node: tuple[RabbitNode, int]) -> None:
    """The committed file loads, and loads again; then nothing differs. No user has a password, nor keeps one."""
    node, port = managed_node
    house = House(node, port, "/")
    await deferToThread(node.rabbitmqctl, "import_definitions", str(DEFINITIONS))
    rows = await house.check()
    assert rows[f"exchange {topology.MARKER}"].state == "there"
    assert rows["policy on queue streamer.enrich"].state == "streamer.enrich"
    assert rows["policy on exchange streamer.raw"].state == "streamer.unrouted.alternate"
    assert rows["queue streamer.enrich"].declared == "bare"
    assert "none of the house's own" in (rows["user streamer"].note or "")
    # What a queue lacks of its members is told from these; those of a cluster have more than one.
    assert {tuple(one["online"]) for one in house.api.get("queues", "/")} == {(node.name,)}
    assert all(one["members"] == one["online"] for one in house.api.get("queues", "/"))
    assert not house.authenticates("streamer-relay", "")
    house.password("streamer-relay", "secret")
    done = await topology_command("check", BUS=house.url("streamer-relay", "secret"))
    assert done.returncode == 0, done.stdout
    assert "whether its arguments are right cannot be told: 403" in done.stdout
    await deferToThread(node.rabbitmqctl, "import_definitions", str(DEFINITIONS))
    assert not house.authenticates("streamer-relay", "secret")
    await house.check()


@pytest_twisted.ensureDeferred
async def test_another_virtual_host(house: House, tmp_path: Path) -> None:
    """The same on a virtual host of another name, with shards; fewer shards are seen, and passwords may stay."""
    shown = await topology_command(
        "show", "--format", "json", "--vhost", house.vhost, "--shards", "3", "--with", topology.TRENDS
    )
    file = tmp_path / "definitions.json"
    file.write_text(shown.stdout)
    await deferToThread(house.node.rabbitmqctl, "import_definitions", str(file))
    rows = await house.check(3)
    assert "binding streamer.raw → streamer.enrich.s02 (raw.*.*.s02)" in rows
    assert rows["policy on queue streamer.enrich.s02"].state == "streamer.enrich"
    assert rows["policy on queue streamer.trends"].state == "streamer.trends"
    rows = await house.check(1, wrong=["queue streamer.enrich.s01", "queue streamer.enrich.s02"])
    assert "there are to be 1" in problems(rows)["queue streamer.enrich.s01"]
    house.password("streamer-enrich", "secret")
    house.load(3, users=False)
    assert house.authenticates("streamer-enrich", "secret")


@pytest_twisted.ensureDeferred
async def test_fresh(house: House) -> None:
    """A check makes nothing; what is declared as services do it is good; it is not prepared by policies in between."""
    before = await topology_command("check", "--json", BUS=house.url())
    assert before.returncode == 1
    assert "services make it when they start" in before.stdout
    assert not json.loads(before.stdout)["good"]
    said = await topology_command("declare", "--dry-run", BUS=house.url())
    assert house.api.get("queues", house.vhost) == []
    assert not [one for one in house.api.get("exchanges", house.vhost) if one["name"].startswith("streamer")]
    done = await topology_command("declare", BUS=house.url())
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"{line}: done" for line in said.stdout.splitlines()]
    assert await house.visit(Declaring(layout(), (), [].append).run)
    await house.check()
    house.publish(topology.RAW, "nowhere")
    rows = await house.check()
    assert rows["queue streamer.unrouted"].alarm == (
        "1 message found no queue: is a binding missing, or do publishers have more shards than there are queues?"
    )
    prepared, text = house.prepare()
    assert not prepared
    assert "REFUSED: inequivalent arg 'alternate-exchange' for exchange 'streamer.raw'" in text
    assert "rabbitmqadmin --vhost /feed" in text
    assert house.api.get("exchanges", house.vhost, topology.MARKER) is None
    house.load(users=False)  # leaves what is there as it is, and sets the marker
    kept = ["queue streamer.unrouted", "queue streamer.dead", "queue streamer.enrich", "queue streamer.log"]
    found = problems(await house.check(wrong=[*kept, "exchange streamer.raw", "exchange streamer.events"]))
    assert "only as far as it is stricter" in found["queue streamer.enrich"]


@pytest_twisted.ensureDeferred
async def test_prepare(house: House) -> None:
    """The deploying user prepares a broker, repeatedly, and brings shards and takes them back; users by an admin."""
    assert house.prepare(users=True)[0]
    house.password("streamer-deploy", "secret")
    deploy = house.login("streamer-deploy", "secret")
    again, text = house.prepare(api=deploy)
    assert again, text
    assert house.prepare(users=True)[0]
    await house.check()
    for shards, wrong in ((2, []), (0, SURPLUS)):
        done, text = house.prepare(shards, api=deploy)
        assert done, text
        await house.check(shards, wrong=wrong)
    house.api.send(Request("DELETE", path("queues", house.vhost, "streamer.enrich.s00")))
    await house.check(wrong=SURPLUS[1:])
    assert gather(deploy, house.vhost, "streamer-deploy").permissions is None
    done, text = house.prepare(users=True, api=deploy)
    assert not done
    assert "Not administrator user" in text
    own = await topology_command("declare", "--shards", "3", BUS=house.url("streamer-deploy", "secret"))
    assert own.returncode == 0, own.stdout
    assert "the broker is prepared, and limits are left to its policies" in own.stdout
    queues = {one["name"]: one["arguments"] for one in house.api.get("queues", house.vhost)}
    assert queues["streamer.enrich.s02"] == {"x-queue-type": "quorum", "x-single-active-consumer": True}


def _policy(house: House) -> None:
    definition = {"max-length": 2, "overflow": "drop-head", "delivery-limit": 1_000_000}
    body = {"pattern": "^streamer\\.dead$", "apply-to": "queues", "definition": definition, "priority": 10}
    house.make("policies", "streamer.dead", **body)


def _other_policy(house: House) -> None:
    body = {"pattern": ".*", "apply-to": "all", "definition": {"max-length": 3}, "priority": 11}
    house.make("policies", "everything", **body)


def _binding(house: House) -> None:
    place = path("bindings", house.vhost, "e", topology.RAW, "q", topology.ENRICH, path("raw.#"))
    house.api.send(Request("DELETE", place))


def _another_binding(house: House) -> None:
    place = path("bindings", house.vhost, "e", topology.RAW, "q", topology.ENRICH)
    house.api.send(Request("POST", place, {"routing_key": "raw.*.*", "arguments": {}}))


def _queue(house: House) -> None:
    house.api.send(Request("DELETE", path("queues", house.vhost, topology.DEAD)))
    house.make("queues", topology.DEAD, durable=True, arguments={"x-queue-type": "quorum", "x-max-length": 5})


def _exchange(house: House) -> None:
    house.api.send(Request("DELETE", path("exchanges", house.vhost, topology.EVENTS)))
    house.make("exchanges", topology.EVENTS, type="fanout", durable=True)


def _log(house: House) -> None:
    house.api.send(Request("DELETE", path("queues", house.vhost, topology.LOG)))


@pytest_twisted.ensureDeferred
async def test_differences(house: House) -> None:
    """Whatever an operator changes by hand is named, and `declare` mends what can be mended."""
    house.load(users=False)
    await house.check()
    wrong: list[tuple[Callable[[House], None], str, str]] = [
        (_policy, "policy streamer.dead", "max-length is 2 and not 10000"),
        (_policy, "policy on queue streamer.dead", "in effect max-length is 2"),
        (_binding, "binding streamer.raw → streamer.enrich (raw.#)", "it is not there"),
        (_another_binding, "binding streamer.raw → streamer.enrich (raw.*.*)", "another number of shards"),
        (_log, "queue streamer.log", "it is not there; make it with"),
        (_log, "binding streamer.events → streamer.log (#)", "it is not there"),
    ]
    for change in dict.fromkeys(change for change, _, _ in wrong):
        change(house)
    found = problems(await house.check(wrong=[name for _, name, _ in wrong]))
    for _, name, sentence in wrong:
        assert sentence in found[name]
    for number in range(3):
        house.publish(topology.DEAD, str(number))
    rows = await house.check(wrong=list(found))
    assert rows["queue streamer.dead"].ready == 2  # the policy is in force at once
    assert house.prepare()[0]
    house.publish(topology.DEAD, "more")
    rows = await house.check()
    assert rows["queue streamer.dead"].ready == 3


@pytest_twisted.ensureDeferred
async def test_beyond_mending(house: House) -> None:
    """What is there under the same name and is another thing is named, and not deleted by `declare`."""
    house.load(users=False)
    for change in (_other_policy, _queue, _exchange):
        change(house)
    # The log keeps ours: a policy whose keys a stream does not know does not apply to it.
    queues, exchanges = ("unrouted", "enrich", "dead"), ("raw", "events")
    wrong = [f"policy on queue streamer.{name}" for name in queues]
    wrong += [f"policy on exchange streamer.{name}" for name in exchanges]
    wrong += ["binding streamer.events → streamer.log (#)", "binding streamer.dead → streamer.dead (#)"]
    found = problems(await house.check(wrong=[*wrong, "queue streamer.dead", "exchange streamer.events"]))
    assert "another policy, or an operator's, goes before ours" in found["policy on queue streamer.enrich"]
    assert "the policy everything takes effect" in found["policy on exchange streamer.raw"]
    assert "inequivalent arg 'x-max-length' for queue 'streamer.dead'" in found["queue streamer.dead"]
    assert "received 'topic' but current is 'fanout'" in found["exchange streamer.events"]
    assert not house.prepare()[0]


@pytest_twisted.ensureDeferred
async def test_nobody_there(managed_node: tuple[RabbitNode, int]) -> None:
    """Where nobody answers, or not us, that is said."""
    node, port = managed_node
    free = free_port()
    done = await topology_command("check", BUS=f"amqp://a:b@127.0.0.1:{free},127.0.0.1:{port}/")
    assert done.returncode == 1
    assert f"127.0.0.1:{free}: " in done.stderr
    assert f"127.0.0.1:{port}: " in done.stderr
    with pytest.raises(BusError, match="rabbitmq-plugins enable rabbitmq_management"):
        House(node, free, "/").api.get("whoami")
    with pytest.raises(Refused, match="401 Login failed"):
        House(node, port, "/").login("a", "b").get("whoami")
