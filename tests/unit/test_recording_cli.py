"""`streamer record` and `streamer replay`: from a simulated upstream to a file, and from there to a bus."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec
from click.testing import CliRunner, Result
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.asks import Play
from streamer.bus.memory import MemoryBus
from streamer.bus.state_lock import StateInUse, StateLock
from streamer.cli import main
from streamer.errors import BusStopped, MessageRefused
from streamer.message import EVENTS, Decision, Delivery, Item, Topic
from streamer.metrics import Metrics
from streamer.net.client import UpstreamClient
from streamer.net.player import Player
from streamer.net.recording_file import RecordingFile
from streamer.services.meter import ERASE, Meter, amount
from streamer.services.record import Recorder, RecordingFailed, locked_in
from streamer.services.record_bus import RecordingBus
from streamer.services.record_file import RecordingNotWritten, RecordingTarget
from streamer.testing import faults
from streamer.testing.x import SimulatedX
from streamer.wire.recording import CutOff, Entry, Header, Recorded
from tests.unit.following import START, Following, HeldBus, x_table
from tests.unit.network import Network
from tests.unit.test_net_player import write
from tests.unit.test_sources_replay import Nothing, table

HEADER = Header.of({"birds": "x-filtered"}, "2023-11-14T22:13:20.000Z")


def entries(path: Path) -> list[Entry]:
    """All of a recording."""
    file, found = RecordingFile.open(str(path)), []
    while (step := file.entries()) is not None:
        found += step
    file.close()
    return found


def items(path: Path) -> list[Item]:
    """The items of a recording that is whole."""
    found = entries(path)
    assert all(isinstance(entry, Recorded) for entry in found), found
    return [entry.item for entry in found if isinstance(entry, Recorded)]


def item(number: int, at: float = 0.0, source: str = "birds", body: bytes = b"{}") -> Item:
    """An item."""
    received = 1_700_000_000_000 + round(1000 * at)
    return Item(source=source, kind="post", id=str(number), received=received, body=body)


class Cases(SynchronousTestCase):
    """A folder and a clock."""

    def setUp(self) -> None:
        """Both."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, self.clock, self.said = Path(folder.name), Clock(), []
        self.clock.advance(START)
        self.path = self.folder / "x.jsonl"

    said: list[str]

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self.said)

    def target(self, name: str = "x.jsonl", *, force: bool = False) -> RecordingTarget:
        """A new recording."""
        return RecordingTarget.create(str(self.folder / name), HEADER.line(), force=force)


class TargetTests(Cases):
    """The file."""

    def test_older(self) -> None:
        """What is there already stays, unless it is meant; then it stays until there is something to write."""
        self.path.write_bytes(b"mine")
        error = self.assertRaises(RecordingNotWritten, self.target)
        self.assertIn("is there already; --force overwrites it", str(error))
        forced = self.target(force=True)
        forced.close(discard=True)
        self.assertEqual(b"mine", self.path.read_bytes())
        forced = self.target(force=True)
        forced.close()
        self.assertEqual(HEADER.line(), self.path.read_bytes())

    def test_nothing(self) -> None:
        """Where nothing was recorded, nothing is left, or a recording that holds nothing."""
        self.target().close(discard=True)
        self.assertFalse(self.path.exists())
        self.target().close()
        self.assertEqual([], entries(self.path))

    def test_not_writable(self) -> None:
        """What cannot be written is said before anything is followed."""
        for path in (self.folder, self.folder / "none" / "x", Path("/dev/null")):
            error = self.assertRaises(RecordingNotWritten, RecordingTarget.create, str(path), b"", force=True)
            self.assertIn(str(path), str(error))
        self.assertRaises(RecordingNotWritten, RecordingTarget.create, "a\0b", b"", force=False)

    def test_private(self) -> None:
        """What was recorded is its owner's."""
        self.target().close()
        self.assertEqual(0o600, self.path.stat().st_mode & 0o777)

    def test_disk_full(self) -> None:
        """Wherever the disk is full, what was flushed can be read, to the last line."""
        lines = [b'{"source":"a","kind":"b","id":"%d","received":1,"body":"x"}\n' % number for number in range(50)]
        for name in ("x.jsonl", "x.jsonl.gz", "x.jsonl.zst"):
            for room in range(200, 2_500, 111):
                target, written, least = self.target(name, force=True), 0, 0
                left = room

                def write_some(descriptor: int, data: memoryview) -> int:
                    nonlocal left
                    if not left:
                        raise OSError(errno.ENOSPC, "No space left on device")
                    count = os.write(descriptor, data[:left])
                    left -= count
                    return count

                target.write_some = write_some
                try:
                    for number, line in enumerate(lines):
                        target.write([line], sync=number % 3 == 0)
                        written += 1
                        least = written if number % 3 == 0 else least
                    target.close()
                except RecordingNotWritten as error:
                    self.assertIn("No space left on device", str(error))
                target.abandon()
                found = entries(self.folder / name)
                whole = [entry for entry in found if isinstance(entry, Recorded)]
                self.assertGreaterEqual(len(whole), least)
                self.assertLessEqual(len(whole), written)
                broken = [entry for entry in found if not isinstance(entry, Recorded | CutOff)]
                self.assertEqual([], broken)


