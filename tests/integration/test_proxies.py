"""`conf/nginx.conf` and `conf/haproxy.cfg`, but for addresses and time-outs, in a real nginx and HAProxy."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.integration.relays import Crowd, Events, relay
from tests.processes import DEADLINE, Program, free_ports, get, get_json

CONF = Path(__file__).resolve().parents[2] / "conf"
HEARTBEAT = 1.0  # seconds
IDLE_LIMIT = "4s"  # the proxies' time-outs in the tests: longer than two heartbeats
QUIET = 9.0  # seconds in which nothing is published: twice that time-out
PER_ADDRESS = 10  # clients
HOST = "events.example.org"
ORIGIN = f"http://{HOST}"


def executable(name: str) -> str:
    """A server that Debian puts where only root's PATH leads."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed here: `make system` does that")
    return found


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each of the first replaced by the second; each must be there."""
    for old, new in pairs:
        assert old in text, f"{old!r} is not in the example any more"
        text = text.replace(old, new)
    return text


def nginx(folder: Path, port: int, relays: tuple[int, int]) -> Program:
    """nginx with the example, which stands inside `http {}`."""
    example = replaced(
        (CONF / "nginx.conf").read_text(),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("127.0.0.1:8080", f"127.0.0.1:{relays[0]}"),
        ("127.0.0.1:8090", f"127.0.0.1:{relays[1]}"),
        ("proxy_read_timeout 120s;", f"proxy_read_timeout {IDLE_LIMIT};"),
        ("proxy_send_timeout 120s;", f"proxy_send_timeout {IDLE_LIMIT};"),
    )
    (folder / "streamer.conf").write_text(example)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n"  # none outlives a kill
        + "events {}\nhttp {\n    access_log off; gzip on; gzip_types text/event-stream;\n"
        + "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("proxy", "client_body", "fastcgi"))
        + "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("uwsgi", "scgi"))
        + f"    include {folder}/streamer.conf;\n}}\n"
    )
    arguments = ("-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf"))
    return Program(folder, "nginx", executable("nginx"), *arguments)


def haproxy(folder: Path, port: int, relays: tuple[int, int]) -> Program:
    """HAProxy with the example, which is a whole configuration."""
    example = replaced(
        (CONF / "haproxy.cfg").read_text(),
        ("bind :80\n", f"bind 127.0.0.1:{port}\n"),
        ("127.0.0.1:8080", f"127.0.0.1:{relays[0]}"),
        ("127.0.0.1:8090", f"127.0.0.1:{relays[1]}"),
        ("maxconn 20000", "maxconn 200"),  # as far as descriptors go here
        ("timeout client 120s", f"timeout client {IDLE_LIMIT}"),
        ("timeout server 120s", f"timeout server {IDLE_LIMIT}"),
        ("timeout tunnel 120s", f"timeout tunnel {IDLE_LIMIT}"),
    )
    (folder / "haproxy.cfg").write_text(example)
    return Program(folder, "haproxy", executable("haproxy"), "-db", "-f", str(folder / "haproxy.cfg"))


class Site:
    """Two relays, a proxy before them, and what is published."""

    def __init__(self, proxy: int, relays: list[Program], events: Events) -> None:
        self.proxy = proxy
        self.relays = relays
        self.events = events

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self.proxy}"


@pytest.fixture(params=[nginx, haproxy], ids=["nginx", "haproxy"])
def site(request: pytest.FixtureRequest, rabbit_url: str, tmp_path: Path) -> Iterator[Site]:
    """One of the proxies before two relays."""
    port, *pages, first, second = free_ports(5)
    settings = (
        f'heartbeat = {HEARTBEAT}\ndrain = 0.5\norigins = ["{ORIGIN}"]\n'
        f'trusted_proxies = ["127.0.0.1"]\nclients_per_address = {PER_ADDRESS}'
    )
    with contextlib.ExitStack() as stack:
        relays = [
            stack.enter_context(relay(tmp_path, f"relay{page}", rabbit_url, page, admin, settings))
            for page, admin in zip(pages, (first, second), strict=True)
        ]
        for program, admin in zip(relays, (first, second), strict=True):
            program.until_ready(admin)
        proxy = stack.enter_context(request.param(tmp_path, port, tuple(pages)))
        proxy.until(lambda: get(f"http://127.0.0.1:{port}/status.json")[0] == 200, "answer")
        events = Events(rabbit_url, rate=50.0)
        stack.callback(events.finish)
        yield Site(port, relays, events)
        if proxy.process.poll() is None:
            proxy.process.send_signal(signal.SIGTERM)
            proxy.process.wait(DEADLINE)


class Stream:
    """An answer that does not end, line by line."""

    def __init__(self, site: Site, path: str, *, gzip: bool = False, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", site.proxy, timeout=DEADLINE)
        sent = {"Host": HOST, "Accept-Encoding": "gzip" if gzip else "identity", **headers}
        self._connection.request("GET", path, headers=sent)
        self.answer = self._connection.getresponse()

    def event(self) -> dict[str, Any]:
        """The next CloudEvent; what the relay says of itself is passed over."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            fields: dict[str, str] = {}
            while line := self.answer.readline().decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name] = value
            if fields.get("event") == "streamer.post":
                found: dict[str, Any] = json.loads(fields["data"])
                return found
            assert not self.answer.isclosed(), "the stream ended"
        raise AssertionError("no event came")

    def close(self) -> None:
        """Hang up."""
        self.answer.close()
        self._connection.close()


