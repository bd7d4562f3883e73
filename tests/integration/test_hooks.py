"""Webhooks over real sockets: a sender, the streamer, the pages of whoever follows."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import deferLater

from streamer.net.client import UpstreamClient, agents
from streamer.services.assembly import assemble
from streamer.settings import loads
from streamer.testing.feeds import SimulatedFeed
from streamer.testing.hub import SimulatedHub
from streamer.testing.server import SimulationService
from streamer.upstream import Request
from tests.processes import DEADLINE, Program, free_ports, get_json

SECRET = "a secret of the sender"
ENDED = (0, -signal.SIGTERM)
TWISTD = ("twistd", "-n", "--pidfile", "")
CONFIGURATION = """
[bus]
url = "{bus}"
[state]
directory = "{state}"
[streamer]
admin = "tcp:{admin}:interface=127.0.0.1"
hooks = "tcp:{hooks}:interface=127.0.0.1"
[relay]
listen = "tcp:{page}:interface=127.0.0.1"
admin = "tcp:{admin}:interface=127.0.0.1"
[sources.deploys]
type = "webhook"
secret = "{secret}"
"""


def configured(folder: Path, bus: str = "memory:", hooks: int = 0) -> tuple[int, int, int]:
    """Write x.toml; returns the ports of the admin endpoint, of the hooks and of the page."""
    admin, free, page = free_ports(3)
    hooks = hooks or free
    (folder / "x.toml").write_text(
        CONFIGURATION.format(bus=bus, state=folder / "state", admin=admin, hooks=hooks, page=page, secret=SECRET)
    )
    return admin, hooks, page


def post(port: int, body: bytes, **headers: str) -> tuple[int, str | None]:
    """Call the hook; returns the status and `Retry-After`. Nobody there is status 0."""
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    named = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={digest}", **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/hooks/deploys", body, named)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Retry-After"]
    except OSError:
        return 0, None


def events(page: int, wanted: int) -> list[dict[str, object]]:
    """The changes that the relay has, once it has so many."""
    where, found = "last=500", []
    while len(found) < wanted:
        said = get_json(f"http://127.0.0.1:{page}/poll?topics=change.%23&wait=20&{where}")
        found += said["events"]
        where = f"since={said['position']}"
    return found


def test_from_sender_to_page(tmp_path: Path) -> None:
    """What `streamer simulate webhook` sends is on the page, once each, and it is told that all was taken."""
    admin, hooks, page = configured(tmp_path)
    with Program(tmp_path, "pipeline", *TWISTD, "pipeline", "-c", "x.toml") as pipeline:
        pipeline.until_ready(admin)
        url = f"http://127.0.0.1:{hooks}/hooks/deploys"
        command = (
            "streamer",
            "simulate",
            "webhook",
            "--to",
            url,
            "--secret",
            SECRET,
            "--rate",
            "50",
            "--count",
            "100",
        )
        with Program(tmp_path, "sender", *command) as sender:
            assert sender.process.wait(DEADLINE) == 0, sender.said()
        assert "100 made, 100 taken, 0 refused" in sender.said()
        found = events(page, 100)
        assert len({event["id"] for event in found}) == len(found) == 100
        assert {event["data"]["action"] for event in found} == {"push", "release", "issues"}  # type: ignore[index]
        status, _ = post(hooks, b"{", **{"X-GitHub-Event": "push"})
        assert status == 400
        status, _ = post(hooks, b"{}", **{"X-Hub-Signature-256": "sha256=00"})
        assert status == 403
        assert pipeline.stop() in ENDED
    assert post(hooks, b"{}") == (0, None)


class Forwarder:
    """A way to a broker that can be closed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut every connection, and let in no other."""
        for one in (self._server, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)


def test_a_bus_that_goes_away(rabbit_url: str, tmp_path: Path) -> None:
    """202 once RabbitMQ has confirmed; then, without it, nothing is promised: 503, and when to come again."""
    parts = urlsplit(rabbit_url)
    assert parts.port is not None
    forwarder = Forwarder(parts.port)
    admin, hooks, _ = configured(tmp_path, rabbit_url.replace(f":{parts.port}", f":{forwarder.port}"))
    with Program(tmp_path, "streamer", *TWISTD, "streamer", "-c", "x.toml") as streamer:
        streamer.until_ready(admin)
        assert post(hooks, b'{"title": "first"}') == (202, None)
        forwarder.close()
        streamer.until(lambda: post(hooks, b'{"title": "second"}') == (503, "5"), "a refusal")
        streamer.process.kill()


def test_killed_in_between(rabbit_url: str, tmp_path: Path) -> None:
    """A streamer that is killed while it is called loses nothing that it took, and gets the rest from the sender."""
    admin, hooks, page = configured(tmp_path, rabbit_url)
    url = f"http://127.0.0.1:{hooks}/hooks/deploys"
    command = ("streamer", "simulate", "webhook", "--to", url, "--secret", SECRET, "--rate", "40", "--count", "150")
    pipeline = ("pipeline", *TWISTD, "pipeline", "-c", "x.toml")
    with Program(tmp_path, *pipeline) as first:
        first.until_ready(admin)
        with Program(tmp_path, "sender", *command) as sender:
            first.until(
                lambda: get_json(f"http://127.0.0.1:{page}/poll?topics=change.%23&last=9")["events"], "a change"
            )
            first.process.kill()
            first.process.wait(DEADLINE)
            with Program(tmp_path, *pipeline) as second:
                second.until_ready(admin)
                assert sender.process.wait(DEADLINE) == 0, sender.said()
                assert "150 made, 150 taken, 0 refused" in sender.said()
                found = events(page, 150)
                assert len({event["id"] for event in found}) == len(found) == 150
                assert second.stop() in ENDED


def test_a_taken_port(tmp_path: Path) -> None:
    """The source says so at /ready, and nothing else is harmed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        admin, hooks, _ = configured(tmp_path, hooks=taken.getsockname()[1])
        with Program(tmp_path, "pipeline", *TWISTD, "pipeline", "-c", "x.toml") as pipeline:

            def reason() -> str:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/ready", timeout=DEADLINE):
                        return ""
                except urllib.error.HTTPError as error:
                    with error:
                        said = error.read().decode()
                    return said if "Change [streamer] hooks" in said else ""
                except OSError:
                    return ""

            said = pipeline.until(reason, "a reason")
            assert f"cannot listen on 'tcp:{hooks}:interface=127.0.0.1'" in said
            assert pipeline.stop() in ENDED
        assert "Traceback" not in pipeline.said()


