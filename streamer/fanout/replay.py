# -*- test-case-name: tests.unit.test_fanout_flow -*-
"""History for one subscription while others are live.

The live flow stays where it is. The replay sends the events from the subscription's start up to that place, less
those that were sent, or will be by an earlier replay, for the subscriptions there were when it was asked for. Which
those are is settled at once, as a list of places; what falls off the journal falls off its front.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

import attrs

from streamer.fanout.cohort import FRAME_LIMIT
from streamer.fanout.journal import Journal
from streamer.fanout.logged import Logged
from streamer.fanout.marks import Marks, places
from streamer.fanout.subscription import Subscription


def covered(subscriptions: Iterable[Subscription], start: int, stop: int) -> Marks:
    """The places from `start` to before `stop` that these subscriptions cover between them."""
    covers = 0
    for one in subscriptions:
        begun = max(start, one.start)
        if begun < stop:
            covers |= one.cohort.marks(begun, stop) << 8 * (begun - start)
    return covers


def uncovered(new: Subscription, others: Iterable[Subscription], stop: int) -> array[int]:
    """The places before `stop` that a new subscription covers and the others do not."""
    start = new.start
    return places(new.cohort.marks(start, stop) & ~covered(others, start, stop), start, stop)


@attrs.define(eq=False)
class Replay:
    """A stretch of history being sent.

    Args:
        stop: the place where the live flow takes over.
        subscription: whom it is for; None where it is for all of `relying`.
        relying: None while its subscription is there. Afterwards the others there were when it went: what they
            leave to this replay it still sends.
    """

    subscription: Subscription | None
    stop: int
    _journal: Journal = attrs.field(repr=False)
    _places: array[int] = attrs.field(repr=False)  # to be sent
    _next: int = 0  # how many of them were
    relying: tuple[Subscription, ...] | None = None

    @property
    def remaining(self) -> int:
        """Events still to be sent, exactly."""
        return len(self._places) - self._next

    @property
    def place(self) -> int:
        """Everything before this place has been replayed. Not for a replay that has `lost` some."""
        return self._places[self._next] if self.remaining else self.stop

    def forget(self, gone: Subscription, left: Iterable[Subscription]) -> None:
        """A subscription is gone; what nobody else waits for is not sent."""
        if self.subscription is gone:
            self.relying = tuple(left)
        elif self.relying is not None and gone in self.relying:
            self.relying = tuple(one for one in self.relying if one is not gone)
        else:
            return
        if self.remaining:
            start = self._places[self._next]
            owed = covered(self.relying, start, self.stop)
            flags = owed.to_bytes(self.stop - start, "little")
            self._places = array("q", (at for at in self._places[self._next :] if flags[at - start]))
            self._next = 0

    @property
    def lost(self) -> bool:
        """Whether events it still had to send have left the journal: `give_up`."""
        return self.remaining > 0 and self._places[self._next] < self._journal.floor

    def give_up(self) -> int:
        """Pass over what has left the journal. Returns how many events that was."""
        before = self._next
        self._next = bisect_left(self._places, self._journal.floor, before)
        return self._next - before

    def take(self) -> list[Logged]:
        """The next events, at most `FRAME_LIMIT` bytes unless one alone is longer. Not for a lost replay."""
        chosen: list[Logged] = []
        size = 0
        for index in range(self._next, len(self._places)):
            logged = self._journal[self._places[index]]
            size += len(logged.event) + 1
            if chosen and size > FRAME_LIMIT:
                break
            chosen.append(logged)
        self._next += len(chosen)
        return chosen
