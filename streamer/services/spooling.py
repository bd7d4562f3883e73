# -*- test-case-name: tests.unit.test_services_outflow -*-
"""Items that go by way of the disk: a batch in memory → the spool → the bus, at the bus's pace and in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.bus.spool import Spool
from streamer.bus.spool_values import Chunk
from streamer.message import Item
from streamer.services.erasing import Erasing
from streamer.services.storing import Storing
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
    failures: int = 0  # to read, and at the last; see also `storing` and `erasing`
    lost: bool = False  # the last of it found no place on disk
    pending: list[Item] = attrs.field(factory=list)  # the batch being made
    pending_bytes: int = 0
    storing: Storing = attrs.field(init=False)
    erasing: Erasing = attrs.field(init=False)
    _mark: Resume | None = None
    _shadows: set[int] = attrs.field(factory=set)  # batches on disk that the bus was given before
    _reading: bool = False
    _pumping: bool = False  # so that a disk and a bus that answer at once make a loop of us and not a recursion
    _dry: bool = False  # there was nothing more on disk
    _calls: dict[str, IDelayedCall] = attrs.field(factory=dict)

    log = Logger()

    def __attrs_post_init__(self) -> None:
        def kept() -> None:
            self._dry = False
            self.pump()
            self.changed()

        def erased(number: int) -> None:
            self._shadows.discard(number)
            self.changed()

        self.erasing = Erasing(self.spool, self.clock, erased)
        self.storing = Storing(self.spool, self.under_way, self.clock, self.erasing.erase, kept, self.changed)

    def begin(self) -> None:
        """From here on everything goes by way of the disk, until that is empty.

        What the bus was given already goes there too: should this process die, the disk alone would know of it, and
        the mark of what is on disk must not stand for something that is not.
        """
        self.active = True
        for batch in self.under_way.left():
            if not batch.stored:
                self._shadows.add(batch.number)
                self.storing.shadow(batch)
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

    async def close(self, unconfirmed: Callable[[], Sequence[Batch]]) -> None:
        """Put on disk what is not there and close it.

        Args:
            unconfirmed: batches that the bus did not answer for.
        """
        self._flush()
        self.active = False
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        await self.storing.settled()
        self.erasing.close()
        for batch in [*(one for one in unconfirmed() if not one.stored), *self.storing.before(None)]:
            try:
                await self.spool.append(batch.number, batch.items)
            except Exception as error:
                self.lost = True
                self.failures += 1
                self.log.error("This stop loses {count} items: {error}", count=len(batch.items), error=str(error))
        await self.spool.close()

    def _flush(self) -> None:
        call = self._calls.pop("flush", None)
        if call is not None and call.active():
            call.cancel()
        items, self.pending, self.pending_bytes = self.pending, [], 0
        if items:
            self.number += 1
            self.storing.store(Batch(self.number, items, self._mark, stored=True))

    def _poll(self) -> None:
        self._calls.pop("poll", None)
        if not self.active:
            return
        self._calls["poll"] = self.clock.callLater(POLL, self._poll)
        self._dry = False
        self.storing.again()
        self.pump()

    def _read(self, chunk: Chunk | None) -> None:
        self._reading = False
        if chunk is not None and chunk.number in self._shadows:
            self._shadows.discard(chunk.number)  # the bus was given it before
            self.pump()
        elif chunk is not None:
            for batch in self.storing.before(chunk.number):
                self.under_way.publish(batch)
            mark = self.storing.marks.pop(chunk.number, None)
            self.under_way.publish(Batch(chunk.number, chunk.items, mark, stored=True))
            self.pump()
        elif self.spool.waiting:
            self._dry = True  # until that is stored
        else:
            self._to_memory()
        self.changed()

    def _to_memory(self) -> None:
        """The disk is empty: what is in memory goes to the bus from there, and so does what comes next."""
        for batch in self.storing.before(None):
            self.under_way.publish(batch)
        if self.pending:
            self.number += 1
            items, self.pending, self.pending_bytes = self.pending, [], 0
            self.under_way.publish(Batch(self.number, items, self._mark, stored=False))
        self.storing.spooled = None  # it stood for what was there
        self.active = False
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
