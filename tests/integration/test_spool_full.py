"""A spool on a disk that is really full: a small file system in memory, mounted for one process.

Run as a program, this file is that process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.bus.spool_file import SpoolFile
from streamer.bus.spool_reserve import RESERVE
from streamer.bus.spool_values import Amount, Append, Chunk, Delete, Job, SpoolFailed
from streamer.message import Item

DISK = RESERVE + 30_000_000  # bytes
BODY = 250_000  # bytes of a chunk

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


def fill(file: SpoolFile, stored: int = 0) -> int:
    """Append until the disk refuses. Returns how many chunks are stored then."""
    while not isinstance(outcome := file.run(Job([append(stored)])).outcomes[0], SpoolFailed):
        stored += 1
    assert "free space on that disk" in str(outcome), outcome
    return stored


if __name__ == "__main__":
    main(*sys.argv[1:])
