"""`streamer tail` and `streamer top` as a user meets them: pipes, signals, networks that fail, relays that restart."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pika
import pytest

from tests.integration.certificates import certified
from tests.processes import BIN, DEADLINE, Program, free_ports

CUTS = 4
EVENTS = 300
RATE = 100.0  # a second


class Watching:
    """A running `streamer tail` or `top` whose stdout and stderr are apart."""

    def __init__(self, folder: Path, *arguments: str, env: dict[str, str] | None = None, out: Any = None) -> None:
        self.errors = folder / "stderr.txt"
        self.printed = folder / "stdout.txt"
        with self.errors.open("wb") as errors, self.printed.open("wb") as printed:
            self.process = subprocess.Popen(
                [str(BIN / "streamer"), *arguments],
                stdout=printed if out is None else out,
                stderr=errors,
                env={**os.environ, **(env or {})},
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def said(self) -> str:
        """Stderr so far."""
        return self.errors.read_text()

    def rows(self) -> list[str]:
        """Whole lines of stdout so far."""
        return self.printed.read_text().split("\n")[:-1]

    def ids(self) -> list[str]:
        """The ids of the posts that --json printed."""
        events = [json.loads(row) for row in self.rows()]
        return [event["id"] for event in events if event["type"] == "streamer.post"]

    def until(self, true: Callable[[], Any], what: str) -> Any:
        """Wait until something holds."""
        end = time.monotonic() + DEADLINE
        while not (result := true()):
            assert time.monotonic() < end, f"no {what}: {self.said()[-2000:]}"
            assert self.process.poll() is None, f"ended before {what}: {self.said()[-2000:]}"
            time.sleep(0.02)
        return result

    def until_connected(self, times: int = 1) -> None:
        """Wait until its subscription is in force, for that many times."""
        self.until(lambda: self.said().count("connected to ") >= times, "connection")

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """End it by a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


class Forwarder:
    """A TCP proxy whose connections a test can cut, with TLS towards its clients where there is a certificate."""

    def __init__(self, to: int, certificate: Path | None = None) -> None:
        self.to = to
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.open: list[socket.socket] = []
        self.tls: ssl.SSLContext | None = None
        if certificate is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate)
        self.threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        """Reset all connections."""
        for end in self.open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Be gone."""
        self.open.append(self.listening)
        self.cut()
        for thread in self.threads:
            thread.join(DEADLINE)
        for end in self.open:
            end.close()

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        self.threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self.threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:
                return
            try:
                if self.tls is not None:
                    near = self.tls.wrap_socket(near, server_side=True)
            except OSError:  # the client does not trust us
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.to))
            self.open += [near, far]
            for one, other in ((near, far), (far, near)):
                self._start(self._carry, one, other)

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of a running system: the relay's and the admin endpoint's."""
    page, admin = free_ports(2)
    folder = tmp_path_factory.mktemp("demo")
    command = ("streamer", "run", "--demo", "--port", str(page), "--admin", str(admin), "--rate", "50")
    with Program(folder, "demo", *command) as demo:
        demo.until_ready(admin)
        yield page, admin


@pytest.fixture
def relay(demonstration: tuple[int, int]) -> str:
    """The relay's address."""
    return f"ws://127.0.0.1:{demonstration[0]}/ws"


def test_count(relay: str, tmp_path: Path) -> None:
    """So many events, each a line of JSON, and the exit code 0; nothing but the connection on stderr."""
    with Watching(tmp_path, "tail", relay, "post.#", "--last", "3", "--count", "5", "--json") as tail:
        assert tail.process.wait(DEADLINE) == 0
        assert len(set(tail.ids())) == 5
        assert tail.said().startswith(f"connected to {relay}")
        assert tail.said().count("\n") == 1


def test_head(relay: str, tmp_path: Path) -> None:
    """Whoever reads only the first lines ends it quietly."""
    reading, writing = os.pipe()
    with Watching(tmp_path, "tail", relay, "#", out=writing) as tail:
        os.close(writing)
        with open(reading, "rb", buffering=0) as pipe:
            assert pipe.read(10)
        assert tail.process.wait(DEADLINE) == 0
        assert tail.said().count("\n") == 1


def test_nobody_reads(relay: str, tmp_path: Path) -> None:
    """A pipe that is full does not keep Ctrl-C from working."""
    reading, writing = os.pipe()
    with Watching(tmp_path, "tail", relay, "#", "--json", "--last", "500", out=writing) as tail:
        os.close(writing)
        tail.until_connected()
        time.sleep(0.5)  # so that it hangs in a write of 500 events, of which a pipe takes a hundred
        assert tail.interrupt() == 130
        os.close(reading)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(number: int, code: int, relay: str, tmp_path: Path) -> None:
    """A signal ends it with the shell's code for it, without a traceback."""
    with Watching(tmp_path, "tail", relay, "post.#") as tail:
        tail.until(tail.rows, "event")
        assert tail.interrupt(number) == code
        assert tail.said().count("\n") == 1


def test_refused(demonstration: tuple[int, int], tmp_path: Path) -> None:
    """Nobody there, and somebody else there: a sentence and 1."""
    (nobody,) = free_ports(1)
    for port, said in ((nobody, "Is the relay running"), (demonstration[1], "404 there are /live")):
        with Watching(tmp_path, "tail", f"ws://127.0.0.1:{port}", "#") as tail:
            assert tail.process.wait(DEADLINE) == 1
            assert said in tail.said()
            assert "Traceback" not in tail.said()


