"""The faces beside `relay.v1.json`, as the clients that others wrote see them: curl, and PyPI's websockets."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from streamer.wire.sse import Sent, ServerSent
from tests.integration.relays import Events, relay
from tests.processes import DEADLINE, Program, free_ports

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "relay.md"
ALL = "topics=post.%23"
BATCH = 40  # events published between two looks


class Curl:
    """`curl -N` on a stream, read as an event stream while it runs."""

    def __init__(self, folder: Path, url: str, *options: str, last_id: str = "") -> None:
        self.output = folder / f"curl-{time.monotonic_ns()}"
        header = ["-H", f"Last-Event-ID: {last_id}"] if last_id else []
        with self.output.open("wb") as output:
            command = ["curl", "-sSN", *options, *header, url]
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        self.framer = ServerSent(last_id)
        self.sent: list[Sent] = []
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.look()

    def look(self) -> None:
        """Take in what came."""
        with self.output.open("rb") as output:
            output.seek(self._read)
            data = output.read()
        self._read += len(data)
        self.sent += self.framer.feed(data)

    def numbers(self) -> list[int]:
        """Of the events, in order."""
        return [json.loads(sent.data)["data"]["n"] for sent in self.sent if sent.event == "streamer.post"]

    def named(self, name: str) -> list[Any]:
        """The data of the events with that type."""
        return [json.loads(sent.data) for sent in self.sent if sent.event == name]

    def until(self, true: Callable[[], Any], what: str) -> None:
        """Wait until something holds."""
        end = time.monotonic() + DEADLINE
        while not true():
            assert time.monotonic() < end, f"no {what}: {self.output.read_bytes()[-1000:]!r}"
            time.sleep(0.02)
            self.look()


def curl(url: str, *options: str) -> tuple[str, bytes]:
    """The head and the body of an answer."""
    run = subprocess.run(["curl", "-sSi", *options, url], capture_output=True, timeout=DEADLINE, check=True)
    head, _, body = run.stdout.partition(b"\r\n\r\n")
    return head.decode(), body


@pytest.fixture
def two(rabbit_url: str, tmp_path: Path) -> Iterator[tuple[Events, list[str], list[Program]]]:
    """Two relays of one log, what publishes to it, and the relays' URLs."""
    pages, admins = free_ports(2), free_ports(2)
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(
                relay(tmp_path, f"relay{number}", rabbit_url, page, admin, "heartbeat = 1.0\ndrain = 0.5")
            )
            for number, (page, admin) in enumerate(zip(pages, admins, strict=True))
        ]
        for program, admin in zip(programs, admins, strict=True):
            program.until_ready(admin)
        events = stack.enter_context(contextlib.closing(Events(rabbit_url, 1000.0)))
        yield events, [f"http://127.0.0.1:{page}" for page in pages], programs
        for program in programs:
            program.stop()
            assert "Traceback" not in program.said(), program.said()


def publish(events: Events, count: int = BATCH) -> int:
    """Some more; returns how many there are now."""
    for _ in range(count):
        events.publish()
    return events.published


def polled(url: str, position: str, wait: str, got: list[int]) -> str:
    """One poll; the position to go on from."""
    _, body = curl(f"{url}/poll?{ALL}&since={position}&{wait}")
    answer = json.loads(body)
    assert answer["recovered"] is True
    got += [event["data"]["n"] for event in answer["events"]]
    return str(answer["position"])


def closed(client: ClientConnection) -> int | None:
    """The code that a websocket is closed with, whatever it is sent before."""
    try:
        while True:
            client.recv(timeout=DEADLINE)
    except ConnectionClosed as error:
        return None if error.rcvd is None else error.rcvd.code


