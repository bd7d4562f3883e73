"""Space set aside for deletes; a disk that is really full is made in tests/integration/test_spool_full.py."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.spool_file import SpoolFile
from streamer.bus.spool_reserve import Reserve
from streamer.bus.spool_values import Amount, Chunk, Delete, Job, SpoolFailed
from tests.unit.spooling import file_at, folder, items
from tests.unit.test_bus_spool_file import store

SIZE = 1_000_000  # bytes


class ReserveTests(SynchronousTestCase):
    """The file by itself."""

    def setUp(self) -> None:
        self.path = folder(self) / "birds.spool.reserve"
        self.reserve = Reserve(self.path, SIZE)

    def test_takes_real_space(self) -> None:
        """Blocks on the disk, not only a length; once."""
        self.reserve.hold()
        self.assertGreaterEqual(self.path.stat().st_blocks * 512, SIZE)
        self.path.unlink()
        self.reserve.hold()
        self.assertFalse(self.path.exists())

    def test_give_up(self) -> None:
        """The space is free again, and can be had again; also what another process left."""
        self.reserve.hold()
        another = Reserve(self.path, SIZE)
        another.give_up()
        another.give_up()
        self.assertFalse(self.path.exists())
        another.hold()
        self.assertTrue(self.path.exists())

    def test_more_than_there_is(self) -> None:
        """It fails, and what there was of it is given back."""
        greedy = Reserve(self.path, 2**62)
        self.assertRaises(OSError, greedy.hold)
        self.assertFalse(greedy.held)
        self.assertFalse(self.path.exists())


class ReservingSpoolTests(SynchronousTestCase):
    """A spool's file with a reserve."""

    def setUp(self) -> None:
        self.path = folder(self) / "birds.spool"
        self.reserve = Path(f"{self.path}.reserve")
        self.file = file_at(self.path)
        self.file.open()
        self.addCleanup(lambda: self.file.close())

    def test_life(self) -> None:
        """Held from the first append until the file is closed; what a killed process held is free at the start."""
        self.file.run(Job([Delete(1)], read=True))
        self.assertFalse(self.reserve.exists())
        self.file.run(Job([store(1)]))
        self.assertTrue(self.reserve.exists())
        self.file.close()
        self.assertEqual([self.path], list(self.path.parent.iterdir()))
        self.reserve.write_bytes(b"left")
        self.file.open()
        self.assertFalse(self.reserve.exists())

    def test_no_reserve_no_append(self) -> None:
        """Appends are refused in a sentence, and go on when there is room; reading and deleting are not affected."""
        self.file.run(Job([store(1), store(2)]))
        self.file.close()
        self.file = SpoolFile(self.path, reserve=Reserve(self.reserve, 2**62))
        self.file.open()
        report = self.file.run(Job([store(3), Delete(1), store(4)], read=True))
        refused, deleted, too = report.outcomes
        self.assertIsInstance(refused, SpoolFailed)
        self.assertIn("free space on that disk", str(refused))
        self.assertIs(refused, too)
        self.assertEqual(Amount(2, 20), deleted)
        self.assertEqual(Chunk(2, items(2)), report.chunk)
        self.file.reserve = Reserve(self.reserve, SIZE)
        self.assertEqual([None], self.file.run(Job([store(3)])).outcomes)
