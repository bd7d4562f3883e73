"""The promise, end to end: every post exactly once, in log order, over four processes and over one."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.processes import DEADLINE, Program, free_ports, get_json, simulate_x

POSTS = 400
STOPPED = (0, -signal.SIGTERM)  # twistd ends by the signal that stopped it, once all is quiet
CONFIGURATION = """
[bus]
url = "{bus}"
[sources.birds]
type = "x-filtered"
token = "simulated-token"
base_url = "{upstream}"
backfill_minutes = 5
[sources.birds.predicates]
rules = [{{ value = "cat has:geo", tag = "pets" }}]
[streamer]
admin = "tcp:{admin}:interface=127.0.0.1"
[enrich]
admin = "tcp:{enrich_admin}:interface=127.0.0.1"
[relay]
listen = "tcp:{page}:interface=127.0.0.1"
admin = "tcp:{relay_admin}:interface=127.0.0.1"
"""


class Listener:
    """An independent websocket client: what it got, in order."""

    def __init__(self, socket: ClientConnection, **subscription: Any) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.positions: list[int] = []
        self.frames: set[str] = set()
        self.socket.send(json.dumps(["sub", 1, {"id": "all", "topics": ["#"], **subscription}]))
        self.until(lambda: "subd" in self.frames)

    def until(self, true: Callable[[], bool], deadline: float = DEADLINE) -> None:
        """Read frames until something holds."""
        end = time.monotonic() + deadline
        while not true():
            left = end - time.monotonic()
            assert left > 0, f"only {len(self.events)} events came"
            with contextlib.suppress(TimeoutError):
                frame = json.loads(self.socket.recv(timeout=left))
                self.frames.add(frame[0])
                if frame[0] == "ev":
                    self.events += frame[2]
                    self.positions.append(int(frame[1].split(".")[2]))

    def ids(self, kind: str) -> list[str]:
        """The upstream's ids of the events of one kind, in order of arrival."""
        return [event["data"]["id"] for event in self.events if event["type"] == f"streamer.{kind}"]


