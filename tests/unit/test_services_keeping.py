"""What a source leaves on disk for the next process, whatever happens in between."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.spool import SpoolFailed
from streamer.bus.state_lock import StateInUse, StateLock, StateUnusable
from streamer.errors import StreamerError
from streamer.services.keeping import Cursor, Keeping, Kept
from streamer.services.sourcing import kept_in
from streamer.upstream import Resume
from tests.unit.following import Following
from tests.unit.spooling import HeldWork, folder, items, spool_at

CONFIRMED = Resume(received=1_700_000_000_000, cursor="c1")
SPOOLED = Resume(received=1_700_000_060_000, cursor="c2")
BOTH = Cursor(confirmed=CONFIRMED, spooled=SPOOLED)
SYNC = os.fsync


def number(received: int) -> Cursor:
    """One of many cursors."""
    return Cursor(confirmed=Resume(received=received))


class Crash(Exception):
    """The process ends here."""


class Cases(SynchronousTestCase):
    """What the tests of this module share."""

    def setUp(self) -> None:
        self.folder = folder(self)
        self.path = self.folder / "birds.cursor"

    def keeping(self, thread: Any = maybeDeferred, *, spool: bool = False) -> Keeping:
        """The files of one source, as a new process has them."""
        disk = spool_at(self.folder / "birds.spool") if spool else None
        return Keeping(self.path, StateLock(self.folder, "birds"), disk, thread)

    def opened(self, thread: Any = maybeDeferred, *, spool: bool = False) -> Keeping:
        """The same, opened; let go of after the test."""
        made = self.keeping(thread, spool=spool)
        self.successResultOf(Deferred.fromCoroutine(made.open()))
        self.addCleanup(made.lock.release)
        return made

    def kept(self, *, spool: bool = False) -> Kept:
        """What a new process finds."""
        made = self.keeping(spool=spool)
        found = self.successResultOf(Deferred.fromCoroutine(made.open()))
        if made.spool is not None:
            self.successResultOf(made.spool.close())
        made.lock.release()
        return found

    def close(self, made: Keeping, cursor: Cursor) -> None:
        """Close it all."""
        self.successResultOf(Deferred.fromCoroutine(made.close(cursor)))

    def on_disk(self) -> Cursor:
        """The cursor's file."""
        return msgspec.json.decode(self.path.read_bytes(), type=Cursor)