def test_pages(site: Site) -> None:
    """The page, the client library and the status come through, over and over."""
    for path in ("/", "/client/v1/client.js", "/status.json") * 5:
        assert get(site.url + path)[0] == 200
    assert get_json(f"{site.url}/status.json")["ready"] is True


def test_websocket(site: Site) -> None:
    """Events arrive; a connection on which nothing happens outlives the proxy's time-out, for the relay's beats."""
    url = f"ws://127.0.0.1:{site.proxy}/ws"
    with connect(url, subprotocols=[Subprotocol("relay.v1.json")], origin=ORIGIN, ping_interval=None) as client:
        client.send(json.dumps(["sub", 1, {"id": "all", "topics": ["#"]}]))
        frames: list[Any] = []
        end = time.monotonic() + QUIET
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                frames.append(json.loads(client.recv(timeout=0.5)))
        assert len([frame for frame in frames if frame[0] == "pos"]) >= QUIET / HEARTBEAT / 2
        site.events.publish()
        while frames[-1][0] != "ev":
            frames.append(json.loads(client.recv(timeout=DEADLINE)))
        assert [event["data"]["n"] for event in frames[-1][2]] == [1]


def test_strange_origin(site: Site) -> None:
    """A page of somebody else's is refused behind a proxy, too."""
    connection = http.client.HTTPConnection("127.0.0.1", site.proxy, timeout=DEADLINE)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "http://elsewhere.example"}
    key = {"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Version": "13"}
    connection.request("GET", "/ws", headers={**headers, **key, "Sec-WebSocket-Protocol": "relay.v1.json"})
    assert connection.getresponse().status == 403
    connection.close()


def test_addresses(site: Site) -> None:
    """The limit for one address is for that of the visitor, not of the proxy, and nobody gets round it by a header."""
    with contextlib.ExitStack() as stack:

        def come(address: str, **headers: str) -> int:
            found = socket.create_connection(("127.0.0.1", site.proxy), DEADLINE, source_address=(address, 0))
            options: Any = {"subprotocols": [Subprotocol("relay.v1.json")], "additional_headers": headers}
            try:
                stack.enter_context(connect(f"ws://127.0.0.1:{site.proxy}/ws", sock=found, **options))
            except InvalidStatus as refused:
                return refused.response.status_code
            return 101

        came = [come("127.0.0.2") for _ in range(2 * PER_ADDRESS + 1)]
        assert came[:PER_ADDRESS] == [101] * PER_ADDRESS
        assert came[-1] == 503, "both relays have as many of that address as they may"
        assert come("127.0.0.2", **{"X-Forwarded-For": "192.0.2.7"}) == 503
        assert come("127.0.0.3") == 101


