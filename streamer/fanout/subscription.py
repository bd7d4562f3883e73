# -*- test-case-name: tests.unit.test_fanout_flow -*-
"""What a client asked for, once it is checked."""

from __future__ import annotations

import attrs

from streamer.fanout.topics import Matcher, matcher


@attrs.define(eq=False)
class Subscription:
    """One subscription of one connection.

    Args:
        strict: the connection must end rather than leave an event out.
        start: the place of the first event it is given; all it matches from there on has been or will be sent.
    """

    id: str
    patterns: frozenset[str]
    strict: bool
    start: int
    matches: Matcher = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.matches = matcher(self.patterns)
