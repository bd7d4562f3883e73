# -*- test-case-name: tests.unit.test_policy_small -*-
"""Bytes and items of one connection → is it dead, and was it healthy?

Death is judged by bytes, keep-alives included: a quiet upstream is not a dead one. Health is judged by what only a
working stream does, so that a server which accepts and closes never counts as healthy.
"""

from __future__ import annotations

import math

import attrs

HEALTHY_AFTER = 30.0  # seconds of a stream that sends at least keep-alives
LEAST_SESSION = 5.0  # seconds that also a stream with items must last, or one item a connection would be a tight loop


@attrs.define
class Vitals:
    """One connection, from its response's headers on.

    Args:
        opened: when, in seconds.
        stall_after: seconds without a byte after which it is dead.
    """

    opened: float
    stall_after: float
    items: int = 0
    last_byte: float = attrs.field(init=False)
    _excused: float = -math.inf

    def __attrs_post_init__(self) -> None:
        self.last_byte = self.opened

    def heard(self, now: float) -> None:
        """Bytes came in."""
        self.last_byte = now

    def excused(self, now: float) -> None:
        """The silence is ours: we did not read. It is no stall, and no sign of health."""
        self._excused = now

    def silence_left(self, now: float) -> float:
        """Seconds until the connection must be given up; zero or less means now."""
        return max(self.last_byte, self._excused) + self.stall_after - now

    @property
    def healthy(self) -> bool:
        """It lasted, by its last byte, `HEALTHY_AFTER` seconds, or with a new item in it `LEAST_SESSION`."""
        lasted = self.last_byte - self.opened
        return lasted >= (LEAST_SESSION if self.items else HEALTHY_AFTER)


@attrs.define
class Staleness:
    """An open stream without items: nothing is wrong with the connection, but somebody should know.

    Args:
        after: seconds without an item; 0 never minds.
    """

    after: float
    stale: bool = False

    def look(self, quiet: float, *, connected: bool) -> bool:
        """Judge `quiet` seconds without an item; says whether the judgement is another than before."""
        before = self.stale
        self.stale = connected and 0 < self.after <= quiet
        return self.stale != before