def test_stopped_relay(site: Site) -> None:
    """A relay stops under load: its clients go on at the other one where they were; new ones find that, too."""
    with Crowd(lambda number: itertools.repeat(f"ws://127.0.0.1:{site.proxy}/ws"), 10) as clients:
        clients.until(lambda one: one.welcomes, "subscription")
        site.events.start()
        clients.until(lambda one: len(one.seen) > 10, "events")
        assert site.relays[0].stop() in (0, -signal.SIGTERM)
        for _ in range(10):
            assert get(f"{site.url}/status.json")[0] == 200
        clients.until(lambda one: one.seen[-1] > site.events.published - 20, "events after it")
        time.sleep(1)
        clients.assert_whole(site.events.finish())
        moved = [one for one in clients.followers if one.welcomes > 1]
        assert 0 < len(moved) < 10, "both relays had clients"


def asked(site: Site, **headers: str) -> tuple[int, str, bytes]:
    """The status, type and first line of the answer to who asks for events."""
    stream = Stream(site, "/events?topics=%23", **headers)
    try:
        return stream.answer.status, stream.answer.headers["content-type"], stream.answer.readline()
    finally:
        stream.close()


def test_stopped_relays(site: Site) -> None:
    """Whoever asks as an EventSource does, which gives up at any status but 200, is never told another: neither when a
    relay stops to which the proxy keeps connections, nor when none is left. Others are told the truth.
    """
    for _ in range(20):
        assert get(f"{site.url}/config.json")[0] == 200  # connections that the proxy keeps
    came: list[tuple[int, str, bytes]] = []
    stopping = threading.Thread(target=site.relays[0].stop)
    stopping.start()
    while stopping.is_alive() or len(came) < 50:
        came.append(asked(site, Accept="text/event-stream"))
    stopping.join()
    assert [one for one in came if one[0] != 200 or not one[2].startswith(b"retry: ")] == []
    site.relays[1].stop()
    time.sleep(2)  # HAProxy has looked for them
    status, kind, line = asked(site, Accept="text/event-stream")
    assert (status, kind) == (200, "text/event-stream")
    assert 1000 <= int(line.removeprefix(b"retry: ")) <= 10_000
    assert asked(site, Accept="*/*")[0] == 503


def test_server_sent_events(site: Site) -> None:
    """Each event is there before the next is published, also for one who would take gzip; silence is outlived."""
    with contextlib.ExitStack() as stack:
        streams = [Stream(site, "/events?topics=%23", gzip=gzip, Accept="text/event-stream") for gzip in (False, True)]
        for stream in streams:
            stack.callback(stream.close)
            assert stream.answer.status == 200
            assert stream.answer.headers["content-type"].startswith("text/event-stream")
            assert stream.answer.headers["content-encoding"] is None
        for number in range(1, 7):
            if number == 6:
                time.sleep(QUIET)
            site.events.publish()
            for stream in streams:
                assert stream.event()["data"]["n"] == number


def test_long_poll(site: Site) -> None:
    """A poll is answered when an event comes, not before; the next goes on from its position, at either relay."""
    path = "/poll?topics=%23&wait=1"
    position = get_json(site.url + path)["position"]
    for number in range(1, 5):
        later = threading.Timer(0.5, site.events.publish)
        later.start()
        began = time.monotonic()
        answer = get_json(f"{site.url}/poll?topics=%23&wait=10&since={position}")
        assert time.monotonic() - began > 0.4
        later.join()
        assert [event["data"]["n"] for event in answer["events"]] == [number]
        position = answer["position"]
