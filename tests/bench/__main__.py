"""Run with `make bench`; prints a table, in about two minutes. Figures belong in docs/performance.md."""

from __future__ import annotations

import contextlib
import json
import platform
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from streamer.testing.rabbitmq import RabbitNode
from tests.bench.figures import counter, cpu_seconds, megabytes, percentile
from tests.integration.test_pipeline import listening, twistd, written
from tests.processes import Program, simulate_x

FLOOD = 20_000  # posts/s asked of the simulation; it is slower than that when it shares its core
FLOOD_SECONDS = 10.0
STEADY = 500  # posts/s for the latency figures
STEADY_SECONDS = 15.0


def main() -> None:
    """All measurements, one after the other, on one RabbitMQ node."""
    print(f"Python {platform.python_version()}, {platform.machine()}; RabbitMQ on the same machine")
    with tempfile.TemporaryDirectory() as folder, RabbitNode() as node:
        streamer_alone(Path(folder), node.url)
        enrich_alone(Path(folder), node.url)
        relay_alone(Path(folder), node.url)
        for bus in (node.url, "memory:"):
            end_to_end(Path(folder), bus, "steady", STEADY)
            end_to_end(Path(folder), bus, "flood", FLOOD, "--fast")


def row(what: str, *figures: str) -> None:
    """One line of the report."""
    print(f"{what:54}  {'  '.join(figures)}", flush=True)


def streamer_alone(folder: Path, bus: str) -> None:
    """Items read, understood, published and confirmed; they stay in the queue for the next measurement."""
    with contextlib.ExitStack() as stack:
        x, upstream = simulate_x(folder, "--rate", str(FLOOD), "--fast", "--wait-for-client")
        stack.enter_context(x)
        config, ports = written(folder, bus, upstream)
        program = stack.enter_context(twistd(folder, "streamer", config))
        program.until(lambda: counter(ports["admin"], "published_total") > 1000, "items")
        rate, cpu = measured(program, ports["admin"], "published_total", FLOOD_SECONDS)
        row(
            "streamer alone: items/s, confirmed",
            f"{rate:8.0f}/s",
            f"{rate / cpu:8.0f} per CPU second",
            memory(program),
        )
        program.stop()


def enrich_alone(folder: Path, bus: str) -> None:
    """What lies in the queue, hydrated and published as events."""
    config, ports = written(folder, bus, "http://127.0.0.1:9")
    with twistd(folder, "enrich", config) as program:
        admin = ports["enrich_admin"]
        program.until(lambda: counter(admin, "hydrated_total") > 1000, "items")
        started, before = time.monotonic(), counter(admin, "events_total")
        rate, cpu = measured(program, admin, "hydrated_total", FLOOD_SECONDS)
        events = (counter(admin, "events_total") - before) / (time.monotonic() - started)
        row("enrich alone: items/s", f"{rate:8.0f}/s", per_cpu(rate / cpu), memory(program))
        row("enrich alone: events/s, confirmed", f"{events:8.0f}/s")
        program.stop()


def relay_alone(folder: Path, bus: str) -> None:
    """The log into the journal, then the journal to one client that asks for all of it."""
    config, ports = written(folder, bus, "http://127.0.0.1:9")
    with twistd(folder, "relay", config) as program:
        started = time.monotonic()
        program.until_ready(ports["relay_admin"])
        held = counter(ports["relay_admin"], "journal_entries") + counter(
            ports["relay_admin"], "journal_evicted_total"
        )
        row("relay alone: log to journal, events/s", f"{held / (time.monotonic() - started):8.0f}/s", memory(program))
        with listening(ports["page"]) as socket:
            cpu = cpu_seconds(program)
            started = time.monotonic()
            socket.send(json.dumps(["sub", 1, {"id": "all", "topics": ["#"], "since": "v1.-.0"}]))
            count, answered = 0, False
            expected = 0
            while not answered or count < expected:
                frame = json.loads(socket.recv())
                if frame[0] == "subd":
                    answered, expected = True, frame[2]["replayed"]
                elif frame[0] == "ev":
                    count += len(frame[2])
            spent = time.monotonic() - started
            cpu = cpu_seconds(program) - cpu
        if count:
            row(
                "relay alone: journal to one client, events/s",
                f"{count / spent:8.0f}/s",
                f"{count / cpu:8.0f} per CPU second",
            )
        program.stop()


