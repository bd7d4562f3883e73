"""Older events, read again from the in-process bus for clients that come back late."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.memory import MemoryBus
from streamer.errors import BusStopped
from streamer.fanout.hub import Hub
from streamer.fanout.journal import COLD_KEPT, Journal
from streamer.fanout.position import START, written
from streamer.fanout.protocol import AHEAD_GRACE
from streamer.fanout.session import Session
from streamer.interfaces import ILog
from streamer.metrics import COLD_ENTRIES, COLD_READS, JOURNAL_EVICTED, JOURNAL_FLOOR, Metrics
from streamer.services import cold_waiting
from streamer.services.cold import READ_LIMIT, SETTLE, VAIN_BURST, ColdReads
from streamer.services.cold_waiting import GONE_FOR, PATIENCE
from streamer.services.upkeep import Upkeep
from streamer.testing.relay_events import entry
from tests.unit.test_fanout_session import parsed as frames

NOW = 1_795_000_000.0  # seconds since the epoch


class Deaf:
    """A socket's side that is never told anything: no tick comes in these tests."""

    def wake(self) -> None:
        """See `Reader`."""

    def deliver(self, data: bytes) -> None:
        """See `Reader`."""
        raise AssertionError("nothing is delivered without a tick")


def position(offset: int) -> str:
    return written(f"/sources/x#post:{offset}", offset)


SUB_ALL = json.dumps(["sub", 1, {"id": "all", "topics": ["#"]}])


