# -*- test-case-name: tests.unit.test_recording_cli -*-
"""A bus that is a file: what is published is recorded, and confirmed once it was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer.bus.limits import check
from streamer.bus.memory_locks import MemoryLocks
from streamer.errors import MessageRefused
from streamer.interfaces import Handler, IBus, ILog, IWork, Offset, Receiver
from streamer.message import RAW, Item, Message
from streamer.services.keeping import Thread
from streamer.services.record_file import SYNC_EACH, RecordingNotWritten, RecordingTarget
from streamer.wire.recording import line_of

WINDOW = 10_000  # items that wait for the disk


@implementer(IBus)
class RecordingBus(Service):
    """See IBus; it has no queues and no log.

    Args:
        thread: runs a function elsewhere.
        most: items to take.
        full: called once it has so many.
        broken: told a sentence when nothing more can be written.
    """

    durable = True
    trouble = ""
    window = WINDOW

    def __init__(
        self,
        target: RecordingTarget,
        clock: IReactorTime,
        thread: Thread,
        most: int | None = None,
        full: Callable[[], None] = lambda: None,
        broken: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.locks = MemoryLocks()
        self.items = 0
        self.failure = ""
        self.discard = False  # leave no recording where nothing was recorded
        self._target, self._thread = target, thread
        self._most, self._full, self._broken = most, full, broken
        self._lines: list[bytes] = []
        self._waiting: list[Deferred[None]] = []
        self._due = False  # for a sync
        self._dirty = False  # something was written since the last one
        self._busy = False  # the thread has something
        self._quiet: list[Deferred[None]] = []  # who waits for the thread
        self._over = False
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock

    @property
    def ready(self) -> bool:
        """Whether an item would be taken."""
        return not (self._over or self.failure or self._whole)

    @property
    def _whole(self) -> bool:
        return self._most is not None and self.items >= self._most

    @property
    def status(self) -> str:
        """For the operator."""
        return self.failure or f"{self.items} items recorded in {self._target.path}"

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._target.size

    def startService(self) -> None:
        """Begin to sync."""
        Service.startService(self)
        self._ticking.start(SYNC_EACH, now=False).addErrback(lambda failure: None)

    def stopService(self) -> Deferred[None]:
        """Write what waits, and close the file."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    def publish(self, message: Message) -> Deferred[None]:
        """See IBus; what it does not take it refuses for good, for nobody tries again."""
        if not self.ready:
            return fail(MessageRefused(self.failure or "the recording has its end"))
        try:
            check(message)
            if message.exchange != RAW:
                raise ValueError(f"a recording holds items, and this is for {message.exchange}")
            line = line_of(Item.from_message(message))
        except MessageRefused as error:
            return fail(error)
        except ValueError as error:
            return fail(MessageRefused(str(error)))
        waiting: Deferred[None] = Deferred()
        self._lines.append(line)
        self._waiting.append(waiting)
        self.items += 1
        self._pump()
        if self.items == self._most:
            self._full()
        return waiting

    def work(self, queue: str, handler: Handler, prefetch: int) -> IWork:
        """See IBus: there is none."""
        raise ValueError("a recording has no queues")

    def log(self, start: float | Offset, receive: Receiver) -> ILog:
        """See IBus: there is none."""
        raise ValueError("a recording has no log")

    def _tick(self) -> None:
        self._due = self._dirty
        self._pump()

    def _pump(self) -> None:
        if self._busy or self.failure or not (self._lines or self._due):
            return
        (lines, waiting), sync = (self._lines, self._waiting), self._due
        self._lines, self._waiting, self._due, self._busy = [], [], False, True

        def done(result: Any) -> None:
            self._busy, self._dirty = False, not sync
            if isinstance(result, Failure):
                self._fail(result, waiting)
            else:
                for one in waiting:
                    one.callback(None)
                self._pump()
            if not self._busy:
                quiet, self._quiet = self._quiet, []
                for one in quiet:
                    one.callback(None)

        self._thread(lambda: self._target.write(lines, sync=sync)).addBoth(done)

    def _fail(self, failure: Failure, waiting: list[Deferred[None]]) -> None:
        self.failure = failure.getErrorMessage()
        waiting, self._waiting, self._lines = [*waiting, *self._waiting], [], []
        for one in waiting:
            one.errback(MessageRefused(self.failure))
        self._broken(self.failure)

    async def _stop(self) -> None:
        self._over = True
        if self._ticking.running:
            self._ticking.stop()
        if self._busy:
            quiet: Deferred[None] = Deferred()
            self._quiet.append(quiet)
            await quiet
        if self.failure:
            self._target.abandon()
            return
        discard = self.discard and not self.items
        try:
            await self._thread(lambda: self._target.close(discard=discard))
        except RecordingNotWritten as error:
            self.failure = str(error)
            self._broken(self.failure)
