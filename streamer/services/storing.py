# -*- test-case-name: tests.unit.test_services_outflow -*-
"""Batches → the disk, and what to do with those that the disk refuses: they wait in memory, and keep their places."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.bus.spool import Spool
from streamer.services.under_way import Batch, UnderWay
from streamer.upstream import Resume

TELL_EVERY = 300.0  # seconds between two words about a disk that goes on refusing
TELL_ANEW = 15.0  # seconds between two at least, where it takes something now and then


@attrs.define(eq=False)
class Storing:
    """The way of one source's batches to its spool.

    Args:
        erase: forget a chunk that is on disk for nothing.
        kept: called when something is on disk; `changed` when something was refused.
    """

    spool: Spool
    under_way: UnderWay
    clock: IReactorTime
    erase: Callable[[int], None]
    kept: Callable[[], None]
    changed: Callable[[], None]
    spooled: Resume | None = None  # the mark of the contiguous prefix that is on disk or beyond it
    number: int = 0  # of the batch that the mark is from
    marks: dict[int, Resume | None] = attrs.field(factory=dict)  # of batches on disk, made by this process
    stuck: deque[Batch] = attrs.field(factory=deque)  # refused, and those that came after
    items_kept: int = 0
    failures: int = 0  # of the disk, so far
    refusal: str = ""  # its reason, from its refusing something until it takes something
    _retried: Batch | None = None
    _asked: set[Deferred[None]] = attrs.field(factory=set)  # of the disk, not answered
    _told: float = -math.inf  # when the log was told last
    _anew: bool = True  # the log has not been told of this refusing

    log = Logger()

    def store(self, batch: Batch) -> None:
        """Put a batch on disk, after those that are stuck."""
        if self.stuck:
            self.stuck.append(batch)
        else:
            self._ask(batch)

    def shadow(self, batch: Batch) -> None:
        """Put a batch on disk that the bus was given already."""

        def refused(failure: Failure) -> None:
            batch.stored = False
            self._complain(failure)

        batch.stored = True
        self._append(batch, lambda _: self._took(), refused)

    def again(self) -> None:
        """Ask the disk once more for the first one that it refused."""
        if self.stuck and self._retried is None and not self.spool.waiting:
            self._retried = self.stuck[0]
            self._ask(self._retried)

    def before(self, number: int | None) -> list[Batch]:
        """Take out what is stuck and comes before a chunk, or all of it: it goes another way."""
        taken: list[Batch] = []
        while self.stuck and (number is None or self.stuck[0].number < number):
            taken.append(attrs.evolve(self.stuck.popleft(), stored=False))
        return taken

    async def settled(self) -> None:
        """Wait until the disk has answered for everything."""
        while self._asked:
            await DeferredList(list(self._asked))

    def _ask(self, batch: Batch) -> None:
        self.marks[batch.number] = batch.mark
        self._append(batch, lambda _: self._stored(batch), lambda failure: self._refused(batch, failure))

    def _append(self, batch: Batch, stored: Callable[[None], None], refused: Callable[[Failure], None]) -> None:
        done: Deferred[None] = Deferred()
        self._asked.add(done)

        def answered(_: object) -> None:  # last, so that who waits for it finds everything settled
            self._asked.discard(done)
            done.callback(None)

        asked = self.spool.append(batch.number, batch.items).addCallbacks(stored, refused)
        asked.addErrback(lambda failure: self.log.failure("while storing", failure))
        asked.addBoth(answered)

    def _stored(self, batch: Batch) -> None:
        self._took()
        if batch is self._retried:
            self._retried = None
            if not self.stuck or self.stuck[0] is not batch:
                self.erase(batch.number)  # it went to the bus from memory meanwhile
                return
            self.stuck.popleft()
        self.items_kept += len(batch.items)
        elsewhere = [*self.stuck, *(one for one in self.under_way.left() if not one.stored)]
        if all(one.number > batch.number for one in elsewhere):
            self.spooled, self.number = batch.mark or self.spooled, batch.number
        self.again()
        self.kept()

    def _refused(self, batch: Batch, failure: Failure) -> None:
        self.marks.pop(batch.number, None)
        self._complain(failure)
        if batch is self._retried:
            self._retried = None
        else:
            self.stuck = deque(sorted([*self.stuck, batch], key=lambda one: one.number))
        self.changed()

    def _complain(self, failure: Failure) -> None:
        self.failures += 1
        self.refusal = failure.getErrorMessage()
        now = self.clock.seconds()
        if now - self._told >= (TELL_ANEW if self._anew else TELL_EVERY):
            self._told, self._anew = now, False
            self.log.error("The spool takes nothing: {error}", error=self.refusal)

    def _took(self) -> None:
        self.refusal, self._anew = "", True
