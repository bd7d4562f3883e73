"""The spool as its caller sees it: order, numbers, group commit, rewinding, closing."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.spool import Chunk, Spool, SpoolFailed, Stored
from streamer.bus.spool_file import SpoolFile
from streamer.bus.spool_turns import JOB_BYTES, job_length
from streamer.bus.spool_values import Append, Delete, Job, Report
from tests.unit.spooling import HeldWork, folder, items, spool_at


class SpoolTests(SynchronousTestCase):
    """On a file, everything done at once."""

    def setUp(self) -> None:
        self.path = folder(self) / "var" / "birds.spool"
        self.spool = self.reopen()

    def reopen(self) -> Spool:
        """A new spool on the same file."""
        spool = spool_at(self.path)
        self.stored: Stored = self.successResultOf(spool.open())
        self.addCleanup(lambda: self.successResultOf(spool.close()))
        return spool

    def append(self, *numbers: int) -> None:
        """Store a chunk under each number."""
        for number in numbers:
            self.successResultOf(self.spool.append(number, items(number)))

    def drained(self) -> list[int]:
        """Numbers of the chunks handed out until there is none."""
        numbers = []
        while (chunk := self.successResultOf(self.spool.next())) is not None:
            self.assertEqual(items(chunk.number), chunk.items)
            numbers.append(chunk.number)
        return numbers

    def test_a_new_spool_is_empty(self) -> None:
        """There is nothing in it, and no alarm."""
        self.assertEqual(Stored(0, 0, None, (), None), self.stored)
        self.assertIsNone(self.successResultOf(self.spool.next()))

    def test_items_come_back_whole(self) -> None:
        """Every field of an item survives the disk."""
        self.append(7)
        self.assertEqual(Chunk(7, items(7)), self.successResultOf(self.spool.next()))

    def test_lowest_first(self) -> None:
        """The order is that of the numbers, whatever the order of appending; below zero too."""
        self.append(5, 3, 9, -4)
        self.assertEqual([-4, 3, 5, 9], self.drained())

    def test_each_is_handed_out_once(self) -> None:
        """What was handed out does not come again, deleted or not."""
        self.append(1, 2)
        self.assertEqual([1, 2], self.drained())
        self.append(3)
        self.assertEqual([3], self.drained())

    def test_a_lower_number_goes_first(self) -> None:
        """A chunk stored behind the reading place is the next one, each once."""
        self.append(10, 20)
        self.assertEqual([10, 20], self.drained())
        self.append(30, 15, 5)
        self.assertEqual([5, 15, 30], self.drained())

    def test_rewind_hands_out_everything_still_stored(self) -> None:
        """Deleted chunks do not come back."""
        self.append(1, 2, 3)
        self.assertEqual([1, 2, 3], self.drained())
        self.successResultOf(self.spool.delete(2))
        self.spool.rewind()
        self.assertEqual([1, 3], self.drained())

    def test_survives_reopening(self) -> None:
        """Another start finds what was not deleted, its newest item and its ids."""
        self.append(1, 3, 2)
        self.successResultOf(self.spool.delete(1))
        self.successResultOf(self.spool.close())
        self.spool = self.reopen()
        self.assertEqual(Stored(4, 40, items(3)[-1], ("2.0", "2.1", "3.0", "3.1"), None, 3), self.stored)
        self.assertEqual((4, 40), (self.spool.items, self.spool.bytes))
        self.assertEqual([2, 3], self.drained())

    def test_counts(self) -> None:
        """Items and bytes of bodies count while stored; nothing waits once it is on disk."""
        self.append(1, 2)
        self.assertEqual((4, 40, 0), (self.spool.items, self.spool.bytes, self.spool.waiting))
        self.successResultOf(self.spool.delete(1))
        self.assertEqual((2, 20, 0), (self.spool.items, self.spool.bytes, self.spool.waiting))

    def test_deleting_what_is_not_there(self) -> None:
        """It is no error, and counts for nothing."""
        self.append(1)
        self.successResultOf(self.spool.delete(2))
        self.assertEqual((2, 20), (self.spool.items, self.spool.bytes))

    def test_a_number_is_used_once(self) -> None:
        """A second chunk under a number is refused in a sentence; the first stays."""
        self.append(1)
        failure = self.failureResultOf(self.spool.append(1, items(8)), SpoolFailed)
        self.assertIn("a number of its own", str(failure.value))
        self.assertEqual((2, 20, 0), (self.spool.items, self.spool.bytes, self.spool.waiting))
        self.assertEqual([1], self.drained())

    def test_a_deleted_number_may_be_used_again(self) -> None:
        """It is then read like any other."""
        self.append(1, 2)
        self.assertEqual([1, 2], self.drained())
        self.successResultOf(self.spool.delete(1))
        self.append(1)
        self.assertEqual([1], self.drained())

    def test_an_empty_chunk_is_a_defect(self) -> None:
        """There is nothing it could stand for."""
        self.assertRaises(ValueError, self.spool.append, 1, [])

    def test_not_open(self) -> None:
        """Before open and after close everything is refused; closing twice is closing once."""
        spool = spool_at(self.path.with_name("other.spool"))
        for _ in range(2):
            self.failureResultOf(spool.append(1, items(1)), SpoolFailed)
            self.failureResultOf(spool.next(), SpoolFailed)
            self.failureResultOf(spool.delete(1), SpoolFailed)
            self.successResultOf(spool.close())
        self.failureResultOf(spool.open(), SpoolFailed)
        self.assertEqual((0, 0, 0), (spool.items, spool.bytes, spool.waiting))

    def test_opening_twice(self) -> None:
        """The second time fails, and harms nothing."""
        self.append(1)
        self.failureResultOf(self.spool.open(), SpoolFailed)
        self.assertEqual([1], self.drained())


class Recorder(SpoolFile):
    """A real file that remembers its jobs, and may have defects."""

    jobs: list[Job]
    defects = 0

    def run(self, job: Job) -> Report:
        """Do it, and remember it."""
        self.jobs.append(job)
        if self.defects:
            self.defects -= 1
            raise KeyError("defect")
        return super().run(job)


def store(number: int, size: int) -> Append:
    """An append that says it is so large."""
    return Append(number, items(number), size)


class GroupCommitTests(SynchronousTestCase):
    """The disk takes its time."""

    def setUp(self) -> None:
        self.work = HeldWork()
        self.file = Recorder(folder(self) / "var" / "birds.spool")
        self.file.jobs = []
        self.spool = Spool(self.file, self.work)
        opened = self.spool.open()
        self.work.all()
        self.successResultOf(opened)
        self.addCleanup(self.file.close)

    def ask(self, *numbers: int) -> list[Any]:
        """Append, without waiting."""
        return [self.spool.append(number, items(number)) for number in numbers]

    def test_what_queues_up_is_one_transaction(self) -> None:
        """One job runs; all that is asked meanwhile is the next."""
        first, *others = self.ask(1, 2, 3)
        deleted = self.spool.delete(1)
        self.work.one()
        self.successResultOf(first)
        for other in [*others, deleted]:
            self.assertNoResult(other)
        self.work.one()
        for other in [*others, deleted]:
            self.successResultOf(other)
        self.assertEqual([1, 3], [len(job.operations) for job in self.file.jobs])

    def test_a_job_is_bounded(self) -> None:
        """What is more than a job's bytes is the job after it; a chunk that is larger has one for itself."""
        large = store(1, JOB_BYTES // 2 + 1)
        self.assertEqual(1, job_length([large, large, store(2, 0)]))
        self.assertEqual(3, job_length([store(1, JOB_BYTES), store(2, 0), Delete(1)]))
        self.assertEqual(1, job_length([store(1, 2 * JOB_BYTES), store(2, 1)]))
        self.assertEqual(0, job_length([]))

    def test_next_is_not_starved(self) -> None:
        """It does not wait for what belongs after it, however much that is, and does for what belongs before it."""
        self.ask(2)
        body = bytes(JOB_BYTES // 2)
        wide = [msgspec.structs.replace(item, body=body) for item in items(2, 1)]
        for number in (3, 4, 5):
            self.spool.append(number, wide)
        reading = self.spool.next()
        self.work.one()
        self.assertNoResult(reading)
        self.work.one()
        self.assertEqual(2, self.successResultOf(reading).number)
        first = self.spool.append(1, wide)
        reading = self.spool.next()
        while not first.called:
            self.assertNoResult(reading)
            self.work.one()
        self.assertEqual(1, self.successResultOf(reading).number)
        self.work.all()

    def test_waiting_counts_what_is_in_memory(self) -> None:
        """From append to commit, not longer."""
        self.ask(1, 2)
        self.assertEqual((4, 40, 40), (self.spool.items, self.spool.bytes, self.spool.waiting))
        self.work.one()
        self.assertEqual((4, 40, 20), (self.spool.items, self.spool.bytes, self.spool.waiting))
        self.work.one()
        self.assertEqual((4, 40, 0), (self.spool.items, self.spool.bytes, self.spool.waiting))

    def test_next_sees_what_was_asked_before_it(self) -> None:
        """Appends and deletes come first."""
        self.ask(2, 1)
        self.spool.delete(1)
        reading = self.spool.next()
        self.work.all()
        self.assertEqual(Chunk(2, items(2)), self.successResultOf(reading))

    def test_one_next_at_a_time(self) -> None:
        """A second one is a defect of the caller."""
        reading = self.spool.next()
        self.assertRaises(RuntimeError, self.spool.next)
        self.work.all()
        self.assertIsNone(self.successResultOf(reading))

    def test_rewind_reaches_a_next_under_way(self) -> None:
        """It gives the lowest chunk, not the one it was reading, so that the order holds."""
        self.ask(1, 2)
        reading = self.spool.next()
        self.work.all()
        self.successResultOf(reading)
        reading = self.spool.next()
        self.spool.rewind()
        self.work.all()
        self.assertEqual(1, self.successResultOf(reading).number)
        reading = self.spool.next()
        self.work.all()
        self.assertEqual(2, self.successResultOf(reading).number)

    def test_a_cancelled_next_loses_no_chunk(self) -> None:
        """The chunk goes to the following call, whether that came before or after the disk's answer."""
        self.ask(1, 2)
        self.work.all()
        for number in (1, 2):
            cancelled = self.spool.next()
            cancelled.cancel()
            self.failureResultOf(cancelled, CancelledError)
            if number == 2:
                self.work.all()
            reading = self.spool.next()
            self.work.all()
            self.assertEqual(number, self.successResultOf(reading).number)

    def test_asked_again_after_a_delete(self) -> None:
        """The answer to a cancelled call does not serve the next one, which is to see the delete before it."""
        self.ask(1, 2)
        self.work.all()
        cancelled = self.spool.next()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.spool.delete(1)
        reading = self.spool.next()
        self.work.all()
        self.assertEqual(2, self.successResultOf(reading).number)

    def test_cancelling_an_append_does_not_take_it_back(self) -> None:
        """The counts stay true."""
        (appended,) = self.ask(1)
        appended.cancel()
        self.failureResultOf(appended, CancelledError)
        self.work.all()
        self.assertEqual((2, 20, 0), (self.spool.items, self.spool.bytes, self.spool.waiting))

    def test_close_finishes_what_was_asked(self) -> None:
        """Then takes nothing more, and ends the thread last."""
        asked = self.ask(1, 2)
        reading = self.spool.next()
        closed, again = self.spool.close(), self.spool.close()
        self.failureResultOf(self.spool.append(3, items(3)), SpoolFailed)
        self.work.one()
        self.work.one()
        for each in asked:
            self.successResultOf(each)
        self.assertEqual(1, self.successResultOf(reading).number)
        self.assertFalse(self.work.stopped)
        self.assertNoResult(closed)
        self.work.all()
        self.assertTrue(self.work.stopped)
        self.successResultOf(closed)
        self.successResultOf(again)
        self.successResultOf(self.spool.close())

    def test_close_while_opening(self) -> None:
        """Opening fails, closing does not, and the file is closed."""
        spool = Spool(SpoolFile(self.file.path.with_name("other.spool")), self.work)
        opening = spool.open()
        closed = spool.close()
        self.work.all()
        self.failureResultOf(opening, SpoolFailed)
        self.successResultOf(closed)

    def test_a_defect_fails_what_was_asked(self) -> None:
        """An exception nobody foresaw is logged, told to everybody who waits, and the spool goes on."""
        self.file.defects = 1
        (appended,) = self.ask(1)
        self.work.all()
        failure = self.failureResultOf(appended, SpoolFailed)
        self.assertIn("please report it", str(failure.value))
        self.assertEqual((0, 0, 0), (self.spool.items, self.spool.bytes, self.spool.waiting))
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))
        (appended,) = self.ask(1)
        self.work.all()
        self.successResultOf(appended)
