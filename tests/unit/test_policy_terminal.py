"""What strangers wrote, on a terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.terminal import KEPT, fitted, harmless, width


class TerminalTests(SynchronousTestCase):
    """Harmless, and as wide as it should be."""

    @settings(max_examples=50, deadline=None)
    @given(st.text())
    def test_nothing_to_obey(self, text: str) -> None:
        """No control character, no line end, no bidirectional override is left, and no text is left out."""
        shown = harmless(text)
        self.assertEqual(len(text), len(shown))
        self.assertEqual([], [char for char in shown if unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")])
        self.assertEqual([], [char for char in shown if unicodedata.category(char) == "Cf" and char not in KEPT])

    def test_examples(self) -> None:
        """Escapes and overrides are replaced, lines joined, scripts and emoji kept."""
        for text, shown in (
            ("\x1b]0;owned\x07", "�]0;owned�"),
            ("\x9b31m", "�31m"),
            ("user\u202egnp.exe", "user�gnp.exe"),
            ("\u2066a\u2069", "�a�"),
            ("one\r\ntwo\u2028three\tfour", "one  two three four"),
            ("می\u200cخواهم 👩\u200d🚀 ❤\ufe0f e\u0301", "می\u200cخواهم 👩\u200d🚀 ❤\ufe0f e\u0301"),
        ):
            with self.subTest(text=text):
                self.assertEqual(shown, harmless(text))

    @settings(max_examples=50, deadline=None)
    @given(st.text().map(harmless), st.integers(0, 30))
    def test_fitted(self, text: str, columns: int) -> None:
        """A text is cut or filled to its columns exactly, and cut only where it is too wide."""
        shown = fitted(text, columns)
        self.assertEqual(columns, width(shown))
        if width(text) <= columns:
            self.assertEqual(text, shown[: len(text)])

    def test_widths(self) -> None:
        """East Asian characters and emoji take two columns, marks none."""
        for text, columns in (("abc", 3), ("日本", 4), ("e\u0301", 1), ("🦜", 2), ("", 0), ("ｱ", 1)):
            with self.subTest(text=text):
                self.assertEqual(columns, width(text))
        self.assertEqual("日… ", fitted("日本語", 4))
