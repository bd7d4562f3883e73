# -*- test-case-name: tests.unit.test_bus_lanes -*-
"""Order within one worker: deliveries with the same partition key are handled one after the other.

A queue with one active consumer hands out in order, and hands out many at once. Here each key has a lane, in which a
delivery is handled only when the one before it is settled. One that failed is tried again here, in its place, and not
given back meanwhile: the broker would put it behind those that are in hand already, should this worker die.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs
import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

from streamer.bus.crew import decided
from streamer.bus.topology import DELIVERY_LIMIT, Queue
from streamer.interfaces import Handler
from streamer.message import PARTITION_KEY, Decision, Delivery
from streamer.metrics import DECISIONS, LANES_HELD, Metrics


@attrs.define(eq=False)
class Lane:
    """The deliveries of one key; busy while one of them is being handled, or handed back."""

    busy: bool = False
    returning: IDelayedCall | None = None
    waiting: deque[Deferred[bool]] = attrs.field(factory=deque)  # fire with whether to go on


@attrs.define(eq=False)
class Lanes:
    """A handler that keeps another one in order.

    Args:
        queue: for the metrics and the log.
        handler: see `IBus.work`.
        limit: failures a message survives; then it is rejected.
        delay: attempt number to the seconds until the next one.
    """

    _queue: str
    _handler: Handler
    _limit: int
    _delay: Callable[[int], float]
    _clock: IReactorTime
    _metrics: Metrics
    _lanes: dict[str, Lane] = attrs.field(factory=dict)
    _pauses: set[Deferred[None]] = attrs.field(factory=set)  # before another try
    _held: int = 0
    _turns: deque[Deferred[bool]] = attrs.field(factory=deque)  # due, in order
    _turning: bool = False
    _epoch: int = 0  # rises with each connection that is gone

    @classmethod
    def of(
        cls, queue: Queue, handler: Handler, delay: Callable[[int], float], clock: IReactorTime, metrics: Metrics
    ) -> Lanes | None:
        """Lanes for a queue that is to be worked in order; None for any other."""
        limit = DELIVERY_LIMIT if queue.delivery_limit is None else queue.delivery_limit
        return cls(queue.name, handler, limit, delay, clock, metrics) if queue.ordered else None

    async def __call__(self, delivery: Delivery) -> Decision:
        """See `interfaces.Handler`."""
        key = delivery.message.headers.get(PARTITION_KEY)
        if key is None:
            return await self._handler(delivery)
        lane = self._lanes.setdefault(str(key), Lane())
        if lane.busy and not await self._turn(lane):
            return Decision.RETURN
        lane.busy, epoch = True, self._epoch
        decision = await self._until_decided(delivery)
        if decision is Decision.RETURN and epoch == self._epoch:
            # Those behind it go back too, after it, or they would be handled before it comes again.
            lane.returning = self._clock.callLater(0, self._returned, str(key), lane)
        else:
            self._next(str(key), lane)
        return decision

    def forget(self) -> None:
        """The connection is gone, or will be: hand back what waits, and what is to be tried again; it comes again."""
        self._epoch += 1
        for key, lane in list(self._lanes.items()):
            if lane.returning is not None:
                lane.returning.cancel()
                self._returned(key, lane)
            _give_back(lane)
        for pause in list(self._pauses):
            pause.cancel()

    def _returned(self, key: str, lane: Lane) -> None:
        lane.returning = None
        _give_back(lane)
        self._next(key, lane)

    async def _until_decided(self, delivery: Delivery) -> Decision:
        epoch = self._epoch
        while (decision := await decided(self._handler, delivery, self._queue)) is Decision.RETRY:
            if delivery.attempt > self._limit:
                return Decision.REJECT
            if not await self._pause(self._delay(delivery.attempt), epoch):
                return Decision.RETURN
            self._metrics.add(DECISIONS, self._queue, decision.value)
            delivery = msgspec.structs.replace(delivery, attempt=delivery.attempt + 1)
        return decision

    async def _pause(self, seconds: float, epoch: int) -> bool:
        """Wait; returns False where the delivery is not ours any more."""
        pause: Deferred[None] = deferLater(self._clock, seconds)
        if epoch == self._epoch:
            self._pauses.add(pause)
        else:
            pause.cancel()
        try:
            await pause
        except CancelledError:
            return False
        finally:
            self._pauses.discard(pause)
        return True

    async def _turn(self, lane: Lane) -> bool:
        turn: Deferred[bool] = Deferred()
        lane.waiting.append(turn)
        self._count(1)
        try:
            return await turn
        finally:
            self._count(-1)

    def _next(self, key: str, lane: Lane) -> None:
        if not lane.waiting:
            lane.busy = False
            if self._lanes.get(key) is lane:
                del self._lanes[key]
            return
        self._turns.append(lane.waiting.popleft())
        if self._turning:
            return  # a loop further up this stack goes on: handlers that never wait must not nest
        self._turning = True
        try:
            while self._turns:
                self._turns.popleft().callback(True)
        finally:
            self._turning = False

    def _count(self, by: int) -> None:
        self._held += by
        self._metrics.set(LANES_HELD, self._queue, to=self._held)


def _give_back(lane: Lane) -> None:
    waiting, lane.waiting = lane.waiting, deque()
    for turn in waiting:
        turn.callback(False)
