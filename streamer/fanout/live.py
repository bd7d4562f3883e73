# -*- test-case-name: tests.unit.test_fanout_flow -*-
"""The live flow of one connection: a cursor in the cohort of all its patterns together.

Subscriptions that begin further on wait in cursors of their own, one after the other; each has more patterns than the
last and takes over where it begins. A connection that has been given everything stands in its cohort's front.
"""

from __future__ import annotations

from collections.abc import Collection

import attrs

from streamer.fanout.cohort import Batch
from streamer.fanout.cursor import Cursor
from streamer.fanout.encoding import Encoding
from streamer.fanout.front import Front, Reader
from streamer.fanout.hub import Hub
from streamer.fanout.subscription import Subscription


@attrs.define(eq=False)
class Live:
    """Where one connection stands in the journal.

    Args:
        reader: woken from the hub's tick when there may be something to pull, or given the next frame in it.
        told: the last position the client was told.
        front: where it stands, if it has been given everything.
    """

    hub: Hub
    reader: Reader
    encoding: Encoding
    _told: str
    _cursors: list[Cursor] = attrs.field(factory=list)
    front: Front | None = None
    _joined: int = 0  # the front's ordinal when the client was last told something by itself

    @property
    def told(self) -> str:
        """The last position the client was told."""
        served = self.front is not None and self.front.stands(self) > self._joined
        return self.front.told(self) if self.front is not None and served else self._told

    @told.setter
    def told(self, position: str) -> None:
        self._told = position
        if self.front is not None:
            self._joined = self.front.stands(self)

    @property
    def place(self) -> int:
        """Everything before it that is wanted has been sent."""
        self._stand()
        for cursor in self._cursors:
            place = cursor.place
            if place is not None:
                return place
        return self.hub.journal.head

    @property
    def lost(self) -> bool:
        """Whether something it has not sent has left the journal."""
        self._stand()
        return any(cursor.lost for cursor in self._cursors)

    @property
    def left(self) -> int:
        """How many events wait to be sent."""
        self._stand()
        return sum(cursor.left for cursor in self._cursors)

    def pull(self) -> Batch | None:
        """The next events, None where there are none now: then frames come by themselves, as the tick makes them."""
        if self.front is not None:
            if not self.left:
                return None
            self.fall_behind()
        for cursor in self._cursors:
            if cursor.left:
                batch = cursor.cohort.batch(cursor.ordinal, cursor.end, self.encoding)
                cursor.ordinal = batch.end
                return batch
        if self._cursors:
            self._catch_up()
        return None

    def skim(self, most: int) -> list[int]:
        """Take the places of up to so many of the next events, as if they were given; none while more cursors wait."""
        if len(self._cursors) != 1:
            return []
        self.fall_behind()
        (cursor,) = self._cursors
        start, cursor.ordinal = cursor.ordinal, min(cursor.end, cursor.ordinal + most)
        return [cursor.cohort.place_of(ordinal) for ordinal in range(start, cursor.ordinal)]

    def fall_behind(self) -> None:
        """Frames must be pulled from now on."""
        if self.front is None:
            return
        self._stand()
        self._told = self.told
        front, self.front = self.front, None
        front.leave(self)
        self.hub.watch(front.cohort, self)

    def go_on(self, place: int, subscriptions: Collection[Subscription]) -> None:
        """Go on from a place, and take in the subscriptions that begin later when it is there."""
        self.fall_behind()
        hub = self.hub
        old, self._cursors = self._cursors, []
        turns = sorted({max(place, subscription.start) for subscription in subscriptions})
        for start, stop in zip(turns, [*turns[1:], None], strict=False):  # no turns, no cursors
            taken = [one for one in subscriptions if one.start <= start]
            cohort = hub.enter(frozenset().union(*(one.patterns for one in taken)))
            cohort.learn(start, [one.cohort for one in taken if one.cohort is not cohort])
            self._cursors.append(Cursor.at(cohort, start, stop))
        if old:
            hub.unwatch(old[-1].cohort, self)
        if self._cursors:
            hub.watch(self._cursors[-1].cohort, self)
        for cursor in old:
            hub.leave(cursor.cohort)

    def _catch_up(self) -> None:
        """All is given: what comes next comes with the front, if that is here too."""
        cohort = self._cursors[-1].cohort
        front = self.hub.front(cohort, self.encoding)
        if front.join(self):
            for cursor in self._cursors[:-1]:
                self.hub.leave(cursor.cohort)
            del self._cursors[:-1]
            self.front, self._joined = front, front.ordinal
            self.hub.unwatch(cohort, self)

    def _stand(self) -> None:
        if self.front is not None:
            self._cursors[-1].ordinal = self.front.stands(self)
