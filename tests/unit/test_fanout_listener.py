"""A client that only listens."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ClientError
from streamer.fanout.encoding import RELAY
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.listener import Listener
from streamer.fanout.protocol import AHEAD_GRACE, Wish
from streamer.metrics import Metrics
from streamer.testing.relay_events import entry
from tests.unit.test_fanout_front import events_in

NOW = 1_000_000.0


class ListenerTests(SynchronousTestCase):
    """`Listener`."""

    def setUp(self) -> None:
        self.hub = Hub(Journal(entries_limit=5), Metrics())
        self.facts: list[dict[str, Any]] = []
        self.delivered: list[bytes] = []
        self.woken = 0
        self.listener = Listener(self.hub, self, self.facts.append, NOW, RELAY, 20.0)

    def wake(self) -> None:
        """See `Reader`."""
        self.woken += 1

    def deliver(self, data: bytes) -> None:
        """See `Reader`."""
        self.delivered.append(data)

    def publish(self, *offsets: int) -> None:
        for offset in offsets:
            self.hub.append(entry(offset, "a.x"))

    def pulled(self) -> list[int]:
        data = self.listener.pull(100_000, NOW) or b""
        return [int(event["id"][5:]) for _, _, events in events_in(data) for event in events]

    def test_history_then_live(self) -> None:
        """What was asked for of the past is pulled; what comes then is delivered with the others'."""
        self.publish(1, 2, 3)
        self.listener.subscribe(Wish("-", ("a.#",), last=2), NOW)
        self.assertEqual([{"position": self.hub.journal.position(1), "replayed": 2, "recovered": True}], self.facts)
        self.assertEqual([2, 3], self.pulled())
        self.assertIsNone(self.listener.pull(100_000, NOW))
        self.publish(4)
        self.assertFalse(self.hub.flush(10, NOW))
        self.assertEqual(["post:4"], [event["id"] for event in events_in(self.delivered[0])[0][2]])
        self.listener.close()
        self.assertEqual(0, self.hub.cohorts)

    def test_ahead(self) -> None:
        """A position that the relay has not read yet is waited for, then served; or given up."""
        self.publish(1)
        later = Hub(Journal(), Metrics())
        for offset in (1, 2, 3):
            later.append(entry(offset, "a.x"))
        self.listener.subscribe(Wish("-", ("a.#",), since=later.journal.position(2)), NOW)
        self.assertEqual(([], b""), (self.facts, self.listener.beat(NOW + 1)))
        self.publish(2, 3)
        self.listener.beat(NOW + 1)
        self.assertEqual([True], [facts["recovered"] for facts in self.facts])
        self.assertEqual([3], self.pulled())
        other = Listener(self.hub, self, self.facts.append, NOW, RELAY)
        other.subscribe(Wish("-", ("a.#",), since="v1.00000000.99"), NOW)
        other.beat(NOW + AHEAD_GRACE)
        self.assertEqual((False, "unknown"), (self.facts[1]["recovered"], self.facts[1]["reason"]))

    def test_heartbeat(self) -> None:
        """A position is told before the heartbeat is over."""
        self.listener.subscribe(Wish("-", ("a.#",)), NOW)
        self.assertEqual(b"", self.listener.beat(NOW + 15))
        self.assertEqual("pos", json.loads(self.listener.beat(NOW + 17)[2:])[0])

    def test_bad_patterns(self) -> None:
        """What is refused has begun nothing."""
        with self.assertRaises(ClientError):
            self.listener.subscribe(Wish("-", ("a..b",)), NOW)
        self.assertEqual(0, self.hub.cohorts)
        self.listener.close()

    def test_strict(self) -> None:
        """A strict listener that is too slow ends rather than miss something."""
        self.listener.subscribe(Wish("-", ("a.#",), policy="strict"), NOW)
        self.publish(*range(1, 10))
        with self.assertRaises(ClientError):
            self.listener.beat(NOW)
