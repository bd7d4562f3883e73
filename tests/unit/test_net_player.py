"""Recordings that are played: times, pauses, rounds, places."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.asks import Play
from streamer.message import Item
from streamer.net.failures import Over
from streamer.net.player import Player, Playing
from streamer.policy import backoff
from streamer.policy.pace import LATE, Pace
from streamer.upstream import Warned
from streamer.wire.packing import packer_of
from streamer.wire.recording import Damaged, Header, Place, Recorded, check_of, line_of

BEGAN = 1_700_000_000_000  # ms


def item(number: int, at: float = 0.0, source: str = "birds", body: bytes = b"{}") -> Item:
    """An item that was received so many seconds after the beginning."""
    return Item(source=source, kind="post", id=str(number), received=BEGAN + round(at * 1000), body=body)


def write(path: Path, lines: Sequence[Item | bytes], sources: Sequence[str] = ("birds",)) -> Path:
    """A recording."""
    packer = packer_of(path.name)
    header = Header.of(dict.fromkeys(sources, "x-filtered"), "2023-11-14T22:13:20.000Z")
    whole = b"".join([header.line(), *(line if isinstance(line, bytes) else line_of(line) for line in lines)])
    path.write_bytes(packer.pack(whole) + packer.finish())
    return path


@attrs.define(eq=False)
class Body:
    """Who reads: what came, and when."""

    clock: Clock
    transport: Any = None
    came: list[tuple[float, Any]] = attrs.field(factory=list)
    lost: list[Failure] = attrs.field(factory=list)
    close_after: int | None = None

    def makeConnection(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def dataReceived(self, frames: Sequence[Any]) -> None:
        """Keep what came."""
        self.came += [(self.clock.seconds(), frame) for frame in frames]
        if self.close_after is not None and len(self.items) >= self.close_after:
            self.transport.stopProducing()

    def connectionLost(self, reason: Failure) -> None:
        """Keep why."""
        self.lost.append(reason)

    @property
    def items(self) -> list[Item]:
        """What came of them."""
        return [frame.item for _, frame in self.came if isinstance(frame, Recorded)]

    @property
    def ids(self) -> list[str]:
        """Their ids."""
        return [one.id for one in self.items]

    @property
    def times(self) -> list[float]:
        """When they came."""
        return [round(at, 3) for at, frame in self.came if isinstance(frame, Recorded)]

    @property
    def place(self) -> Place:
        """The last that was told."""
        return [frame for _, frame in self.came if isinstance(frame, Place)][-1]

    @property
    def cause(self) -> str:
        """Why it is over; empty while it is not."""
        if not self.lost:
            return ""
        (reason,) = self.lost
        assert isinstance(reason.value, Over), reason
        return reason.value.ending.cause


class Turning(Clock):
    """A clock that runs in one turn what was due at its beginning, as a reactor does."""

    def advance(self, amount: float) -> None:
        """One turn."""
        self.rightNow += amount
        for call in [call for call in self.getDelayedCalls() if call.getTime() <= self.rightNow]:
            if call.active():
                call.reset(0)
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class Cases(SynchronousTestCase):
    """A folder, a clock, and no timers or open files at the end."""

    def setUp(self) -> None:
        """Look at what is open."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, self.clock = Path(folder.name), Turning()
        self.open = set(os.listdir("/proc/self/fd"))

    def play(self, lines: Sequence[Item | bytes] | Path, **options: Any) -> Body:
        """Begin to play."""
        path = lines if isinstance(lines, Path) else write(self.folder / "x.jsonl", lines)
        opened = self.successResultOf(Deferred.fromCoroutine(Player(self.clock).open(Play(path=str(path), **options))))
        body = Body(self.clock)
        opened.answer.deliverBody(body)
        self.addCleanup(self.quiet)
        self.addCleanup(opened.abort)
        return body

    def quiet(self) -> None:
        """Nothing is left."""
        self.assertEqual([], self.clock.getDelayedCalls())

    def run_(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def turns(self, count: int = 20) -> None:
        """Let others have theirs, without time passing."""
        for _ in range(count):
            self.clock.advance(0)

    def refused(self, path: Path, **options: Any) -> str:
        """Why it cannot be played."""
        opening = Deferred.fromCoroutine(Player(self.clock).open(Play(path=str(path), **options)))
        error = self.failureResultOf(opening, Over).value
        self.assertEqual(backoff.REFUSED, error.ending.cause)
        return str(error.ending.detail)


class TimeTests(Cases):
    """When items come."""

    LINES = tuple(item(number, at) for number, at in enumerate((0, 0.5, 0.5, 2.0, 10.0)))

    def test_own(self) -> None:
        """At its own speed, by the differences of their times; then it is finished."""
        body = self.play(self.LINES)
        self.run_(9.9)
        self.assertEqual(["0", "1", "2", "3"], body.ids)
        self.assertEqual("", body.cause)
        self.run_(1)
        self.assertEqual(list(self.LINES), body.items)
        for expected, found in zip((0, 0.5, 0.5, 2, 10), body.times, strict=True):
            self.assertLessEqual(abs(found - expected), 0.11)
        self.assertEqual(backoff.FINISHED, body.cause)

    def test_faster(self) -> None:
        """Ten times its own."""
        body = self.play(self.LINES, speed=10.0)
        self.run_(0.9)
        self.assertEqual(4, len(body.ids))
        self.run_(0.3)
        self.assertEqual(backoff.FINISHED, body.cause)

    def test_slower(self) -> None:
        """Half its own."""
        body = self.play(self.LINES, speed=0.5)
        self.run_(19.8)
        self.assertEqual(4, len(body.ids))
        self.run_(1)
        self.assertEqual(5, len(body.ids))

    def test_full(self) -> None:
        """As fast as it is taken: no time passes."""
        body = self.play(self.LINES, speed=None)
        self.turns()
        self.assertEqual(list(self.LINES), body.items)
        self.assertEqual(backoff.FINISHED, body.cause)

    def test_rate(self) -> None:
        """So many a second, whatever their times."""
        body = self.play([item(number, 1000 - number) for number in range(50)], rate=10.0)
        self.run_(2.02)
        self.assertLessEqual(abs(len(body.ids) - 21), 1)
        self.run_(3.1)
        self.assertEqual(50, len(body.ids))

    def test_rate_of_some(self) -> None:
        """Items of others take no part in it."""
        lines = [item(number, 0, "birds" if number % 5 == 0 else "fish") for number in range(50)]
        body = self.play(lines, rate=10.0, choose=lambda sources: ["birds"])
        self.run_(1.1)
        self.assertEqual([str(number) for number in range(0, 50, 5)], body.ids)

    def test_backwards(self) -> None:
        """Times that go back stop nothing, and what follows keeps its distances."""
        body = self.play([item(1, 100), item(2, 50), item(3, 53), item(4, 53.5)])
        self.run_(2.5)
        self.assertEqual(["1", "2"], body.ids)
        self.run_(1.5)
        self.assertEqual(["1", "2", "3", "4"], body.ids)

    def test_absurd(self) -> None:
        """A time at the end of the world is waited for in timers that a reactor can count."""
        last = Item(source="birds", kind="post", id="9", received=2**63 - 1, body=b"")
        body = self.play([item(1), last])
        self.turns()
        self.assertEqual(["1"], body.ids)
        (timer,) = self.clock.getDelayedCalls()
        self.assertLessEqual(timer.getTime(), 3600)
        self.clock.advance(3600)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))

    @given(st.lists(st.integers(0, 2**63 - 1), max_size=30), st.floats(0.001, 1000), st.booleans())
    def test_pace(self, received: list[int], speed: float, by_rate: bool) -> None:
        """Whatever the times, nothing is due so early that it would be made up for."""
        pace, now = Pace(None if by_rate else speed, speed if by_rate else None), 0.0
        for one in received:
            due = pace.due(one, now)
            self.assertGreaterEqual(due, now - LATE - 1e-6 * max(1.0, now))
            now = max(now, due)


