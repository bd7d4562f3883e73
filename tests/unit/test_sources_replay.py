"""A recording as a source: followed, restarted, decoded."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from streamer import metrics as m
from streamer.bus.state_lock import StateLock
from streamer.errors import ConfigurationError, DecodeError
from streamer.gap import Gap
from streamer.interfaces import ISource, ISourceType
from streamer.message import Item
from streamer.policy import backoff
from streamer.policy.course import State
from streamer.registry import find
from streamer.secrets import Secret
from streamer.services.keeping import Keeping
from streamer.services.streamer import finished
from streamer.settings import loads
from streamer.sources.replay import Replay, Settings, chosen, replay, speed_of
from streamer.tables import CommonSettings, SourceSettings
from streamer.upstream import Mark, Response, Resume, Warned
from streamer.wire.recording import CutOff, Damaged, Header, Place, Recorded, check_of
from tests.unit.following import Following
from tests.unit.test_net_player import write

OF: Mapping[str, Any] = {"type": "x-sample", "token": "any text"}
BEGAN = 1_600_000_000_000  # ms


def post(number: int, source: str = "birds", *, cursor: str | None = None) -> Item:
    """A post of X, one a second."""
    body = b'{"data":{"id":"%d","text":"kakapo %d","author_id":"7"}}' % (number, number)
    at = BEGAN + 1000 * number
    return Item(source=source, kind="post", id=str(number), received=at, body=body, cursor=cursor, partition="7")


class Nothing:
    """No upstream."""

    resource = Resource()

    def start(self) -> None:
        """Nothing starts."""

    def stop(self) -> None:
        """Nothing stops."""


def table(**own: Any) -> SourceSettings:
    """The settings of a source."""
    kind = find(ISourceType, "replay")
    settings = Settings(**{"of": dict(OF), **own})
    return SourceSettings(CommonSettings(), kind, settings, ISource(kind.build("birds", settings)))


class Cases(SynchronousTestCase):
    """A folder, and sources that leave no timer behind."""

    def setUp(self) -> None:
        """A folder."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "x.jsonl"

    def follow(self, lines: Sequence[Item | bytes] | None, *names: str, **options: Any) -> Following:
        """Follow a recording; None leaves the file as it is."""
        if lines is not None:
            write(self.path, lines, names or ("birds",))
        own = {name: options.pop(name) for name in Settings.__struct_fields__ if name in options}
        given_ = {"path": str(self.path), **own}
        made = Following(table=table(**given_), simulation=Nothing(), **options)
        self.addCleanup(lambda: self.assertEqual([], made.stop()))
        made.start()
        return made

    def keeping(self) -> Keeping:
        """The source's files."""
        return Keeping(self.folder / "birds.cursor", StateLock(self.folder, "birds"), None, maybeDeferred)

    def cause(self, made: Following) -> str:
        """Why it ended."""
        return made.service.progress.cause


