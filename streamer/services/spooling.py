# -*- test-case-name: tests.unit.test_services_outflow -*-
"""Items that go by way of the disk: a batch in memory → the spool → the bus, at the bus's pace and in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.bus.spool import Spool
from streamer.bus.spool_values import Chunk
from streamer.message import Item
from streamer.services.erasing import Erasing
from streamer.services.under_way import Batch, UnderWay
from streamer.upstream import Resume

BATCH_ITEMS = 500  # that go to the disk together
BATCH_BYTES = 262_144
BATCH_DELAY = 0.02  # seconds that items wait for company
POLL = 0.25  # seconds; the bus does not say when it is ready again, nor the disk when it has room


@attrs.define(eq=False)
class Spooling:
    """The part of an outflow that uses the disk.

    Args:
        room: whether the bus may have more now.
        changed: called when something moved.
        number: of the newest batch, this process's or an earlier one's.
    """

    spool: Spool
    under_way: UnderWay
    clock: IReactorTime
    room: Callable[[], bool]
    changed: Callable[[], None]
    number: int = 0
    active: bool = False
    items_kept: int = 0  # put on disk so far
    failures: int = 0  # of the disk, so far
    lost: bool = False  # the last of it found no place on disk
    spooled: Resume | None = None  # the mark of the contiguous prefix that is on disk or beyond it
    stuck: deque[Batch] = attrs.field(factory=deque)  # that the disk refused, and what came after
    pending: list[Item] = attrs.field(factory=list)  # the batch being made
    pending_bytes: int = 0
    _mark: Resume | None = None
    _shadows: set[int] = attrs.field(factory=set)  # batches on disk that the bus was given before
    _marks: dict[int, Resume | None] = attrs.field(factory=dict)  # of batches on disk, made by this process
    erasing: Erasing = attrs.field(
        init=False, default=attrs.Factory(lambda self: Erasing(self.spool, self.changed), takes_self=True)
    )
    _reading: bool = False
    _pumping: bool = False  # so that a disk and a bus that answer at once make a loop of us and not a recursion
    _dry: bool = False  # there was nothing more on disk
    _calls: dict[str, IDelayedCall] = attrs.field(factory=dict)

    log = Logger()

    def begin(self) -> None:
        """From here on everything goes by way of the disk, until that is empty.

        What the bus was given already goes there too: should this process die, the disk alone would know of it, and
        the mark of what is on disk must not stand for something that is not.
        """
        self.active = True
        for batch in self.under_way.left():
            if not batch.stored:
                self._shadow(batch)
        self._poll()

    def put(self, items: Sequence[Item], mark: Resume | None) -> None:
        """Take items that were read together."""
        self.pending += items
        self.pending_bytes += sum([len(item.body) for item in items])
        self._mark = mark or self._mark
        if len(self.pending) >= BATCH_ITEMS or self.pending_bytes >= BATCH_BYTES:
            self._flush()
        elif "flush" not in self._calls:
            self._calls["flush"] = self.clock.callLater(BATCH_DELAY, self._flush)

    def pump(self) -> None:
        """Let the bus have the next chunks, if it may."""

        def unread(failure: Failure) -> None:
            self._reading, self._dry = False, True
            self.failures += 1
            self.log.error("The spool cannot be read: {error}", error=failure.getErrorMessage())

        if self._pumping:
            return
        self._pumping = True
        while self.active and not self._reading and not self._dry and self.room():
            self._reading = True
            self.spool.next().addCallbacks(self._read, unread)
        self._pumping = False

    def confirmed(self, batch: Batch) -> None:
        """The bus has a batch: if it is on disk, it need not be any longer."""
        if batch.stored:
            self.erasing.erase(batch.number)

    async def close(self, unconfirmed: Sequence[Batch]) -> None:
        """Put on disk what is not there and close it.

        Args:
            unconfirmed: batches that the bus did not answer for.
        """
        self._flush()
        self.active = False
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        self.erasing.again()
        stuck, self.stuck = list(self.stuck), deque()
        for batch in [*(one for one in unconfirmed if not one.stored), *stuck]:
            try:
                await self.spool.append(batch.number, batch.items)
            except Exception as error:
                self.lost = True
                self.failures += 1
                self.log.error("This stop loses {count} items: {error}", count=len(batch.items), error=str(error))
        self.erasing.closed = True
        await self.spool.close()

    def _flush(self) -> None:
        call = self._calls.pop("flush", None)
        if call is not None and call.active():
            call.cancel()
        items, self.pending, self.pending_bytes = self.pending, [], 0
        if not items:
            return
        self.number += 1
        batch = Batch(self.number, items, self._mark, stored=True)
        if self.stuck:
            self.stuck.append(batch)
        else:
            self._store(batch)

    def _store(self, batch: Batch) -> None:
        self._marks[batch.number] = batch.mark

        def refused(failure: Failure) -> None:
            self._marks.pop(batch.number, None)
            self.failures += 1
            if not self.stuck:
                self.log.error("The spool takes nothing: {error}", error=failure.getErrorMessage())
            self.stuck.append(attrs.evolve(batch, stored=False))
            self.stuck = deque(sorted(self.stuck, key=lambda one: one.number))
            self.changed()

        def kept(_: None) -> None:
            self._dry = False
            self.items_kept += len(batch.items)
            if all(one.stored or one.number > batch.number for one in self.under_way.left()):
                self.spooled = batch.mark or self.spooled
            if self.stuck and "poll" in self._calls:
                self._store(self.stuck.popleft())
            self.pump()
            self.changed()

        self.spool.append(batch.number, batch.items).addCallbacks(kept, refused)

    def _shadow(self, batch: Batch) -> None:
        def refused(failure: Failure) -> None:
            batch.stored = False
            self.failures += 1
            self._shadows.discard(batch.number)
            self.log.error("The spool takes nothing: {error}", error=failure.getErrorMessage())

        batch.stored = True
        self._shadows.add(batch.number)
        self.spool.append(batch.number, batch.items).addErrback(refused)

    def _poll(self) -> None:
        self._calls.pop("poll", None)
        if not self.active:
            return
        self._calls["poll"] = self.clock.callLater(POLL, self._poll)
        if self.stuck and not self.spool.waiting:
            self._store(self.stuck.popleft())
        self._dry = False
        self.erasing.again()
        self.pump()

    def _read(self, chunk: Chunk | None) -> None:
        self._reading = False
        if chunk is not None and chunk.number in self._shadows:
            self._shadows.discard(chunk.number)  # the bus was given it before
            self.pump()
        elif chunk is not None:
            mark = self._marks.pop(chunk.number, None)
            self.under_way.publish(Batch(chunk.number, chunk.items, mark, stored=True))
            self.pump()
        elif self.spool.waiting:
            self._dry = True  # until that is stored
        else:
            self._to_memory()
        self.changed()

    def _to_memory(self) -> None:
        """The disk is empty: what is in memory goes to the bus from there, and so does what comes next."""
        while self.stuck:
            self.under_way.publish(attrs.evolve(self.stuck.popleft(), stored=False))
        if self.pending:
            self.number += 1
            items, self.pending, self.pending_bytes = self.pending, [], 0
            self.under_way.publish(Batch(self.number, items, self._mark, stored=False))
        self.active = False
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
