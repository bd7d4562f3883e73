"""Programs of ours as real processes, started and ended by the tests themselves."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

BIN = Path(sys.executable).parent
DEADLINE = 60.0  # seconds; what takes longer is broken


def _heed_interrupts() -> None:
    """Who runs the tests in the background of a shell ignores SIGINT, and hands that down."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Program:
    """A running program; its output goes to a file that a failure shows."""

    def __init__(self, folder: Path, name: str, *command: str, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.output = folder / f"{name}.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                cwd=folder,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_heed_interrupts,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def said(self) -> str:
        """What it printed so far."""
        return self.output.read_text(errors="replace")

    def stop(self) -> int:
        """Ask it to stop as systemd does; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not stop:\n{self.said()[-3000:]}") from None

    def resident(self) -> int:
        """Bytes of memory it occupies."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"{self.name} is gone:\n{self.said()[-3000:]}")

    def until(self, true: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
        """Wait until something holds; fail with the output where it does not, or where the program ended."""
        end = time.monotonic() + deadline
        while not (result := true()):
            if self.process.poll() is not None:
                raise AssertionError(
                    f"{self.name} ended ({self.process.returncode}) before {what}:\n{self.said()[-3000:]}"
                )
            if time.monotonic() > end:
                raise AssertionError(f"{self.name}: no {what} in {deadline} s:\n{self.said()[-3000:]}")
            time.sleep(0.05)
        return result

    def until_ready(self, admin: int) -> None:
        """Wait until its /ready says so."""
        self.until(lambda: get(f"http://127.0.0.1:{admin}/ready")[0] == 200, "readiness")


def simulate_x(folder: Path, *options: str) -> tuple[Program, str]:
    """A simulated X and its URL."""
    program = Program(folder, "x", "streamer", "simulate", "x", "--port", "0", *options)
    lines = program.until(lambda: [row for row in program.said().splitlines() if row.startswith("http://")], "address")
    return program, lines[0].strip()


def get(url: str) -> tuple[int, bytes]:
    """Status and body of a page; status 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def get_json(url: str) -> Any:
    """A page that must be there, decoded."""
    status, body = get(url)
    assert status == 200, f"{url} answered {status} {body[:200]!r}"
    return json.loads(body)


def post_json(url: str, body: object) -> int:
    """The status of a POST."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return int(answer.status)


def free_ports(count: int) -> list[int]:
    """Ports on the loopback interface that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