class CursorTests(Cases):
    """The cursor's file."""

    def test_nothing_yet(self) -> None:
        """A first start knows nothing, and makes the directory, for nobody else to look into."""
        self.folder = self.folder / "var" / "streamer"
        self.path = self.folder / "birds.cursor"
        self.assertEqual(Kept(None, None), self.kept())
        self.assertEqual(0, self.folder.stat().st_mode & 0o077)

    def test_kept(self) -> None:
        """What was written is found again, and nobody else may read it."""
        made = self.opened()
        made.write(Cursor(confirmed=CONFIRMED))
        self.close(made, Cursor(confirmed=SPOOLED))
        self.assertEqual(SPOOLED, self.kept().resume)
        self.assertEqual(0, self.path.stat().st_mode & 0o077)

    @given(st.builds(Resume, received=st.integers(0, 2**53), cursor=st.none() | st.text()))
    def test_any(self, resume: Resume) -> None:
        """Whatever an upstream's cursor is made of, it is found again as it was, or refused as no text at all."""
        made = self.keeping()
        self.successResultOf(Deferred.fromCoroutine(made.open()))
        self.close(made, Cursor(confirmed=resume))
        self.assertEqual(resume, self.kept().resume)

    def test_crash_at_any_moment(self) -> None:
        """Wherever a write is interrupted, the file is whole: the old cursor, or the new one."""
        made = self.opened()
        made.write(number(1))
        for place in ("fsync", "replace"):
            with self.subTest(place):

                def crash(*args: Any, **options: Any) -> None:
                    raise Crash

                patch = self.patch(os if place == "fsync" else Path, place, crash)
                made.write(number(2))
                patch.restore()
                self.assertEqual(number(1), self.on_disk())
        made.write(number(3))
        self.assertEqual(number(3), self.on_disk())

    def test_synced_before_it_counts(self) -> None:
        """The new content is on disk before it takes the old one's name; the old one is there until then."""
        made = self.opened()
        made.write(number(1))
        seen: list[tuple[Cursor, Any]] = []

        def sync(descriptor: int) -> None:
            new = self.path.with_suffix(".cursor.new").read_bytes()
            seen.append((self.on_disk(), msgspec.json.decode(new, type=Cursor)))
            SYNC(descriptor)

        self.patch(os, "fsync", sync)
        made.write(number(2))
        self.assertEqual([(number(1), number(2))], seen)
        self.assertEqual(number(2), self.on_disk())

    def test_one_at_a_time(self) -> None:
        """While one is being written no other is; what came meanwhile is left to the next look."""
        work = HeldWork()
        made = self.opened(work.do)
        for received in range(5):
            made.write(number(received))
        self.assertEqual(1, len(work.waiting))
        work.all()
        self.assertEqual(number(0), self.on_disk())
        made.write(number(5))
        work.all()
        self.assertEqual(number(5), self.on_disk())

    def test_not_twice(self) -> None:
        """What was written already is not written again."""
        work = HeldWork()
        made = self.opened(work.do)
        made.write(number(1))
        work.all()
        made.write(number(1))
        self.assertEqual([], work.waiting)

    def test_failure(self) -> None:
        """A write that fails is told with the file's name, and made again though nothing has changed."""
        made = self.opened()
        obstacle = self.path.with_suffix(".cursor.new")
        obstacle.mkdir()
        with capturedLogs() as logs:
            made.write(number(1))
        (said,) = [event for event in logs if event["log_format"].startswith("The cursor")]
        self.assertIn(str(self.path), said["path"])
        self.assertIn("directory", said["error"].lower())
        self.assertFalse(self.path.exists())
        obstacle.rmdir()
        made.write(number(1))
        self.assertEqual(number(1), self.on_disk())

    def test_unreadable(self) -> None:
        """A cursor that cannot be understood lies aside as it was; the source goes on from when it was written."""
        for content in (
            b"",
            b"\x00\x00",
            b'{"confirmed":{"received":"soon"}}',
            b'{"confirmed":',
            b"\xff\xfe{}",
            b'{"confirmed":null,"other":' + b"[" * 99_999,
        ):
            self.path.write_bytes(content)
            os.utime(self.path, (1_700_000_000, 1_700_000_000.5))
            with capturedLogs() as logs:
                self.assertEqual(Resume(received=1_700_000_000_500), self.kept().resume)
            self.assertEqual(content, (self.folder / "birds.cursor.damaged").read_bytes())
            self.assertFalse(self.path.exists())
            self.assertEqual(1, sum("cannot be read" in event["log_format"] for event in logs))

    def test_other_fields(self) -> None:
        """A cursor that a later version wrote more into is read as far as it is known."""
        self.path.write_bytes(b'{"confirmed":{"received":5,"cursor":"x","more":1},"shards":[1]}')
        self.assertEqual(Resume(received=5, cursor="x"), self.kept().resume)


class CloseTests(Cases):
    """The end of a process."""

    def test_waits(self) -> None:
        """The last cursor is written after the one under way, and the lock is held until it is there."""
        work = HeldWork()
        made = self.opened(work.do)
        made.write(number(1))
        closing = Deferred.fromCoroutine(made.close(number(2)))
        self.assertNoResult(closing)
        work.one()
        self.assertNoResult(closing)
        with self.assertRaises(StateInUse):
            StateLock(self.folder, "birds").take()
        work.one()
        self.successResultOf(closing)
        self.assertEqual(number(2), self.on_disk())
        self.assertEqual(Resume(received=2), self.kept().resume)

    def test_failure(self) -> None:
        """Where the last cursor cannot be written the lock is let go all the same."""
        made = self.opened()
        self.path.with_suffix(".cursor.new").mkdir()
        self.close(made, number(1))
        self.assertEqual(Kept(None, None), self.kept())

    def test_failure_of_the_thread(self) -> None:
        """Also where the thread that writes is gone."""

        def gone(function: Callable[[], Any]) -> Deferred[Any]:
            raise RuntimeError("stopped")

        made = self.opened(gone)
        self.failureResultOf(Deferred.fromCoroutine(made.close(number(1))), RuntimeError)
        self.kept()


