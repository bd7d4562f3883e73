"""A thousand clients of a relay that is fed by a real broker, and one in twenty of them does not read.

Those who read must miss nothing, in order, whatever the others do; the relay's memory must stay what it was; and who
does not read must be told exactly what was left out, once it reads again, or be cut off. Latencies are printed, with
and without those who do not read, and not judged: a machine that is busy with something else is no defect of ours.

`MILLION=1` publishes a million events, at most a thousand million deliveries, and takes a quarter of an hour.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

from tests.bench.relay_process import Piped, python_module
from tests.bench.relay_reader import Reader, Received, compiled
from tests.bench.relay_servers import ours_reads
from tests.integration.relays import relay
from tests.processes import DEADLINE, Program, free_ports

WHOLE = bool(os.environ.get("MILLION"))
EVENTS = 1_000_000 if WHOLE else 7_000
RATE = 1_000 if WHOLE else 200  # events a second
WINDOW = 30.0 if WHOLE else 5.0  # seconds
CLIENTS, SLEEPERS = 1_000, 50
REMEMBERED = 10_000 if WHOLE else 1_000  # events that the relay remembers
BEHIND = 150_000  # bytes that a client which is behind may cost; at a million deliveries a second all are at times
GROWTH = BEHIND * CLIENTS if WHOLE else 24_000_000  # bytes by which the memory may change once it is warm
SLEEPER = 400_000  # bytes that a client which does not read may cost
NAP = 12.0  # seconds after which some read again; the relay cuts off who takes nothing for 30
STUCK = 29.0  # seconds after which it may have been
LATE = 5.0  # seconds after that in which it must have been
GLANCE = 0.3  # seconds that one who reads again reads
SUB = '["sub",1,{"id":"bench","topics":["post.bench.#"]}]'


@attrs.define
class Sleeper:
    """A websocket client that asks for everything and reads nothing until it is woken."""

    socket: socket.socket
    began: float
    rest: bytes = b""
    ended: bool = False  # by the relay

    @classmethod
    def connect(cls, port: int) -> Sleeper:
        """Ask; the answer is read, nothing else."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        made.settimeout(DEADLINE)
        made.connect(("127.0.0.1", port))
        lines = [
            "GET /ws HTTP/1.1",
            "Host: x",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
        ]
        lines += ["Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Protocol: relay.v1.json", "", ""]
        made.sendall("\r\n".join(lines).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += made.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        made.sendall(bytes([0x81, 0x80 | len(SUB), 0, 0, 0, 0]) + SUB.encode())  # a mask of nothing
        return cls(made, time.monotonic())

    def frames(self, until: float) -> Iterator[list[object]]:
        """Wake, and read up to a moment."""
        while (left := until - time.monotonic()) > 0:
            while (frame := self._cut()) is not None:
                yield frame
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 20)
            except TimeoutError:
                return
            except ConnectionResetError:
                data = b""
            if not data:
                self.ended = True
                return
            self.rest += data

    def _cut(self) -> list[object] | None:
        size, start = (self.rest[1], 2) if len(self.rest) > 1 else (0, 2)
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(self.rest[2:start], "big") if len(self.rest) >= start else 1 << 30
        if len(self.rest) < max(start + size, 2):
            return None
        first, payload, self.rest = self.rest[0], self.rest[start : start + size], self.rest[start + size :]
        found: list[object] = json.loads(payload) if first == 0x81 else ["control"]
        return found

    def check(self) -> int:
        """Read again for a moment: nothing is missing but what the relay says. Returns how many events that is."""
        age, until = time.monotonic() - self.began, time.monotonic() + GLANCE
        skipped, due, last, came = 0, 0, 0, 0
        for frame in self.frames(until):
            if frame[0] == "lag":
                facts = frame[1]
                assert isinstance(facts, dict)
                due += facts["skipped"]
                skipped += facts["skipped"]
            elif frame[0] == "ev":
                events = frame[2]
                assert isinstance(events, list)
                for event in events:
                    number = event["data"]["n"]
                    assert not last or number == last + 1 + due, f"{number} came after {last}, told were {due}"
                    last, due, came = number, 0, came + 1
        assert came or self.ended, "it reads again, and nothing comes"
        assert age >= STUCK - GLANCE or not self.ended, f"it was cut off after {age:.1f} s"
        self.socket.close()
        return skipped