class BusTests(Cases):
    """The bus that is a file."""

    def bus(self, name: str = "x.jsonl", **options: Any) -> RecordingBus:
        """A bus whose thread is under our control."""
        self.jobs: list[tuple[Any, Deferred[Any]]] = []
        made = RecordingBus(self.target(name, force=True), self.clock, self.thread, **options)
        made.startService()
        return made

    def thread(self, function: Any) -> Deferred[Any]:
        """Keep a job."""
        done: Deferred[Any] = Deferred()
        self.jobs.append((function, done))
        return done

    def work(self) -> None:
        """Do all jobs."""
        while self.jobs:
            function, done = self.jobs.pop(0)
            maybeDeferred(function).chainDeferred(done)

    def test_confirmed_when_written(self) -> None:
        """A message is confirmed once it was written, one job at a time; the rest goes together."""
        bus = self.bus()
        first, *others = [bus.publish(item(number).message()) for number in range(5)]
        self.assertEqual(1, len(self.jobs))
        self.assertNoResult(first)
        function, done = self.jobs.pop()
        function()
        done.callback(None)
        self.successResultOf(first)
        self.assertNoResult(others[-1])
        self.work()
        for one in others:
            self.successResultOf(one)
        stopping = bus.stopService()
        self.work()
        self.successResultOf(stopping)
        self.assertEqual([item(number) for number in range(5)], items(self.path))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_synced(self) -> None:
        """Every second what was written is flushed, and nothing is done where nothing was written."""
        bus = self.bus("x.jsonl.gz")
        bus.publish(item(1).message())
        self.work()
        bus.publish(item(2).message())
        self.work()
        self.clock.advance(1)
        self.work()
        found = entries(self.folder / "x.jsonl.gz")
        self.assertEqual(["1", "2"], [entry.item.id for entry in found if isinstance(entry, Recorded)])
        self.clock.advance(1)
        self.assertEqual([], self.jobs)
        bus.stopService()
        self.work()

    def test_stop_waits(self) -> None:
        """A stop waits for what is being written, and writes what waits."""
        bus = self.bus()
        for number in range(3):
            bus.publish(item(number).message())
        stopping = bus.stopService()
        self.assertNoResult(stopping)
        self.work()
        self.successResultOf(stopping)
        self.assertEqual(3, len(items(self.path)))
        self.failureResultOf(bus.publish(item(9).message()), MessageRefused)

    def test_most(self) -> None:
        """It takes as many as it may, and tells when it has them."""
        told: list[str] = []
        bus = self.bus(most=2, full=lambda: told.append("full"))
        for number in range(4):
            bus.publish(item(number).message()).addErrback(lambda failure: failure.trap(MessageRefused))
        self.assertEqual(["full"], told)
        bus.stopService()
        self.work()
        self.assertEqual(2, len(items(self.path)))

    def test_broken(self) -> None:
        """What cannot be written is refused for good, and told once; the file is left as it was."""
        told: list[str] = []
        bus = self.bus(broken=told.append)
        first = bus.publish(item(1).message())
        self.work()
        self.successResultOf(first)
        self.clock.advance(1)
        self.work()
        waiting = [bus.publish(item(number).message()) for number in (2, 3)]
        _, done = self.jobs.pop()
        done.errback(Failure(RecordingNotWritten("x cannot be written: No space left on device")))
        for one in [*waiting, bus.publish(item(4).message())]:
            self.failureResultOf(one, MessageRefused)
        self.assertEqual((["x cannot be written: No space left on device"], False), (told, bus.ready))
        self.assertIn("No space", bus.status)
        self.successResultOf(bus.stopService())
        self.assertEqual(1, len(items(self.path)))

    def test_refused(self) -> None:
        """It takes what a bus would carry, and items only; it has neither queues nor a log."""
        bus = self.bus()
        wrong = [
            item(1, source="a" * 300).message(),
            Item(source="a", kind="b", id="\ud800", received=1, body=b"").message(),
            msgspec.structs.replace(item(1).message(), exchange=EVENTS, topic=Topic("post")),
            msgspec.structs.replace(item(1).message(), message_id="nothing"),
        ]
        for message in wrong:
            self.failureResultOf(bus.publish(message), MessageRefused)
        self.assertRaises(ValueError, bus.work, "streamer.enrich", self.fail, 1)
        self.assertRaises(ValueError, bus.log, 0, self.fail)
        bus.stopService()
        self.work()
        self.assertEqual([], items(self.path))


