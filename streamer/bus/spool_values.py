# -*- test-case-name: tests.unit.test_bus_spool -*-
"""The words of the spool: what goes to its thread, what comes back, and the one error it knows."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streamer.errors import StreamerError
from streamer.message import Item

IDS_LOADED = 100_000  # ids of the newest items that `Stored` tells, at most


class SpoolFailed(StreamerError):
    """The disk did not do what was asked; the text says what, where, and how to mend it.

    Nothing was changed. What was stored before can still be read and deleted, and the same call may be made again.
    """


class Stored(msgspec.Struct, frozen=True):
    """What was found at the start.

    Args:
        items: stored items.
        bytes: of their bodies.
        last: the newest one, to resume the upstream after; None where there is none.
        ids: of the newest items, at most `IDS_LOADED`, oldest first.
        moved: where a damaged file was moved to, else None. Raise the alarm: its items are not in the flow.
        number: the highest of a chunk; 0 where there is none.
    """

    items: int
    bytes: int
    last: Item | None
    ids: tuple[str, ...]
    moved: str | None
    number: int = 0


class Chunk(msgspec.Struct, frozen=True):
    """Items stored together; `number` is their place in the order."""

    number: int
    items: tuple[Item, ...]


class Append(msgspec.Struct, frozen=True):
    """Store a chunk; `bytes` are those of its items' bodies."""

    number: int
    items: tuple[Item, ...]
    bytes: int


class Delete(msgspec.Struct, frozen=True):
    """Forget a chunk."""

    number: int


class Amount(msgspec.Struct, frozen=True):
    """How much a delete took away; nothing where there was no such chunk."""

    items: int = 0
    bytes: int = 0


class Lost(msgspec.Struct, frozen=True):
    """A chunk that could not be read back; `kept` is where its bytes were put for the operator, if anywhere."""

    number: int
    amount: Amount
    why: str
    kept: str | None


class Job(msgspec.Struct, frozen=True):
    """One turn of the thread: write, then set the reading place, then read.

    Args:
        operations: in order; they become one transaction.
        rewind: read from the lowest number again.
        put_back: number of a chunk that was read and reached nobody.
        read: take the next chunk.
    """

    operations: Sequence[Append | Delete]
    rewind: bool = False
    put_back: int | None = None
    read: bool = False


class Report(msgspec.Struct, frozen=True):
    """What became of a job.

    Args:
        outcomes: one for each operation: an error, or how much a delete took away, or None.
        chunk: what was read; an error where reading failed.
        lost: chunks found unreadable on the way.
    """

    outcomes: Sequence[SpoolFailed | Amount | None]
    chunk: Chunk | SpoolFailed | None
    lost: Sequence[Lost]


# https://www.sqlite.org/rescode.html, primary result codes
_MENDING = {
    sqlite3.SQLITE_FULL: "free space on that disk, or set [streamer] spool_bytes lower",
    sqlite3.SQLITE_IOERR: "look at the kernel's log for this disk, it may be full or failing",
    sqlite3.SQLITE_BUSY: "end the other program that holds the file",
    sqlite3.SQLITE_LOCKED: "end the other program that holds the file",
    sqlite3.SQLITE_CORRUPT: "restart the streamer: it moves the damaged file aside and begins a new one",
    sqlite3.SQLITE_NOTADB: "restart the streamer: it moves the damaged file aside and begins a new one",
    sqlite3.SQLITE_CONSTRAINT: "each chunk needs a number of its own",
}

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code of an error; 0 where it came from Python's module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def failed(doing: str, path: Path, error: Exception) -> SpoolFailed:
    """The sentence for a failure; `doing` as in `cannot <doing> the spool <path>`."""
    mending = f"see that this program's user may write to {path.parent}, or set [state] directory to another"
    detail = str(error)
    if isinstance(error, sqlite3.Error):
        mending = _MENDING.get(primary_code(error), mending)
        detail = f"{error} ({getattr(error, 'sqlite_errorname', 'sqlite3')})"
    elif isinstance(error, OSError):
        mending = _MENDING[sqlite3.SQLITE_FULL] if error.errno in _NO_ROOM else mending
    else:
        mending = "this is a defect, please report it"
    failure = SpoolFailed(f"cannot {doing} the spool {path}: {detail}; {mending}")
    failure.__cause__ = error
    return failure
