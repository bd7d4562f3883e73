# -*- test-case-name: tests.unit.test_fanout_flow -*-
"""The live flow of one connection: a cursor in the cohort of all its patterns together.

Subscriptions that begin further on wait in cursors of their own, one after the other; each has more patterns than the
last and takes over where it begins.
"""

from __future__ import annotations

from collections.abc import Collection

import attrs

from streamer.fanout.cohort import Batch
from streamer.fanout.cursor import Cursor
from streamer.fanout.hub import Hub, Wake
from streamer.fanout.subscription import Subscription


@attrs.define(eq=False)
class Live:
    """Where one connection stands in the journal.

    Args:
        wake: called from the hub's tick when there may be something to pull.
    """

    hub: Hub
    wake: Wake
    _cursors: list[Cursor] = attrs.field(factory=list)

    @property
    def place(self) -> int:
        """Everything before it that is wanted has been sent."""
        for cursor in self._cursors:
            place = cursor.place
            if place is not None:
                return place
        return self.hub.journal.head

    @property
    def lost(self) -> bool:
        """Whether something it has not sent has left the journal."""
        return any(cursor.lost for cursor in self._cursors)

    @property
    def left(self) -> int:
        """How many events wait to be sent."""
        return sum(cursor.left for cursor in self._cursors)

    def pull(self) -> Batch | None:
        """The next events, None where there are none now."""
        for cursor in self._cursors:
            if cursor.left:
                batch = cursor.cohort.batch(cursor.ordinal, cursor.end)
                cursor.ordinal = batch.end
                return batch
        return None

    def go_on(self, place: int, subscriptions: Collection[Subscription]) -> None:
        """Go on from a place, and take in the subscriptions that begin later when it is there."""
        hub = self.hub
        old, self._cursors = self._cursors, []
        turns = sorted({max(place, subscription.start) for subscription in subscriptions})
        for start, stop in zip(turns, [*turns[1:], None], strict=False):  # no turns, no cursors
            taken = [one for one in subscriptions if one.start <= start]
            cohort = hub.enter(frozenset().union(*(one.patterns for one in taken)))
            cohort.learn(start, [one.cohort for one in taken if one.cohort is not cohort])
            self._cursors.append(Cursor.at(cohort, start, stop))
        if old:
            hub.unwatch(old[-1].cohort, self.wake)
        if self._cursors:
            hub.watch(self._cursors[-1].cohort, self.wake)
        for cursor in old:
            hub.leave(cursor.cohort)