class RecordTests(Cases):
    """What `streamer record` does."""

    def recorder(self, x: SimulatedX, name: str = "x.jsonl", **options: Any) -> tuple[Recorder, Network]:
        """A recorder of a simulated X."""
        network = Network(x.resource, self.clock)
        return Recorder(
            {"birds": x_table()},
            self.target(name),
            UpstreamClient(network.agent, self.clock, "tests", {}),
            self.clock,
            maybeDeferred,
            lambda: 0.0,
            Meter(False, self.said.append),
            **options,
        ), network

    def upstream(self, **options: Any) -> SimulatedX:
        """A simulated X that admits two."""
        x = SimulatedX(self.clock, **{"rate": 5.0, "max_connections": 2, **options})
        x.start()
        self.addCleanup(x.stop)
        return x

    def advance(self, network: Network, seconds: float, *others: Following) -> None:
        """Let time pass."""
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            for _ in range(4):
                network.flush()
                for other in others:
                    other.network.flush()
                self.clock.advance(0)

    def test_recorded(self) -> None:
        """A recording holds byte for byte what a bus would have got, and comes back so from a replay, in any form."""
        for name in ("x.jsonl", "x.jsonl.gz", "x.jsonl.zst"):
            x = self.upstream()
            recorder, network = self.recorder(x, name, seconds=20.0)
            running = Deferred.fromCoroutine(recorder.run())
            beside = Following(simulation=x, clock=self.clock)
            beside.start()
            self.advance(network, 10, beside)
            x.fault(faults.Cut())
            self.advance(network, 10.5, beside)
            self.successResultOf(running)
            path = self.folder / name
            recorded = items(path)
            self.assertGreater(len(recorded), 50)
            published = {one.id: one for one in beside.items}
            both = [one for one in recorded if one.id in published]
            self.assertGreater(len(both), 50)
            self.assertEqual([published[one.id] for one in both], both)
            self.assertRegex(self.text, rf"{len(recorded)} items, [\d,]+ bytes in 20 s are recorded in {path}")
            self.successResultOf(beside.end())
            of = {"type": "x-filtered", "token": "any"}
            settings = table(path=str(path), speed="full", of=of)
            again = Following(table=settings, simulation=Nothing(), clock=self.clock)
            again.start()
            again.advance(2)
            self.assertEqual(recorded, again.items)
            for one in again.items:
                if one.kind == "post":
                    decoded = beside.source.decode(one)
                    self.assertEqual(decoded, again.source.decode(one))
            self.successResultOf(again.end())

    def test_gaps(self) -> None:
        """What was missed is in the recording too."""
        x = self.upstream()
        recorder, network = self.recorder(x, seconds=120.0)
        running = Deferred.fromCoroutine(recorder.run())
        self.advance(network, 20)
        network.refuses = OSError("no route")
        network.cut(0)
        self.advance(network, 60)
        network.refuses = None
        self.advance(network, 41)
        self.successResultOf(running)
        self.assertEqual(1, sum(one.kind == "gap" for one in items(self.path)))
        self.assertIn("birds: network: ", self.text)

    def test_items(self) -> None:
        """It ends with as many items as were asked for, and leaves nothing behind."""
        x = self.upstream()
        recorder, network = self.recorder(x, items=7)
        running = Deferred.fromCoroutine(recorder.run())
        self.advance(network, 10)
        self.successResultOf(running)
        self.assertEqual(7, len(items(self.path)))
        x.stop()
        self.advance(network, 1)
        self.assertEqual(([], 0), (self.clock.getDelayedCalls(), network.open))

    def test_interrupted(self) -> None:
        """Ctrl-C is how a recording ends: with a summary, and no error."""
        x = self.upstream()
        recorder, network = self.recorder(x, "x.jsonl.gz")
        running = Deferred.fromCoroutine(recorder.run())
        self.advance(network, 10)
        running.cancel()
        self.advance(network, 1)
        self.successResultOf(running)
        self.assertGreater(len(items(self.folder / "x.jsonl.gz")), 20)
        self.assertIn("are recorded in", self.text)

    def played(self, path: Path) -> Recorder:
        """A recorder of a recording."""
        target = RecordingTarget.create(str(self.folder / "y.jsonl"), HEADER.line(), force=False)
        agent = Network(Nothing.resource, self.clock).agent
        client = UpstreamClient(agent, self.clock, "tests", {Play: Player(self.clock)})
        tables, meter = {"birds": table(path=str(path))}, Meter(False, self.said.append)
        return Recorder(tables, target, client, self.clock, maybeDeferred, lambda: 0.0, meter)

    def test_nothing_more(self) -> None:
        """Where no source can go on, the recording ends with the reason, and there is none."""
        running = Deferred.fromCoroutine(self.played(self.folder / "none.jsonl").run())
        for _ in range(5):
            self.clock.advance(0.5)
        error = self.failureResultOf(running, RecordingFailed).value
        self.assertIn("nothing more can come: birds: refused: ", str(error))
        self.assertFalse((self.folder / "y.jsonl").exists())

    def test_recorded_replay(self) -> None:
        """A recording of a recording is the same, and ends with it."""
        write(self.path, [item(number, number) for number in range(5)])
        running = Deferred.fromCoroutine(self.played(self.path).run())
        for _ in range(40):
            self.clock.advance(0.5)
        self.successResultOf(running)
        self.assertEqual(items(self.path), items(self.folder / "y.jsonl"))

    def test_disk_full(self) -> None:
        """A full disk ends it with the reason; what was recorded can be read."""
        x = self.upstream()
        recorder, network = self.recorder(x)

        def write_some(descriptor: int, data: memoryview) -> int:
            if recorder.target.size > 20_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return os.write(descriptor, data[: 20_001 - recorder.target.size])

        recorder.target.write_some = write_some
        running = Deferred.fromCoroutine(recorder.run())
        self.advance(network, 60)
        error = self.failureResultOf(running, RecordingFailed).value
        self.assertIn(f"{self.path} cannot be written: No space left on device", str(error))
        self.assertGreater(len(items(self.path)), 5)
        self.assertIn("are recorded in", self.text)

    def test_locked(self) -> None:
        """The source's lock is taken for as long as it is followed; no other file of it is touched."""
        state = self.folder / "var"
        x = self.upstream()
        recorder, network = self.recorder(x, directory=str(state))
        running = Deferred.fromCoroutine(recorder.run())
        self.advance(network, 3)
        self.assertRaises(StateInUse, StateLock(state, "birds").take)
        running.cancel()
        self.advance(network, 1)
        self.successResultOf(running)
        StateLock(state, "birds").take()
        self.assertEqual(["birds.lock"], os.listdir(state))
        self.assertIsNone(locked_in("", maybeDeferred)("birds"))

    def test_taken(self) -> None:
        """Where another process follows the source, it ends with that sentence, and leaves no file behind."""
        state = self.folder / "var"
        StateLock(state, "birds").take()
        recorder, network = self.recorder(self.upstream(), directory=str(state))
        running = Deferred.fromCoroutine(recorder.run())
        self.advance(network, 1)
        error = self.failureResultOf(running, RecordingFailed).value
        self.assertIn("is being followed with the state directory", str(error))
        self.assertFalse(self.path.exists())
        self.assertEqual("", self.text)


