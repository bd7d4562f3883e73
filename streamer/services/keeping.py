# -*- test-case-name: tests.unit.test_services_keeping -*-
"""What one source leaves on disk: a lock, a cursor, a spool; all in the state directory.

The cursor is written whole beside the old one and renamed over it, by a thread, once a second at most.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from streamer.bus.spool import Spool
from streamer.bus.spool_values import Stored
from streamer.bus.state_lock import StateLock, StateUnusable
from streamer.gap import Gap
from streamer.upstream import Resume

Thread = Callable[[Callable[[], Any]], Deferred[Any]]  # runs a function elsewhere, one at a time


class Cursor(msgspec.Struct, frozen=True):
    """Where a source got to.

    Args:
        confirmed: with what the bus has taken, all before it too.
        spooled: with what is on disk or further on, all before it too; good only together with the spool.
        number: of the chunk that this mark is from; a spool that ends before it is an older one.
        losses: of single items, to be announced.
    """

    confirmed: Resume | None = None
    spooled: Resume | None = None
    number: int = 0
    losses: tuple[Gap, ...] = ()


class Kept(msgspec.Struct, frozen=True):
    """What an earlier process left.

    Args:
        resume: where to go on; None where nothing is known.
        stored: what is in the spool; None without a spool.
        cursor: as it was found.
    """

    resume: Resume | None
    stored: Stored | None
    cursor: Cursor = Cursor()


@attrs.define(eq=False)
class Keeping:
    """The files of one source.

    Args:
        path: of the cursor.
        spool: None where none is wanted.
    """

    path: Path
    lock: StateLock
    spool: Spool | None
    thread: Thread
    _found: Cursor = attrs.field(factory=Cursor)  # of an earlier process
    _written: Cursor | None = None
    _complained: bool = False
    _writing: Deferred[Any] = attrs.field(factory=lambda: succeed(None))

    log = Logger()

    async def open(self) -> Kept:
        """Take the lock and read what is there.

        Raises:
            StreamerError: another process follows this source, or the directory cannot be used.
        """
        self.lock.take()
        try:
            try:
                cursor = self._read()
            except OSError as error:
                raise StateUnusable(
                    f"cannot use the cursor {self.path}: {error}; see that this program's user may read and move it, "
                    "or remove it to begin anew"
                ) from error
            if self.spool is None:
                return Kept(cursor.confirmed, None, cursor)
            stored = await self.spool.open()
        except BaseException:
            self.lock.release()
            raise
        if stored.moved is not None:
            self.log.error(
                "The spool of {name} was damaged and lies in {moved} now; what was in it is asked for again where "
                "the upstream can repeat it.", name=self.path.stem, moved=stored.moved,
            )  # fmt: skip
        sound = stored.moved is None and not self.spool.damaged_items
        whole = bool(stored.items) and sound and stored.number >= cursor.number
        resume = cursor.spooled if whole and cursor.spooled is not None else cursor.confirmed
        self._found = cursor
        return Kept(resume, stored, cursor)

    def write(self, cursor: Cursor) -> None:
        """Keep the cursor, unless one is being written; the next second brings the next."""
        if cursor != self._written and self._writing.called:
            self._written = cursor
            self._writing = self.thread(lambda: self._replace(msgspec.json.encode(cursor)))
            self._writing.addCallbacks(self._well, lambda failure: self._not_written(failure.getErrorMessage()))

    async def close(self, cursor: Cursor) -> None:
        """Keep the last cursor and let go of everything; the spool was closed before."""
        try:
            await self._writing
            if self.spool is not None and self.spool.items and cursor.spooled is None:
                known = self._written or self._found  # what lies on disk is kept, but the bus has not confirmed it
                cursor = msgspec.structs.replace(cursor, confirmed=known.confirmed, spooled=cursor.confirmed)
            self.write(cursor)
            await self._writing
        finally:
            self.lock.release()

    def _read(self) -> Cursor:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Cursor)
        except FileNotFoundError:
            return Cursor()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            written_ms = int(self.path.stat().st_mtime * 1000)
            aside = self.path.with_suffix(".cursor.damaged")
            self.path.replace(aside)
            self.log.error(
                "The cursor {path} cannot be read ({error}) and lies in {aside} now; the source goes on from when it "
                "was written.", path=str(self.path), error=str(error), aside=str(aside),
            )  # fmt: skip
            return Cursor(confirmed=Resume(received=written_ms))

    def _replace(self, content: bytes) -> None:
        beside = self.path.with_suffix(".cursor.new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

    def _well(self, _: object) -> None:
        self._complained = False

    def _not_written(self, error: str) -> None:
        self._written = None
        if not self._complained:  # once, until it works again
            self._complained = True
            self.log.error("The cursor {path} cannot be written: {error}", path=str(self.path), error=error)
