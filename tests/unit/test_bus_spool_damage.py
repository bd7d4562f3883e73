"""Damaged files, unreadable chunks, files that are none of ours, folders that cannot be written."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.spool import Chunk, Spool, SpoolFailed, Stored
from streamer.bus.spool_file import SpoolFile
from streamer.bus.spool_opening import DAMAGED_KEPT, SCHEMA
from tests.unit.spooling import folder, items, spool_at

CHUNKS = 5
ITEMS = 20  # a chunk
SIZE = 6_000  # bytes of an item; a chunk takes four pages


class DamageTests(SynchronousTestCase):
    """A spool of some chunks was closed, and something happened to its file."""

    def setUp(self) -> None:
        self.path = folder(self) / "birds.spool"
        spool = spool_at(self.path)
        self.successResultOf(spool.open())
        for number in range(CHUNKS):
            self.successResultOf(spool.append(number, items(number, ITEMS, SIZE)))
        self.successResultOf(spool.close())

    def reopen(self) -> tuple[Spool, Stored]:
        """As the next start does."""
        spool = spool_at(self.path)
        stored = self.successResultOf(spool.open())
        self.addCleanup(lambda: self.successResultOf(spool.close()))
        return spool, stored

    def drained(self, spool: Spool) -> list[int]:
        """Numbers of all chunks, each of which must be whole."""
        numbers = []
        while (chunk := self.successResultOf(spool.next())) is not None:
            self.assertEqual(Chunk(chunk.number, items(chunk.number, ITEMS, SIZE)), chunk)
            numbers.append(chunk.number)
        return numbers

    def sql(self, statement: str, *arguments: object) -> None:
        """Change the closed file."""
        database = sqlite3.connect(self.path, isolation_level=None)
        database.execute(statement, arguments)
        database.close()

    def assert_moved(self, content: bytes) -> None:
        """The next start moves the file aside as it is, begins a new one that works, and says where."""
        spool, stored = self.reopen()
        self.assertEqual(Stored(0, 0, None, (), f"{self.path}.damaged-1"), stored)
        self.assertEqual(content, Path(f"{self.path}.damaged-1").read_bytes())
        self.successResultOf(spool.append(1, items(1, ITEMS, SIZE)))
        self.assertEqual([1], self.drained(spool))

    def test_undamaged(self) -> None:
        """There is no alarm without damage."""
        spool, stored = self.reopen()
        self.assertIsNone(stored.moved)
        self.assertEqual(list(range(CHUNKS)), self.drained(spool))

    def test_damaged_files(self) -> None:
        """Torn, empty, overwritten with something else: moved aside."""
        whole = self.path.read_bytes()
        for name, content in {
            "no bytes": b"",
            "a torn header": whole[:57],
            "half": whole[: len(whole) // 2],
            "a page short": whole[:-32_768],
            "garbage": b"\x00garbage\xff" * 10_000,
            "zeros": bytes(len(whole)),
            "a JSON file": b'{"cursor": 5}\n',
        }.items():
            with self.subTest(name):
                for left in self.path.parent.iterdir():
                    left.unlink()
                self.path.write_bytes(content)
                self.assert_moved(content)

    def test_an_empty_file_with_a_log(self) -> None:
        """The log may hold all there was; SQLite would delete it."""
        self.path.write_bytes(b"")
        self.path.with_name(f"{self.path.name}-wal").write_bytes(b"log")
        self.assert_moved(b"")
        self.assertEqual(b"log", Path(f"{self.path}.damaged-1-wal").read_bytes())

    def test_a_header_that_forgot_the_log(self) -> None:
        """Two bytes of the header say whether there is one; it is there again after opening."""
        self.sql("PRAGMA journal_mode=DELETE")
        spool, stored = self.reopen()
        self.assertEqual((None, CHUNKS * ITEMS), (stored.moved, stored.items))
        self.successResultOf(spool.append(CHUNKS, items(CHUNKS, ITEMS, SIZE)))
        self.assertTrue(self.path.with_name(f"{self.path.name}-wal").stat().st_size)

    def test_a_schema_that_never_was(self) -> None:
        """A file marked as ours, without a version of its table."""
        self.sql("PRAGMA user_version=0")
        self.assert_moved(self.path.read_bytes())

    def test_another_programs_database(self) -> None:
        """A sound file that is no spool is moved aside, not written to."""
        self.path.unlink()
        self.sql("CREATE TABLE cursors (source TEXT)")
        self.assert_moved(self.path.read_bytes())

    def test_a_table_that_is_missing(self) -> None:
        """Ours by its number, but not by what is in it."""
        self.sql("DROP TABLE chunks")
        self.assert_moved(self.path.read_bytes())

    def test_a_log_without_its_file(self) -> None:
        """It is moved too, for it would be played back into the new file."""
        self.path.unlink()
        log = self.path.with_name(f"{self.path.name}-wal")
        log.write_bytes(b"log")
        _, stored = self.reopen()
        self.assertEqual(f"{self.path}.damaged-1", stored.moved)
        self.assertEqual(b"log", Path(f"{self.path}.damaged-1-wal").read_bytes())

    def test_each_damaged_file_is_kept(self) -> None:
        """Under the first number that is free, until there are so many that the disk itself must be looked at."""
        for n in range(1, DAMAGED_KEPT + 1):
            self.path.write_bytes(b"%d" % n)
            spool, stored = self.reopen()
            self.assertEqual(f"{self.path}.damaged-{n}", stored.moved)
            self.successResultOf(spool.close())
        self.path.write_bytes(b"more")
        failure = self.failureResultOf(spool_at(self.path).open(), SpoolFailed)
        self.assertIn("move them away", str(failure.value))
        self.assertEqual(b"more", self.path.read_bytes())

    def test_a_newer_schema(self) -> None:
        """It is an error that says so, and the file is left as it is."""
        self.sql(f"PRAGMA user_version={SCHEMA + 1}")
        before = self.path.read_bytes()
        failure = self.failureResultOf(spool_at(self.path).open(), SpoolFailed)
        self.assertIn(f"its schema is {SCHEMA + 1}, this streamer knows {SCHEMA}", str(failure.value))
        self.assertEqual(before, self.path.read_bytes())
        self.assertEqual([], list(self.path.parent.glob("*damaged*")))

    def test_a_start_that_was_cut_short(self) -> None:
        """What it left of a file in the making is no damage."""
        self.path.rename(self.path.with_name("birds.spool.new"))
        self.path.with_name("birds.spool.new-journal").write_bytes(b"torn")
        _, stored = self.reopen()
        self.assertEqual(Stored(0, 0, None, (), None), stored)

    def test_an_unreadable_chunk(self) -> None:
        """It alone is lost: counted, told loudly, its bytes kept; the flow goes on, now and after a restart."""
        self.sql("UPDATE chunks SET body = x'00' || substr(body, 2) WHERE number = 2")
        spool, stored = self.reopen()
        self.assertEqual(CHUNKS * ITEMS, stored.items)
        self.assertEqual([0, 1, 3, 4], self.drained(spool))
        self.assertEqual(ITEMS, spool.damaged_items)
        self.assertEqual(((CHUNKS - 1) * ITEMS, (CHUNKS - 1) * ITEMS * SIZE), (spool.items, spool.bytes))
        self.assertGreater(Path(f"{self.path}.damaged-1-chunk-2").stat().st_size, ITEMS * SIZE)
        self.successResultOf(spool.close())
        spool, stored = self.reopen()
        self.assertEqual((None, (CHUNKS - 1) * ITEMS), (stored.moved, stored.items))
        self.assertEqual([0, 1, 3, 4], self.drained(spool))
        self.assertEqual(0, spool.damaged_items)

    def test_the_newest_chunk_is_unreadable(self) -> None:
        """Opening finds it, for the upstream is to be resumed after the newest item that is whole."""
        self.sql("UPDATE chunks SET crc = 5 WHERE number >= 3")
        spool, stored = self.reopen()
        self.assertEqual((items(2, ITEMS, SIZE)[-1], 3 * ITEMS), (stored.last, stored.items))
        self.assertEqual("2.19", stored.ids[-1])
        self.assertEqual((2 * ITEMS, 3 * ITEMS), (spool.damaged_items, spool.items))

    def test_columns_of_another_type(self) -> None:
        """Nothing that may stand in a row keeps the spool from opening."""
        self.sql("UPDATE chunks SET items = 'many', bytes = NULL, ids = 5 WHERE number = 1")
        self.sql("UPDATE chunks SET body = NULL WHERE number = 3")
        self.sql("UPDATE chunks SET ids = x'c1', crc = 'x' WHERE number = 4")
        spool, _ = self.reopen()
        self.assertEqual([0, 2], self.drained(spool))
        self.assertEqual((2 * ITEMS, 2 * ITEMS * SIZE), (spool.items, spool.bytes))

    def test_a_chain_that_breaks_while_we_run(self) -> None:
        """A chunk whose pages are damaged cannot even be deleted: it is lost once, and does not come again."""
        spool, _ = self.reopen()
        content = bytearray(self.path.read_bytes())
        start = content.index(b"2.8 ") // 32_768 * 32_768
        content[start : start + 4] = b"\x7f\xff\xff\xff"  # the number of the chain's next page
        self.path.write_bytes(content)
        spool._file._connection.execute("PRAGMA shrink_memory")  # what SQLite remembers of the sound page
        self.assertEqual([0, 1, 3, 4], self.drained(spool))
        spool.rewind()
        self.assertEqual([0, 1, 3, 4], self.drained(spool))
        self.assertEqual(ITEMS, spool.damaged_items)

    @settings(max_examples=40)
    @given(st.lists(st.tuples(st.integers(0, 2**30), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
    def test_any_bytes_overwritten(self, changes: list[tuple[int, int]], structure: bool) -> None:
        """Whatever is damaged: what is handed out is whole, and opening and draining come to an end."""
        broken = folder(self) / "birds.spool"
        shutil.copy(self.path, broken)
        content = bytearray(broken.read_bytes())
        for place, value in changes:
            content[place % (110 if structure else len(content))] = value
        broken.write_bytes(content)
        spool = spool_at(broken)
        opened = spool.open()
        opened.addErrback(lambda failure: self.assertIn("its schema is", str(failure.value)))
        stored = self.successResultOf(opened)
        if isinstance(stored, Stored) and stored.moved is None:
            numbers = self.drained(spool)
            self.assertEqual(sorted(set(numbers)), numbers)
            self.assertEqual(CHUNKS * ITEMS, len(numbers) * ITEMS + spool.damaged_items)
        self.successResultOf(spool.close())


class UnwritableTests(SynchronousTestCase):
    """Where there can be no spool."""

    def test_the_folder_is_a_file(self) -> None:
        """The sentence names the path and what to do."""
        blocking = folder(self) / "var"
        blocking.write_bytes(b"")
        failure = self.failureResultOf(spool_at(blocking / "birds.spool").open(), SpoolFailed)
        self.assertIn(f"cannot open the spool {blocking / 'birds.spool'}: ", str(failure.value))
        self.assertIn("set [state] directory to another", str(failure.value))

    def test_the_file_is_a_folder(self) -> None:
        """It is not moved aside: whoever made it means something by it."""
        path = folder(self) / "birds.spool"
        path.mkdir()
        self.failureResultOf(spool_at(path).open(), SpoolFailed)
        self.assertTrue(path.is_dir())

    def test_open_may_be_tried_again(self) -> None:
        """Once the operator has mended it."""
        blocking = folder(self) / "var"
        blocking.write_bytes(b"")
        spool = spool_at(blocking / "birds.spool")
        self.failureResultOf(spool.open(), SpoolFailed)
        blocking.unlink()
        self.assertEqual(0, self.successResultOf(spool.open()).items)
        self.successResultOf(spool.close())

    def test_a_file_that_is_never_opened(self) -> None:
        """Closing it is nothing."""
        SpoolFile(folder(self) / "birds.spool").close()
