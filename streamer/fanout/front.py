# -*- test-case-name: tests.unit.test_fanout_front -*-
"""Clients that have been given everything their cohort has, and are given the next frame together.

Most clients of a relay are in this state most of the time. For them a tick is one frame, joined once, and one write
each: no cursor of their own moves, for they all stand at the front's. A client leaves the front as soon as anything
is its own affair (its socket is full, it subscribes to more, it goes), with a cursor that says how far it was served,
and comes back when it has caught up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import attrs

from streamer.fanout.cohort import Batch, Cohort
from streamer.fanout.encoding import Encoding
from streamer.metrics import DELIVERED, FRAMES, Metrics

if TYPE_CHECKING:
    from streamer.fanout.live import Live


class Reader(Protocol):
    """The socket's side of a client."""

    def wake(self) -> None:
        """There may be something to pull."""

    def deliver(self, data: bytes) -> None:
        """Write these bytes now. Where the socket is full, `Live.fall_behind` must be called before the next ones."""


Deliver = Callable[[bytes], None]  # a reader's


@attrs.define(eq=False)
class Front:
    """Those clients of one cohort that read it in one encoding and wait for its next event.

    Args:
        ordinal: every member was given what is before it, but for those that the frame under way has not reached.
        told_at: when the last frame was written, seconds since the epoch.
    """

    cohort: Cohort
    encoding: Encoding
    metrics: Metrics
    ordinal: int = 0
    told_at: float = 0.0
    _members: dict[Live, Deliver] = attrs.field(factory=dict)
    _batch: Batch | None = None  # the frame under way
    _late: dict[Live, Deliver] = attrs.field(factory=dict)  # whom it has not reached
    _start: int = 0  # where it begins
    _told: tuple[str, str] = ("", "")  # the positions that the frame before it and the frame itself tell

    def join(self, live: Live) -> bool:
        """Take a client in, if all are where it is: at the cohort's end."""
        end = self.cohort.end
        if self._late or (self._members and self.ordinal != end):
            return False
        self.ordinal = end
        self._members[live] = live.reader.deliver
        return True

    def leave(self, live: Live) -> None:
        """Let a client go; ask `stands` and `told` before."""
        del self._members[live]
        self._late.pop(live, None)

    def stands(self, live: Live) -> int:
        """The ordinal of the first event that a member was not given."""
        return self._start if live in self._late else self.ordinal

    def told(self, live: Live) -> str:
        """The position that a member was told last by the front; only if it has been served by it."""
        return self._told[0] if live in self._late else self._told[1]

    def flush(self, budget: int, now: float) -> int:
        """Write what there is, to at most `budget` clients.

        Returns:
            What is left of the budget; 0 where it was used up, perhaps with more to do: call it again.
        """
        while budget > 0:
            if not self._late and not self._next():
                return budget
            assert self._batch is not None  # noqa: S101 - or nobody was late
            batch, late = self._batch, self._late
            data, served = batch.data, 0
            while late and served < budget:
                _, deliver = late.popitem()
                served += 1
                deliver(data)
            self.told_at = now
            self.metrics.add(FRAMES, by=served)
            self.metrics.add(DELIVERED, by=served * batch.events)
            budget -= served
            if not late:
                self._batch = None
        return 0

    @property
    def busy(self) -> bool:
        """Whether `flush` has something to do."""
        return bool(self._late) or (bool(self._members) and self.ordinal < self.cohort.end)

    def _next(self) -> bool:
        """Begin with the next frame; False where there is none."""
        if not self._members or self.ordinal >= self.cohort.end:
            return False
        if self.ordinal < self.cohort.first:
            for live in list(self._members):
                live.fall_behind()  # each has lost something, and is told so
                live.reader.wake()
            return False
        batch = self.cohort.batch(self.ordinal, self.cohort.end, self.encoding)
        self._batch, self._start, self.ordinal = batch, self.ordinal, batch.end
        self._told = (self._told[1], batch.position)
        self._late = dict(self._members)
        return True
