"""A websocket whose client says nothing."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ClientError
from streamer.fanout.grants import Grants
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.oneway import CLOUDEVENTS
from streamer.fanout.protocol import AHEAD_GRACE, COMMAND_BURST, Wish
from streamer.fanout.readonly import ReadOnly
from streamer.metrics import Metrics
from streamer.testing.relay_events import entry
from tests.unit.test_fanout_oneway import frames

NOW = 1_000_000.0


class ReadOnlyTests(SynchronousTestCase):
    """`ReadOnly`."""

    def setUp(self) -> None:
        self.hub = Hub(Journal(entries_limit=5), Metrics())
        self.delivered: list[bytes] = []

    def wake(self) -> None:
        """See `Reader`."""

    def deliver(self, data: bytes) -> None:
        """See `Reader`."""
        self.delivered.append(data)

    def open(self, grants: Grants | None = None, **wish: Any) -> ReadOnly:
        return ReadOnly(self.hub, self, NOW, Wish("-", ("a.#",), **wish), grants or Grants(), CLOUDEVENTS)

    def publish(self, *offsets: int) -> None:
        for offset in offsets:
            self.hub.append(entry(offset, "a.x"))

    def said(self, data: bytes | None) -> list[str]:
        return [json.loads(frame)["id"] for frame in frames(data or b"")]

    def test_conversation(self) -> None:
        """The beginning comes first, then history, then what comes; a heartbeat says nothing."""
        self.publish(1, 2)
        one = self.open(last=1)
        self.assertEqual([f"subscribed:{self.hub.journal.position(1)}:found:1"], self.said(one.pull(10_000, NOW)))
        self.assertEqual(["post:2"], self.said(one.pull(10_000, NOW)))
        self.assertIsNone(one.pull(10_000, NOW))
        self.publish(3)
        self.hub.flush(10, NOW)
        self.assertEqual([["post:3"]], list(map(self.said, self.delivered)))
        self.assertEqual([], [frame for second in range(60) for frame in one.beat(NOW + second) if frame])
        one.close()
        self.assertEqual(0, self.hub.cohorts)

    def test_ahead(self) -> None:
        """A position that does not turn up is given up, and that is said when it is."""
        one = self.open(since="v1.00000000.9")
        self.assertIsNone(one.pull(10_000, NOW))
        (frame,) = one.beat(NOW + AHEAD_GRACE)
        self.assertEqual(
            (False, "unknown"), tuple(json.loads(frames(frame)[0])["data"][key] for key in ("recovered", "reason"))
        )
        one.close()

    def test_closing(self) -> None:
        """Any frame, too many pings, a token's end and a strict loss end it, each with its code."""
        one = self.open()
        with self.assertRaises(ClientError) as caught:
            one.receive(b'["ping",1]', NOW)
        self.assertEqual(4000, caught.exception.close)
        for _ in range(int(COMMAND_BURST)):
            one.allow(NOW)
        with self.assertRaises(ClientError) as caught:
            one.allow(NOW)
        self.assertEqual(4129, caught.exception.close)
        with self.assertRaises(ClientError) as caught:
            self.open(Grants(expires=NOW + 5)).beat(NOW + 5)
        self.assertEqual(4001, caught.exception.close)
        strict = self.open(policy="strict")
        self.publish(*range(1, 10))
        with self.assertRaises(ClientError) as caught:
            strict.beat(NOW)
        self.assertEqual(4108, caught.exception.close)
