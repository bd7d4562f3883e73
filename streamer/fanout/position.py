# -*- test-case-name: tests.unit.test_fanout_journal -*-
"""`v1.<check>.<offset>`: a place in the log as text, valid on every relay and opaque to clients.

The offset is the log's own number; the check is taken from the entry that stands there, so that a position from
another log, or from one that was deleted and made again, proves itself wrong instead of meaning another event.
"""

from __future__ import annotations

import enum
import hashlib
import re

import msgspec

START = "v1.-.0"  # before the first entry of the log
FIRST_OFFSETS = 1  # logs number from 0 or from 1: nothing can stand before these
LENGTH_LIMIT = 40  # characters; a 64-bit offset needs 31
CHECK_DIGITS = 8  # hexadecimal digits of the SHA-256: one wrong position in 4 billion passes

_FORM = re.compile(r"v1\.([0-9a-f]{8})\.(0|[1-9][0-9]{0,19})")


class Verdict(enum.Enum):
    """What became of a position that a client named; the values are words of the wire protocol."""

    FOUND = "found"
    EXPIRED = "expired"  # it was a place once, but what follows it is no longer all there
    UNKNOWN = "unknown"  # it is no place of this log


class Mark(msgspec.Struct, frozen=True):
    """A position taken apart; `check` is None for `START`."""

    check: str | None
    offset: int

    @property
    def text(self) -> str:
        """The position."""
        return START if self.check is None else f"v1.{self.check}.{self.offset}"


def check(message_id: str) -> str:
    """The check digits of the entry with this `message_id`."""
    digest = hashlib.sha256(message_id.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[:CHECK_DIGITS]


def written(message_id: str, offset: int) -> str:
    """The position after the entry with this id and offset."""
    return f"v1.{check(message_id)}.{offset}"


def parse(text: str) -> Mark | None:
    """Take a position apart; None where the text is none."""
    if text == START:
        return Mark(None, 0)
    match = _FORM.fullmatch(text) if len(text) <= LENGTH_LIMIT else None
    return None if match is None else Mark(match[1], int(match[2]))