def end_to_end(folder: Path, bus: str, how: str, rate: int, *options: str) -> None:
    """Everything at once, and at a steady rate how old each post is when it reaches the client."""
    roles = ["pipeline"] if bus == "memory:" else ["relay", "enrich", "streamer"]
    name = f"{'one process' if bus == 'memory:' else 'through RabbitMQ'}, {how}"
    with contextlib.ExitStack() as stack:
        x, upstream = simulate_x(folder, "--rate", str(rate), "--wait-for-client", *options)
        stack.enter_context(x)
        config, ports = written(folder, bus, upstream)
        admins = {"relay": "relay_admin", "enrich": "enrich_admin", "streamer": "admin", "pipeline": "admin"}
        programs = {}
        socket: Any = None
        for role in roles:
            programs[role] = stack.enter_context(twistd(folder, role, config))
            programs[role].until_ready(ports[admins[role]])
            if role == roles[0]:
                socket = stack.enter_context(listening(ports["page"]))
                socket.send(json.dumps(["sub", 1, {"id": "all", "topics": ["#"]}]))
        posts, events, upstream_ms, received_ms = watch(socket, STEADY_SECONDS)
        row(f"{name}: posts/s, events/s", f"{posts:8.0f}/s", f"{events:8.0f}/s")
        if how == "steady":
            for what, lags in (("upstream made it", upstream_ms), ("our first byte", received_ms)):
                figures = [f"p{share:g} {percentile(lags, share / 100):.1f} ms" for share in (50, 99)]
                row(f"{name}: {what} → websocket", *figures)
        row(f"{name}: memory", *(f"{role} {memory(program)}" for role, program in programs.items()))
        for program in reversed(programs.values()):
            program.stop()


def watch(socket: Any, seconds: float) -> tuple[float, float, list[float], list[float]]:
    """Posts and events a second, and the age of each post on arrival, by two clocks that are one."""
    upstream_ms: list[float] = []
    received_ms: list[float] = []
    events = 0
    warm = time.monotonic() + 3.0  # connecting, back-fill and caches are not the steady state
    while time.monotonic() < warm:
        socket.recv()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        frame = json.loads(socket.recv())
        now = time.time() * 1000
        if frame[0] != "ev":
            continue
        events += len(frame[2])
        for event in frame[2]:
            if event["type"] == "streamer.post":
                upstream_ms.append(now - milliseconds(event["time"]))
                received_ms.append(now - milliseconds(event["received"]))
    return len(upstream_ms) / seconds, events / seconds, upstream_ms, received_ms


def measured(program: Program, admin: int, name: str, seconds: float) -> tuple[float, float]:
    """How fast a counter rises, a second, and the cores used meanwhile; ends early where nothing is left to do."""
    started, cpu, first = time.monotonic(), cpu_seconds(program), counter(admin, name)
    last, last_change = first, started
    while time.monotonic() < started + seconds:
        time.sleep(0.25)
        value = counter(admin, name)
        if value > last:
            last, last_change = value, time.monotonic()
        elif time.monotonic() - last_change > 1:
            break
    spent = max(last_change - started, 1e-6)
    return (last - first) / spent, (cpu_seconds(program) - cpu) / spent


def per_cpu(rate: float) -> str:
    """A rate by CPU second instead of by second."""
    return f"{rate:8.0f} per CPU second"


def memory(program: Program) -> str:
    """Resident size."""
    return megabytes(program.resident())


def milliseconds(rfc3339: str) -> float:
    """Since the epoch."""
    return datetime.fromisoformat(rfc3339).timestamp() * 1000


if __name__ == "__main__":
    main()
