# -*- test-case-name: tests.unit.test_fanout_flow -*-
"""What a client asked for, once it is checked."""

from __future__ import annotations

import attrs

from streamer.fanout.cohort import Cohort


@attrs.define(eq=False)
class Subscription:
    """One subscription of one connection.

    Args:
        strict: the connection must end rather than leave an event out.
        start: the place of the first event it is given; all it matches from there on has been or will be sent.
        conflate: while the client is slow, the newest event of each topic is enough.
        asked: the journal's head when it was made; what is before that is history.
        cohort: of its own patterns, entered for as long as it is there: what it covers is looked up in its index.
    """

    id: str
    cohort: Cohort
    strict: bool
    start: int
    conflate: bool = False
    asked: int = 0

    @property
    def patterns(self) -> frozenset[str]:
        """Checked."""
        return self.cohort.patterns