@attrs.define(eq=False)
class Stage:
    """What a command runs on, in the place of a `Foreground` and of what is outside."""

    reactor: Clock
    bus: MemoryBus
    meter: Meter
    interrupt_after: int | None = None
    turns: int = 4_000

    def foreground(self) -> Stage:
        """Itself."""
        return self

    def run(self, begin: Any) -> int:
        """See Foreground."""
        results: list[Any] = []
        running: Deferred[Any] = begin()
        running.addBoth(results.append)
        for turn in range(self.turns):
            if turn == self.interrupt_after:
                running.cancel()
            self.reactor.advance(0.05)
            if results:
                break
        (result,) = results
        if self.interrupt_after is not None and turn >= self.interrupt_after:
            return 130
        if isinstance(result, Failure):
            result.raiseException()
        return 0


class Lasting(HeldBus):
    """A bus that goes on when a command has ended."""

    def stopService(self) -> Deferred[None]:
        """Go on."""
        return succeed(None)


class RefusingBus(Lasting):
    """A bus that takes no item with an id of one digit."""

    def publish(self, message: Any) -> Deferred[None]:
        """Publish, or refuse."""
        if len(message.message_id) == len("birds/1"):
            failing: Deferred[None] = Deferred()
            failing.errback(MessageRefused("the bus cannot carry it"))
            return failing
        return HeldBus.publish(self, message)


