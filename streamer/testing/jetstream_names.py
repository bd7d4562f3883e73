# -*- test-case-name: tests.unit.test_testing_jetstream -*-
"""Names of the AT protocol, invented: people, records and contents."""

from __future__ import annotations

import base64
import hashlib

import attrs

LETTERS = "234567abcdefghijklmnopqrstuvwxyz"  # in the order of their values: https://atproto.com/specs/tid
CLOCKS = 1024  # that a TID can name


@attrs.define
class Tids:
    """Rising keys of records: microseconds since the epoch, and ten bits of `clock`, in thirteen letters."""

    clock: int = 0
    _last: int = 0

    def next(self, now_ms: int) -> str:
        """A new one, greater than all before it, even where the clock stands or goes back."""
        self._last = max(now_ms * 1000 * CLOCKS + self.clock % CLOCKS, self._last + CLOCKS)
        value, letters = self._last, ""
        for _ in range(13):
            value, letter = divmod(value, 32)
            letters = LETTERS[letter] + letters
        return letters


def did(id_: str) -> str:
    """Somebody's name: https://github.com/did-method-plc/did-method-plc"""
    return f"did:plc:{base64.b32encode(hashlib.sha256(id_.encode()).digest()).decode().lower()[:24]}"


def cid(of: str) -> str:
    """The name of a record or a file: https://atproto.com/specs/data-model#link-and-cid-formats"""
    return f"bafyrei{base64.b32encode(hashlib.sha256(of.encode()).digest()).decode().lower()[:52]}"