class PlayTests(Cases):
    """What is followed."""

    def test_identical(self) -> None:
        """The items come at their times, byte for byte as they were recorded; then it is finished, which is well."""
        lines = [post(number, cursor=str(number)) for number in range(10)]
        made = self.follow(lines)
        self.assertEqual(State.STREAMING, made.follower.course.state)
        made.advance(5.2)
        self.assertIn(len(made.items), (5, 6))
        self.assertEqual([], made.streamer.troubles())
        made.advance(10)
        self.assertEqual(lines, made.items)
        self.assertEqual(State.FAILED, made.follower.course.state)
        self.assertEqual(backoff.FINISHED, self.cause(made))
        self.assertTrue(finished(made.service))
        self.assertEqual([], made.streamer.troubles())
        self.assertEqual([], made.gaps())

    def test_full(self) -> None:
        """As fast as the bus takes it, with no more under way than that wants."""
        lines = [post(number) for number in range(3_000)]
        made = self.follow(lines, speed="full", window=100)
        made.bus.held = []
        made.advance(5)
        assert made.bus.held is not None
        self.assertLess(len(made.bus.held), 3_000)
        made.bus.release()
        made.advance(5)
        self.assertEqual(lines, made.items)

    def test_renamed(self) -> None:
        """Under another name only the source differs."""
        lines = [post(number, "fish") for number in range(3)]
        made = self.follow(lines, "fish", speed="full")
        made.advance(1)
        self.assertEqual([post(number) for number in range(3)], made.items)

    def test_one_of_several(self) -> None:
        """Of several recorded sources the one of our name, or the one that is named, is played."""
        lines = [post(number, ("birds", "fish")[number % 2]) for number in range(6)]
        for options, ids in (({}, ["0", "2", "4"]), ({"name": "fish"}, ["1", "3", "5"])):
            made = self.follow(lines, "birds", "fish", speed="full", **options)
            made.advance(1)
            self.assertEqual(ids, made.ids("post"))

    def test_joined(self) -> None:
        """Of recordings put one behind the other each source can be played."""
        lines = [post(0, "fish"), Header.of({"cats": "x-filtered"}, "").line(), post(1, "cats"), post(2, "fish")]
        for name, ids in (("cats", ["1"]), ("fish", ["0", "2"])):
            made = self.follow(lines, "fish", speed="full", name=name)
            made.advance(1)
            self.assertEqual((ids, backoff.FINISHED), (made.ids("post"), self.cause(made)))
            self.assertIn("of other sources were passed over", made.follower.said)

    def test_not_there(self) -> None:
        """Where it cannot be told which, or the file cannot be played, that is the end, and somebody has to look."""
        for names, options, why in (
            (("a", "b"), {}, "holds a, b; choose one of them by `name`"),
            (("a",), {"name": "c"}, "holds no source 'c'; it holds a"),
            ((), {"path": str(self.folder / "none")}, "No such file"),
        ):
            made = self.follow([], *names, **options)
            made.advance(100)
            self.assertEqual(backoff.REFUSED, self.cause(made))
            self.assertIn(why, made.streamer.troubles()[0])

    def test_gaps(self) -> None:
        """A recorded gap is one again."""
        gap = Gap(start=BEGAN, end=BEGAN + 500, cause="network").item("birds", BEGAN + 700)
        made = self.follow([post(0), gap, post(1)], speed="full")
        made.advance(1)
        self.assertEqual([post(0), gap, post(1)], made.items)

    def test_damage(self) -> None:
        """Damaged lines are counted, and the rest comes."""
        made = self.follow([post(0), b"hello\n", b"\xff\n", post(1), b'{"source":"bi'], speed="full")
        made.advance(1)
        self.assertEqual([post(0), post(1)], made.items)
        self.assertEqual(2, made.metrics.value(m.BAD_FRAMES, "birds", "unreadable"))
        self.assertEqual(backoff.FINISHED, self.cause(made))

    def test_loop(self) -> None:
        """Later rounds have ids of their own, so that they are no repeats."""
        made = self.follow([post(0), post(1)], loop=True, rate=10.0)
        made.advance(1)
        self.assertEqual(["0", "1", "0~2", "1~2", "0~3"], made.ids("post")[:5])
        self.assertEqual(0, made.metrics.value(m.REPEATED_ITEMS, "birds"))
        self.assertEqual(State.STREAMING, made.follower.course.state)

    def test_stopped_and_started(self) -> None:
        """An operator may stop it; a start goes on behind what was played, and nothing was missed meanwhile."""
        lines = [post(number) for number in range(20)]
        made = self.follow(lines)
        made.advance(5.2)
        made.streamer.stop([])
        made.advance(60)
        self.assertLess(len(made.items), 8)
        made.streamer.start([])
        made.advance(30)
        self.assertEqual(lines, made.items)
        self.assertEqual(0, made.metrics.value(m.REPEATED_ITEMS, "birds"))

    def test_renewed(self) -> None:
        """A renewal that somebody asks for loses nothing and announces nothing, though items are few."""
        lines = [post(100 * number) for number in range(8)]
        made = self.follow(lines)
        made.advance(250)
        made.streamer.update([])
        made.advance(700, step=5)
        self.assertEqual([one.id for one in lines], made.ids("post"))
        self.assertEqual([], made.gaps())


