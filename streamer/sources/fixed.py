# -*- test-case-name: tests.unit.test_sources_fixed -*-
"""What a source answers that is followed as a whole: it has no predicates, prepares nothing and repeats nothing aside.

Half of `ISource` is for those that have; the others inherit this half and say no more about it.
"""

from __future__ import annotations

from typing import Any, NoReturn

from streamer.interfaces import ISource, Preparation
from streamer.upstream import Prepared


class Fixed:
    """The part of `ISource` about predicates and recovery, where there are none. It has no state."""

    predicates: None = None
    live_predicates: bool = False

    def with_predicates(self, predicates: Any) -> NoReturn:
        """Refuse: there are none."""
        raise ValueError("takes no predicates: it is followed as a whole")

    def changes(self, other: ISource) -> int:
        """None ever."""
        return 0

    def prepare(self, dry_run: bool) -> Preparation:
        """Nothing is to be done before the stream."""
        yield from ()
        return Prepared()

    def recovery(self, from_ms: int, to_ms: int, cursor: str | None = None) -> Any:
        """None: no part of the past can be had beside the stream."""
        return None
