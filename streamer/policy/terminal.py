# -*- test-case-name: tests.unit.test_policy_terminal -*-
"""What may be shown on a terminal, and how wide it is there.

Events quote strangers. A control character could move the cursor, rename the window or run what a terminal binds to a
sequence; a bidirectional override could make a line read as its opposite (https://www.unicode.org/reports/tr36/). So
neither is ever written. What scripts need to be read stays: the joiners of Persian, Hindi and emoji, and the marks
that only say which way a neutral character belongs.
"""

from __future__ import annotations

import unicodedata

KEPT = frozenset("\u200c\u200d\u200e\u200f\u061c\ufe0e\ufe0f")  # joiners, direction marks, emoji presentation
SHOWN_AS = "\ufffd"  # what a character that is not shown is replaced by
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SPACES = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029")


def harmless(text: str) -> str:
    """A text as one line without anything that a terminal would obey; what separates lines becomes a space."""
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def width(text: str) -> int:
    """Columns that a harmless text takes: two for East Asian wide characters and emoji, none for combining marks.

    The widths are those of https://www.unicode.org/reports/tr11/; terminals differ in sequences of joined emoji.
    """
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def fitted(text: str, columns: int) -> str:
    """A harmless text in exactly so many columns: cut with an ellipsis, or filled with spaces."""
    used = width(text)
    if used <= columns:
        return text + " " * (columns - used)
    kept, room = "", columns - 1
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        kept += character
    return fitted(kept + "…", columns) if columns > 0 else ""


def _shown(character: str) -> str:
    if character in KEPT:
        return character
    if character in _SPACES:
        return " "
    return SHOWN_AS if unicodedata.category(character) in _UNSEEN else character


def _columns(character: str) -> int:
    if character in KEPT or unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