class RestartTests(Cases):
    """Processes that follow each other."""

    def process(
        self, clock: Clock | None = None, lines: Sequence[Item | bytes] | None = None, **own: Any
    ) -> Following:
        """Another process with the same state."""
        return self.follow(lines, clock=clock, keeping=self.keeping(), **own)

    def test_goes_on(self) -> None:
        """What an earlier process played is not played again, also where items carry an upstream's own cursors."""
        lines = [post(number, cursor=f"upstream-{number}") for number in range(20)]
        first = self.process(lines=lines)
        first.advance(7.2)
        self.successResultOf(first.end())
        second = self.process(first.clock)
        second.advance(30)
        self.assertEqual(lines, first.items + second.items)
        self.successResultOf(second.end())
        third = self.process(first.clock)
        third.advance(30)
        self.assertEqual([], third.items)
        self.assertTrue(finished(third.service))

    def test_killed(self) -> None:
        """Whatever the bus had not confirmed comes again, and nothing is missed."""
        lines = [post(number, cursor=f"upstream-{number}") for number in range(20)]
        first = self.process(lines=lines)
        first.advance(7.2)
        first.bus.held = []
        first.advance(7)
        assert first.service.keeping is not None
        first.service.keeping.lock.release()
        first.service.keeping = None  # as a kill: no last word on disk
        before = list(first.items)
        first.bus.release()
        first.end()
        second = self.process(first.clock)
        second.advance(30)
        whole = [*before, *second.items]
        self.assertEqual([one.id for one in lines], list(dict.fromkeys(one.id for one in whole)))
        self.assertLessEqual(len(whole), len(lines) + 3)
        self.assertEqual([], second.gaps())

    def test_loop(self) -> None:
        """A restart in the middle of a round goes on in it, with the ids of that round."""
        first = self.process(lines=[post(0), post(1), post(2)], loop=True, rate=2.0)
        first.advance(2.2)
        self.successResultOf(first.end())
        second = self.process(first.clock, loop=True, rate=2.0)
        second.advance(2.2)
        ids = first.ids("post") + second.ids("post")
        expected = [f"{number}{suffix}" for suffix in ("", "~2", "~3", "~4") for number in range(3)]
        self.assertEqual(expected[: len(ids)], ids)
        self.assertIn(len(ids), (9, 10))

    def test_other_recording(self) -> None:
        """A recording that took the place of the first is played from its beginning."""
        first = self.process(lines=[post(number) for number in range(5)], speed="full")
        first.advance(1)
        self.successResultOf(first.end())
        other = [post(number) for number in range(100, 120)]
        second = self.process(first.clock, other, speed="full")
        second.advance(1)
        self.assertEqual(other, second.items)

    def test_foreign_cursor(self) -> None:
        """A cursor that the upstream itself left there, before the type was changed, stands for the beginning."""
        source = table(path=str(self.path)).source
        asked: Any = source.request(Resume(received=5_000_000, cursor='[{"topic":"x"}]'), 6_000_000)
        self.assertEqual((0, 0, ""), (asked.skip, asked.round, asked.check))
        self.assertEqual(1, asked.replays_from)


class SourceTests(Cases):
    """The source itself."""

    def source(self, **own: Any) -> Replay:
        """One."""
        made: Any = table(path="x", **own).source
        return made

    def test_outcomes(self) -> None:
        """Entries become items and words; nothing else does."""
        source = self.source()
        self.assertEqual([post(1)], list(source.outcomes(Recorded(1, post(1)), 0)))
        self.assertEqual([post(1)], list(source.outcomes(Recorded(1, post(1, "fish")), 0)))
        place = Place(1, 2, check_of(post(1)))
        (mark,) = source.outcomes(place, 0)
        assert isinstance(mark, Mark)
        asked: Any = source.request(Resume(received=0, cursor=mark.cursor), 0)
        self.assertEqual(place, Place(asked.round, asked.skip, asked.check))
        (warned,) = source.outcomes(CutOff(4), 0)
        assert isinstance(warned, Warned)
        self.assertIn("line 5", warned.detail)
        self.assertEqual((warned,), tuple(source.outcomes(warned, 0)))
        for wrong in (Damaged(3, "is no item"), b"{}", 7, None):
            self.assertRaises(DecodeError, source.outcomes, wrong, 0)

    def test_decode(self) -> None:
        """Items are decoded as the recorded source does it."""
        inner = find(ISourceType, "x-sample")
        for item in (post(1), post(2)):
            activity = self.source().decode(item)
            self.assertEqual(("kakapo 1", "kakapo 2")[item.id == "2"], activity.text)
            self.assertEqual(inner.build("birds", inner.settings(token=Secret("t"))).decode(item), activity)
            self.assertEqual(self.source().inner.posted(item), self.source().posted(item))
        self.assertRaises(DecodeError, self.source().decode, msgspec.structs.replace(post(1), body=b"\xff"))

    def test_the_rest(self) -> None:
        """No predicates, no recovery, no silence that would be too long."""
        source = self.source()
        self.assertRaises(ValueError, source.with_predicates, None)
        self.assertEqual(0, source.changes(source))
        self.assertEqual(float("inf"), source.stall_after)
        source.recovery(0, 1)
        self.assertEqual(backoff.UNEXPECTED, source.refusal(Response(status=404, received=0)).cause)
        self.assertIn("post", replay.kinds)
        self.assertIn("gap", replay.kinds)

    def test_chosen(self) -> None:
        """Which source is played."""
        both = {"a": "x", "b": "y"}
        self.assertEqual(("a",), chosen("a", "b", both))
        self.assertEqual(("b",), chosen(None, "b", both))
        self.assertEqual(("a",), chosen(None, "c", {"a": "x"}))
        self.assertEqual(("c",), chosen("c", "b", both))  # a header further down may name it
        for recorded in (both, {}):
            self.assertRaises(ValueError, chosen, None, "z", recorded)

    def test_speeds(self) -> None:
        """How speeds are written."""
        for written, speed in (("1x", 1.0), ("0.5x", 0.5), ("10x", 10.0), ("full", None)):
            self.assertEqual(speed, speed_of(written))
        for wrong in ("", "x", "0x", "1", "-1x", "nanx", "infx", "9999999x", "1e3x", "fast", "٣x"):
            self.assertRaises(ValueError, speed_of, wrong)

    @given(st.text(max_size=10))
    def test_any_speed(self, written: str) -> None:
        """Whatever is written, a speed or a sentence."""
        try:
            speed = speed_of(written)
        except ValueError as error:
            self.assertIn("speed", str(error))
        else:
            self.assertTrue(speed is None or speed > 0)


