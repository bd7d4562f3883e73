# -*- test-case-name: tests.unit.test_fanout_flow -*-
"""History for one subscription while others are live.

The live flow stays where it is. The replay sends the events from the subscription's start up to that place, less
those that were sent, or will be by an earlier replay, for the subscriptions there were when it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from streamer.fanout.cohort import FRAME_LIMIT, Cohort
from streamer.fanout.cursor import Cursor
from streamer.fanout.journal import Logged
from streamer.fanout.subscription import Subscription
from streamer.fanout.topics import Matcher

Sent = tuple[Matcher, int]  # matching events from this place on are another subscription's


@attrs.define(eq=False)
class Replay:
    """A stretch of history being sent.

    Args:
        cohort: of the subscription's own patterns.
        stop: the place where the live flow takes over.
        others: what other subscriptions had covered when it was asked for.
        remaining: events still to be sent, exactly.
        relying: None while its subscription is there. Afterwards the others there were when it went: what they
            leave to this replay it still sends.
    """

    subscription: Subscription
    cohort: Cohort
    stop: int
    others: tuple[Sent, ...]
    remaining: int = attrs.field(init=False)
    relying: tuple[Subscription, ...] | None = None
    _start: int = attrs.field(init=False)
    _cursor: Cursor = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._start = self.subscription.start
        self._cursor = Cursor.at(self.cohort, self._start, max(self._start, self.stop))
        self.remaining = self._count(self._cursor.end)

    @property
    def place(self) -> int:
        """Everything before this place has been replayed. Not for a replay whose cursor is lost."""
        place = self._cursor.place
        return self.stop if place is None else place

    def beyond(self) -> int:
        """Events from its `stop` to the head that only this subscription asks for; the live flow brings them."""
        cursor = Cursor.at(self.cohort, max(self._start, self.stop))
        return sum(self._sends(place, logged) for place, logged in self.cohort.between(cursor.ordinal, cursor.end))

    def forget(self, gone: Subscription, left: Iterable[Subscription]) -> None:
        """A subscription is gone; what nobody else waits for is not sent."""
        if self.subscription is gone:
            self.relying = tuple(left)
        elif self.relying is not None:
            self.relying = tuple(one for one in self.relying if one is not gone)
        self.recount()

    def recount(self) -> int:
        """Look again at what is to be sent, after a subscription went or the journal's floor rose.

        Returns:
            How many events fewer there are.
        """
        cursor = self._cursor
        if cursor.lost:
            cursor.ordinal = min(self.cohort.first, cursor.end)
        before = self.remaining
        self.remaining = self._count(cursor.end)
        return before - self.remaining

    @property
    def lost(self) -> bool:
        """Whether events it had before it have left the journal: `recount`."""
        return self._cursor.lost

    def take(self) -> list[bytes]:
        """The next events, at most `FRAME_LIMIT` bytes unless one alone is longer. Not for a lost replay."""
        chosen: list[bytes] = []
        size = 0
        cursor = self._cursor
        for place, logged in self.cohort.between(cursor.ordinal, cursor.end):
            if self._sends(place, logged):
                size += len(logged.event) + 1
                if chosen and size > FRAME_LIMIT:
                    break
                chosen.append(logged.event)
            cursor.ordinal += 1
        self.remaining -= len(chosen)
        return chosen

    def _count(self, end: int) -> int:
        between = self.cohort.between(self._cursor.ordinal, end)
        return sum(self._sends(place, logged) for place, logged in between)

    def _sends(self, place: int, logged: Logged) -> bool:
        if any(start <= place and matches(logged.topic) for matches, start in self.others):
            return False
        relying = self.relying
        return relying is None or any(one.start <= place and one.matches(logged.topic) for one in relying)