def test_cuts(demonstration: tuple[int, int], relay: str, tmp_path: Path) -> None:
    """However often the connection is cut, it prints what one prints whose connection is not, no more and no less."""
    forwarder = Forwarder(demonstration[0])
    (tmp_path / "whole").mkdir()
    arguments = ("post.#", "--json", "--last", "20")
    with (
        Watching(tmp_path / "whole", "tail", relay, *arguments) as whole,
        Watching(tmp_path, "tail", f"ws://127.0.0.1:{forwarder.port}", *arguments) as tail,
    ):
        whole.until_connected()
        for number in range(CUTS):
            tail.until_connected(number + 1)
            count = len(tail.ids())
            tail.until(lambda count=count: len(tail.ids()) >= count + 20, "events")
            forwarder.cut()
        tail.until_connected(CUTS + 1)
        last = tail.ids()[-1]
        whole.until(lambda: last in whole.ids(), "the last event")
        tail.until(lambda: whole.ids()[-1] in tail.ids(), "the other's last event")
        seen, all_ids = tail.ids(), whole.ids()
        first, end = all_ids.index(seen[20]), min(all_ids.index(last), len(all_ids))
        assert seen[20 : seen.index(last)] == all_ids[first:end]
        assert len(seen) == len(set(seen))
        assert tail.said().count("reconnecting in ") == CUTS
    forwarder.close()


def test_tls(demonstration: tuple[int, int], tmp_path: Path) -> None:
    """wss is verified: a certificate that is trusted is taken, another one refused with a sentence."""
    certificate = certified(tmp_path)
    forwarder = Forwarder(demonstration[0], certificate)
    url = f"wss://localhost:{forwarder.port}"
    with Watching(tmp_path, "tail", url, "#", "--count", "1", env={"SSL_CERT_FILE": str(certificate)}) as tail:
        assert tail.process.wait(DEADLINE) == 0, tail.said()
    with Watching(tmp_path, "tail", url, "#", "--count", "1") as tail:
        assert tail.process.wait(DEADLINE) == 1
        assert "certificate verify failed" in tail.said()
        assert "Traceback" not in tail.said()
    forwarder.close()


def test_restarts(rabbit_url: str, tmp_path: Path) -> None:
    """A relay that is stopped and started again, and one that is killed, lose and double nothing."""
    page, admin = free_ports(2)
    config = tmp_path / "relay.toml"
    config.write_text(
        f'[bus]\nurl = "{rabbit_url}"\n[relay]\ndrain = 0.2\nlisten = "tcp:{page}:interface=127.0.0.1"\n'
        f'admin = "tcp:{admin}:interface=127.0.0.1"\n'
    )
    command = ("twistd", "-n", "--pidfile", "", "relay", "-c", str(config))
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(Program(tmp_path, "relay", *command))
        relay.until_ready(admin)
        tail = stack.enter_context(Watching(tmp_path, "tail", f"ws://127.0.0.1:{page}", "post.#", "--json"))
        tail.until_connected()
        publishing = threading.Thread(target=publish, args=(rabbit_url,))
        publishing.start()
        for way in (signal.SIGTERM, signal.SIGKILL):
            count = len(tail.ids())
            tail.until(lambda count=count: len(tail.ids()) >= count + 20, "events")
            relay.process.send_signal(way)
            relay.process.wait(DEADLINE)
            relay = stack.enter_context(Program(tmp_path, "again", *command))
            relay.until_ready(admin)
        publishing.join(DEADLINE)
        tail.until(lambda: f"post:{EVENTS}" in tail.ids(), "the last event")
        assert tail.ids() == [f"post:{number}" for number in range(1, EVENTS + 1)]
        assert "recovered: false" not in tail.said()
        assert tail.interrupt() == 130


def publish(url: str) -> None:
    """Put numbered events on the bus, as an enricher would."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    for number in range(1, EVENTS + 1):
        body = {"specversion": "1.0", "id": f"post:{number}", "source": "/s", "type": "streamer.post"}
        body |= {"time": datetime.now(UTC).isoformat(), "topic": "post.s.en.jack", "data": {"text": str(number)}}
        properties = pika.BasicProperties(
            message_id=f"/s#post:{number}", type="streamer.post", content_type="application/cloudevents+json",
            delivery_mode=2,
        )  # fmt: skip
        channel.basic_publish("streamer.events", "post.s.en.jack", json.dumps(body).encode(), properties)
        time.sleep(1 / RATE)
    connection.close()


def test_top(demonstration: tuple[int, int], tmp_path: Path) -> None:
    """A table of what runs, with the rates, and a row for what does not."""
    (nobody,) = free_ports(1)
    urls = [f"http://127.0.0.1:{port}" for port in (demonstration[1], nobody)]
    with Watching(tmp_path, "top", *urls) as top:
        assert top.process.wait(DEADLINE) == 0
        text = top.printed.read_text()
    (source,) = [row.split() for row in text.splitlines() if row.startswith("demo ")]
    assert 20 < float(source[1]) < 100, text
    assert "does not answer: the connection was refused" in text
    assert "\x1b" not in text


def test_top_on_a_terminal(demonstration: tuple[int, int], tmp_path: Path) -> None:
    """On a terminal it is redrawn until Ctrl-C, which gives the cursor back."""
    ours, theirs = pty.openpty()
    with Watching(tmp_path, "top", f"http://127.0.0.1:{demonstration[1]}", out=theirs) as top:
        os.close(theirs)
        seen = b""
        while seen.count(b"\x1b[H") < 3:
            seen += os.read(ours, 65_536)
        top.process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # how a terminal says that the other end is gone
            while more := os.read(ours, 65_536):
                seen += more
        assert top.process.wait(DEADLINE) == 130
        assert seen.endswith(b"\x1b[?25h")
        assert top.said() == ""
    os.close(ours)