class SettingsTests(SynchronousTestCase):
    """What stands in the configuration."""

    def problem(self, text: str) -> str:
        """What is wrong with a source's table."""
        error = self.assertRaises(ConfigurationError, loads, f'[sources.birds]\ntype = "replay"\n{text}', "x.toml")
        return str(error)

    def test_good(self) -> None:
        """A whole table; the keys that every source has may stand in the inner one, and secrets are not looked up."""
        text = (
            '[sources.birds]\ntype = "replay"\npath = "x.jsonl.zst"\nspeed = "10x"\nloop = true\n'
            '[sources.birds.of]\ntype = "x-filtered"\ntoken = "$NO_SUCH_NAME"\nstale_after = 5.0\n'
            '[sources.birds.of.predicates]\nrules = [{ value = "kakapo", tag = "birds" }]\n'
        )
        source: Any = loads(text, environ={}).sources["birds"].source
        self.assertEqual((10.0, "birds"), (source.speed, source.inner.name))

    def test_any_credential(self) -> None:
        """Whatever stands in the place of a credential will do, for all that have rules about theirs."""
        for of in (
            '{ type = "webhook", secret = "any" }',
            '{ type = "webhook", secret = "", token = "two words" }',
            '{ type = "x-filtered", token = "" }',
            '{ type = "github", token = "any" }',
        ):
            loads(f'[sources.birds]\ntype = "replay"\npath = "x"\nof = {of}\n')

    def test_two_of_one_file(self) -> None:
        """Two sources may play one file."""
        one = 'type = "replay"\npath = "x"\nof = {{ type = "x-sample", token = "t" }}\nname = "{0}"\n'
        text = "".join(f"[sources.{name}]\n{one.format(name)}" for name in ("a", "b"))
        self.assertEqual(["a", "b"], list(loads(text).sources))

    def test_wrong(self) -> None:
        """What is wrong is said with its place."""
        of = 'of = { type = "x-sample", token = "t" }\n'
        for text, why in (
            (of, "path"),
            ('path = ""\n' + of, "path"),
            ('path = "x"\n', "of"),
            ('path = "x"\nof = {}\n', "needs [sources.birds.of] with the `type`"),
            ('path = "x"\nof = { type = "replay", path = "y" }\n', "needs [sources.birds.of]"),
            ('path = "x"\nof = { type = "x-sampel" }\n', "did you mean 'x-sample'?"),
            ('path = "x"\nof = { type = "x-sample" }\n', "credentials may be any text"),
            ('path = "x"\nof = { type = "x-sample", tokn = "t" }\n', "unknown key 'tokn' (did you mean 'token'?)"),
            ('path = "x"\nof = { type = "x-sample", token = 5 }\n', "expected a string"),
            ('path = "x"\nof = { type = "x-sample", token = "t", base_url = "http://a.example" }\n', "of: "),
            ('path = "x"\nspeed = "fast"\n' + of, "speed 'fast' is not as 1x"),
            ('path = "x"\nspeed = "2x"\nrate = 5.0\n' + of, "give speed or rate, not both"),
            ('path = "x"\nspeed = "1x"\nrate = 5.0\n' + of, "give speed or rate, not both"),
            ('path = "x"\nrate = 0.0\n' + of, "rate"),
            ('path = "x"\nrate = nan\n' + of, "rate"),
            ('path = "x"\nlop = true\n' + of, "did you mean 'loop'?"),
        ):
            said = self.problem(text)
            self.assertTrue(said.startswith("x.toml:"), said)
            self.assertIn(why, said)
