"""Who `make bench-relay` compares, and how each is started, fed and subscribed to."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import attrs

from tests.bench.relay_process import Piped, pinned, prefer, python_module
from tests.processes import BIN, Program, free_ports, get

PEERS = Path(__file__).with_name("peers")
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin") or "nginx"

CLIENTS = 20_000  # that ours lets in from one address; its defaults are against abuse
CONFIGURATION = """
[bus]
url = "{bus}"
[state]
directory = ""
[relay]
listen = "tcp:{port}:interface=127.0.0.1"
admin = "tcp:{admin}:interface=127.0.0.1"
history = 0
clients = {clients}
clients_per_address = {clients}
handshakes = 1e6
"""


@attrs.frozen
class Place:
    """Where servers are started.

    Args:
        bus: the broker that feeds ours.
        core: that the server runs on.
    """

    folder: Path
    bus: str
    core: int


@attrs.frozen
class Running:
    """A server that is ready.

    Args:
        feed: takes `rate R`; the server itself or a publisher.
    """

    pid: int
    port: int
    feed: Piped


@attrs.frozen
class Server:
    """A contestant.

    Args:
        start: with deflate or without, and for so many different subscriptions.
        reader: options of reader.c for so many different subscriptions.
    """

    name: str
    start: Callable[[Place, bool, int], AbstractContextManager[Running]]
    reader: Callable[[int], tuple[str, ...]]


@contextmanager
def relay(
    place: Place, deflate: bool, variants: int, command: tuple[str, ...] = (str(BIN / "twistd"),)
) -> Iterator[Running]:
    """`twistd relay` alone, fed through RabbitMQ's log. It compresses for clients that can."""
    port, admin = free_ports(2)
    config = place.folder / "relay.toml"
    config.write_text(CONFIGURATION.format(bus=place.bus, port=port, admin=admin, clients=CLIENTS))
    arguments = ("-n", "--pidfile", "", *command[1:], "relay", "-c", str(config))
    with Program(place.folder, "relay", *pinned(place.core), command[0], *arguments) as program:
        program.until_ready(admin)
        prefer(program.process.pid)
        publisher = python_module("peers.rabbit_publisher")
        with fed(place, *publisher, place.bus) as feed:
            yield Running(program.process.pid, port, feed)
        program.stop()


@contextmanager
def nchan(place: Place, deflate: bool, variants: int) -> Iterator[Running]:
    """nginx with nchan, fed over HTTP."""
    (port,) = free_ports(1)
    text = (PEERS / "nchan.conf").read_text()
    user = "user root;" if os.geteuid() == 0 else ""
    for name, value in (("user", user), ("port", str(port)), ("deflate", "on" if deflate else "off")):
        text = text.replace(f"@{name}@", value)
    config = place.folder / "nchan.conf"
    config.write_text(text)
    arguments = ("-p", f"{place.folder}/", "-c", str(config))
    with Program(place.folder, "nchan", *pinned(place.core), NGINX, *arguments) as program:
        program.until(lambda: get(f"http://127.0.0.1:{port}/")[0], "answer")
        prefer(program.process.pid)
        with fed(place, *python_module("peers.nchan_publisher"), str(port), str(variants)) as feed:
            yield Running(program.process.pid, port, feed)
        program.stop()


@contextmanager
def fed(place: Place, *command: str) -> Iterator[Piped]:
    """A publisher that is ready, on the readers' core."""
    with Piped(place.folder, "publisher", *command) as feed:
        assert feed.answer() == "ready"
        yield feed


@functools.cache
def node() -> str:
    """A Node that uWebSockets' compiled part runs on: one of the system's, else the environment's.

    Raises:
        AssertionError: there is none, or `npm install` was not run.
    """
    said = "there is no Node"
    for folder in (*os.environ["PATH"].split(os.pathsep), str(BIN)):
        if program := shutil.which("node", path=folder):
            tried = subprocess.run(
                [program, "-e", "require('uwebsockets')"], cwd=PEERS, capture_output=True, text=True, check=False
            )
            if tried.returncode == 0:
                return program
            said = f"{program}: {tried.stderr[-600:]}"
    raise AssertionError(f"no Node here runs the peers (20 does, with glibc from 2.31 on): {said}")


def on_node(script: str, tick: int = 1) -> Callable[[Place, bool, int], AbstractContextManager[Running]]:
    """A peer on Node."""
    return generating(script, lambda: (node(), str(PEERS / f"{script}.mjs")), tick)


def on_python(module: str) -> Callable[[Place, bool, int], AbstractContextManager[Running]]:
    """A peer on this Python."""
    return generating(module, lambda: python_module(f"peers.{module}"))


def generating(
    name: str, command: Callable[[], tuple[str, ...]], tick: int = 1
) -> Callable[[Place, bool, int], AbstractContextManager[Running]]:
    """A peer that makes the events itself, looking every `tick` milliseconds for what is due."""

    @contextmanager
    def start(place: Place, deflate: bool, variants: int) -> Iterator[Running]:
        (port,) = free_ports(1)
        arguments = (str(port), str(tick), str(int(deflate)), str(variants))
        with Piped(place.folder, name, *command(), *arguments, core=place.core) as piped:
            assert piped.answer() == "ready"
            yield Running(piped.pid, port, piped)

    return start


def ours_reads(variants: int) -> tuple[str, ...]:
    """Subscribes by a frame, and is open once that was answered."""
    pattern = "post.bench.#" if variants == 1 else "post.bench.en.author%d.#"
    sub = f'["sub",1,{{"id":"bench","topics":["{pattern}"]}}]'
    return ("-p", "/ws", "-x", "relay.v1.json", "-f", sub, "-a", '"subd"', "-v", str(variants))


def peers_read(variants: int) -> tuple[str, ...]:
    """Subscribe by their path."""
    return ("-p", "/s/%d", "-v", str(variants))


OURS, UWS, UWS_EACH, NCHAN, WS = "ours", "uwebsockets", "uwebsockets-1ms", "nchan", "ws"

SERVERS = {
    server.name: server
    for server in (
        Server(OURS, relay, ours_reads),
        # Its strongest: whatever a tick makes leaves in one write, so ticks as long as our longest.
        Server(UWS, on_node("uwebsockets", tick=10), peers_read),
        Server(UWS_EACH, on_node("uwebsockets"), peers_read),
        Server(NCHAN, nchan, peers_read),
        Server(WS, on_node("ws"), peers_read),
        Server("websockets", on_python("websockets_peer"), peers_read),
        Server("autobahn", on_python("autobahn_peer"), peers_read),
    )
}