class FlowTests(Cases):
    """Who reads decides."""

    def test_pause(self) -> None:
        """Nothing comes in a pause; afterwards it goes on from there and does not rush."""
        body = self.play([item(number, number) for number in range(100)])
        self.run_(10.5)
        self.assertEqual(11, len(body.ids))
        body.transport.pauseProducing()
        self.run_(30)
        self.assertEqual(11, len(body.ids))
        body.transport.resumeProducing()
        self.run_(5)
        self.assertLessEqual(len(body.ids), 18)
        self.assertGreaterEqual(len(body.ids), 16)

    def test_pause_at_full_speed(self) -> None:
        """What is read ahead is bounded: a pause costs a piece of the file at most, and loses nothing."""
        lines = [item(number, 0, body=b"x" * 1000) for number in range(1000)]
        body = self.play(lines, speed=None)
        self.clock.advance(0)
        self.clock.advance(0)
        body.transport.pauseProducing()
        before = len(body.ids)
        self.assertLess(before, 200)
        self.turns()
        self.assertLess(len(body.ids) - before, 100)
        self.assertEqual([], self.clock.getDelayedCalls())
        body.transport.resumeProducing()
        self.turns(100)
        self.assertEqual(lines, body.items)

    def test_turns(self) -> None:
        """A long recording takes many turns, so that others have theirs."""
        lines = [item(number, 0, body=b"x" * 1000) for number in range(1000)]
        body, counts = self.play(lines, speed=None), set()
        for _ in range(100):
            self.clock.advance(0)
            counts.add(len(body.ids))
        self.assertGreater(len(counts), 10)
        self.assertEqual(backoff.FINISHED, body.cause)

    def test_abort(self) -> None:
        """Once it was stopped nothing comes, not even its end."""
        for act in ("abortConnection", "stopProducing"):
            for paused in (False, True):
                body = self.play([item(number, number) for number in range(100)])
                self.run_(3)
                if paused:
                    body.transport.pauseProducing()
                    self.run_(3)
                before = len(body.came)
                getattr(body.transport, act)()
                self.quiet()
                body.transport.resumeProducing()
                self.run_(3)
                self.assertEqual((before, []), (len(body.came), body.lost))

    def test_abort_within(self) -> None:
        """It may be stopped from within what takes a frame."""
        body = self.play([item(number, number) for number in range(100)])
        body.close_after = 3
        self.run_(10)
        self.assertEqual((3, []), (len(body.ids), body.lost))
        self.quiet()

    def test_files_are_closed(self) -> None:
        """However it ends, the file is closed."""
        body = self.play([item(1), item(2, 5)])
        self.run_(1)
        body.transport.abortConnection()
        body = self.play([item(1)], speed=None)
        self.turns()
        self.assertEqual(backoff.FINISHED, body.cause)
        body = self.play([item(1)], speed=None, loop=True)
        self.turns(50)
        body.transport.abortConnection()
        self.refused(write(self.folder / "y.jsonl", []), choose=self.nothing)
        self.assertEqual(self.open, set(os.listdir("/proc/self/fd")))

    def nothing(self, sources: Any) -> str:
        """Choose nothing."""
        raise ValueError("holds nothing of that")

    def test_refused(self) -> None:
        """What cannot be played is said in a sentence with its path, and not tried again."""
        self.assertIn("No such file", self.refused(self.folder / "none.jsonl"))
        self.assertIn("is no regular file", self.refused(self.folder))
        os.mkfifo(self.folder / "pipe")
        self.assertIn("is no regular file", self.refused(self.folder / "pipe"))
        for content, why in (
            (b"", "is empty"),
            (b"hello\n", "is no recording"),
            (b'{"streamer":"recording","version":2,"sources":[]}\n', "is a recording of version 2"),
        ):
            (self.folder / "x").write_bytes(content)
            self.assertIn(why, self.refused(self.folder / "x"))
        self.assertTrue(self.refused(self.folder / "x").endswith("or with a later one"))
        path = write(self.folder / "y.jsonl", [])
        self.assertIn(f"the recording {path} holds nothing of that", self.refused(path, choose=self.nothing))


