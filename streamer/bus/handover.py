# -*- test-case-name: tests.unit.test_bus_handover -*-
"""What the next worker of an ordered queue does first, so that it does not overtake the last one.

When the active worker of a quorum queue with a single active consumer goes, RabbitMQ 3.10.8 hands its successor new
messages, and only then those that the last one had in hand and did not finish. So a new worker holds what it is
handed for a moment. By then the older ones are there, or are the next to come: those in hand are handled, the new ones
handed back, which puts them behind. That costs each of them one of its deliveries (`topology.DELIVERY_LIMIT`).

RabbitMQ queues what is handed back by the moment of handing back. So until a new message comes after all that, what is
in hand is older than what the queue has to hand out again, and a worker that goes now would put it behind. One that
goes of its own accord waits for that; one that crashes does not, so two crashes at one shard within a few seconds may
cost order.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.message import Delivery

SETTLE = 1.0  # seconds; the broker hands back what a lost worker had within milliseconds of handing us the first


@attrs.define(eq=False)
class Handover:
    """Of one consumer; its first delivery begins it.

    Args:
        take: handles a delivery, given with its tag.
        give_back: hands it back to the queue.

    Attributes:
        over: deliveries are handled as they come.
        clean: nothing that was handed back is left in the queue.
    """

    _clock: IReactorTime
    _take: Callable[[int, Delivery], None]
    _give_back: Callable[[int], None]
    _held: list[tuple[int, Delivery, bool]] = attrs.field(factory=list)
    _timer: IDelayedCall | None = None
    over: bool = False
    clean: bool = True

    def take(self, tag: int, delivery: Delivery, *, new: bool) -> None:
        """Keep a delivery until it is over, then handle each at once; `new`: nobody was handed it before."""
        if self.over:
            self.clean |= new
            self._take(tag, delivery)
            return
        self.clean = False
        self._held.append((tag, delivery, new))
        if self._timer is None:
            self._timer = self._clock.callLater(SETTLE, self._settle)

    def end(self) -> None:
        """The consumer is no more, or is to handle nothing more; what is held stays unsettled."""
        self.over = True
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle(self) -> None:
        self._timer, self.over = None, True
        held, self._held = self._held, []
        for tag, _, new in held:
            if new:
                self._give_back(tag)
        for tag, delivery, new in held:
            if not new:
                self._take(tag, delivery)
