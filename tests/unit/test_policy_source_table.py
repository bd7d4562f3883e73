"""The table of sources, and the rate in it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.rate import LOOKS, Rate
from streamer.policy.source_table import LEAST, shortened, source_table
from streamer.policy.terminal import harmless, width

ROW: dict[str, Any] = {
    "type": "x-filtered",
    "state": "streaming",
    "said": "",
    "rate": 12.34,
    "last_item_age": 0.31,
    "reconnects": 2,
    "cursor": "1858900000000000000",
}
VALUES = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(), st.lists(st.integers()))


class RateTests(SynchronousTestCase):
    """Looks at a count."""

    def test_over_a_minute(self) -> None:
        """It is that of the last minute, of the time since the start before that, and unknown at first."""
        rate = Rate()
        self.assertIsNone(rate.value)
        for second in range(31):
            rate.look(1000.0 + second, 10.0 * second)
        self.assertAlmostEqual(10.0, rate.value or 0)
        for second in range(31, 200):
            rate.look(1000.0 + second, 300.0)
        self.assertEqual(0.0, rate.value)

    def test_bounded(self) -> None:
        """No more looks are kept than a minute has, however often it is looked."""
        rate = Rate()
        for number in range(10_000):
            rate.look(1000.0 + number / 100, number)
        self.assertLessEqual(len(rate._looks), LOOKS)
        self.assertAlmostEqual(100.0, rate.value or 0)

    def test_clock(self) -> None:
        """A clock that stands still or is set back gives no nonsense."""
        rate = Rate()
        rate.look(1000.0, 5)
        rate.look(1000.0, 9)
        self.assertIsNone(rate.value)
        rate.look(900.0, 10)
        self.assertIsNone(rate.value)
        rate.look(901.0, 12)
        self.assertEqual(2.0, rate.value)


class TableTests(SynchronousTestCase):
    """Rows as lines."""

    def test_plain(self) -> None:
        """A line a source, numbers to the right."""
        waiting = {"type": "feed", "state": "waiting", "rate": 0.0, "last_item_age": None, "reconnects": 0}
        self.assertEqual(
            [
                "source  type        state      items/s    last  reconn  cursor",
                "birds   x-filtered  streaming     12.3  310 ms       2  1858900000000000000",
                "news    feed        waiting          0       -       0  -",
            ],
            source_table({"birds": ROW, "news": waiting}, 80),
        )
        self.assertEqual(["source  type  state  items/s  last  reconn  cursor"], source_table({}, 80))

    def test_wrong(self) -> None:
        """What is wrong stands below the source, wrapped."""
        said = "disconnect: the server hung up because somebody else has connected by that token; next try in 5.00 s"
        row = {**ROW, "said": said, "stale": True, "paused": True, "spooled_bytes": 12_345}
        lines = source_table({"birds": row}, 60)[2:]
        self.assertEqual(
            f"{said} it is open, but has sent no item for longer than expected reading waits for room 12,345 bytes "
            "wait on disk for the bus",
            " ".join(line.strip() for line in lines),
        )
        self.assertTrue(all(line.startswith("  ") and len(line) <= 60 for line in lines), lines)

    def test_80_columns(self) -> None:
        """However long everything is, it fits into 80 columns, and no cell is left out."""
        row = {
            "type": "t" * 40, "state": "connecting", "rate": 123_456.7, "last_item_age": 9e6, "reconnects": 99_999,
            "cursor": "[" + "abc," * 500 + "]",
        }  # fmt: skip
        head, line = source_table({"n" * 200: row}, 80)
        self.assertLessEqual(len(head), 80)
        self.assertLessEqual(len(line), 80)
        for word in ("nnn", "ttt", "connecting", "123,457", "104 d", "99,999", "[abc", "c,]"):
            self.assertIn(word, line)

    def test_shortened(self) -> None:
        """Of a long cursor both ends are kept."""
        self.assertEqual("123456…23456", shortened("1234567890123456", LEAST))
        self.assertEqual("123456789012", shortened("123456789012", LEAST))
        self.assertLessEqual(width(shortened("鳥" * 40, LEAST)), LEAST)

    def test_nothing_obeyed(self) -> None:
        """Control characters of strangers are shown as what they are not."""
        row = {"state": "\x1b[2J", "said": "a\nb\x1b]0;x\a", "cursor": "\u202e1"}
        text = "\n".join(source_table({"\x1b[31mred": row}, 80))
        self.assertEqual(text.replace("\n", " "), harmless(text))
        self.assertEqual(3, len(text.splitlines()))

    @given(st.dictionaries(st.text(max_size=30), st.one_of(VALUES, st.dictionaries(st.sampled_from(sorted(
        {*ROW, "stale", "paused", "spooled_bytes"})), VALUES))), st.integers(0, 200))  # fmt: skip
    def test_anything(self, rows: dict[str, Any], columns: int) -> None:
        """Whatever an endpoint answers is a table."""
        lines = source_table(rows, columns)
        self.assertGreater(len(lines), len(rows))
        self.assertTrue(all(line == harmless(line) for line in lines))
