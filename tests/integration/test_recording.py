"""A recording made of a simulated upstream and replayed to a real RabbitMQ, by our programs as a user runs them."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pika
import pytest

from streamer.bus import topology
from streamer.message import Item, Message
from streamer.net.recording_file import RecordingFile
from streamer.wire.recording import Recorded
from tests.processes import DEADLINE, Program, simulate_x

ITEMS = 300
FILE = """
[bus]
url = "{bus}"
[sources.birds]
type = "x-filtered"
token = "simulated-token"
base_url = "{upstream}"
[sources.birds.predicates]
rules = [{{ value = "cat has:geo", tag = "pets" }}]
"""


def written(folder: Path, bus: str, upstream: str) -> None:
    """A configuration file."""
    (folder / "x.toml").write_text(FILE.format(bus=bus, upstream=upstream))


def items(path: Path) -> list[Item]:
    """What a recording holds."""
    file, found = RecordingFile.open(str(path)), []
    while (step := file.entries()) is not None:
        found += [entry.item for entry in step if isinstance(entry, Recorded)]
    file.close()
    return found


def done(program: Program) -> int:
    """Its exit code, once it has ended."""
    with program:
        return program.process.wait(DEADLINE)


def taken(channel: Any, count: int) -> list[Item]:
    """So many items off the enricher's queue."""
    found: list[Item] = []
    end = time.monotonic() + DEADLINE
    while len(found) < count:
        method, properties, body = channel.basic_get(topology.ENRICH, auto_ack=True)
        if method is None:
            assert time.monotonic() < end, f"only {len(found)} items came"
            time.sleep(0.05)
            continue
        headers = dict(properties.headers)
        stamp = headers.pop("timestamp_in_ms")
        found.append(
            Item.from_message(
                Message(
                    exchange=method.exchange,
                    topic=method.routing_key,
                    body=body,
                    message_id=properties.message_id,
                    kind=properties.type,
                    timestamp_ms=stamp,
                    content_type=properties.content_type,
                    headers={name: value for name, value in headers.items() if not name.startswith("x-")},
                )
            )
        )
        assert method.routing_key == found[-1].message().topic
        assert stamp == found[-1].received
    return found


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.jsonl.zst"])
def test_recorded_and_replayed(name: str, rabbit_url: str, tmp_path: Path) -> None:
    """What the broker gets from a replay is, byte by byte, what was recorded."""
    x, upstream = simulate_x(tmp_path, "--rate", "200")
    written(tmp_path, rabbit_url, upstream)
    with x:
        record = Program(tmp_path, "record", "streamer", "record", name, "-c", "x.toml", "--items", str(ITEMS))
        assert done(record) == 0, record.said()
    assert f"{ITEMS} items" in record.said()
    recorded = items(tmp_path / name)
    assert len(recorded) == ITEMS
    assert len({item.id for item in recorded}) == ITEMS
    replay = Program(tmp_path, "replay", "streamer", "replay", name, "-c", "x.toml", "--speed", "10x")
    assert done(replay) == 0, replay.said()
    assert f"{ITEMS} items were confirmed by the bus" in replay.said()
    connection = pika.BlockingConnection(pika.URLParameters(rabbit_url))
    assert taken(connection.channel(), ITEMS) == recorded
    connection.close()


def test_interrupted(rabbit_url: str, tmp_path: Path) -> None:
    """Ctrl-C ends a recording with a summary and code 0, a replay with that of a signal; nothing is left behind."""
    x, upstream = simulate_x(tmp_path, "--rate", "50")
    written(tmp_path, rabbit_url, upstream)
    with x, Program(tmp_path, "record", "streamer", "record", "x.jsonl.gz", "-c", "x.toml") as record:
        path = tmp_path / "x.jsonl.gz"
        record.until(lambda: path.exists() and path.stat().st_size > 2_000, "items")
        taken_by = Program(tmp_path, "second", "streamer", "record", "y.jsonl", "-c", "x.toml")
        assert done(taken_by) == 1
        assert "is being followed with the state directory" in taken_by.said()
        record.process.send_signal(signal.SIGINT)
        assert record.process.wait(DEADLINE) == 0
    assert "are recorded in x.jsonl.gz" in record.said()
    assert "Traceback" not in record.said() + taken_by.said()
    assert not (tmp_path / "y.jsonl").exists()
    recorded = items(tmp_path / "x.jsonl.gz")
    assert recorded
    with Program(tmp_path, "replay", "streamer", "replay", "x.jsonl.gz", "-c", "x.toml", "--loop") as replay:
        connection = pika.BlockingConnection(pika.URLParameters(rabbit_url))
        channel = connection.channel()

        def there() -> bool:
            nonlocal channel
            try:
                return bool(channel.queue_declare(topology.ENRICH, passive=True).method.message_count)
            except pika.exceptions.ChannelClosedByBroker:  # not declared yet
                channel = connection.channel()
                return False

        replay.until(there, "items at the broker")
        replay.process.send_signal(signal.SIGINT)
        assert replay.process.wait(DEADLINE) == 130
        assert "items were confirmed by the bus" in replay.said()
        assert taken(channel, 1) == recorded[:1]
        connection.close()


def test_killed(tmp_path: Path) -> None:
    """However a recorder is killed, all but its last second can be read."""
    x, upstream = simulate_x(tmp_path, "--rate", "100")
    written(tmp_path, "memory:", upstream)
    with x:
        for name in ("x.jsonl", "x.jsonl.gz", "x.jsonl.zst"):
            path = tmp_path / name
            with Program(tmp_path, "record", "streamer", "record", name, "-c", "x.toml") as record:
                record.until(lambda path=path: path.exists() and path.stat().st_size > 10_000, "items")
                record.process.kill()
                record.process.wait(DEADLINE)
            assert len(items(path)) > 5, name


def test_disk_full(tmp_path: Path) -> None:
    """A disk that takes no more ends the recording with the reason and code 1; what was recorded can be read."""
    x, upstream = simulate_x(tmp_path, "--rate", "200")
    written(tmp_path, "memory:", upstream)
    with x:
        limit = 60_000  # bytes of a file

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))  # handed down to the program
        try:
            record = Program(tmp_path, "record", "streamer", "record", "x.jsonl", "-c", "x.toml")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handled)
        assert done(record) == 1
    assert "Error: x.jsonl cannot be written: File too large" in record.said()
    assert "Traceback" not in record.said()
    assert os.path.getsize(tmp_path / "x.jsonl") <= limit
    assert len(items(tmp_path / "x.jsonl")) > 10