class SourcesTests(Cases):
    """Recordings of several sources, also such as were put one behind the other."""

    CATS = Header.of({"cats": "jetstream"}, "").line()
    JOINED = (item(1), CATS, item(2, source="cats"), item(3), item(4, source="cats"))

    def test_all(self) -> None:
        """Where nobody chooses all is played, also what no header names."""
        body = self.play([*self.JOINED, item(5, source="fish")], speed=None)
        self.turns()
        self.assertEqual((["1", "2", "3", "4", "5"], backoff.FINISHED), (body.ids, body.cause))

    def test_one_that_a_later_header_names(self) -> None:
        """It is played; in every round, and after a restart behind the first header."""
        lines: Any = self.JOINED
        body = self.play(lines, speed=None, choose=lambda sources: ("cats",))
        self.turns()
        self.assertEqual((["2", "4"], backoff.FINISHED), (body.ids, body.cause))
        place = body.place
        body = self.play(lines, speed=None, skip=place.number, check=place.check, choose=lambda sources: ("cats",))
        self.turns()
        self.assertEqual(([], backoff.FINISHED), (body.ids, body.cause))
        body = self.play(lines, rate=10, loop=True, choose=lambda sources: ("cats",))
        self.run_(0.36)
        self.assertEqual(["2", "4", "2~2", "4~2"], body.ids)

    def test_one_that_is_not_there(self) -> None:
        """That is said at the end, with those that are there; what else was chosen is played."""
        body = self.play(self.JOINED, speed=None, choose=lambda sources: ("birds", "fish"))
        self.turns()
        self.assertEqual((["1", "3"], backoff.REFUSED), (body.ids, body.cause))
        self.assertIn("holds no source 'fish'; it holds birds, cats", str(body.lost[0].value))

    def test_what_is_passed_over(self) -> None:
        """It is counted, and told with the end."""
        body = self.play(self.JOINED, speed=None, choose=lambda sources: tuple(sources))
        self.turns()
        self.assertEqual(["1", "3"], body.ids)
        self.assertIn("2 items; 2 items of other sources were passed over (cats)", str(body.lost[0].value))