class TestFaces:
    """One log, two relays, and each face."""

    def test_event_stream(self, two: tuple[Events, list[str], list[Program]], tmp_path: Path) -> None:
        """curl is killed again and again, and goes on at the other relay: nothing is lost, nothing comes twice."""
        events, urls, programs = two
        publish(events)
        got: list[int] = []
        last_id = ""
        for turn in range(4):
            options = ["--http1.0"] if turn == 2 else []
            url = f"{urls[turn % 2]}/events?{ALL}&since=v1.-.0"
            with Curl(tmp_path, url, *options, last_id=last_id) as stream:
                stream.until(lambda stream=stream: stream.named("streamer.subscribed"), "beginning")
                before = len(stream.numbers())
                publish(events)
                stream.until(lambda stream=stream, before=before: len(stream.numbers()) > before, "events")
            got += stream.numbers()
            last_id = stream.framer.last_id
            publish(events)  # while it is away
        with Curl(tmp_path, f"{urls[0]}/events?{ALL}", last_id=last_id) as stream:
            end = events.published
            stream.until(lambda: end in stream.numbers(), "the last event")
            assert stream.named("streamer.subscribed")[0]["recovered"] is True
            assert got + stream.numbers() == list(range(1, end + 1))
            programs[0].stop()
            assert stream.process.wait(DEADLINE) == 0, "the stream ends whole"
        assert stream.framer.retry_ms is not None

    def test_poll(self, two: tuple[Events, list[str], list[Program]]) -> None:
        """Who polls each relay in turn is given every event once; a poll that waits is answered by the first event."""
        events, urls, _ = two
        publish(events)
        got: list[int] = []
        position = "v1.-.0"
        for turn in range(6):
            wait = "wait=0" if turn % 3 else "wait=20"
            if turn == 3:
                end = events.published
                while not got or got[-1] < end:
                    position = polled(urls[0], position, "wait=5", got)
                waiting = subprocess.Popen(
                    ["curl", "-sS", f"{urls[1]}/poll?{ALL}&since={position}&wait=20"], stdout=subprocess.PIPE
                )
                time.sleep(0.5)
                assert waiting.poll() is None, "there was nothing yet"
                publish(events, 1)
                answer = json.loads(waiting.communicate(timeout=5)[0])
                got += [event["data"]["n"] for event in answer["events"]]
                position = answer["position"]
            else:
                publish(events)
                position = polled(urls[turn % 2], position, wait, got)
        while got[-1] < events.published:
            position = polled(urls[1], position, "wait=5", got)
        assert got == list(range(1, events.published + 1))

    def test_cloudevents(self, two: tuple[Events, list[str], list[Program]]) -> None:
        """PyPI's websockets: one CloudEvent a frame, in sequence; its position resumes on the other relay."""
        events, urls, programs = two
        publish(events)
        got: list[dict[str, Any]] = []
        position = "v1.-.0"
        for turn in range(3):
            socket = f"{urls[turn % 2]}/ws?{ALL}&since={position}".replace("http", "ws")
            with connect(socket, subprotocols=[Subprotocol("cloudevents.json")]) as client:
                assert client.subprotocol == "cloudevents.json"
                first = json.loads(client.recv(timeout=DEADLINE))
                assert (first["type"], first["data"]["recovered"]) == ("streamer.subscribed", True)
                for _ in range(BATCH):
                    got.append(json.loads(client.recv(timeout=DEADLINE)))
                position = got[-1]["position"]
            publish(events)
        assert [event["data"]["n"] for event in got] == list(range(1, 3 * BATCH + 1))
        assert [event["sequence"] for event in got] == sorted({event["sequence"] for event in got})
        with connect(socket, subprotocols=[Subprotocol("cloudevents.json")]) as client:
            client.send("[]")
            assert closed(client) == 4000
        with connect(socket, subprotocols=[Subprotocol("cloudevents.json")]) as client:
            programs[0].stop()
            assert closed(client) == 1012

    def test_feed(self, two: tuple[Events, list[str], list[Program]], tmp_path: Path) -> None:
        """The feed has the latest, is not sent again where it is known, and says no to what makes no sense."""
        events, urls, _ = two
        end = publish(events)
        with Curl(tmp_path, f"{urls[0]}/events?{ALL}&since=v1.-.0") as stream:
            stream.until(lambda: end in stream.numbers(), "the last event")
        head, body = curl(f"{urls[0]}/feed.json?{ALL}&last=3")
        assert "application/feed+json" in head
        assert [item["id"] for item in json.loads(body)["items"]] == [f"/sources/x#post:{end - n}" for n in range(3)]
        tag = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("etag"))
        assert " 304 " in curl(f"{urls[0]}/feed.json?{ALL}&last=3", "-H", f"If-None-Match: {tag}")[0]
        head, body = curl(f"{urls[0]}/feed.json?topics=post.")
        assert " 400 " in head
        assert "%23" in json.loads(body)["error"]["message"]

    def test_documented(self, two: tuple[Events, list[str], list[Program]], tmp_path: Path) -> None:
        """What docs/relay.md tells people to run does what it says."""
        events, urls, _ = two
        publish(events)
        with Curl(tmp_path, f"{urls[0]}/events?{ALL}&since=v1.-.0") as stream:
            stream.until(lambda: events.published in stream.numbers(), "the last event")
        address = urls[0].removeprefix("http://")
        host, _, port = address.partition(":")
        blocks = re.findall(r"^```(sh|python)\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
        assert len(blocks) == 6
        for language, code in blocks:
            code = code.replace('"127.0.0.1", 8080', f'"{host}", {port}').replace("127.0.0.1:8080", address)
            command = [sys.executable, "-c"] if language == "python" else ["timeout", "2", "sh", "-c"]
            publishing = threading.Timer(1.0, publish, (events, 5))  # for those that wait for more
            publishing.start()
            run = subprocess.run([*command, code], capture_output=True, timeout=DEADLINE, check=False)
            publishing.join()
            assert run.returncode == 0 or (run.returncode == 124 and "curl -N" in code), run.stderr
            assert b"post" in run.stdout, code