class OpenTests(Cases):
    """What keeps a process from starting says so in a sentence, and leaves no lock behind."""

    def refusal(self, made: Keeping) -> str:
        """Why it cannot be opened."""
        return str(self.failureResultOf(Deferred.fromCoroutine(made.open()), StreamerError).value)

    def test_another_process(self) -> None:
        """Somebody else follows this source with this directory."""
        self.opened()
        self.assertIn(f"by process {os.getpid()}", self.refusal(self.keeping()))

    def test_directory(self) -> None:
        """The directory cannot be made, or is none."""
        for place in (self.folder / "file", self.folder / "file" / "below"):
            (self.folder / "file").write_bytes(b"")
            made = Keeping(place / "birds.cursor", StateLock(place, "birds"), None, maybeDeferred)
            said = self.refusal(made)
            self.assertIn(f"cannot use the state directory {place}", said)
            self.assertIn("set [state] directory to another", said)

    def test_not_writable(self) -> None:
        """The directory belongs to somebody else."""
        if not os.geteuid():
            self.skipTest("root may write everywhere")
        self.folder.chmod(0o500)
        self.addCleanup(self.folder.chmod, 0o700)
        self.assertIn("see that this program's user may write there", self.refusal(self.keeping()))

    def test_cursor_that_is_no_file(self) -> None:
        """The cursor cannot be opened at all."""
        self.path.mkdir()
        made = self.keeping()
        self.assertIn(f"cannot use the cursor {self.path}", self.refusal(made))
        self.path.rmdir()
        self.kept()

    def test_cursor_that_cannot_be_moved(self) -> None:
        """A damaged cursor that cannot be moved aside is not begun anew in silence."""
        self.path.write_bytes(b"rubbish")
        (self.folder / "birds.cursor.damaged").mkdir()
        made = self.keeping()
        self.failureResultOf(Deferred.fromCoroutine(made.open()), StateUnusable)
        self.assertEqual(b"rubbish", self.path.read_bytes())

    def test_spool(self) -> None:
        """The spool cannot be used: the lock is let go, for the next process may be luckier."""
        (self.folder / "birds.spool").mkdir()
        made = self.keeping(spool=True)
        self.failureResultOf(Deferred.fromCoroutine(made.open()), SpoolFailed)
        (self.folder / "birds.spool").rmdir()
        self.kept(spool=True)

    def test_through_the_service(self) -> None:
        """The process is told to end with that sentence, and it is no defect."""
        (self.folder / "file").write_bytes(b"")
        place = self.folder / "file"
        following = Following(keeping=Keeping(place / "birds.cursor", StateLock(place, "birds"), None, maybeDeferred))
        following.start()
        self.assertEqual(1, len(following.fatal))
        self.assertIn("cannot use the state directory", following.fatal[0])
        self.assertEqual([], following.stop())

    def test_names(self) -> None:
        """Each source has files of its own in the one directory."""
        make = kept_in(str(self.folder), None, maybeDeferred, spool=False, synchronous="full")
        for name in ("birds", "fish"):
            made = make(name)
            assert made is not None
            self.successResultOf(Deferred.fromCoroutine(made.open()))
            self.close(made, number(len(name)))
        names = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(["birds.cursor", "birds.lock", "fish.cursor", "fish.lock"], names)