class PlaceTests(Cases):
    """Where it goes on."""

    LINES = tuple(item(number, number) for number in range(1, 6))

    def test_place(self) -> None:
        """After items the place is told, and before the first of them."""
        body = self.play(self.LINES, speed=None)
        self.turns()
        self.assertEqual(Place(), body.came[0][1])
        self.assertEqual(Place(0, 5, check_of(self.LINES[-1])), body.place)

    def test_resumed(self) -> None:
        """From a place on, only what comes after it; at the end, nothing."""
        for number in range(1, 6):
            check = check_of(self.LINES[number - 1])
            body = self.play(self.LINES, speed=None, skip=number, check=check)
            self.turns()
            self.assertEqual(list(self.LINES[number:]), body.items)
            self.assertEqual(backoff.FINISHED, body.cause)
            self.assertEqual(5, body.place.number)

    def test_grown(self) -> None:
        """A recording that was added to goes on with what is new."""
        check = check_of(self.LINES[-1])
        body = self.play([*self.LINES, item(6)], speed=None, skip=5, check=check)
        self.turns()
        self.assertEqual(["6"], body.ids)

    def test_changed(self) -> None:
        """A file that has something else at that place is played from its beginning, which is said."""
        for lines in (
            [item(number + 10) for number in range(8)],
            [item(1)],
            [],
            [*self.LINES[:2], b"damage\n", *self.LINES[3:]],
        ):
            path = write(self.folder / "x.jsonl", lines)
            body = self.play(path, speed=None, skip=3, check=check_of(self.LINES[2]))
            self.turns()
            self.assertEqual([line.id for line in lines if isinstance(line, Item)], body.ids)
            (warning,) = [frame for _, frame in body.came if isinstance(frame, Warned)]
            self.assertIn("is not what was played before", warning.detail)
            self.assertEqual(backoff.FINISHED, body.cause)

    def test_damage(self) -> None:
        """Damaged lines are told by their numbers, and the others come."""
        body = self.play([item(1), b"\xff\n", b"{}\n", b"\n", item(2)], speed=None)
        self.turns()
        self.assertEqual(["1", "2"], body.ids)
        self.assertEqual([2, 3], [frame.number for _, frame in body.came if isinstance(frame, Damaged)])
        self.assertEqual(5, body.place.number)

    def test_damaged_archive(self) -> None:
        """Where a compressed file cannot be unpacked any further, that is the end, with the line."""
        for name in ("x.jsonl.gz", "x.jsonl.zst"):
            path = write(self.folder / name, [item(number, 0, body=os.urandom(3000)) for number in range(200)])
            content = bytearray(path.read_bytes())
            content[len(content) // 2 : len(content) // 2 + 40] = b"\xff" * 40
            path.write_bytes(content)
            body = self.play(path, speed=None)
            self.turns(150)
            self.assertEqual(backoff.REFUSED, body.cause, name)
            self.assertIn("is damaged", str(body.lost[0].value))

    def test_loop(self) -> None:
        """Round after round, each with ids of its own; the place says which round."""
        body = self.play(self.LINES[:2], speed=None, loop=True)
        self.turns(10)
        self.assertEqual(["1", "2", "1~2", "2~2", "1~3", "2~3"], body.ids[:6])
        self.assertGreater(body.place.round, 1)
        self.assertEqual("", body.cause)

    def test_loop_resumed(self) -> None:
        """A restart goes on in the round that was played."""
        check = check_of(self.LINES[0])
        body = self.play(self.LINES[:2], speed=None, loop=True, skip=1, round=4, check=check)
        self.turns(10)
        self.assertEqual(["2~5", "1~6", "2~6"], body.ids[:3])

    def test_loop_of_nothing(self) -> None:
        """What holds nothing to be played is finished, loop or not."""
        for lines in ([], [item(1, 0, "fish")], [b"\xff\n"]):
            body = self.play(lines, speed=None, loop=True, choose=lambda sources: ["birds"])
            self.turns()
            self.assertEqual((backoff.FINISHED, []), (body.cause, body.ids))

    def test_loop_at_its_own_speed(self) -> None:
        """The next round begins at once after the last item, with the same distances."""
        body = self.play([item(1), item(2, 2)], loop=True)
        self.run_(7)
        self.assertEqual(["1", "2", "1~2", "2~2", "1~3", "2~3", "1~4"], body.ids)

    def test_share(self) -> None:
        """How much was read can be seen."""
        body = self.play([item(number, 0, body=b"x" * 1000) for number in range(1000)], speed=None)
        playing = body.transport
        assert isinstance(playing, Playing)
        self.turns(5)
        self.assertTrue(0 < playing.track.share < 1)
        self.turns(100)
        self.assertEqual(1, playing.track.share)
        body = self.play([item(number, number) for number in range(20)])
        shares = []
        for _ in range(19):
            self.run_(1)
            shares.append(body.transport.track.share)
        self.assertEqual(sorted(set(shares)), shares)
        self.assertLess(shares[0], 0.2)