class ReplayTests(Cases):
    """What `streamer replay` does."""

    worked: list[MemoryBus]
    bus: HeldBus

    def setUp(self) -> None:
        """A configuration and a bus."""
        Cases.setUp(self)
        self.config = self.folder / "x.toml"
        self.config.write_text(
            '[bus]\nurl = "amqp://127.0.0.1:1/"\n[sources.birds]\ntype = "x-filtered"\ntoken = "t"\n'
        )
        self.bus = Lasting(self.clock, Metrics())
        self.got: list[Item] = []
        self.terminal, self.worked = False, []

    async def keep(self, delivery: Delivery) -> Decision:
        """Keep what comes."""
        self.got.append(Item.from_message(delivery.message))
        return Decision.ACK

    def replay(self, *arguments: str, lines: Sequence[Item | bytes] | None = None, **stage: Any) -> Result:
        """Run the command."""
        if lines is not None:
            write(self.path, lines)
        if self.bus not in self.worked:
            self.worked.append(self.bus)
            self.bus.work("streamer.enrich", self.keep, 1000)
        made = Stage(self.clock, self.bus, Meter(self.terminal, self.said.append), **stage)
        command = ["replay", str(self.path), "-c", str(self.config), *arguments]
        result = CliRunner().invoke(main, command, obj=made)
        for _ in range(10):
            self.clock.advance(0)
        return result

    def test_identical(self) -> None:
        """The bus gets what was recorded, byte for byte, at its times; then it is confirmed, and the code is 0."""
        lines = [item(number, number / 2, body=os.urandom(20)) for number in range(20)]
        began = self.clock.seconds()
        result = self.replay(lines=lines)
        self.assertEqual(0, result.exit_code, result.output)
        self.assertEqual(lines, self.got)
        self.assertLess(abs(9.5 - self.clock.seconds() + began), 2)
        self.assertRegex(self.text, r"20 items were confirmed by the bus in 9\.\d s\.")
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_speeds(self) -> None:
        """Faster, as fast as can be, or at a rate."""
        lines = [item(number, number) for number in range(50)]
        for arguments, seconds in ((("--speed", "10x"), 4.9), (("--speed", "full"), 0), (("--rate", "25"), 2)):
            self.bus, self.got = Lasting(self.clock, Metrics()), []
            began = self.clock.seconds()
            self.assertEqual(0, self.replay(*arguments, lines=lines).exit_code)
            self.assertEqual(lines, self.got)
            self.assertLess(abs(seconds - self.clock.seconds() + began), 1.6)

    def test_waits_for_confirms(self) -> None:
        """No more is under way than the bus wants, and nothing is done before the last confirm."""
        self.bus.window, self.bus.held, counts = 10, [], []

        def confirm() -> None:
            held = self.bus.held
            assert held is not None
            counts.append(len(held))
            self.bus.held = held[5:]
            for message, waiting in held[:5]:
                MemoryBus.publish(self.bus, message).chainDeferred(waiting)
            if counts.count(0) < 50:
                self.clock.callLater(0.1, confirm)

        self.clock.callLater(0.1, confirm)
        lines = [item(number, body=b"x" * 2_000) for number in range(200)]
        self.assertEqual(0, self.replay("--speed", "full", lines=lines).exit_code)
        self.assertEqual(lines, self.got)
        self.assertLess(max(counts), 60)

    def test_sources(self) -> None:
        """One source of several; one that is not there is named."""
        lines = [item(number, 0, ("birds", "fish")[number % 2]) for number in range(6)]
        write(self.path, lines, ("birds", "fish"))
        self.assertEqual(0, self.replay("--source", "fish", "--speed", "full").exit_code)
        self.assertEqual(["1", "3", "5"], [one.id for one in self.got])
        self.assertIn("The configuration names no source 'fish': an enricher with it cannot decode", self.text)
        self.assertNotIn("no source 'birds'", self.text)
        result = self.replay("--source", "cats")
        self.assertEqual(1, result.exit_code)
        self.assertIn("holds no source 'cats'; it holds birds, fish", result.stderr)

    def test_joined(self) -> None:
        """Recordings put one behind the other are replayed whole; what was not asked for is counted."""
        cats = Header.of({"cats": "jetstream"}, "").line()
        lines = [item(1), cats, item(2, source="cats"), item(3, source="fish"), item(4)]
        self.assertEqual(0, self.replay("--speed", "full", lines=lines).exit_code)
        self.assertEqual(["1", "2", "3", "4"], [one.id for one in self.got])
        self.assertIn("The configuration names no source 'cats'", self.text)
        self.assertNotIn("passed over", self.text)
        self.got, self.said = [], []
        self.bus = Lasting(self.clock, Metrics())
        self.assertEqual(0, self.replay("--speed", "full", "--source", "cats").exit_code)
        self.assertEqual(["2"], [one.id for one in self.got])
        self.assertIn("3 items of other sources were passed over (birds, fish).", self.text)

    def test_other_type(self) -> None:
        """A source that is of another type than what was recorded is told."""
        self.config.write_text(self.config.read_text().replace("x-filtered", "x-sample"))
        self.assertEqual(0, self.replay("--speed", "full", lines=[item(1)]).exit_code)
        self.assertIn("[sources.birds] is of type 'x-sample'; what was recorded is of type 'x-filtered'", self.text)

    def test_damage(self) -> None:
        """Damaged lines are named, and the rest is replayed."""
        lines = [item(1), *[b"hello\n"] * 15, item(2), b'{"source"']
        self.assertEqual(0, self.replay("--speed", "full", lines=lines).exit_code)
        self.assertEqual(["1", "2"], [one.id for one in self.got])
        self.assertIn("Left out: line 3 is no item", self.text)
        self.assertNotIn("line 14 ", self.text)
        self.assertIn("15 damaged lines were left out.", self.text)
        self.assertIn("it breaks off in the middle of line 19", self.text)

    def test_refused(self) -> None:
        """What the bus refuses is named, and the code is 1."""
        self.bus = RefusingBus(self.clock, Metrics())
        result = self.replay("--speed", "full", lines=[item(number) for number in range(12)])
        self.assertEqual((1, 2), (result.exit_code, len(self.got)))
        self.assertIn("birds/3 was refused: the bus cannot carry it", self.text)
        self.assertIn("10 items were refused by the bus", result.stderr)

    def test_stopped_bus(self) -> None:
        """A bus that stops in between is no success."""
        self.bus.held = []

        def stop() -> None:
            for _, waiting in self.bus.held or []:
                waiting.errback(BusStopped("stopped"))

        self.clock.callLater(2, stop)
        result = self.replay("--speed", "full", lines=[item(number) for number in range(12)])
        self.assertEqual(1, result.exit_code)

    def test_away(self) -> None:
        """Where the bus is away, that is said once, and it goes on when it is back."""
        self.bus.away, self.bus.held = True, []

        def back() -> None:
            self.bus.away = False
            self.bus.release()

        self.clock.callLater(30, back)
        self.assertEqual(0, self.replay("--speed", "full", lines=[item(1)]).exit_code)
        self.assertEqual(1, self.text.count("Waiting for the bus: "))
        self.assertEqual([item(1)], self.got)

    def test_interrupted(self) -> None:
        """Ctrl-C ends it with a summary, once what is under way is confirmed, and the code of a signal."""
        result = self.replay(lines=[item(number, number) for number in range(100)], interrupt_after=100)
        self.assertEqual(130, result.exit_code)
        self.assertRegex(self.text, r"[56] items were confirmed")
        self.assertIn(len(self.got), (5, 6))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_interrupted_without_bus(self) -> None:
        """It does not wait for ever for a bus that is away."""
        self.bus.held = []
        began = self.clock.seconds()
        result = self.replay(lines=[item(number, number) for number in range(100)], interrupt_after=100)
        self.assertEqual(130, result.exit_code)
        self.assertLess(self.clock.seconds() - began, 15)
        self.assertIn("0 items were confirmed", self.text)

    def test_loop(self) -> None:
        """Round after round, until it is interrupted; later rounds have ids of their own."""
        self.replay("--loop", "--rate", "10", lines=[item(1), item(2)], interrupt_after=20)
        self.assertEqual(["1", "2", "1~2", "2~2", "1~3"], [one.id for one in self.got][:5])

    def test_not_played(self) -> None:
        """What is no recording is said so, before the bus is asked for anything."""
        self.path.write_text("hello\n")
        result = self.replay()
        self.assertEqual(1, result.exit_code)
        self.assertIn("is no recording", result.stderr)

    def test_progress(self) -> None:
        """On a terminal there is a bar that is taken away at the end; elsewhere only sentences."""
        self.terminal = True
        lines = [item(number, number / 10, body=b"x" * 3_000) for number in range(100)]
        self.assertEqual(0, self.replay(lines=lines).exit_code)
        bars = [part for part in self.said if part.startswith(f"{ERASE}[")]
        self.assertGreater(len(bars), 5)
        self.assertRegex(bars[-1], r"\[#+-*\] +\d+%  [\d,]+ items  [\d.]+/s$")
        self.terminal, self.said = False, []
        self.bus = Lasting(self.clock, Metrics())
        self.assertEqual(0, self.replay("--speed", "full", lines=lines).exit_code)
        self.assertNotIn("\r", self.text)


