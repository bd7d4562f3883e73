# -*- test-case-name: tests.unit.test_bus_spool_file -*-
"""The spool's database at work: chunks in, chunks out, everything of one job in one transaction.

Blocking; all of it runs in the spool's one thread. The file is as large as the most it ever held, for its pages are
used again, until the spool is empty: then it gives its disk back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs

from streamer.bus import spool_record
from streamer.bus.spool_opening import is_busy, is_damage, is_full, keep, open_database
from streamer.bus.spool_place import Place
from streamer.bus.spool_record import Unreadable
from streamer.bus.spool_reserve import Reserve
from streamer.bus.spool_table import ChunkTable
from streamer.bus.spool_values import (
    IDS_LOADED,
    Amount,
    Append,
    Chunk,
    Delete,
    Job,
    Lost,
    Report,
    SpoolFailed,
    Stored,
    failed,
)
from streamer.message import Item

Synchronous = Literal["full", "normal"]
Outcome = SpoolFailed | Amount | None


@attrs.define
class SpoolFile:
    """One source's stored chunks, with the place up to which they were read.

    Args:
        synchronous: "full" outlives a power cut; "normal" only the end of our process.
        reserve: disk space to delete in when there is no other.
    """

    path: Path
    synchronous: Synchronous = "full"
    reserve: Reserve = attrs.field(
        default=attrs.Factory(lambda self: Reserve(self.path.with_name(f"{self.path.name}.reserve")), takes_self=True)
    )
    _connection: sqlite3.Connection | None = None
    _place: Place = attrs.field(factory=Place)
    _undeletable: set[int] = attrs.field(factory=set)  # lost, and in pages too damaged to take them out of
    _lost: list[Lost] = attrs.field(factory=list)  # since the last report

    def open(self) -> tuple[Stored, Sequence[Lost]]:
        """Open, check and count.

        Raises:
            SpoolFailed: see `open_database`. It may be tried again.
        """
        self.close()
        self._room()
        self._place, self._undeletable, self._lost = Place(), set(), []
        self._connection, moved = open_database(self.path, self.synchronous)
        try:
            last = self._newest()
            totals = self._table.totals()
            ids, number = self._table.newest_ids(IDS_LOADED), self._table.last(None) or 0
            stored = Stored(totals.items, totals.bytes, last, ids, moved, number)
        except sqlite3.Error as error:
            self.close()
            raise failed("read", self.path, error) from error
        lost, self._lost = self._lost, []
        return stored, lost

    def run(self, job: Job) -> Report:
        """Do a job; what fails, fails in its report."""
        outcomes = self._write(job.operations) if job.operations else ()
        if job.rewind:
            self._place.rewind()
        if job.put_back is not None:
            self._place.wants(job.put_back)
        chunk: Chunk | SpoolFailed | None = None
        if job.read:
            try:
                chunk = self._take()
            except sqlite3.Error as error:
                chunk = failed("read", self.path, error)
        lost, self._lost = self._lost, []
        return Report(outcomes, chunk, lost)

    def close(self) -> None:
        """Move the log into the file and close both; a log that cannot be moved is played back by the next start."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._room()
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            pass
        connection.close()

    @property
    def _table(self) -> ChunkTable:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the file is not open")
        return ChunkTable(self._connection)

    def _write(self, operations: Sequence[Append | Delete]) -> list[Outcome]:
        """All in one transaction, or where that fails one by one.

        So a full disk does not keep us from deleting, nor one bad chunk from storing the others. But what comes
        after a chunk that found no room shall not overtake it.
        """
        try:
            return self._commit(operations)
        except Exception as error:
            failure = failed("write", self.path, error)
            if isinstance(error, sqlite3.Error) and is_busy(error):
                return [failure] * len(operations)
        if len(operations) == 1:
            if not isinstance(operations[0], Delete) or not self.reserve.held or not is_full(failure.__cause__):
                return [failure]
            self._room()
            return self._write(operations)
        outcomes: list[Outcome] = []
        no_room: SpoolFailed | None = None
        for operation in operations:
            if no_room is not None and isinstance(operation, Append):
                outcomes.append(no_room)
                continue
            (outcome,) = self._write([operation])
            outcomes.append(outcome)
            if isinstance(outcome, SpoolFailed) and isinstance(outcome.__cause__, sqlite3.OperationalError | OSError):
                no_room = outcome
        return outcomes

    def _room(self) -> None:
        """Use the reserve to move the log into the file, whose own space then takes the deletes."""
        try:
            self.reserve.give_up()
            if self._connection is not None:
                self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        except (OSError, sqlite3.Error):
            pass  # whatever needs the room says so

    def _commit(self, operations: Sequence[Append | Delete]) -> list[Outcome]:
        rows = [spool_record.encode(each) if isinstance(each, Append) else each.number for each in operations]
        table, outcomes = self._table, list[Outcome]()
        if any(isinstance(operation, Append) for operation in operations):
            self.reserve.hold()
        with table.transaction():
            for row in rows:
                if isinstance(row, int):
                    outcomes.append(table.delete(row))
                else:
                    table.insert(row)
                    outcomes.append(None)
        for operation in operations:
            if isinstance(operation, Append):
                self._place.wants(operation.number)
            else:
                self._place.forget(operation.number)
        if any(outcomes):  # something was deleted
            try:
                table.shrink()
            except sqlite3.Error:
                pass  # tried again after the next delete
        return outcomes

    def _take(self) -> Chunk | None:
        while (
            number := self._place.behind[0] if self._place.behind else self._table.first(self._place.after)
        ) is not None:
            chunk = self._load(number)
            self._place.passed(number)
            if chunk is not None:
                return chunk
        return None

    def _load(self, number: int) -> Chunk | None:
        """A chunk; None where it is not there, or is lost."""
        if number in self._undeletable:
            return None
        try:
            row = self._table.row(number)
            return None if row is None else spool_record.decode(row)
        except Unreadable as error:
            self._lose(number, str(error), error.body)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            self._lose(number, str(error), None)
        return None

    def _lose(self, number: int, why: str, body: bytes | None) -> None:
        """Take an unreadable chunk out of the flow."""
        try:
            amount = self._table.amount(number)
        except sqlite3.Error:
            amount = Amount()
        kept = None if body is None else keep(self.path, number, body)
        try:
            self._commit([Delete(number)])
        except sqlite3.Error:
            self._undeletable.add(number)  # the next start moves the whole file aside
        self._lost.append(Lost(number, amount, why, kept))

    def _newest(self) -> Item | None:
        number = self._table.last(None)
        while number is not None:
            chunk = self._load(number)
            if chunk is not None:
                return chunk.items[-1]
            number = self._table.last(number)
        return None
