"""One source as a whole: predicates brought into force on an open stream, a watched file, staleness, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from streamer import metrics as m
from streamer.bus.state_lock import StateInUse, StateLock
from streamer.errors import SourceTaken
from streamer.operating import ILocks
from streamer.policy.course import State
from streamer.services.keeping import Keeping
from streamer.sources.x_rules import Rule
from streamer.tables import CommonSettings
from streamer.testing import faults
from tests.unit.following import Following
from tests.unit.spooling import folder


def body(*values: str) -> bytes:
    """Predicates of a filtered stream, as an operator sends them."""
    return json.dumps({"rules": [{"value": value} for value in values]}).encode()


class AlignmentTests(SynchronousTestCase):
    """Rules are changed on an open stream."""

    def following(self, **options: Any) -> Following:
        """A connected source that must leave no timer behind."""
        made = Following(**options)
        self.addCleanup(lambda: self.assertEqual([], made.stop()))
        made.start()
        return made

    def rules(self, made: Following) -> list[str]:
        """What the server filters by."""
        return sorted(rule.value for rule in made.x.rules.all())

    def test_without_a_new_connection(self) -> None:
        """Other rules are on the server at once, over the same stream, and no post is lost meanwhile."""
        made = self.following(rate=20.0)
        made.advance(2)
        made.service.want(made.service.wanted.parse(body("cat", "dog")))
        made.pump()
        self.assertEqual(["cat", "dog"], self.rules(made))
        self.assertEqual(1, made.x.status()["connected"])
        self.assertIs(made.source, made.follower.live)
        made.advance(2)
        self.assertEqual(list(made.x.ledger.posts), made.ids())

    def test_one_after_the_other(self) -> None:
        """Wishes that come while one is on its way are brought into force after it; the last one holds."""
        made = self.following(rate=1.0)
        for values in (("a",), ("b",), ("c", "d")):
            made.service.want(made.service.wanted.parse(body(*values)))
        made.pump(20)
        self.assertEqual(["c", "d"], self.rules(made))
        self.assertEqual(0, made.metrics.value(m.PENDING_PREDICATES, "birds"))

    def test_refused(self) -> None:
        """What the upstream refuses changes nothing: the old rules stay, on the server too, and the stream goes on."""
        made = self.following(rate=20.0)
        made.service.want(made.service.wanted.parse(body("dog", "has:media")))
        made.pump(20)
        self.assertEqual(["cat"], self.rules(made))
        self.assertEqual([Rule("cat", "pets")], list(made.source.predicates.rules))
        self.assertIn("refused", made.service.wanted.problem or "")
        self.assertTrue(made.follower.connected)

    def test_while_away(self) -> None:
        """What is wanted while there is no connection is asked for with the next one."""
        made = self.following(rate=20.0)
        made.x.fault(faults.Status(503))
        made.x.fault(faults.Cut())
        made.advance(1)
        self.assertFalse(made.follower.connected)
        made.service.want(made.service.wanted.parse(body("dog")))
        made.advance(10)
        self.assertTrue(made.follower.connected)
        self.assertEqual(["dog"], self.rules(made))

    def test_mended(self) -> None:
        """A source that stopped because its rules were refused goes on as soon as it is asked for better ones."""
        made = self.following(rules=[Rule("has:media", "")])
        self.assertIs(State.FAILED, made.follower.course.state)
        made.service.want(made.service.wanted.parse(body("dog")))
        made.pump(10)
        self.assertTrue(made.follower.connected)

    def test_without_rules(self) -> None:
        """A source that waits because the server has no rules goes on as soon as it is given some."""
        made = Following(rules=())
        self.addCleanup(lambda: self.assertEqual([], made.stop()))
        made.start()
        made.advance(5)
        self.assertIs(State.WAITING, made.follower.course.state)
        made.service.want(made.service.wanted.parse(body("dog")))
        made.pump(10)
        self.assertTrue(made.follower.connected)

    def test_stop_in_the_middle(self) -> None:
        """A stop while rules are on their way leaves nothing behind; the next start brings them."""
        made = self.following(rate=1.0)
        made.service.want(made.service.wanted.parse(body("dog")))
        made.service.hang_up()
        made.pump(10)
        made.service.follow()
        made.pump(10)
        self.assertEqual(["dog"], self.rules(made))


class FileTests(SynchronousTestCase):
    """The watched file."""

    def test_watched(self) -> None:
        """What stands in the file goes before the configuration, changes with it, and survives its loss."""
        path = folder(self) / "birds.json"
        path.write_bytes(body("dog"))
        made = Following(rate=1.0, common=CommonSettings(predicates_file=str(path)))
        made.start()
        self.assertEqual(["dog"], [rule.value for rule in made.x.rules.all()])
        path.write_bytes(body("dog", "mouse"))
        made.advance(2)
        self.assertEqual({"dog", "mouse"}, {rule.value for rule in made.x.rules.all()})
        path.unlink()
        made.advance(2)
        self.assertEqual({"dog", "mouse"}, {rule.value for rule in made.x.rules.all()})
        self.assertEqual([], made.stop())

    def test_rubbish(self) -> None:
        """A file that cannot be read changes nothing, and says once what is wrong with it."""
        path = folder(self) / "birds.json"
        made = Following(rate=1.0, common=CommonSettings(predicates_file=str(path)))
        made.start()
        for rubbish in (b"{", b'{"rulez": []}', b'{"rules": [{"value": ""}]}', b"\xff\xfe"):
            path.write_bytes(rubbish)
            made.advance(2)
            self.assertIn(str(path), made.service.wanted.problem or "", rubbish)
        self.assertEqual(["cat"], [rule.value for rule in made.x.rules.all()])
        self.assertEqual([], made.stop())


class StaleTests(SynchronousTestCase):
    """Open streams without items."""

    def test_only_alarms(self) -> None:
        """A stream with nothing but keep-alives raises an alarm after its time, and is left alone; an item ends it."""
        made = Following(rate=0.0001, common=CommonSettings(stale_after=120.0))
        made.start()
        made.advance(100, step=5)
        self.assertEqual(0, made.metrics.value(m.SOURCE_STALE, "birds"))
        made.advance(40, step=5)
        self.assertEqual(1, made.metrics.value(m.SOURCE_STALE, "birds"))
        self.assertEqual((True, 0), (made.follower.connected, made.metrics.total(m.ENDINGS)))
        self.assertTrue(made.streamer.standing(())["birds"]["stale"])
        made.x.inject("a cat")
        made.advance(2)
        self.assertEqual(0, made.metrics.value(m.SOURCE_STALE, "birds"))
        self.assertEqual([], made.stop())

    def test_defect_at_start(self) -> None:
        """A state directory that cannot be used ends the process with a sentence, and stops all the same."""

        class Broken:
            spool = None
            lock = StateLock(folder(self), "birds")

            async def open(self) -> Any:
                raise ZeroDivisionError("a defect")

            async def close(self, cursor: Any) -> None:
                """Nothing was opened."""

        made = Following(keeping=Broken())  # type: ignore[arg-type]
        made.start()
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertIn("cannot start", made.fatal[0])
        self.assertEqual([], made.stop())


@implementer(ILocks)
class Doorman:
    """Locks that a test gives and takes away."""

    def __init__(self) -> None:
        self.taken: dict[str, Callable[[str], None]] = {}
        self.waiting: Deferred[None] = Deferred()
        self.word = "waiting for somebody else"

    def take(self, name: str, lost: Callable[[str], None]) -> Deferred[None]:
        """Waits until the test fires it."""
        self.taken[name] = lost
        return self.waiting

    def release(self, name: str) -> Deferred[None]:
        """At once."""
        del self.taken[name]
        return succeed(None)

    def waits(self, name: str) -> str:
        """As the test wants."""
        return "" if self.waiting.called and not self.waiting.paused else self.word


class TenureTests(SynchronousTestCase):
    """One process a source."""

    def following(self, **options: Any) -> tuple[Following, Doorman]:
        """A source that waits for its lock, with a state directory."""
        self.directory = folder(self)
        keeping = Keeping(self.directory / "birds.cursor", StateLock(self.directory, "birds"), None, at_once)
        made, doorman = Following(keeping=keeping, rate=20.0, **options), Doorman()
        made.service.tenure.locks = doorman
        made.start()
        return made, doorman

    def test_waits(self) -> None:
        """Nothing is asked of the upstream before the lock is ours, and everybody can see why."""
        verifyObject(ILocks, Doorman())
        made, doorman = self.following()
        made.advance(60)
        self.assertEqual(0, made.x.status()["connections"])
        self.assertEqual(["source birds: waiting for somebody else"], made.streamer.troubles())
        self.assertEqual("waiting for somebody else", made.streamer.status()["birds"]["said"])
        self.assertRaises(StateInUse, StateLock(self.directory, "birds").take)
        doorman.waiting.callback(None)
        made.advance(2)
        self.assertTrue(made.follower.connected)
        self.assertEqual([], made.streamer.troubles())
        self.assertEqual([], made.stop())
        self.assertEqual({}, doorman.taken)

    def test_stopped_while_waiting(self) -> None:
        """A stop waits for nobody's lock, and lets go of the state directory."""
        made, _ = self.following()
        self.assertEqual([], made.stop())
        self.assertEqual([], made.fatal)
        StateLock(self.directory, "birds").take()

    def test_taken(self) -> None:
        """Where another process has the source this one ends, with that sentence, and has not connected."""
        made, doorman = self.following()
        doorman.waiting.errback(SourceTaken("somebody else has it"))
        made.pump()
        self.assertEqual(["somebody else has it"], made.fatal)
        self.assertEqual(0, made.x.status()["connections"])
        StateLock(self.directory, "birds").take()
        self.assertEqual([], made.stop())

    def test_lost(self) -> None:
        """Once another process has it, this one hangs up at once, for good, and ends; what it read is kept."""
        made, doorman = self.following()
        doorman.waiting.callback(None)
        made.advance(2)
        read = len(made.ids())
        doorman.taken["birds"]("somebody else has it now")
        made.pump()
        self.assertEqual(0, made.x.status()["connections"])
        self.assertEqual(["somebody else has it now"], made.fatal)
        made.advance(30)
        self.assertEqual((0, read), (made.x.status()["connections"], len(made.ids())))
        self.assertEqual("somebody else has it now", made.streamer.status()["birds"]["said"])
        self.assertEqual([], made.stop())

    def test_waits_while_following(self) -> None:
        """Who follows and finds its lock with another is not ready, and follows until that is certain."""
        made, doorman = self.following()
        doorman.waiting.callback(None)
        made.advance(2)
        made.service.tenure.locks = again = Doorman()
        self.assertEqual(["source birds: waiting for somebody else"], made.streamer.troubles())
        self.assertEqual("streaming", made.streamer.status()["birds"]["state"])
        again.waiting.callback(None)
        made.service.tenure.locks = doorman
        self.assertEqual([], made.stop())

    def test_released_last(self) -> None:
        """Nobody else may have it before the bus has confirmed what was read."""
        made, doorman = self.following()
        doorman.waiting.callback(None)
        made.advance(1)
        made.bus.held = []
        made.advance(1)
        self.assertTrue(made.bus.held)
        ending = made.end()
        self.assertNoResult(ending)
        self.assertEqual(["birds"], list(doorman.taken))
        made.bus.release()
        made.pump()
        self.successResultOf(ending)
        self.assertEqual({}, doorman.taken)
        self.assertEqual([], made.stop())

    def test_two_streamers(self) -> None:
        """Two on one in-process bus: the second is refused, and its end takes nothing from the first."""
        first = Following(rate=20.0)
        first.start()
        second = Following(rate=20.0)
        second.service.tenure.locks = first.bus.locks
        second.start()
        self.assertIn("'birds' is followed by this process already", second.fatal[0])
        self.assertEqual([], second.stop())
        first.advance(2)
        self.assertTrue(first.follower.connected)
        self.failureResultOf(first.bus.locks.take("birds", first.fatal.append), SourceTaken)
        self.assertEqual([], first.stop())
        self.successResultOf(first.bus.locks.take("birds", first.fatal.append))


def at_once(function: Callable[[], Any]) -> Deferred[Any]:
    """In the place of a thread."""
    return succeed(function())
