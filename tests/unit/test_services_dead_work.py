"""Replaying and dropping over a broker that does as the test says: nothing is let go of too early, none is lost."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import spec
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.dead import Wish
from streamer.errors import BusError
from streamer.services import dead_bodies, dead_replay
from streamer.services.dead_replay import CONFIRM_LIMIT
from streamer.services.dead_work import Found, Work, counts
from tests.bus_contract import raw
from tests.unit.dead_shelf import DIED, Shelf, buried, opened, shelf, turning


class WorkTests(SynchronousTestCase):
    """`Work`."""

    def setUp(self) -> None:
        self.start()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "saved.jsonl")

    def start(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.said: list[str] = []

    def work(self, broker: Shelf, **wish: Any) -> Work:
        return Work(lambda: opened(broker), Wish(**wish), self.clock, self.said.append)

    def found(self, coroutine: Any, broker: Shelf, seconds: float = 0.0, turns: int = 60) -> Found:
        """What it gives; every letter was acked or handed back, and all is quiet."""
        found: Found = self.successResultOf(turning(self.clock, coroutine, seconds, turns))
        self.quiet(broker)
        return found

    def quiet(self, broker: Shelf) -> None:
        self.assertTrue(broker.link.gone)
        self.assertEqual(([], {}), (self.clock.getDelayedCalls(), broker.unacked))

    def test_look(self) -> None:
        """The letters that are wanted, the oldest death first, wherever in the queue they are; all are handed back."""
        broker = shelf(self.clock, *[buried(raw(number), DIED - number) for number in range(5)])
        found = self.found(self.work(broker, ids=frozenset(["birds/1", "birds/3", "no"])).look(), broker)
        self.assertEqual(["birds/3", "birds/1"], [letter.id for letter in found.letters])
        self.assertEqual("streamer.dead holds 5, 2 of them wanted; 1 shown.", counts(found, 1))
        self.assertEqual([f"birds/{number}" for number in range(5)], broker.returned)

    def test_counts(self) -> None:
        """A queue that was not looked through is said to be so."""
        found = Found("streamer.dead", 7, looked_at=5)
        self.assertIn("holds 7, 0 of them wanted among the first 5, more are not looked at; 0", counts(found, 0))

    def test_counts_nothing(self) -> None:
        """What another command has in hand is not counted by the broker, so an empty queue is not said to be one."""
        self.assertEqual(
            "streamer.dead holds 0 that nobody has in hand; 0 shown.", counts(Found("streamer.dead", 0), 0)
        )

    def test_one(self) -> None:
        """The oldest of a name, whole."""
        broker = shelf(self.clock, buried(raw(1, b"new"), 200), buried(raw(1, b"old"), 100), 2)
        work = self.work(broker, ids=frozenset(["birds/1"]))
        letter = self.successResultOf(turning(self.clock, work.one()))
        self.assertEqual(b"old", letter.message.body)
        self.quiet(broker)

    def test_one_missing(self) -> None:
        """No letter of that name is None."""
        broker = shelf(self.clock, 1)
        self.assertIsNone(self.successResultOf(turning(self.clock, self.work(broker, ids=frozenset("x")).one())))
        self.quiet(broker)

    def test_replay(self) -> None:
        """Each is published, and acked after its confirm; all others are handed back."""
        broker = shelf(self.clock, *range(6))
        found = self.found(self.work(broker, ids=frozenset(["birds/1", "birds/4"])).replay(0, None), broker)
        self.assertEqual(["birds/1", "birds/4"], [letter.id for letter in found.done])
        self.assertEqual((["birds/1", "birds/4"], ""), (broker.acked, found.failure))
        self.assertEqual(["birds/0", "birds/2", "birds/3", "birds/5"], broker.returned)
        for id_ in broker.acked:
            self.assertLess(broker.log.index(f"publish {id_}"), broker.log.index(f"ack {id_}"))

    def test_bodies(self) -> None:
        """What is published is what died, byte for byte, whether the bodies were in memory or on disk."""
        bodies = {f"birds/{number}": bytes([number]) * (150_000 * number) for number in range(4)}
        for in_memory in (1_000_000, 10):
            with self.subTest(in_memory), patch.object(dead_bodies, "IN_MEMORY", in_memory):
                broker = shelf(self.clock, *[buried(raw(int(id_[6:]), body)) for id_, body in bodies.items()])
                self.assertEqual(4, len(self.found(self.work(broker).replay(0, None), broker).done))
                self.assertEqual({"birds/0": b"", **broker.bodies}, bodies)

    def test_refused(self) -> None:
        """The first that the broker refuses ends it: what is not confirmed is handed back, and nothing more begun."""
        broker = shelf(self.clock, *range(6))
        broker.confirms = None
        with patch.object(dead_replay, "WINDOW", 2):
            running = turning(self.clock, self.work(broker).replay(0, None))
            self.assertEqual(["publish birds/0", "publish birds/1"], broker.log)
            broker.say(spec.Basic.Ack(1))
            broker.say(spec.Basic.Nack(2))
            self.clock.pump([0] * 30)
            broker.say(spec.Basic.Ack(3))
            self.clock.pump([0] * 30)
        found: Found = self.successResultOf(running)
        self.quiet(broker)
        self.assertTrue(found.failure.startswith("birds/1: the broker refused it"))
        self.assertEqual(["birds/0", "birds/2"], broker.acked)
        self.assertEqual(["birds/1", "birds/3", "birds/4", "birds/5"], broker.returned)
        self.assertEqual(["2 of 6 replayed to where they were published."], self.said)

    def test_no_confirm(self) -> None:
        """A broker that confirms nothing is given up, with its reason where it gave one; a late confirm is none."""
        for blocked in (None, "low on memory"):
            with self.subTest(blocked):
                broker = shelf(self.clock, 1, 2)
                broker.confirms = None
                running = turning(self.clock, self.work(broker).replay(0, None))
                if blocked:
                    broker.say(spec.Connection.Blocked(blocked), channel=0)
                self.clock.advance(CONFIRM_LIMIT)
                broker.say(spec.Basic.Ack(1))
                self.clock.pump([0] * 30)
                self.clock.pump([6.0, 0, 0] if blocked else [0])  # which reads no leave-taking either
                found: Found = self.successResultOf(running)
                self.assertIn(blocked or "no answer within 30 s", found.failure)
                self.assertEqual(([], []), (found.done, broker.acked))
                if blocked:  # the broker hands back what its lost connection had
                    self.assertEqual((2, []), (len(broker.unacked), self.clock.getDelayedCalls()))
                else:
                    self.quiet(broker)
                    self.assertEqual(["birds/1", "birds/2"], broker.returned)

    def test_lost(self) -> None:
        """A connection that goes ends it; what the broker had confirmed before is told."""
        broker = shelf(self.clock, 1, 2)
        broker.confirms = None
        running = turning(self.clock, self.work(broker).replay(0, None))
        broker.say(spec.Basic.Ack(1))
        broker.link.abortConnection()
        self.clock.pump([0] * 30)
        found: Found = self.successResultOf(running)
        self.assertEqual((["birds/1"], True), ([letter.id for letter in found.done], "cut" in found.failure))

    def test_interrupted(self) -> None:
        """Ctrl-C hands everything back that was not confirmed, and says how many were."""
        broker = shelf(self.clock, 1, 2, 3)
        running = turning(self.clock, self.work(broker).replay(0, 1.0), 1.5)
        running.cancel()
        self.clock.pump([0] * 30)
        self.failureResultOf(running, CancelledError)
        self.quiet(broker)
        self.assertEqual((["birds/1", "birds/2"], ["birds/3"]), (broker.acked, broker.returned))
        self.assertEqual("2 of 3 replayed to where they were published.", self.said[-1])

    def test_rate(self) -> None:
        """So many a second and no more; and no more than can be in hand for so long."""
        broker = shelf(self.clock, *range(5))
        running = turning(self.clock, self.work(broker).replay(0, 2.0), 0.9)
        self.assertEqual(2, len(broker.acked))
        self.clock.pump([0.05] * 40)
        self.assertEqual(5, len(self.successResultOf(running).done))
        broker = shelf(self.clock, *range(5))
        with patch.object(dead_replay, "HOLD_LIMIT", 1.0), patch("streamer.services.dead_work.HOLD_LIMIT", 1.0):
            found = self.found(self.work(broker).replay(0, 2.0), broker, 3.0)
        self.assertEqual((2, 3), (len(found.done), len(broker.returned)))
        self.assertIn("only the oldest 2 can be replayed at once", self.said[-2])

    def test_cannot(self) -> None:
        """What can never be published stays where it is, with its reason, and stops no other."""
        broker = shelf(self.clock, buried(raw(1, exchange="theirs")), 2)
        found = self.found(self.work(broker).replay(0, None), broker)
        self.assertEqual((["birds/2"], ["birds/1"], ""), (broker.acked, broker.returned, found.failure))
        self.assertIn("there is no exchange 'theirs'", found.notes[1])
        broker = shelf(self.clock, buried(raw(1, exchange="theirs")), 2)
        self.assertEqual([1], list(self.found(self.work(broker).plan(0), broker).notes))
        self.assertEqual([], broker.acked)

    def test_no_room(self) -> None:
        """Beyond so many bytes bodies are not kept: those letters stay."""
        broker = shelf(self.clock, *[buried(raw(number, b"x" * 100)) for number in range(4)])
        with patch.object(dead_bodies, "BODIES_LIMIT", 250):
            found = self.found(self.work(broker).replay(0, None), broker)
        self.assertEqual((2, 2, ["birds/2", "birds/3"]), (len(found.done), found.left, broker.returned))
        self.assertIn("For 2 more there is no room", self.said[0])

    def test_drop(self) -> None:
        """What is dropped is in the file first, whole."""
        broker = shelf(self.clock, buried(raw(1, b"\xff\x00")), 2, 3)
        work = self.work(broker, ids=frozenset(["birds/1", "birds/3"]))
        found = self.found(work.drop(self.path), broker)
        self.assertEqual((["birds/1", "birds/3"], ["birds/2"]), (broker.acked, broker.returned))
        self.assertEqual(2, len(found.done))
        first, _ = map(msgspec.json.decode, self.path.read_bytes().splitlines())
        self.assertEqual(b"\xff\x00", base64.b64decode(first["body_base64"]))
        expected = msgspec.structs.asdict(raw(1)) | {"body": None}
        names = ("exchange", "topic", "kind", "timestamp_ms", "content_type", "headers")
        self.assertEqual({name: expected[name] for name in names}, {name: first[name] for name in names})

    def test_drop_unsaved(self) -> None:
        """A file that is there already, or cannot be finished, drops nothing and leaves no half of one."""
        self.path.write_text("mine")
        broker = shelf(self.clock, 1)
        self.failureResultOf(turning(self.clock, self.work(broker).drop(self.path)), FileExistsError)
        self.quiet(broker)
        self.assertEqual(("mine", []), (self.path.read_text(), broker.acked))
        self.path.unlink()
        broker = shelf(self.clock, 1)
        with patch("os.fsync", side_effect=OSError(28, "No space left on device")):
            self.failureResultOf(turning(self.clock, self.work(broker).drop(self.path)), OSError)
        self.quiet(broker)
        self.assertEqual((False, [], ["birds/1"]), (self.path.exists(), broker.acked, broker.returned))

    def test_drop_untold(self) -> None:
        """Where the connection goes before the broker answered, it is said that it may not have heard."""
        broker = shelf(self.clock, 1)
        take, looks = broker._look, []

        def look(method: Any, channel: int) -> None:
            looks.append(channel)
            if len(looks) == 2:
                broker.link.abortConnection()
            else:
                take(method, channel)

        with patch.object(broker, "_look", look):
            found = self.successResultOf(turning(self.clock, self.work(broker).drop(self.path)))
        self.assertIn("may not have heard", found.failure)
        self.assertEqual(1, len(self.path.read_bytes().splitlines()))

    @settings(max_examples=50)
    @given(st.lists(st.sampled_from(["ack", "nack", "silence", "die"]), max_size=8), st.integers(1, 3))
    def test_never_lost(self, answers: list[str], window: int) -> None:
        """Whatever the broker answers to each publish: a letter is acked only if its publish was, and else is back."""
        self.start()
        broker = shelf(self.clock, *range(len(answers)))
        broker.confirms = None
        with patch.object(dead_replay, "WINDOW", window):
            running = turning(self.clock, self.work(broker).replay(0, None))
            confirmed = set()
            answered = 0
            while answered < len(broker.published) and not broker.link.gone:
                answer = answers[answered]
                answered += 1
                if answer == "die":
                    broker.link.abortConnection()
                elif answer == "ack":
                    confirmed.add(broker.published[answered - 1])
                    broker.say(spec.Basic.Ack(answered))
                elif answer == "nack":
                    broker.say(spec.Basic.Nack(answered))
                self.clock.pump([0] * 20)
            self.clock.pump([CONFIRM_LIMIT, 0, 0, 6, 0, 0] * 3)
        found: Found = self.successResultOf(running.addErrback(lambda failure: failure.trap(BusError)))
        self.assertLessEqual(set(broker.acked), confirmed)
        back = set(broker.returned) | {held[0].message_id for held in broker.unacked.values()}
        self.assertEqual({f"birds/{number}" for number in range(len(answers))}, back | set(broker.acked))
        self.assertFalse(back & set(broker.acked))
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertLessEqual({letter.id for letter in found.done}, confirmed)