def test_slow_and_huge_callers(tmp_path: Path) -> None:
    """They are hung up on, while others are served."""
    admin, hooks, _ = configured(tmp_path)
    with Program(tmp_path, "pipeline", *TWISTD, "pipeline", "-c", "x.toml") as pipeline:
        pipeline.until_ready(admin)
        with socket.create_connection(("127.0.0.1", hooks)) as slow:
            slow.settimeout(DEADLINE)
            slow.sendall(b"POST /hooks/deploys HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            assert post(hooks, json.dumps({"title": "meanwhile"}).encode())[0] == 202
            try:
                assert slow.recv(1000) == b""
            except ConnectionResetError:
                pass
        with socket.create_connection(("127.0.0.1", hooks)) as huge:
            huge.settimeout(DEADLINE)
            huge.sendall(b"POST /hooks/deploys HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
            try:
                while True:
                    huge.sendall(b"x" * 65_536)
            except OSError:
                pass
        assert post(hooks, b'{"title": "after"}')[0] == 202
        assert pipeline.stop() in ENDED


async def until(true: Callable[[], Any], what: str) -> Any:
    """Wait until something holds."""
    end = reactor.seconds() + DEADLINE  # type: ignore[attr-defined]
    while not (found := true()):
        assert reactor.seconds() < end, f"no {what} in {DEADLINE} s"  # type: ignore[attr-defined]
        await deferLater(reactor, 0.05)  # type: ignore[arg-type]
    return found


@pytest_twisted.ensureDeferred
async def test_a_feed_with_a_hub(tmp_path: Path) -> None:
    """A feed that is polled once an hour is on the page at once, by way of its hub; only what is signed counts."""
    client = UpstreamClient(agents(reactor), reactor, "tests")  # type: ignore[arg-type]
    admin, hooks, page, at_hub, at_feed = free_ports(5)
    topic = f"http://127.0.0.1:{at_feed}/atom.xml"
    hub = SimulatedHub(reactor, client.fetch, url=f"http://127.0.0.1:{at_hub}/hub")  # type: ignore[arg-type]
    feed = SimulatedFeed(reactor, rate=0.0, edited=0.0, hub=hub.url, topic=topic)  # type: ignore[arg-type]
    services = [
        SimulationService(reactor, f"tcp:{port}:interface=127.0.0.1", simulation)
        for port, simulation in ((at_hub, hub), (at_feed, feed))
    ]
    for service in services:
        service.startService()
        await service.listening
    text = CONFIGURATION.format(bus="memory:", state="", admin=admin, hooks=hooks, page=page, secret=SECRET)
    text += f'[sources.news]\ntype = "feed"\nurl = "{topic}"\nwebsub = "http://127.0.0.1:{hooks}/hooks"\n'
    house = assemble(loads(text), reactor, ("relay", "enrich", "streamer"))
    house.startService()
    try:
        await until(hub.subscriptions, "subscription")
        ids = [feed.inject(f"News number {number}") for number in range(3)]
        content = (await client.fetch(Request(url=topic))).body
        assert hub.distribute(topic, content) == 1
        await until(lambda: hub.counts.delivered == 1, "delivery")
        answer = await client.fetch(Request(url=f"http://127.0.0.1:{page}/poll?topics=change.%23&last=10&wait=10"))
        told = [event["data"] for event in json.loads(answer.body)["events"]]
        assert [entry["id"] for entry in told] == ids
        (granted,) = hub.subscriptions()
        forged = Request(method="POST", url=granted.callback, body=content.replace(b"News", b"Lies"))
        assert (await client.fetch(forged)).status == 202
        answer = await client.fetch(Request(url=f"http://127.0.0.1:{page}/poll?topics=change.%23&last=10&wait=0"))
        assert len(json.loads(answer.body)["events"]) == 3
        assert hub.complaints == []
    finally:
        await maybeDeferred(house.stopService)
        for service in services:
            await service.stopService()
