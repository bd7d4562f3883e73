# -*- test-case-name: tests.unit.test_policy_course -*-
"""The connections of one source: one in charge, and during a renewal its successor."""

from __future__ import annotations

from collections.abc import Callable

import attrs


@attrs.frozen
class Open:
    """Make a connection, with what is wanted now."""

    leg: int


@attrs.frozen
class Close:
    """Let a connection go at once; nothing more is to be heard of it."""

    leg: int


Command = Open | Close


@attrs.define
class Legs:
    """Numbers connections and tells when to open and to close them.

    Args:
        tell: called with each command, in order.
    """

    tell: Callable[[Command], None]
    current: int | None = None  # streams; retiring while there is a successor
    successor: int | None = None  # not in charge yet
    answered: bool = False  # the successor was accepted
    _count: int = 0

    def __contains__(self, leg: object) -> bool:
        return leg is not None and leg in (self.current, self.successor)

    def open(self) -> None:
        """Ask for a successor."""
        self._count += 1
        self.successor, self.answered = self._count, False
        self.tell(Open(self._count))

    def close_current(self) -> None:
        """Let the one in charge go."""
        leg, self.current = self.current, None
        if leg is not None:
            self.tell(Close(leg))

    def close(self) -> None:
        """Let all go."""
        leg, self.successor = self.successor, None
        if leg is not None:
            self.tell(Close(leg))
        self.close_current()

    def forget(self, leg: int) -> None:
        """It ended by itself."""
        if leg == self.current:
            self.current = None
        elif leg == self.successor:
            self.successor = None

    def promote(self) -> None:
        """The successor is in charge, and alone."""
        self.close_current()
        self.current, self.successor = self.successor, None
