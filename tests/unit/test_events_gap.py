# -*- test-case-name: tests.unit.test_events_gap -*-
"""Tests for `streamer.events.gap`."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer import registry
from streamer.activity import Activity
from streamer.errors import DecodeError
from streamer.events.gap import LAST, GapKind, gap
from streamer.gap import Gap
from streamer.interfaces import IEventKind
from streamer.message import Event, Item

FROM = 1_700_000_000_000  # ms
TIMES = st.integers(0, LAST)


def derived(item: Item) -> Event | None:
    return gap.derive(Activity(item=item, kind=item.kind, id=item.id), 5)


class GapTests(SynchronousTestCase):
    """The event of a span that was missed."""

    def test_plugin(self) -> None:
        """It is found by name."""
        self.assertIs(registry.find(IEventKind, "gap"), gap)

    def test_says_what_is_missing(self) -> None:
        """It says from when to when, why, and that nothing filled it; it happened when it was over."""
        event = derived(Gap(start=FROM, end=FROM + 1500, cause="stall").item("birds", FROM + 2000))
        assert event is not None
        body = json.loads(event.message().body)
        self.assertEqual((body["type"], body["topic"]), ("streamer.gap", "gap.birds"))
        self.assertEqual(body["id"], "gap:1700000000000-1700000001500:stall")
        self.assertEqual(
            body["data"],
            {
                "from": "2023-11-14T22:13:20.000Z",
                "to": "2023-11-14T22:13:21.500Z",
                "cause": "stall",
                "filled": False,
            },
        )
        self.assertEqual((body["time"], body["received"]), ("2023-11-14T22:13:21.500Z", "2023-11-14T22:13:22.000Z"))

    def test_what_is_known_besides(self) -> None:
        """That it was filled, and how many items are missing, is said where it is known; zero is known."""
        for missed in (0, 7):
            event = derived(Gap(start=1, end=2, cause="limit", filled=True, missed=missed).item("birds", 3))
            assert event is not None
            data = json.loads(event.message().body)["data"]
            self.assertEqual((data["filled"], data["missed"]), (True, missed))

    @given(TIMES, TIMES)
    def test_any_span(self, start: int, end: int) -> None:
        """Every span can be written, also one that ends before it begins because a clock was set; equal, equal ids."""
        one, other = (derived(Gap(start=start, end=end, cause="restart").item("birds", at)) for at in (1, 2))
        assert one is not None
        assert other is not None
        self.assertEqual(one.message().message_id, other.message().message_id)

    def test_unreadable(self) -> None:
        """What is no gap, or at a time that cannot be written, is refused and not made up."""
        good = Gap(start=1, end=2, cause="stall").item("birds", 3)
        bodies = [
            b"",
            b"{}",
            b'{"from":1,"to":2}',
            b'{"from":"1","to":2,"cause":"stall"}',
            b'{"from":1,"to":2,"cause":"\xff"}',
        ]
        bodies += [
            Gap(start=start, end=end, cause="stall").item("x", 3).body for start, end in ((-1, 2), (1, LAST + 1))
        ]
        for body in bodies:
            with self.subTest(body=body):
                self.assertRaises(DecodeError, derived, msgspec.structs.replace(good, body=body))

    def test_other_kinds(self) -> None:
        """Nothing else is a gap, whatever its body."""
        item = Gap(start=1, end=2, cause="stall").item("birds", 3)
        for kind in ("post", "limit", "disconnect"):
            self.assertIsNone(GapKind().derive(Activity(item=item, kind=kind, id="1"), 5), kind)
