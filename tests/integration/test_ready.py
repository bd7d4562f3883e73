"""`/ready` of real programs is false whenever a user would say that it does not work, with the reason; and true again
by itself once the broker is well."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import pytest

from streamer.bus import topology
from streamer.bus.address import Address
from streamer.testing.rabbitmq import RabbitNode
from tests.integration.test_pipeline import CONFIGURATION
from tests.integration.test_programs import TWISTD
from tests.processes import Program, free_ports, get, simulate_x

ROLES = ("streamer", "enrich", "relay")
NOTICED_WITHIN = 40.0  # seconds until a broker that says nothing any more is told of
BACK_WITHIN = 90.0  # seconds; the back-off between two attempts grows to 30 s
SOON = 20.0  # seconds until who consumes from a queue has heard that it is deleted, or until one is empty


@attrs.define
class House:
    """The three services as programs, their upstream, and their broker."""

    node: RabbitNode
    vhost: str
    upstream: Program
    programs: dict[str, Program]
    ports: dict[str, int]

    def answers(self, role: str) -> tuple[int, str]:
        """Status and text of its /ready."""
        status, said = get(f"http://127.0.0.1:{self.ports[role]}/ready")
        return status, said.decode()

    def unready(self, words: str, roles: tuple[str, ...] = ROLES) -> dict[str, float]:
        """Wait until all of them say that they are not ready, and why. Returns the seconds each took."""
        begun, took = time.monotonic(), {}
        for role in roles:

            def bad(role: str = role) -> bool:
                status, said = self.answers(role)
                return status == 503 and words in said

            self.programs[role].until(bad, f"{words!r} in its /ready, which says {self.answers(role)}", NOTICED_WITHIN)
            took[role] = time.monotonic() - begun
        return took

    def ready(self) -> None:
        """Wait until all of them are ready again."""
        for role in ROLES:
            self.programs[role].until(lambda role=role: self.answers(role)[0] == 200, "readiness", BACK_WITHIN)

    def total(self, role: str, metric: str, label: str = "") -> float:
        """The sum of one of its metrics' rows, of those with this label."""
        _, text = get(f"http://127.0.0.1:{self.ports[role]}/metrics")
        rows = re.findall(rf"^streamer_{metric}(?:\{{(.*)\}})? (\S+)$", text.decode(), re.MULTILINE)
        return sum(float(value) for labels, value in rows if label in labels)

    def depths(self) -> dict[str, int]:
        """How many messages are in each queue that there is."""
        rows = self.node.rabbitmqctl(
            "list_queues", "--no-table-headers", "--vhost", self.vhost, "name", "messages"
        ).splitlines()
        return {name: int(messages) for name, messages in (row.split() for row in rows)}

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """No items come meanwhile, and none is under way: those that find no queue are trouble for a minute."""
        os.kill(self.upstream.process.pid, signal.SIGSTOP)
        try:
            self.programs["enrich"].until(lambda: not self.depths()[topology.ENRICH], "empty queue", SOON)
            yield
        finally:
            os.kill(self.upstream.process.pid, signal.SIGCONT)

    def close_connections(self) -> None:
        """As an operator closes them."""
        self.node.rabbitmqctl("close_all_connections", "--vhost", self.vhost, "an exercise")


@pytest.fixture(scope="module")
def house(rabbit_node: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """All three programs, ready, on a virtual host of their own."""
    folder, vhost = tmp_path_factory.mktemp("ready"), "ready"
    rabbit_node.rabbitmqctl("add_vhost", vhost)
    allow(rabbit_node, vhost)
    page, *admins = free_ports(4)
    ports = dict(zip(ROLES, admins, strict=True))
    with ExitStack() as stack:
        simulation, upstream = simulate_x(folder, "--rate", "20")
        stack.enter_context(simulation)
        configuration = Path(folder / "streamer.toml")
        configuration.write_text(
            CONFIGURATION.format(
                bus=rabbit_node.url + vhost,
                upstream=upstream,
                page=page,
                admin=ports["streamer"],
                enrich_admin=ports["enrich"],
                relay_admin=ports["relay"],
            )
        )
        programs = {
            role: stack.enter_context(Program(folder, role, *TWISTD, role, "-c", str(configuration))) for role in ROLES
        }
        built = House(rabbit_node, vhost, simulation, programs, ports)
        built.ready()
        yield built


def allow(node: RabbitNode, vhost: str, pattern: str = ".*") -> None:
    """Set what our user may do there."""
    user = Address.parse(node.url).user
    node.rabbitmqctl("set_permissions", "--vhost", vhost, user, pattern, pattern, pattern)


def test_blocked(house: House) -> None:
    """A broker out of memory takes no messages, and whoever publishes says so."""
    house.node.rabbitmqctl("set_vm_memory_high_watermark", "0.00001")
    try:
        house.unready("takes no messages", ("streamer",))  # the broker says so to who publishes
    finally:
        house.node.rabbitmqctl("set_vm_memory_high_watermark", "0.6")
    house.ready()


def test_hung(house: House) -> None:
    """A broker that is there and says nothing any more is told of before its connections are given up."""
    os.kill(house.node.pid, signal.SIGSTOP)
    try:
        took = house.unready("bus:")
    finally:
        os.kill(house.node.pid, signal.SIGCONT)
    print("noticed after", {role: f"{seconds:.1f} s" for role, seconds in took.items()})
    house.ready()


def test_permissions_revoked(house: House) -> None:
    """Who may do nothing any more says which permission is missing."""
    allow(house.node, house.vhost, "^$")
    house.close_connections()
    try:
        house.unready("ACCESS_REFUSED")
    finally:
        allow(house.node, house.vhost)
    house.ready()


@pytest.mark.parametrize(
    ("queue", "role", "connection"),
    [(topology.ENRICH, "enrich", f'role="work {topology.ENRICH}"'), (topology.LOG, "relay", 'role="log"')],
)
def test_queue_deleted(house: House, queue: str, role: str, connection: str) -> None:
    """Who works or reads a deleted queue ends its connection over it, declares it again, and all are ready."""
    program = house.programs[role]
    with house.quiet():
        before = house.total(role, "bus_endings_total", connection)
        house.node.rabbitmqctl("delete_queue", "--vhost", house.vhost, queue)
        program.until(lambda: house.total(role, "bus_endings_total", connection) > before, "end of it", SOON)
        program.until(lambda: queue in house.depths(), f"queue {queue}", BACK_WITHIN)
    house.ready()


def test_vhost_deleted(house: House) -> None:
    """Without their virtual host all of them say what is missing, and come back with it."""
    house.node.rabbitmqctl("delete_vhost", house.vhost)
    try:
        house.unready("bus:")
        house.unready("vhost", ("relay",))
    finally:
        house.node.rabbitmqctl("add_vhost", house.vhost)
        allow(house.node, house.vhost)
    house.ready()


def test_killed(house: House) -> None:
    """A broker that died is named as refusing connections; everything is back after it."""
    house.node.settle()
    house.node.kill9()
    try:
        house.unready("refused")
    finally:
        house.node.start()
    house.ready()
