"""The last minutes of the simulated stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.history import COMPACT_AT, History, Line


class HistoryTests(SynchronousTestCase):
    """Lines in, lines out, the oldest forgotten."""

    def test_read(self) -> None:
        """Reading goes on from a cursor, in portions of about so many bytes, to the end."""
        history = History()
        for number in range(5):
            history.append(number, Line(b"%d" % number))
        self.assertEqual(([Line(b"1"), Line(b"2")], 3), history.read(1, 2))
        self.assertEqual(([Line(b"3"), Line(b"4")], 5), history.read(3, 100))
        self.assertEqual(([], 5), history.read(5, 100))
        self.assertEqual(([Line(b"0"), Line(b"1")], 2), history.read(0, 100, until=2))
        self.assertEqual(([], 3), history.read(3, 100, until=2))

    def test_age(self) -> None:
        """Lines older than `kept` seconds are forgotten; a cursor at one goes on at the oldest left."""
        history = History(kept=1.0)
        for now_ms in (0, 500, 1000, 1600):
            history.append(now_ms, Line(b"%d" % now_ms))
        self.assertEqual((2, 4, 8), (history.first, history.end, history.size))
        self.assertEqual(([Line(b"1000"), Line(b"1600")], 4), history.read(0, 100))
        self.assertEqual(8, history.behind(0))

    def test_bytes(self) -> None:
        """No more than `most_bytes` are kept."""
        history = History(most_bytes=10)
        for _ in range(6):
            history.append(0, Line(b"xxx"))
        self.assertEqual((9, 3, 18), (history.size, history.first, history.written))

    def test_since(self) -> None:
        """The cursor of the first line at or after a time."""
        history = History()
        for now_ms in (10, 20, 20, 30):
            history.append(now_ms, Line(b"x"))
        self.assertEqual([0, 1, 1, 3, 4], [history.since(when) for when in (5, 15, 20, 21, 31)])

    def test_last(self) -> None:
        """The cursor after which there are so many lines of a kind, or all of them; and when a line was written."""
        history = History()
        for now_ms, data in enumerate((b"a", b"b", b"a", b"b", b"b")):
            history.append(now_ms, Line(data))

        def chosen(line: Line) -> bool:
            return line.data == b"a"

        self.assertEqual([2, 0, 0, 5], [history.last(number, chosen) for number in (1, 2, 9, 0)])
        self.assertEqual([0, 4, None], [history.written_ms(cursor) for cursor in (0, 4, 5)])

    def test_compacts(self) -> None:
        """Forgotten lines give their places back, and cursors stay right."""
        history = History(most_bytes=100)
        for number in range(3 * COMPACT_AT):
            history.append(0, Line(b"%05d" % number))
        self.assertTrue(len(history._lines) < 2 * COMPACT_AT)
        self.assertEqual(([Line(b"%05d" % (3 * COMPACT_AT - 1))], history.end), history.read(history.end - 1, 100))
        self.assertEqual(history.first, history.end - 20)

    @given(st.lists(st.binary(min_size=1, max_size=9), max_size=30), st.integers(1, 12), st.integers(1, 40))
    def test_any_portions(self, lines: list[bytes], most: int, kept: int) -> None:
        """Whatever the portions and limits, a reader gets the lines left, each once, in order."""
        history = History(most_bytes=kept + 9)
        for line in lines:
            history.append(0, Line(line))
        cursor, read = 0, []
        while cursor < history.end:
            taken, cursor = history.read(cursor, most)
            read.extend(line.data for line in taken)
        self.assertEqual(lines[history.first :], read)
        self.assertEqual(history.behind(0), history.size)
