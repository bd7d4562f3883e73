# -*- test-case-name: tests.unit.test_fanout_cohort -*-
"""The integer place of one client in its cohort: all that a connection costs between two frames."""

from __future__ import annotations

import attrs

from streamer.fanout.cohort import Cohort


@attrs.define
class Cursor:
    """The next event of a cohort that its client is to be given.

    A client that waits at its cohort's end need not be touched when events pass that the cohort does not want.

    Args:
        stop: the ordinal before which it ends; None where it goes on with the log.
    """

    cohort: Cohort
    ordinal: int
    stop: int | None = None

    @classmethod
    def at(cls, cohort: Cohort, place: int, stop: int | None = None) -> Cursor:
        """Everything before `place` has been given; `stop` is a place too."""
        start = cohort.ordinal_of(place)
        return cls(cohort, start, None if stop is None else cohort.ordinal_of(stop))

    @property
    def end(self) -> int:
        """The ordinal that it can go to now."""
        return self.cohort.end if self.stop is None else self.stop

    @property
    def left(self) -> int:
        """Events still to be given, those that are lost included."""
        return self.end - self.ordinal

    @property
    def lost(self) -> bool:
        """Whether events that were still to be given have left the journal."""
        return self.ordinal < self.end and self.ordinal < self.cohort.first

    @property
    def place(self) -> int | None:
        """The journal's place of the next event; None where nothing is left. Not for a lost cursor."""
        return self.cohort.place_of(self.ordinal) if self.ordinal < self.end else None
