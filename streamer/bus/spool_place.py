# -*- test-case-name: tests.unit.test_bus_spool_file -*-
"""How far a spool was read: up to a number, except for what came to stand behind it since."""

from __future__ import annotations

import bisect

import attrs


@attrs.define
class Place:
    """The reading place.

    Args:
        after: the highest number read; None before the first.
        behind: numbers at or below `after` that are to be read (again), rising; few, for they are exceptions.
    """

    after: int | None = None
    behind: list[int] = attrs.field(factory=list)

    def wants(self, number: int) -> None:
        """A chunk is there to be read: newly stored, or put back."""
        if self.after is not None and number <= self.after and number not in self.behind:
            bisect.insort(self.behind, number)

    def forget(self, number: int) -> None:
        """A chunk was deleted."""
        if number in self.behind:
            self.behind.remove(number)

    def passed(self, number: int) -> None:
        """A chunk was read, or cannot be."""
        if self.behind and self.behind[0] == number:
            del self.behind[0]
        elif self.after is None or number > self.after:
            self.after = number

    def rewind(self) -> None:
        """Back to the start."""
        self.after, self.behind = None, []
