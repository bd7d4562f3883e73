"""Events as lines for people."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.event_line import TEXT_LIMIT, line, local_time, seconds

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["author", "from", "to", "cause", "text", "handle", "id"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(["type", "topic", "time", "data"])


def shown(data: Any, type_: str = "streamer.post", **more: Any) -> str:
    """The line of an event of noon."""
    event = {"type": type_, "topic": "a.b", "time": "2026-11-21T12:00:00.123Z", "data": data, **more}
    return line(json.dumps(event).encode(), UTC)


class LineTests(SynchronousTestCase):
    """`line`."""

    def test_types(self) -> None:
        """Time, topic, author and text, of each type what it has of them."""
        author = {"id": "1", "handle": "jack", "name": "Jack"}
        for row, expected in (
            (shown({"author": author, "text": "two\nlines"}), "@jack  two lines"),
            (shown({"author": {"id": "1"}, "text": "x"}), "1  x"),
            (shown({"author": {}, "text": "x"}), "x"),
            (shown({"from": "ann", "to": "bob", "body": "hello"}, "streamer.chat"), "ann  hello"),
            (shown({"actor": "bot", "title": "Page", "summary": "s"}, "streamer.change"), "bot  Page – s"),
            (shown({"id": "77"}, "streamer.delete"), "deleted: 77"),
            (
                shown({"from": "t1", "to": "t2", "cause": "stall", "filled": False}, "streamer.gap"),
                "missed t1 to t2 because of stall",
            ),
            (shown({"lat": 1.5, "lon": 2}, "streamer.geo"), '{"lat":1.5,"lon":2}'),
            (shown([1]), "[1]"),
            (shown(None), ""),
        ):
            with self.subTest(expected=expected):
                self.assertEqual(f"12:00:00  a.b  {expected}", row)

    def test_harmless(self) -> None:
        """Nothing in an event moves a terminal's cursor, starts another line or is longer than a line should be."""
        row = shown({"author": {"handle": "a\x1b[2J"}, "text": "b\u202ec" + "x" * 5000}, topic="t\n\x07")
        self.assertTrue(row.isprintable())
        self.assertEqual("12:00:00  t �  @a�[2J  b�cxxx", row[:29])
        self.assertLess(len(row), TEXT_LIMIT + 60)

    def test_changes(self) -> None:
        """Of a change both are shown, what was changed and what is said about it, as far as they are there."""
        for data, expected in (
            ({"title": "Kākāpō", "summary": "new count"}, "Kākāpō – new count"),
            ({"title": "Kākāpō"}, "Kākāpō"),
            ({"summary": "new\ncount", "title": 5}, "new count"),
            ({}, ""),
        ):
            self.assertEqual(f"12:00:00  a.b  {expected}".rstrip(), shown(data, "streamer.change").rstrip())

    def test_times(self) -> None:
        """What tells no time, or none that there is, is shown all the same."""
        for written in (
            None,
            5,
            "",
            "soon",
            "2026-11-21T12:00:00",
            "99999-01-01T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
        ):
            with self.subTest(written=written):
                self.assertEqual("--:--:--  a.b  x", shown({"text": "x"}, time=written))
        self.assertEqual(1_795_262_400.5, seconds({"time": "2026-11-21T12:00:00.5Z"}))
        self.assertEqual("--:--:--", local_time(1e300))

    @settings(max_examples=100, deadline=None)
    @given(st.dictionaries(FIELDS, JSON, max_size=4), st.sampled_from(["gap", "delete", "post", ""]))
    def test_any_event(self, event: dict[str, Any], kind: str) -> None:
        """Whatever an event holds, there is one line of it."""
        event = {"type": f"streamer.{kind}", **event}
        self.assertNotIn("\n", line(json.dumps(event).encode(), UTC))

    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=50))
    def test_no_event(self, body: bytes) -> None:
        """What is no JSON object at all is shown as it is, harmless."""
        self.assertNotIn("\x1b", line(body, UTC))
