# -*- test-case-name: tests.unit.test_bus_spool -*-
"""Group commit: whatever is asked for while the spool's thread is busy becomes its next job, all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from streamer.bus.spool_file import Outcome, SpoolFile
from streamer.bus.spool_values import Append, Chunk, Delete, Job, Lost, Report, SpoolFailed, Stored, failed
from streamer.bus.spool_worker import Work

JOB_BYTES = 8_388_608  # of items in one job, or its first chunk: bounds SQLite's log, and how long a job takes
READING_JOB_BYTES = 1_048_576  # likewise while a chunk is waited for, so that a flood does not keep it waiting

Told = Callable[[Outcome], None]
Reading = Deferred[Chunk | None]


def job_length(operations: Sequence[Append | Delete], most: int = JOB_BYTES) -> int:
    """How many operations, from the first on, make one job: all of them, unless that is more than `most` bytes."""
    size = 0
    for place, operation in enumerate(operations):
        size += operation.bytes if isinstance(operation, Append) else 0
        if size > most and place:
            return place
    return len(operations)


def too_early(chunk: Chunk | SpoolFailed | None, ahead: Sequence[Append | Delete]) -> bool:
    """Whether something that was asked for before, and is not done yet, belongs before the chunk or unmakes it."""
    if not isinstance(chunk, Chunk):
        return chunk is None and bool(ahead)
    return any(one.number < chunk.number if isinstance(one, Append) else one.number == chunk.number for one in ahead)


@attrs.define(eq=False)
class Turns:
    """Gives the file one job after another.

    Args:
        lose: told of each chunk found unreadable.
    """

    _log = Logger()

    _file: SpoolFile
    _work: Work
    _lose: Callable[[Lost], None]
    _open: bool = False
    _serving: bool = False
    _queue: list[tuple[Append | Delete, Told]] = attrs.field(factory=list)
    _reading: Reading | None = None
    _ahead: int = 0  # what was asked for before `_reading`, and is to be done before
    _rewound: bool = False
    _put_back: int | None = None
    _closing: list[Deferred[None]] = attrs.field(factory=list)
    _closed: bool = False

    async def begin(self) -> Stored:
        """Open the file. Raises SpoolFailed; may be tried again."""
        if self._open or self._closing or self._closed:
            raise SpoolFailed(f"the spool {self._file.path} was opened before")
        stored, lost = await self._work.do(self._file.open)
        for each in lost:
            self._lose(each)
        if self._closing or self._closed:
            raise SpoolFailed(f"the spool {self._file.path} was closed while it was being opened")
        self._open = True
        return stored

    def refusal(self) -> SpoolFailed | None:
        """Why nothing can be asked for, if that is so."""
        if self._open and not self._closing:
            return None
        return SpoolFailed(f"the spool {self._file.path} is not open")

    def ask(self, operation: Append | Delete, told: Told) -> None:
        """Do an operation in the next job; `told` hears what became of it."""
        self._queue.append((operation, told))
        self._wake()

    def read(self) -> Reading:
        """Read a chunk in the next job.

        Raises:
            RuntimeError: one is being read already.
        """
        if self._reading is not None:
            raise RuntimeError("the last chunk asked for has not come yet")
        self._reading = reading = Reading(self._forget_reading)
        self._ahead = len(self._queue)
        self._wake()
        return reading

    def rewind(self) -> None:
        """Read from the start again, beginning with what is being read."""
        self._rewound = True

    def close(self) -> Deferred[None]:
        """Finish what was asked, close the file, end the thread."""
        if self._closed:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        self._wake()
        return closed

    def _forget_reading(self, _: Reading) -> None:
        """The reader cancelled; a chunk that is on its way will be put back."""
        self._reading = None

    def _wake(self) -> None:
        if not self._serving:
            self._serving = True
            Deferred.fromCoroutine(self._serve())

    async def _serve(self) -> None:
        while self._queue or self._reading is not None:
            await self._turn()
        if self._closing:
            try:
                await self._work.do(self._file.close)
                await self._work.stop()
            except Exception:
                self._log.failure("while closing the spool {path}", path=self._file.path)
            self._open, self._closed = False, True
            closing, self._closing = self._closing, []
            for closed in closing:
                closed.callback(None)
        self._serving = False

    async def _turn(self) -> None:
        most = JOB_BYTES if self._reading is None else READING_JOB_BYTES
        queue = self._queue[: job_length([operation for operation, _ in self._queue], most)]
        del self._queue[: len(queue)]
        self._ahead = max(0, self._ahead - len(queue))
        operations = [operation for operation, _ in queue]
        job = Job(operations, self._rewound, self._put_back, self._reading is not None)
        self._rewound, self._put_back = False, None
        try:
            report = await self._work.do(partial(self._file.run, job))
        except Exception as error:
            self._log.failure("while working on the spool {path}", path=self._file.path)
            failure = failed("use", self._file.path, error)
            report = Report([failure] * len(queue), failure, ())
        for lost in report.lost:
            self._lose(lost)
        for (_, told), outcome in zip(queue, report.outcomes, strict=True):
            told(outcome)
        if job.read and not self._rewound:
            self._hand_out(report.chunk)

    def _hand_out(self, chunk: Chunk | SpoolFailed | None) -> None:
        if self._reading is None or too_early(chunk, [operation for operation, _ in self._queue[: self._ahead]]):
            self._put_back = chunk.number if isinstance(chunk, Chunk) else None
            return
        reading, self._reading = self._reading, None
        if isinstance(chunk, SpoolFailed):
            reading.errback(chunk)
        else:
            reading.callback(chunk)
