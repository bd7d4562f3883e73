# -*- test-case-name: tests.unit.test_fanout_session -*-
"""Subscriptions that wait for the relay to read the position they begin at.

Relays of one log are not equally far. Who comes from one that was ahead names a position that is none here yet;
that is no gap, and is over in a moment. Who was away for long names one that left the journal; that may be read from
the log again.
"""

from __future__ import annotations

import attrs

from streamer.fanout.journal import Journal
from streamer.fanout.protocol import Sub
from streamer.fanout.topics import words_of


@attrs.frozen
class Asked:
    """A subscription that was asked for, checked.

    Args:
        since: the position it begins at, if it named one or its connection resumes from one.
        until: when it is begun with what there is if its position is ahead, seconds since the epoch; whoever reads
            older ones sets a limit of their own.
    """

    command: Sub
    patterns: frozenset[str]
    since: str | None
    until: float

    @property
    def id(self) -> str:
        """The client's name for it."""
        return self.command.wish.id


@attrs.define
class Parked:
    """Those of one connection; `protocol.SUBSCRIPTIONS_LIMIT` bounds them together with those that began."""

    _asked: dict[str, Asked] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._asked

    @property
    def patterns(self) -> int:
        """How many patterns they have."""
        return sum(len(asked.patterns) for asked in self._asked.values())

    @property
    def words(self) -> int:
        """How many words these have."""
        return sum(words_of(asked.patterns) for asked in self._asked.values())

    def put(self, asked: Asked) -> None:
        """Let one wait."""
        self._asked[asked.id] = asked

    def pop(self, id_: str) -> Asked:
        """Let one wait no longer."""
        return self._asked.pop(id_)

    def due(self, journal: Journal, now: float) -> list[Asked]:
        """Take out those whose position was read meanwhile, and those that waited long enough."""
        asked_for = self._asked.values()
        due = [one for one in asked_for if not journal.awaited(one.since or "", ahead=now < one.until)]
        for asked in due:
            del self._asked[asked.id]
        return due

    def clear(self) -> None:
        """Nobody waits."""
        self._asked.clear()
