"""What a client says and remembers, without a socket."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import DecodeError
from streamer.fanout.commands import read as read_command
from streamer.fanout.protocol import LAST_LIMIT, Hello, Sub
from streamer.net.relay_following import HEARTBEAT, Following, Wish
from streamer.net.relay_frames import DrainingFrame, EventsFrame, LagFrame, RefusalFrame, read
from streamer.secrets import Secret

NOON = 1_795_262_400.0  # seconds since the epoch


def event(number: int, at: float | None = None, kind: str = "post") -> dict[str, Any]:
    """One event."""
    made = {} if at is None else {"time": datetime.fromtimestamp(at, UTC).isoformat()}
    return {"id": f"{kind}:{number}", "source": "/s", "type": f"streamer.{kind}", **made}


class Told:
    """A client and what it is told."""

    def __init__(self, **wish: Any) -> None:
        self.following = Following(Wish(("#",), **wish))

    def hear(self, *frame: Any) -> Any:
        """One frame of the relay's."""
        return self.following.receive(json.dumps(frame).encode())

    def subscribed(self, replayed: int = 0, **more: Any) -> None:
        """The answer to the subscription."""
        self.hear("subd", 1, {"id": "all", "position": "v1.-.0", "recovered": True, "replayed": replayed, **more})

    def events(self, *events: dict[str, Any], position: str = "v1.a.1") -> list[str]:
        """The ids of those that are new and wanted."""
        frame = self.hear("ev", position, events)
        assert isinstance(frame, EventsFrame)
        return [json.loads(bytes(body))["id"] for body in frame.events]

    def asked(self) -> Any:
        """The subscription that a connection begins with, as the relay reads it."""
        hello, sub = map(read_command, self.following.opening())
        assert isinstance(hello, Hello)
        assert isinstance(sub, Sub)
        return sub.wish


class OpeningTests(SynchronousTestCase):
    """What a connection begins with."""

    def test_first(self) -> None:
        """The relay understands it; a time is asked for as it is."""
        for wish, last, since in (
            ({}, None, None),
            ({"last": 0}, 0, None),
            ({"since": "v1.a.1", "last": 7}, 7, "v1.a.1"),
            ({"since": "300s"}, None, "300s"),
        ):
            with self.subTest(wish=wish):
                asked = Told(**wish).asked()
                self.assertEqual((("#",), last, since), (asked.topics, asked.last, asked.since))

    def test_later(self) -> None:
        """From the first `subd` on it is the last position, in whatever frame it came."""
        told = Told(last=3)
        told.hear("welcome", {"session": "s1", "position": "v1.a.9", "heartbeat": 25, "limits": {}})
        self.assertIsNone(told.asked().since)
        told.subscribed()
        for position, frame in (
            ("v1.-.0", None),
            ("v1.a.2", ("ev", "v1.a.2", [])),
            ("v1.a.3", ("pos", "v1.a.3")),
            ("v1.a.5", ("lag", {"skipped": 2, "from": "v1.a.3", "to": "v1.a.5", "why": "slow"})),
        ):
            if frame is not None:
                told.hear(*frame)
            asked = told.asked()
            self.assertEqual((position, LAST_LIMIT), (asked.since, asked.last))

    def test_token(self) -> None:
        """It is in the greeting, and shows nowhere else."""
        following = Following(Wish(("#",)), Secret("hush"))
        self.assertEqual(["hello", {"token": "hush"}], json.loads(following.opening()[0]))
        self.assertNotIn("hush", repr(following))


class HearingTests(SynchronousTestCase):
    """What comes."""

    def test_repeats(self) -> None:
        """What has the source and id of an event before is dropped and counted; without an id nothing is known."""
        told = Told()
        told.subscribed()
        self.assertEqual(["post:1", "post:2"], told.events(event(1), event(2), event(1)))
        self.assertEqual(["post:3"], told.events(event(2), event(3)))
        self.assertEqual(2, told.following.repeated)
        nameless = {"id": "", "n": 1}
        self.assertEqual(["", ""], told.events(nameless, nameless))
        odd = {"id": 5}
        self.assertEqual([5, 5], told.events(odd, odd))

    def test_as_it_came(self) -> None:
        """An event's bytes are those of the frame."""
        told = Told()
        told.subscribed()
        body = b'{ "id":"x", "n":1.0,\n "t":"\\u00e9\xc3\xa9" }'
        frame = told.following.receive(b'["ev","v1.a.1",[' + body + b"]]")
        self.assertEqual([body], [bytes(one) for one in frame.events])

    def test_heartbeat(self) -> None:
        """A claim that would have us wait for ever, or not at all, is not believed."""
        told = Told()
        for claimed, kept in ((25, 25.0), (0, HEARTBEAT[0]), (1e9, HEARTBEAT[1])):
            told.hear("welcome", {"position": "p", "heartbeat": claimed})
            self.assertEqual(kept, told.following.heartbeat)

    def test_refusals(self) -> None:
        """Of our subscription, and of what could not be read; others are none of ours."""
        told = Told()
        facts = {"code": "forbidden", "message": "no", "retry": False}
        self.assertIsInstance(told.hear("err", 1, facts), RefusalFrame)
        self.assertIsInstance(told.hear("err", None, facts), RefusalFrame)
        self.assertIsNone(told.hear("err", 2, facts))

    def test_frames(self) -> None:
        """Unknown names and keys are passed over; what is no frame is not."""
        self.assertIsNone(read(b'["later",1]'))
        self.assertIsNone(read(b'["pong",1]'))
        self.assertEqual("p", read(b'["pos","p",{"new":1}]').position)
        self.assertIsInstance(read(b'["lag",{"skipped":1,"to":"p","new":[]},5]'), LagFrame)
        self.assertIsInstance(read(b'["draining",{"in_ms":5}]'), DrainingFrame)
        for payload in (
            b"",
            b"{}",
            b"[]",
            b"[1]",
            b'["ev"]',
            b'["ev",1,[]]',
            b'["ev","p",[',
            b"[" * 10_000,
            b'["\xff"]',
        ):
            with self.subTest(payload=payload[:20]):
                self.assertRaises(DecodeError, read, payload)
