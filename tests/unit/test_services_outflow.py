"""The way of items to the bus: direct, by way of the disk, and across the end of a process."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.spool import Spool, SpoolFailed, Stored
from streamer.bus.spool_file import SpoolFile
from streamer.bus.spool_values import Append, Delete
from streamer.errors import BusStopped, MessageRefused
from streamer.message import Item, Message
from streamer.services import outflow as module
from streamer.services.outflow import Outflow
from streamer.services.spooling import POLL
from streamer.services.storing import TELL_ANEW, TELL_EVERY, Storing
from streamer.upstream import Resume
from tests.unit.spooling import HeldWork, folder, spool_at


class HeldBus:
    """A bus that takes responsibility when the test says so."""

    window = 4

    def __init__(self) -> None:
        self.ready = True
        self.held: list[tuple[Message, Deferred[None]]] = []
        self.published: list[str] = []
        self.confirmed: list[str] = []

    def publish(self, message: Message) -> Deferred[None]:
        """Hold it."""
        waiting: Deferred[None] = Deferred()
        self.held.append((message, waiting))
        self.published.append(message.message_id.partition("/")[2])
        return waiting

    def confirm(self, count: int | None = None) -> None:
        """Take the oldest ones, or all."""
        for _ in range(len(self.held) if count is None else min(count, len(self.held))):
            message, waiting = self.held.pop(0)
            self.confirmed.append(message.message_id.partition("/")[2])
            waiting.callback(None)


def item(number: int, size: int = 10) -> Item:
    """An item with that id."""
    return Item(source="birds", kind="post", id=str(number), received=number, body=b"x" * size)


class OutflowTests(SynchronousTestCase):
    """One source's items."""

    def setUp(self) -> None:
        """An outflow without a disk."""
        self.clock = Clock()
        self.bus = HeldBus()
        self.changes = 0
        self.outflow = self.made()
        self.addCleanup(lambda: self.assertEqual([], self.clock.getDelayedCalls()))

    def made(self) -> Outflow:
        """Another one."""

        def changed() -> None:
            self.changes += 1

        return Outflow(self.bus, self.clock, changed)  # type: ignore[arg-type]

    def with_disk(self, spool: Spool, outflow: Outflow | None = None) -> Outflow:
        """Give it a disk."""
        outflow = outflow or self.outflow
        stored = self.successResultOf(spool.open())
        outflow.use(spool, stored.number, None)
        return outflow

    def put(self, *numbers: int, outflow: Outflow | None = None) -> None:
        """Each as a read of its own."""
        for number in numbers:
            (outflow or self.outflow).put([item(number)], Resume(received=number))

    def test_direct(self) -> None:
        """While the bus takes what comes, nothing touches the disk."""
        path = folder(self) / "birds.spool"
        outflow = self.with_disk(spool_at(path))
        self.put(1, 2, 3)
        self.assertEqual((["1", "2", "3"], 0), (self.bus.published, outflow.stored))
        self.bus.confirm()
        self.assertTrue(outflow.empty)
        self.successResultOf(Deferred.fromCoroutine(outflow.close(1)))

    def test_mark(self) -> None:
        """The mark moves over the contiguous confirmed prefix only."""
        self.put(1, 2, 3)
        self.bus.held.pop(1)[1].callback(None)
        self.assertIsNone(self.outflow.under_way.reached)
        self.bus.held.pop(0)[1].callback(None)
        self.assertEqual(Resume(received=2), self.outflow.under_way.reached)

    def test_window_without_a_disk(self) -> None:
        """Without a disk it is crowded at the bus's window and roomy at half of it."""
        self.put(1, 2, 3)
        self.assertFalse(self.outflow.crowded)
        self.put(4)
        self.assertTrue(self.outflow.crowded)
        self.bus.confirm(1)
        self.assertFalse(self.outflow.roomy)
        self.bus.confirm(1)
        self.assertTrue(self.outflow.roomy)

    def test_refused(self) -> None:
        """A message that no bus can carry is dropped, and holds nothing up."""
        self.put(1)
        self.bus.held.pop()[1].errback(MessageRefused("too long"))
        self.assertEqual(Resume(received=1), self.outflow.under_way.reached)
        self.assertTrue(self.outflow.empty)

    def test_refused_by_way_of_the_disk(self) -> None:
        """Who waits for what the bus refuses once it comes from the disk is told so, and its id is forgotten."""
        outflow, forgotten = self.with_disk(spool_at(folder(self) / "birds.spool")), list[str]()
        outflow.forget = forgotten.append
        self.bus.ready = False
        self.put(1)
        self.clock.advance(1)
        since = outflow.number
        self.put(2)
        waiting = outflow.settling.wait(outflow.number, since)
        self.clock.advance(1)
        self.bus.ready = True
        self.clock.advance(POLL)
        self.assertEqual(["1", "2"], self.bus.published)
        self.bus.confirm(1)
        self.assertNoResult(waiting)
        self.bus.held.pop()[1].errback(MessageRefused("too long"))
        self.failureResultOf(waiting, MessageRefused)
        self.assertEqual(["2"], forgotten)
        self.clock.advance(POLL)
        self.successResultOf(Deferred.fromCoroutine(outflow.close(1)))

    def test_bus_stopped(self) -> None:
        """What the bus did not take stays before the mark."""
        self.put(1)
        self.bus.held.pop()[1].errback(BusStopped("stopped"))
        self.assertIsNone(self.outflow.under_way.reached)

    def test_away(self) -> None:
        """While the bus is away everything goes to disk; once it is back, from there, in order."""
        outflow = self.with_disk(spool_at(folder(self) / "birds.spool"))
        self.put(1)
        self.bus.ready = False
        self.put(2, 3)
        self.clock.advance(1)
        self.put(4)
        self.clock.advance(1)
        self.assertEqual((["1"], 40), (self.bus.published, outflow.stored))
        self.bus.ready = True
        self.clock.advance(POLL)
        self.put(5)
        self.clock.advance(POLL)
        self.assertEqual(["1", "2", "3", "4", "5"], self.bus.published)
        self.bus.confirm()
        self.clock.advance(POLL)
        self.assertTrue(outflow.empty)
        self.assertEqual(0, outflow.stored)
        self.put(6)
        self.assertEqual((6, 0), (len(self.bus.published), outflow.stored))
        self.bus.confirm()
        self.successResultOf(Deferred.fromCoroutine(outflow.close(1)))

    def test_slow(self) -> None:
        """A bus that confirms nothing gets a bounded amount; the rest goes to disk, and reading never waits."""
        self.patch(module, "DIRECT_ITEMS", 6)
        outflow = self.with_disk(spool_at(folder(self) / "birds.spool"))
        self.put(*range(1, 21))
        self.clock.advance(POLL)
        self.assertEqual(6, len(self.bus.published))
        self.assertFalse(outflow.crowded)
        for _ in range(30):
            self.bus.confirm(2)
            self.clock.advance(POLL)
        self.assertEqual([str(number) for number in range(1, 21)], self.bus.confirmed)
        self.assertTrue(outflow.empty)
        self.successResultOf(Deferred.fromCoroutine(outflow.close(1)))

    def test_slow_disk(self) -> None:
        """A disk that is slower than the upstream makes it crowded: what waits in memory is bounded."""
        self.patch(module, "WAITING_BYTES", 1_000_000)
        work = HeldWork()
        spool = spool_at(folder(self) / "birds.spool", work)
        opening = spool.open()
        work.all()
        stored = self.successResultOf(opening)
        self.outflow.use(spool, stored.number, None)
        self.bus.ready = False
        for number in range(5):
            self.outflow.put([item(number, 300_000)], None)
        self.assertTrue(self.outflow.crowded)
        work.all()
        self.assertFalse(self.outflow.crowded)
        self.assertTrue(self.outflow.roomy)
        closing = Deferred.fromCoroutine(self.outflow.close(1))
        for _ in range(10):
            work.all()
        self.successResultOf(closing)

    def test_disk_refuses(self) -> None:
        """A full disk loses nothing and keeps the order: reading pauses, and goes on when there is room again."""
        spool = spool_at(folder(self) / "birds.spool")
        outflow = self.with_disk(spool)
        append, broken = Spool.append, [True]

        def refusing(itself: Spool, number: int, items: Sequence[Item]) -> Deferred[None]:
            return fail(SpoolFailed("the disk is full")) if broken else append(itself, number, items)

        self.patch(Spool, "append", refusing)
        self.bus.ready = False
        self.put(1, 2)
        self.clock.advance(1)
        self.put(3)
        self.clock.advance(1)
        self.assertTrue(outflow.crowded)
        broken.clear()
        self.clock.advance(POLL)
        self.assertFalse(outflow.crowded)
        self.bus.ready = True
        self.clock.pump([POLL] * 4)
        self.assertEqual(["1", "2", "3"], self.bus.published)
        self.bus.confirm()
        self.successResultOf(Deferred.fromCoroutine(outflow.close(1)))

    def test_stop_with_the_bus_away(self) -> None:
        """A stop keeps on disk what the bus did not confirm; the next process publishes it first, in order."""
        path = folder(self) / "birds.spool"
        outflow = self.with_disk(spool_at(path))
        self.put(1, 2)
        self.bus.confirm(1)
        self.bus.ready = False
        self.put(3)
        self.successResultOf(Deferred.fromCoroutine(outflow.close(10)))
        self.bus, later = HeldBus(), Clock()
        self.clock = later
        following = self.with_disk(spool_at(path), self.made())
        self.put(4, outflow=following)
        later.pump([POLL] * 3)
        self.assertEqual(["2", "3", "4"], self.bus.published)
        self.bus.confirm()
        later.advance(POLL)
        self.successResultOf(Deferred.fromCoroutine(following.close(1)))

    def refusing(self, refuses: Callable[[Append | Delete], bool]) -> None:
        """Let the disk refuse some operations, as a full one does; the test decides which."""
        commit = SpoolFile._commit

        def committing(itself: SpoolFile, operations: Sequence[Append | Delete]) -> Any:
            if any(refuses(operation) for operation in operations):
                raise OSError(28, "No space left on device")
            return commit(itself, operations)

        self.patch(SpoolFile, "_commit", committing)

    def test_told_of_a_full_disk(self) -> None:
        """The log is told at once, then every five minutes while it lasts; anew after it took something."""
        lines: list[str] = []
        self.patch(Storing, "log", Logger(observer=lambda event: lines.append(str(event.get("error")))))
        full = [True]
        path = folder(self) / "birds.spool"
        outflow = self.with_disk(spool_at(path))
        storing = outflow.spooling.storing  # type: ignore[union-attr]
        self.refusing(lambda one: isinstance(one, Append) and bool(full))
        self.bus.ready = False
        self.put(1)
        self.clock.pump([POLL] * 40)
        self.assertGreater(storing.failures, 30)
        (said,) = lines
        self.assertEqual(said, storing.refusal)
        self.assertRegex(said, f"^cannot write the spool {path}: .*No space left on device; free space on that disk")
        self.clock.pump([POLL] * int((2 * TELL_EVERY) / POLL))
        self.assertEqual(3, len(lines))
        full.clear()
        self.clock.pump([POLL] * int(TELL_ANEW / POLL))
        self.assertEqual(("", 3), (storing.refusal, len(lines)))
        full.append(True)
        self.put(2)
        self.clock.pump([POLL] * 2)
        self.assertEqual((True, 4), (bool(storing.refusal), len(lines)))
        for number in range(3, 30):  # room comes and goes
            full.clear()
            self.clock.pump([POLL] * 2)
            full.append(True)
            self.put(number)
            self.clock.pump([POLL] * 2)
        self.assertLessEqual(len(lines), 4 + 27 / TELL_ANEW)
        full.clear()
        self.successResultOf(Deferred.fromCoroutine(outflow.close(1)))

    def test_refused_chunk_keeps_its_place(self) -> None:
        """A chunk that the disk refuses is not overtaken by a smaller one that it takes, nor does the mark pass it."""
        work = HeldWork()
        spool = spool_at(folder(self) / "birds.spool", work)
        spool.open()
        work.all()
        self.outflow.use(spool, 0, None)
        self.refusing(lambda one: isinstance(one, Append) and one.bytes > 1000)
        self.bus.ready = False
        self.outflow.put([item(1, 5000)], Resume(received=1))
        self.clock.advance(0.03)
        self.put(2)
        self.clock.advance(0.03)
        for _ in range(10):
            work.all()
            self.clock.advance(POLL)
        self.assertTrue(self.outflow.crowded)
        self.assertIsNone(self.outflow.spooled[0])
        self.bus.ready = True
        for _ in range(10):
            work.all()
            self.clock.advance(POLL)
        self.assertEqual(["1", "2"], self.bus.published)
        self.bus.confirm()
        closing = Deferred.fromCoroutine(self.outflow.close(1))
        for _ in range(10):
            work.all()
        self.successResultOf(closing)

    def test_refused_deletion_is_asked_for_again(self) -> None:
        """Also after everything went direct again: else a full spool would stay full for ever."""
        spool = spool_at(folder(self) / "birds.spool")
        outflow, locked = self.with_disk(spool), [True]
        self.bus.ready = False
        self.put(1)
        self.clock.advance(1)
        self.refusing(lambda one: isinstance(one, Delete) and bool(locked))
        self.bus.ready = True
        self.clock.advance(1)
        self.bus.confirm()
        self.clock.advance(1)
        self.assertEqual((10, True), (outflow.stored, outflow.empty))
        locked.clear()
        self.clock.advance(1)
        self.assertEqual(0, outflow.stored)
        self.successResultOf(Deferred.fromCoroutine(outflow.close(1)))

    def test_stop_while_the_disk_refuses(self) -> None:
        """What is on its way to the disk at a stop, and is refused there once, is asked for again before the end."""
        work, full = HeldWork(), [True]
        path = folder(self) / "birds.spool"
        spool = spool_at(path, work)
        spool.open()
        work.all()
        self.outflow.use(spool, 0, None)
        self.refusing(lambda one: isinstance(one, Append) and bool(full))
        self.bus.ready = False
        self.put(1)
        self.clock.advance(0.03)
        closing = Deferred.fromCoroutine(self.outflow.close(1))
        work.one()
        full.clear()
        for _ in range(10):
            work.all()
        self.successResultOf(closing)
        self.assertEqual(1, self.successResultOf(spool_at(path).open()).items)

    def test_numbers_are_forgotten(self) -> None:
        """However often the bus goes and comes back, nothing is kept of what is done."""
        outflow = self.with_disk(spool_at(folder(self) / "birds.spool"))
        for number in range(0, 40, 2):
            self.put(number)
            self.bus.ready = False
            self.put(number + 1)
            self.clock.advance(1)
            self.bus.ready = True
            for _ in range(3):
                self.bus.confirm()
                self.clock.advance(1)
        assert outflow.spooling is not None
        self.assertEqual((set(), {}), (outflow.spooling._shadows, outflow.spooling.storing.marks))
        self.assertIsNone(outflow.spooled[0])
        self.successResultOf(Deferred.fromCoroutine(outflow.close(1)))

    def test_stop_with_a_broken_disk(self) -> None:
        """What a stop can put nowhere does not count as handed on: the next process asks for it, or announces it."""
        outflow = self.with_disk(spool_at(folder(self) / "birds.spool"))
        self.bus.ready = False
        self.put(1)
        self.patch(Spool, "append", lambda *_: fail(SpoolFailed("the disk is full")))
        self.successResultOf(Deferred.fromCoroutine(outflow.close(1)))
        self.assertFalse(outflow.empty)
        assert outflow.spooling is not None
        self.assertIsNone(outflow.spooled[0])

    def test_stop_waits_for_the_bus(self) -> None:
        """A stop waits for a bus that is there, but not for ever."""
        self.put(1, 2)
        closing = Deferred.fromCoroutine(self.outflow.close(10))
        self.bus.confirm(1)
        self.assertNoResult(closing)
        self.clock.advance(10)
        self.successResultOf(closing)


