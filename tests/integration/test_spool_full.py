"""A spool on a disk that is really full: a small file system in memory, mounted for one process.

Run as a program, this file is that process.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from streamer.bus.memory import MemoryBus
from streamer.bus.spool import Spool
from streamer.bus.spool_file import SpoolFile
from streamer.bus.spool_reserve import RESERVE
from streamer.bus.spool_values import Amount, Append, Chunk, Delete, Job, SpoolFailed
from streamer.bus.spool_worker import InlineWork
from streamer.interfaces import IBus
from streamer.message import Item
from streamer.metrics import Metrics
from streamer.services.intake import Intake, Limits

DISK = RESERVE + 30_000_000  # bytes
BODY = 250_000  # bytes of a chunk
BALLAST = 10_000_000  # bytes of somebody else's file

ALONE = ["unshare", "--user", "--map-root-user", "--mount"]


def append(number: int) -> Append:
    """A chunk of one large item."""
    item = Item(source="birds", kind="post", id=str(number), received=number, body=bytes([number % 256]) * BODY)
    return Append(number, (item,), BODY)


def test_a_full_disk_lets_read_and_delete(tmp_path: Path) -> None:
    """Appends are refused, everything stored is read and deleted, and then there is room again."""
    mount = f"mount -t tmpfs -o size={DISK} none '{tmp_path}'"
    if subprocess.run([*ALONE, "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    done = subprocess.run(
        [*ALONE, "sh", "-c", f"{mount} && exec '{sys.executable}' '{__file__}' '{tmp_path}'"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def main(folder: str) -> None:
    """Fill the disk, empty the spool, go on."""
    path = Path(folder) / "birds.spool"
    file = SpoolFile(path)
    file.open()
    stored = fill(file)
    assert stored * BODY > DISK / 3, f"only {stored} chunks found room"
    assert os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize < BODY
    file.close()
    assert file.open()[0].items == stored  # restarting on a full disk
    fill(file, stored)
    deleted = 0
    while isinstance(chunk := file.run(Job((), read=True)).chunk, Chunk):
        assert chunk.items == append(chunk.number).items
        # Somebody goes on trying to append meanwhile.
        tried, outcome = file.run(Job([append(1_000_000 + deleted), Delete(chunk.number)])).outcomes
        assert isinstance(outcome, Amount), outcome
        if tried is None:
            file.run(Job([Delete(1_000_000 + deleted)]))
        deleted += 1
    assert deleted >= stored
    assert path.stat().st_size < 1_000_000  # given back
    assert file.run(Job([append(1)])).outcomes == [None]
    file.close()
    told(Path(folder) / "trees.spool")


def told(path: Path) -> None:
    """A source whose spool is there reads until the disk is full, says which file and why, and goes on with room."""
    clock, metrics = Clock(), Metrics()
    bus = MemoryBus(clock, metrics)  # not started, so it takes nothing
    intake = Intake.of("trees", IBus(bus), clock, metrics, Limits(bytes=10 * DISK))
    spool = Spool(SpoolFile(path), InlineWork())
    spool.open()
    ballast = path.with_name("ballast")
    ballast.write_bytes(bytes(BALLAST))
    intake.outflow.use(spool, 0, None)
    taken = 0
    while not intake.paused:
        taken += 1
        assert taken * BODY < 2 * DISK, "the disk is never full"
        intake.take(append(taken).items, None)
        clock.advance(0.1)
    assert taken > 10, f"only {taken} chunks found room"
    begin, reason = f"reading is paused: cannot write the spool {path}: ", intake.trouble
    assert reason.startswith(begin), reason
    assert re.search("No space left on device|disk is full", reason), reason
    assert "; free space on that disk" in reason, reason
    ballast.unlink()  # the operator frees space
    clock.pump([1.0] * 5)
    assert (intake.trouble, intake.paused) == ("", False), intake.trouble
    Deferred.fromCoroutine(intake.outflow.close(0))


def fill(file: SpoolFile, stored: int = 0) -> int:
    """Append until the disk refuses. Returns how many chunks are stored then."""
    while not isinstance(outcome := file.run(Job([append(stored)])).outcomes[0], SpoolFailed):
        stored += 1
    assert "free space on that disk" in str(outcome), outcome
    return stored


if __name__ == "__main__":
    main(*sys.argv[1:])