class ColdReadsTests(SynchronousTestCase):
    """`ColdReads`, with sessions that wait for it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.metrics = Metrics()
        self.bus = MemoryBus(self.clock, self.metrics)
        self.bus.startService()
        self.numbers = 0

    def begin(self, published: int = 50, history: float = 600.0, **limits: int) -> None:
        """A relay with a journal of ten entries, after so many events."""
        self.published = 0
        self.publish(published)
        self.hub = Hub(Journal(**{"entries_limit": 10, **limits}), self.metrics)
        self.log: ILog = self.bus.log(history, self.hub.append)
        self.cold = ColdReads(self.hub, self.bus, self.clock)
        self.upkeep = Upkeep(self.hub, self.clock)
        self.cold.start()
        self.upkeep.start()
        self.turns()

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.bus.publish(entry(self.published, "ab"[self.published % 2], size=100).message)
            self.published += 1

    def turns(self, count: int = 20) -> None:
        for _ in range(count):
            self.clock.advance(0)

    def settle(self) -> None:
        """Until a journal that is empty is taken for that."""
        self.turns()
        self.clock.advance(SETTLE)
        self.turns()

    def end(self) -> None:
        """Nothing is left when all have stopped."""
        self.upkeep.stop()
        stopped = self.cold.stop()
        self.turns()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(self.hub.journal.older)
        self.assertLessEqual(len(self.bus._broker.log.readers), 1)

    def session(self) -> Session:
        self.numbers += 1
        return Session(self.numbers, self.hub, Deaf(), self.clock.seconds())

    def sub(self, session: Session, since: str, topic: str = "#") -> list[Any]:
        text = json.dumps(["sub", 1, {"id": "s", "topics": [topic], "since": since}])
        return frames(b"".join(session.receive(text, self.clock.seconds())))

    def subd(self, session: Session, answers: list[Any] | None = None) -> dict[str, Any]:
        """What it is told when it begins, which must be now."""
        answers = answers or frames(b"".join(session.beat(self.clock.seconds())))
        found = [frame[2] for frame in answers if frame[0] == "subd"]
        self.assertEqual(len(found), 1)
        return found[0]

    def ids(self, session: Session) -> list[int]:
        data = b""
        while (more := session.pull(1_000_000, self.clock.seconds())) is not None:
            data += more
        return [int(event["id"][5:]) for frame in frames(data) if frame[0] == "ev" for event in frame[2]]

    def outcomes(self) -> dict[str, int]:
        return {labels[0]: int(number) for metric, labels, number in self.metrics if metric is COLD_READS}

    def test_read(self) -> None:
        """A position far below the floor is honoured: everything after it comes, in order, and what comes live."""
        self.begin()
        session = self.session()
        self.assertEqual([frame[0] for frame in self.sub(session, position(3))], ["welcome"])
        self.assertEqual(session.beat(self.clock.seconds()), [])
        self.publish(5)
        self.turns()
        facts = self.subd(session)
        self.assertEqual((facts["recovered"], facts["replayed"]), (True, 51))
        self.publish(5)
        self.turns()
        self.assertEqual(self.ids(session), list(range(4, 60)))
        self.assertEqual(self.outcomes(), {"read": 1})
        self.clock.advance(1)
        self.assertEqual(self.metrics.value(COLD_ENTRIES), 46)
        self.assertEqual(self.metrics.value(JOURNAL_FLOOR), NOW + 1)
        self.end()

    def test_start(self) -> None:
        """From the beginning of the log, for one topic; also where the relay began with a part of the log only."""
        for history in (0.0, 600.0):
            with self.subTest(history=history):
                self.setUp()
                self.begin(history=history)
                self.publish(6)
                self.turns()
                session = self.session()
                self.sub(session, START, "a")
                self.turns()
                self.assertEqual(self.subd(session)["replayed"], 28)
                self.assertEqual(self.ids(session), list(range(0, 56, 2)))
                self.end()

    def test_hello(self) -> None:
        """A hello that resumes is told nothing of its recovery while that is being read, and its sub has it."""
        self.begin()
        session = self.session()
        hello = json.dumps(["hello", {"resume": position(7)}])
        self.assertNotIn("recovered", frames(b"".join(session.receive(hello, self.clock.seconds())))[0][1])
        session.receive(json.dumps(["sub", 2, {"id": "s", "topics": ["#"]}]), self.clock.seconds())
        self.turns()
        self.assertEqual(self.subd(session)["recovered"], True)
        self.assertEqual(self.ids(session), list(range(8, 50)))
        self.end()

    def test_shared(self) -> None:
        """All who wait are served by one read, from the lowest of their positions."""
        self.begin()
        sessions = [(self.session(), offset) for offset in (30, 5, 17)]
        for session, offset in sessions:
            self.sub(session, position(offset))
        self.turns()
        for session, offset in sessions:
            self.assertTrue(self.subd(session)["recovered"])
            self.assertEqual(self.ids(session), list(range(offset + 1, 50)))
        self.assertEqual(self.outcomes(), {"read": 1})
        late = self.session()
        self.assertTrue(self.subd(late, self.sub(late, position(9)))["recovered"])
        self.sub(lower := self.session(), position(2))
        self.turns()
        self.assertEqual(self.subd(lower)["replayed"], 47)
        self.assertEqual(self.outcomes(), {"read": 2})
        self.end()

    def test_unknown(self) -> None:
        """A position of another log is told to be unknown, and does not hinder who waits with a right one."""
        self.begin()
        wrong, right = self.session(), self.session()
        self.sub(wrong, written("another", 4))
        self.sub(right, position(20))
        self.turns()
        facts = self.subd(wrong)
        self.assertEqual((facts["recovered"], facts["reason"]), (False, "unknown"))
        self.assertTrue(self.subd(right)["recovered"])
        self.assertEqual(self.outcomes(), {"read": 1})
        again = self.session()
        self.assertEqual(self.subd(again, self.sub(again, written("another", 4)))["reason"], "unknown")
        self.end()

    def test_expired(self) -> None:
        """What has left the log is expired, and is not tried again soon; what is still there can be had."""
        self.bus._broker.log.ring.max_entries = 30
        self.begin()
        gone, there = self.session(), self.session()
        self.sub(gone, position(3))
        self.sub(there, position(25))
        self.turns()
        facts = self.subd(gone)
        self.assertEqual((facts["recovered"], facts["reason"], facts["oldest"]), (False, "expired", position(25)))
        self.assertEqual(self.subd(there)["replayed"], 24)
        self.assertEqual(self.outcomes(), {"expired": 1, "read": 1})
        for offset in (3, 10):
            again = self.session()
            self.assertEqual(self.subd(again, self.sub(again, position(offset)))["reason"], "expired")
        self.assertEqual(self.outcomes(), {"expired": 1, "read": 1})
        self.clock.advance(GONE_FOR)
        self.sub(self.session(), position(10))
        self.turns()
        self.assertEqual(self.outcomes(), {"expired": 2, "read": 1})
        self.end()

    def test_bytes_limit(self) -> None:
        """Who asks for more than may be held is begun with what there is; others are served; memory is bounded."""
        self.begin(cold_limit=5_000)
        far, near = self.session(), self.session()
        self.sub(far, position(2))
        self.sub(near, position(30))
        self.turns()
        self.assertEqual(self.subd(far)["reason"], "expired")
        self.assertEqual(self.subd(near)["replayed"], 19)
        self.assertLessEqual(self.hub.journal.held.cold_bytes, 5_000)
        self.assertEqual(self.outcomes(), {"read": 1})
        self.clock.advance(1 + COLD_KEPT)
        self.clock.advance(COLD_KEPT)
        self.sub(self.session(), position(3))
        self.turns()
        self.assertEqual(self.outcomes(), {"read": 1, "limit": 1})
        self.end()

    def test_time_limit(self) -> None:
        """A log that does not answer is waited for a limited time; then all begin with what there is."""
        self.begin()
        self.bus._broker.running = False
        self.sub(session := self.session(), position(3))
        self.turns()
        self.clock.advance(READ_LIMIT - 0.1)
        self.assertEqual(session.beat(self.clock.seconds()), [])
        self.clock.advance(0.2)
        self.turns()
        self.assertEqual(self.subd(session)["reason"], "expired")
        self.assertEqual(self.outcomes(), {"failed": 1})
        self.end()

    def test_patience(self) -> None:
        """Who has waited long enough is begun with what there is, although others are still served."""
        self.begin()
        self.bus._broker.running = False
        self.sub(first := self.session(), position(3))
        self.turns()
        self.clock.advance(PATIENCE / 2)
        self.sub(second := self.session(), position(1))
        self.clock.advance(PATIENCE / 2)
        self.turns()
        self.assertFalse(self.subd(first)["recovered"])
        self.clock.advance(PATIENCE / 2 - 0.1)
        self.assertEqual(second.beat(self.clock.seconds()), [])
        self.clock.advance(0.1)
        self.assertFalse(self.subd(second)["recovered"])
        self.bus._broker.running = True
        self.bus._broker.wake()
        self.turns()
        self.assertEqual(self.outcomes(), {"failed": 1, "read": 1})
        third = self.session()
        self.assertTrue(self.subd(third, self.sub(third, position(3)))["recovered"])
        self.end()

    def test_waiting_limit(self) -> None:
        """So many positions are waited for and no more, counted."""
        self.patch(cold_waiting, "COLD_WAITING", 2)
        self.begin()
        sessions = [self.session() for _ in range(4)]
        answers = [self.sub(session, position(offset)) for session, offset in zip(sessions, (3, 4, 4, 5), strict=True)]
        self.assertEqual(self.subd(sessions[3], answers[3])["reason"], "expired")
        self.assertEqual(self.outcomes(), {"limit": 1})
        self.turns()
        for session in sessions[:3]:
            self.assertTrue(self.subd(session)["recovered"])
        self.end()

    def test_welcome(self) -> None:
        """Who resumes from what is being read is told that position again, and nothing beyond it."""
        self.begin()
        session = self.session()
        hello = json.dumps(["hello", {"resume": position(3)}])
        ((_, welcome),) = frames(b"".join(session.receive(hello, self.clock.seconds())))
        self.assertEqual(position(3), welcome["position"])
        self.assertNotIn("recovered", welcome)
        self.end()

    def test_invented_positions(self) -> None:
        """Whoever invents positions has nobody refused: the log is read past them, for all who wait."""
        self.begin()
        invented = [self.session() for _ in range(30)]
        for number, session in enumerate(invented):
            self.sub(session, written(f"invented {number}", 4 + number))
        self.sub(right := self.session(), position(20))
        self.turns()
        self.assertEqual(self.outcomes(), {"read": 1})
        self.assertTrue(self.subd(right)["recovered"])
        self.assertEqual({self.subd(session)["reason"] for session in invented}, {"unknown"})
        self.end()

    def test_reads_in_vain(self) -> None:
        """A log that cannot be read is not tried more often than now and then, and who waits is told in the end."""
        self.begin()
        self.patch(self.bus, "log", self.refuse)
        sessions = [self.session() for _ in range(int(VAIN_BURST) + 5)]
        for number, session in enumerate(sessions):
            self.sub(session, position(4 + number))
        self.turns(200)
        self.assertEqual(self.outcomes(), {"failed": int(VAIN_BURST)})
        self.clock.advance(1)
        self.turns(5)
        self.assertEqual(self.outcomes(), {"failed": int(VAIN_BURST) + 1})
        self.end()

    def refuse(self, start: Any, receive: Any) -> Any:
        """A bus that stops."""
        raise BusStopped("the bus has stopped")

    def test_quiet_log(self) -> None:
        """A relay that has read nothing yet, the log being quiet, honours positions all the same."""
        for since, replayed in ((position(48), 1), (position(49), 0), (START, 50)):
            with self.subTest(since=since):
                self.setUp()
                self.begin(history=0.0)
                self.sub(session := self.session(), since)
                self.settle()
                facts = self.subd(session)
                self.assertEqual((facts["recovered"], facts["replayed"]), (True, replayed))
                self.publish(2)
                self.turns()
                self.assertEqual(self.ids(session), list(range(50 - replayed, 52)))
                self.end()

    def test_read_too_early(self) -> None:
        """What the relay's own reader has not given yet is its to give, also where it was read here already."""
        for late in (1, 3):
            with self.subTest(late=late):
                self.setUp()
                self.begin(history=0.0)
                follower = self.session()
                self.subd(follower, frames(b"".join(follower.receive(SUB_ALL, self.clock.seconds()))))
                self.log.pause()
                self.publish(late)
                self.sub(session := self.session(), position(48))
                self.turns()
                self.log.resume()
                self.turns()
                self.settle()
                self.assertTrue(self.subd(session)["recovered"])
                self.publish(2)
                self.turns()
                self.assertEqual(self.ids(follower), list(range(50, 52 + late)))
                self.assertEqual(self.ids(session), list(range(49, 52 + late)))
                self.end()

    def test_empty_log(self) -> None:
        """Of an empty log the start is found, and another position is unknown once nothing more may come."""
        self.begin(published=0)
        self.sub(start := self.session(), START)
        self.sub(other := self.session(), position(4))
        self.settle()
        self.assertTrue(self.subd(start)["recovered"])
        self.clock.advance(AHEAD_GRACE)
        self.assertEqual(self.subd(other)["reason"], "unknown")
        self.end()

    def test_let_go(self) -> None:
        """What nobody needs any more leaves, counted, and can be read again."""
        self.begin()
        self.metrics = self.hub.metrics
        self.sub(session := self.session(), position(3))
        self.turns()
        self.subd(session)
        self.ids(session)
        evicted = self.metrics.value(JOURNAL_EVICTED)
        self.clock.pump([1] * int(COLD_KEPT + 2))
        self.assertEqual(self.metrics.value(COLD_ENTRIES), 0)
        self.assertEqual(self.metrics.value(JOURNAL_EVICTED) - evicted, 36)
        self.assertEqual(self.hub.journal.head - self.hub.journal.floor, 10)
        self.sub(again := self.session(), position(3))
        self.turns()
        self.assertEqual(self.subd(again)["replayed"], 46)
        self.end()

    def test_age(self) -> None:
        """Events leave the journal when they are too old, and can be read again."""
        self.begin()
        self.hub.journal.age_limit = 100.0
        self.clock.pump([1] * 50)
        self.publish(2)
        self.turns()
        self.clock.pump([1] * 52)
        self.assertEqual(self.hub.journal.head - self.hub.journal.floor, 2)
        self.clock.pump([1] * 100)
        self.assertEqual(self.hub.journal.head - self.hub.journal.floor, 0)
        self.sub(session := self.session(), position(45))
        self.turns()
        self.assertEqual(self.subd(session)["replayed"], 6)
        self.publish(1)
        self.turns()
        self.assertEqual(self.ids(session), list(range(46, 53)))
        self.end()

    def test_none(self) -> None:
        """Where no bytes are allowed nothing is read."""
        self.begin(cold_limit=0)
        session = self.session()
        self.assertEqual(self.subd(session, self.sub(session, position(3)))["reason"], "expired")
        self.end()

    def test_stop_while_reading(self) -> None:
        """A stop in the middle of a read ends it, and leaves nothing."""
        self.begin()
        self.bus._broker.running = False
        self.sub(self.session(), position(3))
        self.turns()
        self.assertEqual(len(self.bus._broker.log.readers), 2)
        self.end()

    def test_stopped_bus(self) -> None:
        """A bus that has stopped serves nobody, and hurts nobody."""
        self.begin()

        def stopped(*_: object) -> ILog:
            raise BusStopped("stopped")

        self.patch(self.bus, "log", stopped)
        self.sub(session := self.session(), position(3))
        self.turns()
        self.assertEqual(self.subd(session)["reason"], "expired")
        self.assertEqual(self.outcomes(), {"failed": 1})
        self.end()

    def test_defect(self) -> None:
        """A defect in a read is logged, and the next one is not hindered."""
        self.begin()
        self.patch(self.bus, "log", lambda *_: Deferred())
        self.sub(self.session(), position(3))
        self.turns()
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        del self.bus.log
        self.sub(session := self.session(), position(4))
        self.turns()
        self.assertTrue(self.subd(session)["recovered"])
        self.end()
