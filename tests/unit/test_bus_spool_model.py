"""Any interleaving of calls, disk turns, restarts and crashes keeps the order and loses nothing that was on disk."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from streamer.bus.spool import Chunk, SpoolFailed, Stored
from tests.unit.spooling import MEMORY, HeldWork, items, spool_at

NUMBERS = st.integers(-3, 12)


class SpoolMachine(RuleBasedStateMachine):
    """What was asked, what is surely on disk, and what was handed out, beside a spool on a slow disk."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory(dir=MEMORY)
        self.starts = 0
        self.path = Path(self.home.name) / "0" / "birds.spool"
        self.asked: set[int] = set()  # stored, once all that was asked is done
        self.sure: set[int] = set()  # on disk, and nobody asked to delete it
        self.deleted: set[int] = set()  # surely not on disk
        self.handed: set[int] = set()
        self.reading: Deferred[Any] | None = None
        self.start()

    def teardown(self) -> None:
        closed = self.spool.close()
        self.work.all()
        assert closed.called
        self.home.cleanup()

    def start(self) -> None:
        """Open, and check what is found against what must be there."""
        self.work = HeldWork()
        self.spool = spool_at(self.path, self.work)
        found: list[Stored] = []
        self.spool.open().addCallback(found.append)
        self.work.all()
        (stored,) = found
        assert stored.moved is None
        numbers = sorted({int(id.partition(".")[0]) for id in stored.ids})
        assert self.sure <= set(numbers), f"lost {self.sure - set(numbers)}"
        assert not self.deleted & set(numbers)
        assert [item.id for number in numbers for item in items(number)] == list(stored.ids)
        assert stored.last == (items(numbers[-1])[-1] if numbers else None)
        assert (stored.items, stored.bytes) == (2 * len(numbers), 20 * len(numbers))
        self.asked, self.sure = set(numbers), set(numbers)
        self.handed, self.reading = set(), None

    @rule(number=NUMBERS)
    def append(self, number: int) -> None:
        """Numbers in use are refused."""
        known = number in self.asked
        self.asked.add(number)

        def done(result: Any) -> None:
            if known:
                assert isinstance(result, Failure)
                assert result.check(SpoolFailed)
                return
            assert result is None
            self.deleted.discard(number)
            self.handed.discard(number)
            if number in self.asked:
                self.sure.add(number)

        self.deleted.discard(number)
        self.spool.append(number, items(number)).addBoth(done)

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        """Whether it is there or not, handed out or not."""
        self.asked.discard(number)
        self.sure.discard(number)

        def done(_: None) -> None:
            if number not in self.asked:
                self.deleted.add(number)

        self.spool.delete(number).addCallback(done)

    @precondition(lambda self: self.reading is None)
    @rule()
    def next(self) -> None:
        """The lowest of what was surely there when it was asked for, or one that came later."""
        before = set(self.sure)

        def done(chunk: Chunk | None) -> None:
            self.reading = None
            owed = {number for number in before & self.sure if number not in self.handed}
            if chunk is None:
                assert not owed, f"{owed} were never handed out"
                return
            assert chunk.items == items(chunk.number)
            assert chunk.number not in self.handed
            assert all(chunk.number <= number for number in owed), f"{chunk.number} came before {owed}"
            self.handed.add(chunk.number)

        self.reading = self.spool.next()
        self.reading.addCallback(done)

    @precondition(lambda self: self.reading is not None)
    @rule()
    def cancel(self) -> None:
        """The chunk goes to somebody else."""
        reading, self.reading = self.reading, None
        assert reading is not None
        reading.addErrback(lambda failure: failure.trap(CancelledError))
        reading.cancel()

    @rule()
    def rewind(self) -> None:
        """Everything is to come again."""
        self.spool.rewind()
        self.handed.clear()

    @precondition(lambda self: self.work.waiting)
    @rule()
    def disk(self) -> None:
        """One job is done."""
        self.work.one()

    @rule()
    def quiet(self) -> None:
        """When all is done, all is as it was asked."""
        self.work.all()
        assert self.sure == self.asked
        assert self.spool.waiting == 0
        assert (self.spool.items, self.spool.bytes) == (2 * len(self.asked), 20 * len(self.asked))

    @rule()
    def restart(self) -> None:
        """Closing finishes what was asked."""
        closed = self.spool.close()
        self.work.all()
        assert closed.called
        assert self.sure == self.asked
        self.start()

    @rule()
    def crash(self) -> None:
        """Another process finds the files as they are now; what was only asked for is gone, or not."""
        self.starts += 1
        old, self.path = self.path.parent, Path(self.home.name) / str(self.starts) / "birds.spool"
        shutil.copytree(old, self.path.parent, ignore=shutil.ignore_patterns("*-shm"))
        self.spool._file.close()
        self.start()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=25, stateful_step_count=30)
