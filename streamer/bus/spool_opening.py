# -*- test-case-name: tests.unit.test_bus_spool_damage -*-
"""Opening the spool's database: make it, check it, move it aside where it is damaged.

A new database is made under another name and renamed, so that a file of no bytes is always damage, never a start
that was interrupted. A file of a newer schema is nobody's damage: it is left alone, and opening fails.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from streamer.bus.spool_values import SpoolFailed, failed, primary_code

SCHEMA = 1  # user_version; raise it with every change of the table or of a row's form
APPLICATION = 0x53504F4C  # application_id, "SPOL"; https://www.sqlite.org/pragma.html#pragma_application_id
PAGE = 32_768  # bytes; chunks fill whole pages, and large pages cost a third of the time that SQLite's 4096 do
BUSY = 5.0  # seconds to wait for a lock of another program, an operator's shell perhaps
WAL_PAGES = 256  # pages (8 MiB) after which a commit moves the log into the file
WAL_KEPT = 8_388_608  # bytes the log's file keeps once moved: room to delete in when the disk is full
DAMAGED_KEPT = 10  # damaged files beside the spool, more of which would fill the disk they lie on

_COMPANIONS = ("", "-wal", "-shm")
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}

# The short columns come first: SQLite then reads them without the pages of the body. There is no NOT NULL, because
# quick_check tests it, and one damaged row would condemn the whole file.
_TABLE = (
    "CREATE TABLE chunks (number INTEGER PRIMARY KEY, items INTEGER, bytes INTEGER, crc INTEGER, ids BLOB, body BLOB)"
)


class Damaged(Exception):
    """The file is not a sound spool."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error tells of damaged content, rather than of a disk or a permission."""
    return primary_code(error) in _DAMAGE


def is_full(error: BaseException | None) -> bool:
    """Whether there may be no room on the disk; SQLite calls a quota that is used up an I/O error."""
    return isinstance(error, sqlite3.Error) and primary_code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another program held the file for longer than `BUSY`."""
    return primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def open_database(path: Path, synchronous: str) -> tuple[sqlite3.Connection, str | None]:
    """Open the database, making it where there is none.

    Checking reads the whole file once: about 0.2 s for 1 GB in the system's cache, else as long as the disk takes.

    Returns:
        The connection, and where a damaged file was moved to.

    Raises:
        SpoolFailed: it cannot be opened or made, or was written by a newer streamer.
    """
    moved = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(_beside(path, suffix).exists() for suffix in _COMPANIONS):
            try:
                return _checked(path, synchronous), None
            except Damaged:
                moved = _move_aside(path)
        _create(path)
        return _checked(path, synchronous), moved
    except (OSError, sqlite3.Error, Damaged) as error:
        raise failed("open", path, error) from error


def keep(path: Path, number: int, body: bytes) -> str | None:
    """Put the bytes of an unreadable chunk beside the spool. Returns where, or None where that failed."""
    try:
        return str(_write_damaged(path, f"chunk-{number}", body))
    except (OSError, SpoolFailed):
        return None


def _checked(path: Path, synchronous: str) -> sqlite3.Connection:
    try:
        if not path.stat().st_size:
            raise Damaged("the file is empty")
    except FileNotFoundError as error:
        # The log of a file that is gone would be played back into the new one.
        raise Damaged("its log is there without the file") from error
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=BUSY)
    try:
        connection.text_factory = bytes
        _check(connection, path)
        connection.execute(f"PRAGMA synchronous={'FULL' if synchronous == 'full' else 'NORMAL'}")
        connection.execute("PRAGMA journal_mode=WAL")  # two damaged bytes of the header would undo it
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT}")
        connection.execute("BEGIN IMMEDIATE")  # fails where the file may only be read
        connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        connection.close()
        if is_damage(error):
            raise Damaged(str(error)) from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    ((application,),) = connection.execute("PRAGMA application_id")
    ((schema,),) = connection.execute("PRAGMA user_version")
    if application != APPLICATION or schema < SCHEMA:
        raise Damaged(f"application_id {application:#x}, user_version {schema}")
    if schema > SCHEMA:
        raise SpoolFailed(
            f"cannot open the spool {path}: its schema is {schema}, this streamer knows {SCHEMA}; "
            "run the newer streamer until it has emptied the spool, or move the file away"
        )
    ((found,),) = connection.execute("PRAGMA quick_check(1)")
    if found not in (b"ok", "ok"):
        raise Damaged(str(found))
    try:
        connection.execute("SELECT number, items, bytes, crc, ids, body FROM chunks LIMIT 0")
    except sqlite3.OperationalError as error:
        if primary_code(error) == sqlite3.SQLITE_ERROR:  # no such table, no such column
            raise Damaged(str(error)) from error
        raise


def _create(path: Path) -> None:
    new = _beside(path, ".new")
    for suffix in (*_COMPANIONS, "-journal"):
        _beside(new, suffix).unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size={PAGE}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA application_id={APPLICATION}")
        connection.execute(f"PRAGMA user_version={SCHEMA}")
        connection.execute(_TABLE)
    finally:
        connection.close()
    new.rename(path)
    _sync_directory(path)


def _move_aside(path: Path) -> str:
    aside = _damaged_name(path)
    for suffix in _COMPANIONS:  # the file itself first: a log left alone is found, and moved, by the next start
        try:
            _beside(path, suffix).rename(_beside(aside, suffix))
        except FileNotFoundError:
            pass
    _sync_directory(path)
    return str(aside)


def _write_damaged(path: Path, what: str, content: bytes) -> Path:
    kept = path.with_name(f"{_damaged_name(path).name}-{what}")
    with open(os.open(kept, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
    return kept


def _damaged_name(path: Path) -> Path:
    """`<path>.damaged-<n>`, n being the first that is free.

    Raises:
        SpoolFailed: there are too many already.
    """
    taken = {name.name for name in path.parent.iterdir() if name.name.startswith(f"{path.name}.damaged-")}
    for n in itertools.count(1):
        name = f"{path.name}.damaged-{n}"
        if n > DAMAGED_KEPT:
            raise SpoolFailed(
                f"cannot move the damaged spool {path} aside: {DAMAGED_KEPT} such files are in {path.parent} already; "
                "look at the disk, then move them away"
            )
        if not any(known == name or known.startswith(f"{name}-") for known in taken):
            break
    return path.with_name(name)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _sync_directory(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