def assert_exactly_once(listener: Listener, upstream: str) -> None:
    """Everything that the upstream made has come once, and nothing else.

    Of a post that is deleted before it was sent to a client, the deletion takes the place of each event.
    """
    made: dict[str, list[str]] = {"posts": [], "deletes": []}

    def all_made() -> bool:
        made.update(get_json(f"{upstream}/_sim/ledger"))
        return len(made["posts"]) == POSTS

    listener.until(lambda: len(listener.ids("post")) >= POSTS - POSTS // 10)
    while not all_made():
        time.sleep(0.1)
    gone = set(listener.ids("delete"))

    def all_came(kind: str) -> bool:
        gone.update(listener.ids("delete"))
        return set(made["posts"]) <= gone | set(listener.ids(kind))

    listener.until(lambda: set(made["deletes"]) <= set(listener.ids("delete")))
    listener.until(lambda: all_came("post") and all_came("notice"))
    assert gone == set(made["deletes"])
    for kind in ("post", "notice"):
        assert len(set(listener.ids(kind))) == len(listener.ids(kind)), "something came twice"
        assert set(listener.ids(kind)) <= set(made["posts"]), "something came that was never made"
    blips = {event["data"]["post"] for event in listener.events if event["type"] == "streamer.geo"}
    assert blips
    assert blips <= set(made["posts"])
    assert listener.positions == sorted(set(listener.positions)), "positions must rise"
    ids = [(event["source"], event["id"]) for event in listener.events if event["type"] != "streamer.delete"]
    assert len(ids) == len(set(ids)), "no event comes twice"
    for event in listener.events:
        assert event["specversion"] == "1.0"
        assert event["source"] == "/sources/birds"
        kind, source, *words = event["topic"].split(".")
        assert (f"streamer.{kind}", source) == (event["type"], "birds")
        if kind == "post":
            data = event["data"]
            assert words[0] == data.get("lang", "-")
            assert words[1] == data["author"]["handle"].lower()
            assert len(words) == 2 + len(data.get("tags", ()))


def written(folder: Path, bus: str, upstream: str) -> tuple[str, dict[str, int]]:
    """A configuration file and its ports."""
    names = ["admin", "enrich_admin", "page", "relay_admin"]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    path = folder / "streamer.toml"
    path.write_text(CONFIGURATION.format(bus=bus, upstream=upstream, **ports))
    return str(path), ports


class TestPipeline:
    """From an upstream's bytes to a browser's."""

    def test_four_processes(self, rabbit_url: str, tmp_path: Path) -> None:
        """twistd streamer, enrich twice and relay, each its own process, over a real RabbitMQ."""
        with contextlib.ExitStack() as stack:
            x, upstream = simulate_x(tmp_path, "--rate", "200", "--count", str(POSTS), "--wait-for-client")
            stack.enter_context(x)
            config, ports = written(tmp_path, rabbit_url, upstream)
            second = tmp_path / "second.toml"
            (other,) = free_ports(1)
            second.write_text(Path(config).read_text().replace(str(ports["enrich_admin"]), str(other)))
            relay = stack.enter_context(twistd(tmp_path, "relay", config))
            enrich = stack.enter_context(twistd(tmp_path, "enrich", config))
            enrich2 = stack.enter_context(twistd(tmp_path, "enrich", str(second), "enrich2"))
            relay.until_ready(ports["relay_admin"])
            enrich.until_ready(ports["enrich_admin"])
            enrich2.until_ready(other)
            listener = Listener(stack.enter_context(listening(ports["page"])))
            streamer = stack.enter_context(twistd(tmp_path, "streamer", config))
            streamer.until_ready(ports["admin"])
            assert_exactly_once(listener, upstream)
            for program in (streamer, enrich, enrich2, relay):
                assert program.stop() in STOPPED
                assert "Traceback" not in program.said(), program.said()

    def test_killed_processes(self, rabbit_url: str, tmp_path: Path) -> None:
        """Streamer and enricher killed with kill -9 in the middle: nothing is lost, and nobody sees anything twice."""
        with contextlib.ExitStack() as stack:
            x, upstream = simulate_x(tmp_path, "--rate", "100", "--count", str(POSTS), "--wait-for-client")
            stack.enter_context(x)
            config, ports = written(tmp_path, rabbit_url, upstream)
            relay = stack.enter_context(twistd(tmp_path, "relay", config))
            enrich = stack.enter_context(twistd(tmp_path, "enrich", config))
            relay.until_ready(ports["relay_admin"])
            enrich.until_ready(ports["enrich_admin"])
            listener = Listener(stack.enter_context(listening(ports["page"])))
            streamer = stack.enter_context(twistd(tmp_path, "streamer", config))
            listener.until(lambda: len(listener.ids("post")) >= POSTS // 8)
            for victim in (streamer, enrich):
                victim.process.kill()
                victim.process.wait()
            stack.enter_context(twistd(tmp_path, "streamer", config, "streamer again"))
            stack.enter_context(twistd(tmp_path, "enrich", config, "enrich again"))
            assert_exactly_once(listener, upstream)

    def test_one_process(self, tmp_path: Path) -> None:
        """twistd pipeline on the in-memory bus."""
        with contextlib.ExitStack() as stack:
            x, upstream = simulate_x(tmp_path, "--rate", "200", "--count", str(POSTS), "--wait-for-client")
            stack.enter_context(x)
            config, ports = written(tmp_path, "memory:", upstream)
            pipeline = twistd(tmp_path, "pipeline", config)
            stack.enter_context(pipeline)
            pipeline.until_ready(ports["admin"])
            # It began to follow before we could listen, so we ask for the log from its beginning.
            listener = Listener(stack.enter_context(listening(ports["page"])), since="v1.-.0")
            assert_exactly_once(listener, upstream)
            assert pipeline.stop() in STOPPED
            assert "Traceback" not in pipeline.said(), pipeline.said()


def twistd(folder: Path, role: str, config: str, name: str = "") -> Program:
    """A twistd process in the foreground."""
    return Program(folder, name or role, "twistd", "-n", "--pidfile", "", role, "-c", config)


def listening(page: int) -> ClientConnection:
    """A websocket client of the relay, to be used as a context."""
    return connect(f"ws://127.0.0.1:{page}/ws", subprotocols=[Subprotocol("relay.v1.json")], max_size=None)