@attrs.define
class Crowd:
    """What was seen of those who read."""

    deliveries: int = 0
    worst: float = 0.0  # ms, of the windows' p99

    def add(self, found: Received) -> None:
        """Judge a window."""
        faults = (found.gaps, found.repeats, found.wrong, found.broken, found.fragments, found.closed)
        assert faults == (0, 0, 0, 0, 0, 0), f"those who read were not served: {found}"
        self.deliveries += found.events
        self.worst = max(self.worst, found.p99)
        print(f"{found.events / found.seconds:,.0f} deliveries/s, p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms")


def assert_flat(program: Program, steady: int) -> None:
    """The relay occupies what it did."""
    now = program.resident()
    assert abs(now - steady) < GROWTH, f"the relay's memory went from {steady:,} to {now:,} bytes"


class TestMillion:
    """See above."""

    def test_a_thousand_clients(self, rabbit_url: str, tmp_path: Path) -> None:
        """Those who read miss nothing, memory stays, and those who do not read are told exactly or cut off."""
        if not (shutil.which("cc") or shutil.which("gcc")):
            pytest.skip("the reader wants a C compiler: `tests/provision bench` installs one")
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        page, admin = free_ports(2)
        more = f"journal_entries = {REMEMBERED}\ncold_bytes = 0\nclients_per_address = 2000\nhistory = 0"
        with ExitStack() as stack:
            program = stack.enter_context(relay(tmp_path, "relay", rabbit_url, page, admin, more))
            program.until_ready(admin)
            feed = stack.enter_context(
                Piped(tmp_path, "publisher", *python_module("peers.rabbit_publisher"), rabbit_url)
            )
            assert feed.answer() == "ready"
            reader = stack.enter_context(Reader(tmp_path, compiled(tmp_path), *ours_reads(1), str(page)))
            reader.open(CLIENTS - SLEEPERS)
            feed.ask(f"rate {RATE}")
            alone, beside = Crowd(), Crowd()
            reader.measure(1.0)  # what was under way when it began
            alone.add(reader.measure(WINDOW))
            before = program.resident()
            sleepers = [Sleeper.connect(page) for _ in range(SLEEPERS)]
            beside.add(reader.measure(WINDOW))
            steady = program.resident()
            assert steady - before < SLEEPERS * SLEEPER, f"{SLEEPERS} that do not read cost {steady - before:,} bytes"
            told = cut = made = 0
            while made < EVENTS or not told or not cut:
                beside.add(reader.measure(WINDOW))
                assert_flat(program, steady)
                now = time.monotonic()
                awake = [one for one in sleepers if NAP < now - one.began < STUCK][: SLEEPERS // 4]
                told += sum(one.check() > 0 for one in awake)
                stuck = [one for one in sleepers if now - one.began > STUCK + LATE]
                for one in stuck:
                    one.check()
                    assert one.ended, f"it has taken nothing for {now - one.began:.0f} s, and is there still"
                cut += len(stuck)
                made = int(feed.ask(f"rate {RATE}").split()[1])
                sleepers = [one for one in sleepers if one not in awake and one not in stuck]
                if WHOLE:  # always as many
                    sleepers += [Sleeper.connect(page) for _ in range(SLEEPERS - len(sleepers))]
                assert made < 2 * EVENTS, f"{told} were told of their loss, {cut} were cut off"
            feed.ask("rate 0")
            assert reader.drain(DEADLINE)
            assert_flat(program, steady)
            print(f"{made:,} events, {alone.deliveries + beside.deliveries:,} deliveries, {told} told, {cut} cut off")
            print(f"p99 {alone.worst:.1f} ms without those who do not read, {beside.worst:.1f} ms with them")
            print(f"{before:,} bytes without them, {steady:,} with them, {program.resident():,} at the end")
            for one in sleepers:
                one.socket.close()