class SpoolTests(Cases):
    """Where to go on: after what is on disk, but only where all of it is there."""

    CHUNKS = 3

    def leave(self, *, chunks: int = CHUNKS, cursor: Cursor = BOTH) -> None:
        """What a process leaves that ended with so many chunks on disk."""
        made = self.opened(spool=True)
        assert made.spool is not None
        for place in range(1, chunks + 1):
            self.successResultOf(made.spool.append(place, items(place, 4, 6000)))
        self.successResultOf(made.spool.close())
        self.close(made, cursor)

    def found(self) -> Kept:
        """What the next one finds."""
        return self.kept(spool=True)

    def test_whole(self) -> None:
        """With everything on disk, after what is on disk; its ids are told, so that repeats are known."""
        self.leave()
        found = self.found()
        self.assertEqual(SPOOLED, found.resume)
        assert found.stored is not None
        self.assertEqual((12, self.CHUNKS), (found.stored.items, found.stored.number))
        self.assertEqual([f"{chunk}.{place}" for chunk in (1, 2, 3) for place in range(4)], list(found.stored.ids))

    def test_empty(self) -> None:
        """With nothing on disk, after what the bus confirmed."""
        self.leave(chunks=0)
        self.assertEqual(CONFIRMED, self.found().resume)

    def test_only_confirmed(self) -> None:
        """Where the cursor knows nothing of the disk, after what the bus confirmed, whatever is on disk."""
        self.leave(cursor=Cursor(confirmed=CONFIRMED))
        self.assertEqual(CONFIRMED, self.found().resume)

    def test_moved(self) -> None:
        """A damaged spool is moved aside, loudly, and what was in it is asked for again."""
        self.leave()
        (self.folder / "birds.spool").write_bytes(b"garbage" * 999)
        with capturedLogs() as logs:
            found = self.found()
        self.assertEqual(CONFIRMED, found.resume)
        assert found.stored is not None
        self.assertEqual((0, str(self.folder / "birds.spool.damaged-1")), (found.stored.items, found.stored.moved))
        self.assertEqual(1, sum(event.get("moved") == found.stored.moved for event in logs))

    def test_gone(self) -> None:
        """Likewise where somebody removed it."""
        self.leave()
        (self.folder / "birds.spool").unlink()
        self.assertEqual(CONFIRMED, self.found().resume)

    def test_damaged_chunk(self) -> None:
        """Where one chunk cannot be read, after what the bus confirmed: the upstream may repeat it."""
        self.leave()
        database = sqlite3.connect(self.folder / "birds.spool", isolation_level=None)
        database.execute("UPDATE chunks SET crc = 5 WHERE number = 3")
        database.close()
        found = self.found()
        self.assertEqual(CONFIRMED, found.resume)
        assert found.stored is not None
        self.assertEqual(8, found.stored.items)

    def test_damaged_after_a_clean_stop(self) -> None:
        """What lay on disk when a process stopped in good order counts as missed if the disk then loses it."""
        first = Following(rate=5.0, keeping=self.keeping(spool=True))
        first.start()
        first.advance(10)
        first.bus.away = True
        first.advance(60)
        self.successResultOf(first.end())
        for damaged in (False, True):
            if damaged:
                (self.folder / "birds.spool").write_bytes(b"garbage" * 999)
            resume = self.found().resume
            assert resume is not None
            self.assertLess(abs(1_700_000_010_000 + 60_000 * (not damaged) - resume.received), 1500)
        second = Following(simulation=first.x, clock=first.clock, keeping=self.keeping(spool=True))
        second.items = first.items
        second.start()
        second.advance(10)
        self.assertTrue(second.missing())
        self.assertEqual([], second.unannounced())
        self.assertEqual([], second.stop())

    def test_restarts_without_network(self) -> None:
        """With neither bus nor upstream in reach and the process killed twice, nothing is lost in silence."""
        first = Following(rate=5.0, keeping=self.keeping(spool=True))
        first.start()
        first.advance(10)
        first.bus.away = True
        first.advance(10)
        self.successResultOf(first.end())
        for _ in range(2):
            dead = Following(simulation=first.x, clock=first.clock, keeping=self.keeping(spool=True))
            dead.bus.away, dead.network.refuses = True, OSError("no route")
            dead.start()
            dead.advance(30)
            assert dead.service.keeping is not None
            dead.service.keeping.lock.release()
            dead.service.keeping = None  # as a kill: no last word on disk
            dead.end()
        last = Following(simulation=first.x, clock=first.clock, keeping=self.keeping(spool=True))
        last.start()
        last.advance(30)
        (gap,) = last.gaps()
        self.assertLess(gap.start, 1_700_000_020_000)
        self.assertGreater(gap.end, 1_700_000_079_000)
        self.assertEqual([], last.stop())
