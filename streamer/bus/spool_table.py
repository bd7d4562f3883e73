# -*- test-case-name: tests.unit.test_bus_spool_file -*-
"""The spool's one table, in SQL. Blocking; every method may raise sqlite3.Error."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import attrs

from streamer.bus import spool_record
from streamer.bus.spool_record import Row
from streamer.bus.spool_values import Amount

SLACK = 16_777_216  # bytes the file of an empty spool may keep, so that a short burst does not make it anew

# Names columns in the order of spool_record.Row. A damaged row may hold any type, hence the casts.
_ROW = "SELECT number, items, bytes, crc, ids, body FROM chunks WHERE number = ?"
_AMOUNT = "SELECT CAST(items AS INTEGER), CAST(bytes AS INTEGER) FROM chunks WHERE number = ?"
_TOTALS = "SELECT total(CAST(items AS INTEGER)), total(CAST(bytes AS INTEGER)) FROM chunks"


@attrs.define
class ChunkTable:
    """Chunks by number, in an open database."""

    _database: sqlite3.Connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block, on disk when it ends, or nothing of it."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # SQLite itself rolls back after some errors
                self._database.execute("ROLLBACK")
            raise

    def insert(self, row: Row) -> None:
        """Add a chunk; an IntegrityError where its number is taken."""
        self._database.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)", row)

    def delete(self, number: int) -> Amount:
        """Remove a chunk, if it is there. Returns what it held."""
        amount = self.amount(number)
        self._database.execute("DELETE FROM chunks WHERE number = ?", (number,))
        return amount

    def amount(self, number: int) -> Amount:
        """What a chunk holds, as its row says."""
        row = self._database.execute(_AMOUNT, (number,)).fetchone() or (0, 0)
        return Amount(row[0] or 0, row[1] or 0)

    def row(self, number: int) -> tuple[Any, ...] | None:
        """A chunk's row, for `spool_record.decode`."""
        row: tuple[Any, ...] | None = self._database.execute(_ROW, (number,)).fetchone()
        return row

    def first(self, after: int | None) -> int | None:
        """The lowest number, or the lowest above another."""
        if after is None:
            return self._number("SELECT min(number) FROM chunks")
        return self._number("SELECT min(number) FROM chunks WHERE number > ?", after)

    def last(self, before: int | None) -> int | None:
        """The highest number, or the highest below another."""
        if before is None:
            return self._number("SELECT max(number) FROM chunks")
        return self._number("SELECT max(number) FROM chunks WHERE number < ?", before)

    def totals(self) -> Amount:
        """What all chunks hold together."""
        ((items, size),) = self._database.execute(_TOTALS)
        return Amount(int(items), int(size))

    def newest_ids(self, most: int) -> tuple[str, ...]:
        """Ids of the newest items, oldest first; bodies are not read for it."""
        newest_first: list[str] = []
        for (ids,) in self._database.execute("SELECT ids FROM chunks ORDER BY number DESC"):
            newest_first.extend(reversed(spool_record.decode_ids(ids)))
            if len(newest_first) >= most:
                break
        return tuple(reversed(newest_first[:most]))

    def shrink(self) -> None:
        """Give the disk back where nothing is stored; to VACUUM an empty table takes some milliseconds."""
        if self.first(None) is not None:
            return
        ((pages,),) = self._database.execute("PRAGMA page_count")
        ((page,),) = self._database.execute("PRAGMA page_size")
        if pages * page > SLACK:
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _number(self, query: str, *arguments: int) -> int | None:
        number: int | None = self._database.execute(query, arguments).fetchone()[0]
        return number