class Ledger(RuleBasedStateMachine):
    """Nothing is lost and nothing overtakes, whatever the bus does and however often the process ends."""

    @initialize()
    def begin(self) -> None:
        """A source with a disk."""
        self.folder = Path(tempfile.mkdtemp())
        self.taken = 0
        self.confirmed: list[str] = []
        self.process()

    def teardown(self) -> None:
        """Let everything through, and compare."""
        if not hasattr(self, "folder"):
            return
        self.bus.ready = True
        for _ in range(4 * self.taken + 10):
            self.bus.confirm()
            self.clock.advance(POLL)
        assert self.outflow.empty
        self.harvest()
        first = list(dict.fromkeys(self.confirmed))
        assert first == [str(number) for number in range(1, self.taken + 1)], first
        assert self.outflow.stored == 0
        Deferred.fromCoroutine(self.outflow.close(1))
        assert not self.clock.getDelayedCalls()
        shutil.rmtree(self.folder)

    def process(self, marks: tuple[Resume | None, Resume | None] = (None, None)) -> tuple[str, ...]:
        """Begin anew with what is on disk and the marks that were kept; returns the ids on disk."""
        self.clock, self.bus = Clock(), HeldBus()
        self.outflow = Outflow(self.bus, self.clock, lambda: None)  # type: ignore[arg-type]
        spool = spool_at(self.folder / "birds.spool")
        found: list[Stored] = []
        spool.open().addCallback(found.append)
        (stored,) = found
        confirmed, spooled = marks
        self.outflow.under_way.reached = confirmed
        self.outflow.use(spool, stored.number, (spooled or confirmed) if stored.items else None)
        return stored.ids

    def marks(self) -> tuple[Resume | None, Resume | None]:
        """What the cursor's file says."""
        assert self.outflow.spooling is not None
        return self.outflow.under_way.reached, self.outflow.spooled[0]

    def harvest(self) -> None:
        """Note what the bus has confirmed to this process."""
        self.confirmed += self.bus.confirmed
        self.bus.confirmed = []

    @rule(count=st.integers(1, 5))
    def take(self, count: int) -> None:
        """Items come."""
        items = [item(self.taken + number + 1) for number in range(count)]
        self.taken += count
        self.outflow.put(items, Resume(received=self.taken))

    @rule(count=st.integers(1, 8))
    def confirm(self, count: int) -> None:
        """The bus confirms."""
        if self.bus.ready:
            self.bus.confirm(count)

    @rule(ready=st.booleans())
    def bus_changes(self, ready: bool) -> None:
        """The bus goes, or comes back."""
        self.bus.ready = ready

    @rule()
    def outage(self) -> None:
        """The bus goes while something is under way, and what comes next is on disk soon."""
        self.take(1)
        self.bus.ready = False
        self.take(1)
        self.clock.advance(0.05)

    @rule(seconds=st.sampled_from([0.02, 0.25, 1.0]))
    def time_passes(self, seconds: float) -> None:
        """Timers run."""
        self.clock.advance(seconds)

    @rule()
    def kill(self) -> None:
        """The process dies; the next one asks the upstream for what the last one's marks do not stand for."""
        self.harvest()
        confirmed, spooled = self.marks()
        ids = self.process((confirmed, spooled))
        mark = (spooled or confirmed) if ids else confirmed
        again = range(1 if mark is None else mark.received + 1, self.taken + 1)
        for number in again:
            if str(number) not in ids:
                self.outflow.put([item(number)], Resume(received=number))

    @rule()
    def restart(self) -> None:
        """The process stops in order and another begins."""
        closing = Deferred.fromCoroutine(self.outflow.close(1))
        self.clock.advance(1)
        assert closing.called
        assert not self.clock.getDelayedCalls()
        self.harvest()
        self.process(self.marks())

    @invariant()
    def bounded(self) -> None:
        """The mark never passes what the bus has not got."""
        if hasattr(self, "outflow") and (reached := self.outflow.under_way.reached) is not None:
            have = {*self.confirmed, *self.bus.confirmed}
            assert all(str(number) in have for number in range(1, reached.received + 1))


LedgerTests = Ledger.TestCase
LedgerTests.settings = settings(max_examples=40, stateful_step_count=30)
