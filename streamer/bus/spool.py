# -*- test-case-name: tests.unit.test_bus_spool -*-
"""The disk spool: where items wait while the broker is away, blocked or slow.

Items are stored in chunks, by number. Everything asked for while the disk is busy becomes one transaction (a group
commit), so that a slow disk makes larger transactions, not a longer queue. All work on the disk is done in one
thread; when to store and when to drain is decided by the caller.

    stored = await spool.open()
    await spool.append(1, items)                      # on disk
    while (chunk := await spool.next()) is not None:  # the lowest number first
        ...                                           # publish, wait for the confirms
        await spool.delete(chunk.number)
    await spool.close()
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Self

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from streamer.bus.spool_file import Outcome, SpoolFile, Synchronous
from streamer.bus.spool_turns import Turns
from streamer.bus.spool_values import IDS_LOADED, Amount, Append, Chunk, Delete, Lost, SpoolFailed, Stored
from streamer.bus.spool_worker import ThreadWork, Work
from streamer.message import Item

__all__ = ["IDS_LOADED", "Chunk", "Spool", "SpoolFailed", "Stored"]


@attrs.define(eq=False)
class Spool:
    """One source's spool. Every call is made in the reactor's thread, and none of them blocks it.

    Cancelling the Deferred of an append or a delete does not take it back.

    Args:
        bytes: of the bodies of items stored or on their way there; a delete counts once it is done.
        items: likewise.
        waiting: bytes handed to `append` and not committed, all of them in memory. The caller appends no more while
            this is above a limit of its own.
        damaged_items: items in chunks that could not be read back; they were taken out of the flow.
    """

    _log = Logger()

    _file: SpoolFile
    _work: Work
    bytes: int = attrs.field(default=0, init=False)
    items: int = attrs.field(default=0, init=False)
    waiting: int = attrs.field(default=0, init=False)
    damaged_items: int = attrs.field(default=0, init=False)
    _turns: Turns = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: Turns(self._file, self._work, self._lose), takes_self=True),
    )

    @classmethod
    def at(cls, path: str | os.PathLike[str], reactor: IReactorFromThreads, synchronous: Synchronous = "full") -> Self:
        """A spool in a file, with a thread of its own.

        Args:
            synchronous: "full" outlives a power cut; "normal" only the end of our process.
        """
        file = SpoolFile(Path(path), synchronous)
        return cls(file, ThreadWork(reactor, file.path.name))

    def open(self) -> Deferred[Stored]:
        """Open the file, making it where there is none.

        Returns:
            Fires with what was found. Fails with SpoolFailed where the file cannot be used; it may be tried again.
        """
        return Deferred.fromCoroutine(self._begin())

    def append(self, number: int, items: Sequence[Item]) -> Deferred[None]:
        """Store a chunk.

        Args:
            number: its place in the order, used once; one below everything stored goes first.
            items: at least one; some hundreds, or 256 kB of them, cost the least.

        Returns:
            Fires when it is on disk. Fails with SpoolFailed where the disk refuses: nothing of it is stored, and
            the caller still owns the items.
        """
        if not items:
            raise ValueError("a chunk holds at least one item")
        return self._ask(Append(number, tuple(items), sum([len(item.body) for item in items])))

    def next(self) -> Deferred[Chunk | None]:
        """Take the chunk with the lowest number that was not handed out since `open` or `rewind`.

        What was asked for before is done before. Only one call at a time; cancelled, it leaves the chunk to the
        following one.

        Returns:
            Fires with None where there is none. Fails with SpoolFailed where the disk does; ask again later.
        """
        refused = self._turns.refusal()
        return self._turns.read() if refused is None else fail(refused)

    def delete(self, number: int) -> Deferred[None]:
        """Forget a chunk, for its items are confirmed; one that is not there is no error.

        Returns:
            Fails with SpoolFailed where the disk refuses: the chunk is still stored then. Ask again, or leave it: it
            comes again after the next `open`, with ids that `Stored.ids` names.
        """
        return self._ask(Delete(number))

    def rewind(self) -> None:
        """Hand out everything still stored again, from the lowest number; also to a `next` that is under way."""
        self._turns.rewind()

    def close(self) -> Deferred[None]:
        """Finish what was asked, move SQLite's log into the file, close it. Fires when the thread is gone."""
        return self._turns.close()

    async def _begin(self) -> Stored:
        stored = await self._turns.begin()
        self.items, self.bytes = stored.items, stored.bytes
        return stored

    def _ask(self, operation: Append | Delete) -> Deferred[None]:
        if (refused := self._turns.refusal()) is not None:
            return fail(refused)
        if isinstance(operation, Append):
            self.items += len(operation.items)
            self.bytes += operation.bytes
            self.waiting += operation.bytes
        done: Deferred[None] = Deferred()
        self._turns.ask(operation, partial(self._told, operation, done))
        return done

    def _told(self, operation: Append | Delete, done: Deferred[None], outcome: Outcome) -> None:
        gone = outcome if isinstance(outcome, Amount) else Amount()
        if isinstance(operation, Append):
            self.waiting -= operation.bytes
            if outcome is not None:
                gone = Amount(len(operation.items), operation.bytes)
        self.items -= gone.items
        self.bytes -= gone.bytes
        if isinstance(outcome, SpoolFailed):
            done.errback(outcome)
        else:
            done.callback(None)

    def _lose(self, lost: Lost) -> None:
        self.damaged_items += lost.amount.items
        self.items -= lost.amount.items
        self.bytes -= lost.amount.bytes
        self._log.critical(
            "chunk {number} of the spool {path} is damaged ({why}): {items} items are lost to the flow; {kept}",
            number=lost.number,
            path=self._file.path,
            why=lost.why,
            items=lost.amount.items,
            kept=f"its bytes are kept in {lost.kept}" if lost.kept else "its bytes could not be kept",
        )
