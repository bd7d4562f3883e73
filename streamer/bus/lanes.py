# -*- test-case-name: tests.unit.test_bus_lanes -*-
"""Order within one worker: deliveries with the same partition key are handled one after the other.

A queue with one active consumer hands out in order, and hands out many at once. Here each key has a lane, in which a
delivery is handled only when the one before it is settled. One that is to be tried again holds its lane until it has
come back: the broker puts it where it was, so it is among the next. It may not come: it died of the delivery limit,
an operator purged the queue. Then the lane goes on after `HELD_LIMIT`, and that is counted.
"""

from __future__ import annotations

from collections import deque
from functools import partial

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from streamer.interfaces import Handler
from streamer.message import PARTITION_KEY, Decision, Delivery
from streamer.metrics import LANES_HELD, ORDER_GIVEN_UP, Metrics

HELD_LIMIT = 60.0  # seconds that a lane waits for a message that is to be tried again


@attrs.define(eq=False)
class Lane:
    """The deliveries of one key.

    Attributes:
        busy: one is being handled, or is to come back.
        expected: the id of the one that is to come back.
        retried: the one being handled, or expected, has failed before: those behind it were delivered before it.
    """

    busy: bool = False
    expected: str | None = None
    retried: bool = False
    timer: IDelayedCall | None = None
    waiting: deque[Deferred[bool]] = attrs.field(factory=deque)  # fire with whether to go on


@attrs.define(eq=False)
class Lanes:
    """A handler that keeps another one in order.

    Args:
        queue: for the metrics and the log.
        handler: see `IBus.work`.
        limit: failed deliveries a message survives; None for any number.
    """

    _log = Logger()

    _queue: str
    _handler: Handler
    _limit: int | None
    _clock: IReactorTime
    _metrics: Metrics
    _lanes: dict[str, Lane] = attrs.field(factory=dict)
    _held: int = 0
    _turns: deque[Deferred[bool]] = attrs.field(factory=deque)  # due, in order
    _turning: bool = False
    _closed: bool = False

    @property
    def retrying(self) -> bool:
        """Whether a worker that goes now would have the broker hand out some item before an earlier one."""
        return any(lane.retried for lane in self._lanes.values())

    async def __call__(self, delivery: Delivery) -> Decision:
        """See `interfaces.Handler`."""
        key = delivery.message.headers.get(PARTITION_KEY)
        if key is None:
            return await self._handler(delivery)
        lane = self._lanes.setdefault(str(key), Lane())
        if lane.busy and lane.expected != delivery.message.message_id and not await self._turn(lane):
            return Decision.RETURN
        _forget_expected(lane)
        lane.busy = True
        decision = Decision.RETRY
        try:
            decision = await self._handler(delivery)
        finally:
            comes_back = self._limit is None or delivery.attempt <= self._limit
            if decision is Decision.RETRY and comes_back and not self._closed:
                self._hold(str(key), lane, delivery.message.message_id)
            else:
                self._next(str(key), lane)
        return decision

    def forget(self, *, for_good: bool = False) -> None:
        """The connection is gone, or will be (`for_good`): hand back what waits; it comes again."""
        self._closed |= for_good
        for key, lane in list(self._lanes.items()):
            waiting, lane.waiting = lane.waiting, deque()
            if lane.expected is not None:
                _forget_expected(lane)
                lane.busy = False
            if not lane.busy:
                self._lanes.pop(key, None)
            for turn in waiting:
                turn.callback(False)

    async def _turn(self, lane: Lane) -> bool:
        turn: Deferred[bool] = Deferred()
        lane.waiting.append(turn)
        self._count(1)
        try:
            return await turn
        finally:
            self._count(-1)

    def _hold(self, key: str, lane: Lane, message_id: str) -> None:
        lane.expected, lane.retried = message_id, True
        lane.timer = self._clock.callLater(HELD_LIMIT, partial(self._give_up, key, lane))

    def _give_up(self, key: str, lane: Lane) -> None:
        self._metrics.add(ORDER_GIVEN_UP, self._queue)
        self._log.warn(
            "{id} of {queue} was to be tried again and has not come back for {limit:g} s; those behind it go on",
            id=lane.expected,
            queue=self._queue,
            limit=HELD_LIMIT,
        )
        lane.timer = None
        self._next(key, lane)

    def _next(self, key: str, lane: Lane) -> None:
        _forget_expected(lane)
        lane.retried = False
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


def _forget_expected(lane: Lane) -> None:
    lane.expected = None
    if lane.timer is not None:
        lane.timer.cancel()
        lane.timer = None
