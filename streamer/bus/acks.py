# -*- test-case-name: tests.unit.test_bus_acks -*-
"""Acks of one channel, told in batches.

The done prefix of the deliveries is told with one `multiple` ack; what is done behind one that is still under way is
told singly at the same time, so that a slow handler at the head does not use up the prefetch. A `multiple` ack must
name a tag that is itself unacked: the broker closes the channel otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

BATCH = 64  # acks held back at most
FLUSH_AFTER = 0.02  # seconds an ack is held back at most

STEP = 32  # deliveries handed back at once; the broker's own limit of what it looks at in one piece

Tell = Callable[[int, bool], None]


@attrs.define
class Acks:
    """Deliveries of one channel that are not settled.

    Args:
        tell: sends an ack: tag, multiple (`IChannel.ack`).
        prefetch: of the channel; at most half of it is held back, so that the broker always may send more.
    """

    _tell: Tell
    _clock: IReactorTime
    _batch: int
    _open: dict[int, bool] = attrs.field(factory=dict)  # rising tags; whether done
    _done: int = 0
    _timer: IDelayedCall | None = None
    _closed: bool = False

    @classmethod
    def for_prefetch(cls, prefetch: int, tell: Tell, clock: IReactorTime) -> Acks:
        """Acks whose batches suit a prefetch."""
        return cls(tell, clock, max(1, min(BATCH, prefetch // 2)))

    def delivered(self, tag: int) -> None:
        """A delivery came in."""
        self._open[tag] = False

    def done(self, tag: int) -> None:
        """It may be acked, now or a little later."""
        if self._closed:
            return
        self._open[tag] = True
        self._done += 1
        if self._done >= self._batch:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.callLater(FLUSH_AFTER, self._due)

    def settled(self, tag: int) -> bool:
        """It was rejected; returns False where the channel is gone, and rejecting is pointless."""
        return self._open.pop(tag, None) is not None and not self._closed

    def flush(self) -> None:
        """Tell what is done."""
        self._cancel()
        if self._closed or not self._done:
            return
        prefix: list[int] = []
        singles: list[int] = []
        telling = prefix
        for tag, done in self._open.items():
            if done:
                telling.append(tag)
                if len(prefix) + len(singles) == self._done:
                    break
            else:
                telling = singles
        if prefix:
            self._tell(prefix[-1], len(prefix) > 1)
        for tag in singles:
            self._tell(tag, False)
        for tag in (*prefix, *singles):
            del self._open[tag]
        self._done = 0

    def left(self) -> list[int]:
        """Tags to hand back with `multiple`, one after the other, so that all that is not settled is handed back.

        In steps, for RabbitMQ 3.10 shuffles what comes back by a single step of more than `STEP`.
        """
        tags = list(self._open)
        return [*tags[STEP - 1 : -1 : STEP], *tags[-1:]]

    def close(self) -> None:
        """The channel is gone; whatever was not told comes again."""
        self._closed = True
        self._open.clear()
        self._cancel()

    def _due(self) -> None:
        self._timer = None
        self.flush()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
