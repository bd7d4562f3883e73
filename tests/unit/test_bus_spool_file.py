"""The spool's file: what a commit holds, a disk that is full, space given back, the reading place."""

from __future__ import annotations

import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.spool_file import SpoolFile
from streamer.bus.spool_opening import WAL_KEPT
from streamer.bus.spool_place import Place
from streamer.bus.spool_table import SLACK
from streamer.bus.spool_values import IDS_LOADED, Amount, Append, Chunk, Delete, Job, Report, SpoolFailed
from streamer.message import Item
from tests.unit.spooling import file_at, folder, items


def store(number: int, count: int = 2, size: int = 10) -> Append:
    """An append of items that tell their chunk."""
    return Append(number, items(number, count, size), count * size)


class SpoolFileTests(SynchronousTestCase):
    """On a file."""

    def setUp(self) -> None:
        self.path = folder(self) / "deep" / "er" / "birds.spool"
        self.file = file_at(self.path)
        self.file.open()
        self.addCleanup(lambda: self.file.close())

    def run_job(self, *operations: Append | Delete, read: bool = False) -> Report:
        """One job."""
        return self.file.run(Job(operations, read=read))

    def numbers(self) -> list[int]:
        """Numbers of all chunks, read as another process would."""
        with sqlite3.connect(self.path) as other:
            found = [number for (number,) in other.execute("SELECT number FROM chunks ORDER BY number")]
        other.close()
        return found

    def pragma(self, name: str) -> int:
        """What a setting of the connection is."""
        assert self.file._connection is not None
        ((value,),) = self.file._connection.execute(f"PRAGMA {name}")
        return int(value)

    def limit_pages(self, pages: int) -> None:
        """Let the disk be full at so many pages; 0 frees it."""
        self.assertEqual(pages or 1_073_741_823, self.pragma(f"max_page_count={pages or 1_073_741_823}"))

    def test_private(self) -> None:
        """Only the owner may read what the upstream sent us, in the log too."""
        self.run_job(store(1))
        for name in ("birds.spool", "birds.spool-wal"):
            self.assertEqual(0o600, (self.path.parent / name).stat().st_mode & 0o777)
        self.assertEqual(0o700, self.path.parent.stat().st_mode & 0o777)

    def test_synchronous(self) -> None:
        """Each commit waits for the disk, unless only our own end is to be outlived."""
        self.assertEqual(2, self.pragma("synchronous"))
        self.file.close()
        self.file = SpoolFile(self.path, "normal")
        self.file.open()
        self.assertEqual(1, self.pragma("synchronous"))

    def test_a_name_with_anything_in_it(self) -> None:
        """A path is no URL."""
        odd = file_at(self.path.with_name("50% of #1?mode=ro&x.spool"))
        odd.open()
        odd.run(Job([store(1)]))
        odd.close()
        self.assertEqual(2, odd.open()[0].items)
        odd.close()

    def test_a_job_is_one_transaction(self) -> None:
        """Deletes tell what they took away; the order within a job holds."""
        report = self.run_job(store(1), Delete(1), store(1, 3), Delete(5), read=True)
        self.assertEqual([None, Amount(2, 20), None, Amount(0, 0)], report.outcomes)
        self.assertEqual(Chunk(1, items(1, 3)), report.chunk)

    def test_what_is_told_is_done(self) -> None:
        """Another process sees it at once."""
        self.run_job(store(2), store(1))
        self.assertEqual([1, 2], self.numbers())

    def test_a_bad_chunk_fails_alone(self) -> None:
        """An item that cannot be written does not take its neighbours along."""
        bad = Append(2, (Item(source="birds", kind="post", id="\ud800", received=1, body=b""),), 0)
        first, second, third = self.run_job(store(1), bad, store(3)).outcomes
        self.assertIsNone(first)
        self.assertIsInstance(second, SpoolFailed)
        self.assertIsNone(third)
        self.assertEqual([1, 3], self.numbers())

    def test_a_full_disk_refuses(self) -> None:
        """In a sentence that says how to mend it; nothing of the chunk is there."""
        self.limit_pages(self.pragma("page_count"))
        (refused,) = self.run_job(store(1, 1, 1_000_000)).outcomes
        self.assertIsInstance(refused, SpoolFailed)
        self.assertEqual(
            f"cannot write the spool {self.path}: database or disk is full (SQLITE_FULL); "
            "free space on that disk, or set [streamer] spool_bytes lower",
            str(refused),
        )
        self.assertEqual([], self.numbers())

    def test_a_full_disk_lets_read_and_delete(self) -> None:
        """Also in one job with appends; those that follow the first refused one do not overtake it."""
        self.run_job(*[store(number, 1, 500_000) for number in (1, 2)])
        self.limit_pages(self.pragma("page_count"))
        report = self.run_job(
            store(3, 1, 500_000), Delete(9), store(4, 1, 900_000), Delete(1), store(5, 1, 10), read=True
        )
        self.assertEqual(
            [SpoolFailed, Amount, SpoolFailed, Amount, SpoolFailed], [type(outcome) for outcome in report.outcomes]
        )
        assert isinstance(report.chunk, Chunk)
        self.assertEqual(2, report.chunk.number)
        self.assertEqual([2], self.numbers())

    def test_a_disk_that_was_full(self) -> None:
        """Takes chunks again once there is room, each in its place."""
        self.limit_pages(self.pragma("page_count"))
        self.run_job(store(1, 1, 1_000_000), store(2, 1, 1_000_000))
        self.limit_pages(0)
        self.assertEqual([None], self.run_job(store(2)).outcomes)
        self.assertEqual(2, self.run_job(read=True).chunk.number)  # type: ignore[union-attr]
        self.assertEqual([None], self.run_job(store(1)).outcomes)
        self.assertEqual(1, self.run_job(read=True).chunk.number)  # type: ignore[union-attr]

    def test_a_held_file_is_waited_for_once(self) -> None:
        """Another program that holds the file costs a job its wait once, not once for each operation."""
        assert self.file._connection is not None
        self.file._connection.execute("PRAGMA busy_timeout=1")
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        one, two = self.run_job(store(1), Delete(2)).outcomes
        self.assertIs(one, two)
        self.assertIn("end the other program", str(one))
        other.close()
        self.assertEqual([None], self.run_job(store(1)).outcomes)

    def test_an_empty_spool_gives_its_disk_back(self) -> None:
        """Up to some slack; a spool that still holds something keeps its pages, and uses them again."""
        for number in range(6):
            self.run_job(store(number, 1, SLACK // 4))
        full = self.path.stat().st_size
        for number in range(5):
            self.run_job(Delete(number))
        self.assertGreaterEqual(self.path.stat().st_size, full)
        self.run_job(*[store(number, 1, SLACK // 4) for number in range(5)])
        self.file._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # type: ignore[union-attr]
        self.assertLess(self.path.stat().st_size, full + SLACK // 4)
        for number in range(6):
            self.run_job(Delete(number))
        self.assertLess(self.path.stat().st_size, 1_000_000)
        self.assertEqual([None], self.run_job(store(1)).outcomes)
        self.assertEqual([1], self.numbers())

    def test_the_log_is_bounded(self) -> None:
        """However much goes through, SQLite's log stays at its limit, and goes with the file's closing."""
        log = self.path.with_name("birds.spool-wal")
        for number in range(40):
            self.run_job(store(number, 1, 1_000_000), Delete(number - 1))
            self.assertLess(log.stat().st_size, 2 * WAL_KEPT + 1_000_000)
        self.file.close()
        self.assertFalse(log.exists())

    def test_a_large_job_leaves_no_large_log(self) -> None:
        """The log is cut back once what it held is in the file."""
        log = self.path.with_name("birds.spool-wal")
        self.run_job(store(1, 1, 2 * WAL_KEPT))
        self.assertGreater(log.stat().st_size, WAL_KEPT)
        self.run_job(store(2))
        self.assertLessEqual(log.stat().st_size, WAL_KEPT)

    def test_ids_are_bounded(self) -> None:
        """Only the newest are loaded, oldest first."""
        self.run_job(store(3, 4), store(1, 4), store(2, 4))
        self.assertEqual(("2.2", "2.3", "3.0", "3.1", "3.2", "3.3"), self.file._table.newest_ids(6))
        self.assertEqual(12, len(self.file._table.newest_ids(IDS_LOADED)))


class PlaceTests(SynchronousTestCase):
    """The reading place by itself."""

    def test_ahead(self) -> None:
        """What is stored ahead is found in the table, and need not be remembered."""
        place = Place()
        place.wants(5)
        place.passed(5)
        place.wants(6)
        self.assertEqual(Place(5, []), place)

    def test_behind(self) -> None:
        """What is stored behind is remembered in order, once, until it is read or deleted."""
        place = Place(9)
        for number in (7, 3, 7, 9):
            place.wants(number)
        self.assertEqual([3, 7, 9], place.behind)
        place.forget(7)
        place.passed(3)
        self.assertEqual(Place(9, [9]), place)

    def test_never_moves_back(self) -> None:
        """Only rewinding does that."""
        place = Place(9)
        place.passed(4)
        self.assertEqual(Place(9), place)
        place.rewind()
        self.assertEqual(Place(), place)
