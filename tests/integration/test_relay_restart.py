"""One of two relays is restarted under load, and clients of the built library lose and repeat nothing."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.relays import Events, numbers, relay
from tests.integration.test_proxies import nginx
from tests.processes import BIN, DEADLINE, Program, free_ports, get

HERE = Path(__file__).resolve().parent
CLIENT = HERE.parents[1] / "streamer" / "_web" / "client" / "v1" / "client.js"
CLIENTS = 24
RATE = 200.0  # events a second
DRAIN = 4.0  # seconds
STOPPED = (0, -signal.SIGTERM)


class Library:
    """Clients of `client.js` in Node; a context manager."""

    def __init__(self, url: str) -> None:
        node = BIN / "node"
        program = str(node) if node.exists() else shutil.which("node")
        if program is None or not CLIENT.exists():
            pytest.skip("the client is not built or there is no Node: `make web` sees to both")
        command = [program, str(HERE / "sdk_clients.mjs"), str(CLIENT), url, str(CLIENTS)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert self._line() == "live"
        except BaseException:
            self.close()
            raise

    def report(self) -> list[dict[str, Any]]:
        """What each of them saw until now."""
        assert self._process.stdin is not None
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        found: list[dict[str, Any]] = json.loads(self._line())
        return found

    def until_seen(self, number: int) -> list[dict[str, Any]]:
        """Wait for all to have an event."""
        end = time.monotonic() + DEADLINE
        while True:
            seen = self.report()
            if all(one["events"] and one["events"][-1] >= number for one in seen):
                return seen
            assert time.monotonic() < end, f"not all have {number}: {[one['events'][-1:] for one in seen]}"
            time.sleep(0.1)

    def close(self) -> None:
        """End it."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def assert_whole(seen: list[dict[str, Any]], count: int) -> None:
    """Every event since a client's first, once and in order, and no word of a loss."""
    for one in seen:
        assert one["events"] == list(range(one["events"][0], count + 1))
        assert one["troubles"] == []


def test_restart(rabbit_url: str, tmp_path: Path) -> None:
    """Its clients are spread over the drain, are gone before they are sent away, and go on at the other relay."""
    port, *pages, first, second = free_ports(5)
    settings = f"drain = {DRAIN}\nheartbeat = 5.0"
    with contextlib.ExitStack() as stack:

        def start(number: int, name: str) -> Program:
            program = relay(tmp_path, name, rabbit_url, pages[number], (first, second)[number], settings)
            stack.enter_context(program)
            program.until_ready((first, second)[number])
            return program

        old, other = start(0, "old"), start(1, "other")
        proxy = stack.enter_context(nginx(tmp_path, port, (pages[0], pages[1])))
        proxy.until(lambda: get(f"http://127.0.0.1:{port}/status.json")[0] == 200, "answer")
        events = stack.enter_context(contextlib.closing(Events(rabbit_url, RATE)))
        library = stack.enter_context(contextlib.closing(Library(f"ws://127.0.0.1:{port}/ws")))
        events.start()
        library.until_seen(int(RATE))
        share = numbers(first, "streamer_clients")['face="websocket"']
        assert 0 < share < CLIENTS, "both relays have clients"

        began = time.time()
        old.process.send_signal(signal.SIGTERM)
        status, said = old.until(
            lambda: (found := get(f"http://127.0.0.1:{first}/ready"))[0] != 200 and found, "drain", deadline=1.0
        )
        assert (status, b"relay: stopping; its clients are being sent away" in said) == (503, True), (status, said)
        left = numbers(first, "streamer_clients")['face="websocket"']
        assert 0 < left <= share, "how many are left can be seen while it drains"
        old.until(lambda: numbers(first, "streamer_clients")['face="websocket"'] < left, "client that leaves")
        assert old.process.wait(DEADLINE) in STOPPED
        assert time.time() - began < DRAIN + 3
        assert "Traceback" not in old.said()
        start(0, "successor")

        library.until_seen(events.published + int(RATE))
        count = events.finish()
        seen = library.until_seen(count)
        assert_whole(seen, count)
        moved = [one for one in seen if len(one["lives"]) > 1]
        assert len(moved) == share, "the other relay's clients stayed"
        assert not any(one["codes"] for one in moved), "all of them had gone before they were sent away"
        moments = [one["lives"][1] / 1000 - began for one in moved]
        assert max(moments) - min(moments) > DRAIN / 4, f"they are spread: {sorted(moments)}"
        assert other.process.poll() is None


def test_no_drain(rabbit_url: str, tmp_path: Path) -> None:
    """With `drain = 0` all are sent away at once with 1012, and come back when the successor is there."""
    page, admin = free_ports(2)
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(relay(tmp_path, "old", rabbit_url, page, admin, "drain = 0"))
        old.until_ready(admin)
        events = stack.enter_context(contextlib.closing(Events(rabbit_url, RATE)))
        library = stack.enter_context(contextlib.closing(Library(f"ws://127.0.0.1:{page}/ws")))
        events.start()
        library.until_seen(int(RATE))
        began = time.time()
        assert old.stop() in STOPPED
        assert time.time() - began < 3
        successor = stack.enter_context(relay(tmp_path, "successor", rabbit_url, page, admin, "drain = 0"))
        successor.until_ready(admin)
        library.until_seen(events.published + int(RATE))
        count = events.finish()
        seen = library.until_seen(count)
        assert_whole(seen, count)
        assert all(one["codes"][0] == 1012 for one in seen)
        moments = [one["lives"][-1] / 1000 for one in seen]
        assert max(moments) - min(moments) > 1.0, "they were told to come back one by one"