class UsageTests(Cases):
    """What is wrong with a command."""

    def run_(self, *arguments: str) -> Result:
        """Run the program in this process."""
        return CliRunner().invoke(main, list(arguments))

    def test_help(self) -> None:
        """Both have help."""
        for command in ("record", "replay"):
            result = self.run_(command, "--help")
            self.assertEqual(0, result.exit_code)
            self.assertIn("FILE", result.output)

    def test_usage(self) -> None:
        """Wrong options are usage errors."""
        for arguments in (
            ("record",),
            ("record", "x", "--seconds", "nan"),
            ("record", "x", "--seconds", "0"),
            ("record", "x", "--items", "0"),
            ("replay",),
            ("replay", "x", "--speed", "fast"),
            ("replay", "x", "--rate", "0"),
            ("replay", "x", "--rate", "nan"),
            ("replay", "x", "--speed", "1x", "--rate", "5"),
        ):
            self.assertEqual(2, self.run_(*arguments).exit_code, arguments)

    def test_configuration(self) -> None:
        """A bad file, an unknown source, none at all, or a bus that joins nothing: code 78, and no traceback."""
        good, empty, bad = (str(self.folder / f"{name}.toml") for name in ("good", "empty", "bad"))
        Path(good).write_text('[sources.birds]\ntype = "x-sample"\ntoken = "t"\n')
        Path(empty).write_text("")
        Path(bad).write_text("[enrich]\nlnag = 1\n")
        path = str(self.path)
        for arguments, why in (
            (("record", path, "-c", bad), "unknown key 'lnag'"),
            (("replay", path, "-c", bad), "unknown key 'lnag'"),
            (("record", path, "-c", good, "--source", "fish"), "has no source 'fish'; there are birds"),
            (("record", path, "-c", empty), "names no source to record"),
            (("replay", path, "-c", good), "nobody else would hear what is replayed to 'memory:'"),
        ):
            result = self.run_(*arguments)
            self.assertEqual(78, result.exit_code, result.output)
            self.assertIn(why, result.stderr)
        self.assertFalse(self.path.exists())


class MeterTests(SynchronousTestCase):
    """The line that is written over."""

    def test_line(self) -> None:
        """Sentences take the place of the line; it comes back below them."""
        said: list[str] = []
        meter = Meter(True, said.append)
        meter.say("one")
        meter.show("5 items", 5, 1.0, amount(1_234_567), share=0.5)
        meter.say("two")
        meter.show("25 items", 25, 2.0)
        meter.clear()
        meter.clear()
        bar = "[############------------]  50%  5 items  5.0/s  1.2 MB"
        self.assertEqual(["one\n", ERASE + bar, f"{ERASE}two\n", f"{ERASE}25 items  12.5/s", ERASE], said)

    def test_amounts(self) -> None:
        """Bytes for people."""
        self.assertEqual(["999 B", "1.0 kB", "2.0 MB", "3,000.0 GB"], [
            amount(999), amount(1_000), amount(2_000_000), amount(3_000_000_000_000).replace("3000", "3,000")
        ])  # fmt: skip
