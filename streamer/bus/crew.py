# -*- test-case-name: tests.unit.test_bus_crew -*-
"""The handlers under way for one worker: how many at once, what they decided, when that is told.

A RETRY is held for a while before it is told, in the place of a running handler: a queue whose every message fails
would otherwise spend its delivery limit within milliseconds, and dead-letter all of them for an outage of a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from streamer.interfaces import Handler
from streamer.message import Decision, Delivery
from streamer.metrics import DECISIONS, DELIVERIES, Metrics
from streamer.policy.delivery import retry_delay

Settle = Callable[[Decision], None]

_log = Logger()


@attrs.define
class Crew:
    """Runs a handler over deliveries.

    Args:
        queue: for the metrics and the log.
        handler: see `IBus.work`.
        limit: deliveries under way at once; `take` keeps others waiting. The bus hands over at most as many again
            (after a lost connection, while handlers of the last one still run).
        delay: attempt number to the seconds that a RETRY is held.
    """

    _queue: str
    _handler: Handler
    _limit: int
    _clock: IReactorTime
    _metrics: Metrics
    _delay: Callable[[int], float] = retry_delay
    running: int = 0
    _waiting: deque[tuple[Delivery, Settle]] = attrs.field(factory=deque)
    _held: dict[IDelayedCall, Settle] = attrs.field(factory=dict)
    _idle: list[Deferred[None]] = attrs.field(factory=list)
    _draining: bool = False
    _beginning: bool = False

    def take(self, delivery: Delivery, settle: Settle) -> None:
        """Handle a delivery; `settle` is called once with what became of it, perhaps before this returns.

        Not called at all while draining, and for what `forget_waiting` forgot: the queue then has it back.
        """
        if self._draining:
            return
        if self.running >= self._limit:
            self._waiting.append((delivery, settle))
        else:
            self._begin(delivery, settle)

    def forget_waiting(self) -> None:
        """The connection of the deliveries is gone; those not begun come again by the next one."""
        self._waiting.clear()

    def drain(self) -> Deferred[None]:
        """Begin nothing more. Fires when no handler runs and every decision was told; retries are held no longer."""
        self._draining = True
        self.forget_waiting()
        for call in list(self._held):
            call.cancel()
            self._release(call)
        if not self.running:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        return done

    def _begin(self, delivery: Delivery, settle: Settle) -> None:
        self.running += 1
        self._metrics.add(DELIVERIES, self._queue)
        Deferred.fromCoroutine(decided(self._handler, delivery, self._queue)).addCallback(
            partial(self._decided, delivery.attempt, settle)
        )

    def _decided(self, attempt: int, settle: Settle, decision: Decision) -> None:
        self._metrics.add(DECISIONS, self._queue, decision.value)
        if decision is Decision.RETRY and not self._draining and (delay := self._delay(attempt)) > 0:
            call = self._clock.callLater(delay, lambda: self._release(call))
            self._held[call] = settle
        else:
            self._finish(settle, decision)

    def _release(self, call: IDelayedCall) -> None:
        self._finish(self._held.pop(call), Decision.RETRY)

    def _finish(self, settle: Settle, decision: Decision) -> None:
        self.running -= 1
        settle(decision)
        if self._beginning:
            return  # a loop further up this stack begins the next one: handlers that never wait must not nest
        self._beginning = True
        try:
            while self._waiting and self.running < self._limit:
                self._begin(*self._waiting.popleft())
        finally:
            self._beginning = False
        if not self.running:
            idle, self._idle = self._idle, []
            for done in idle:
                done.callback(None)


async def decided(handler: Handler, delivery: Delivery, queue: str) -> Decision:
    """What a handler decides; one that fails asks for another try, and is logged."""
    try:
        decision = await handler(delivery)
        if not isinstance(decision, Decision):
            raise TypeError(f"a handler must return a Decision, not {decision!r}")
    except Exception:
        _log.failure(
            "while handling {id} of {queue}, attempt {attempt}; it will be tried again",
            id=delivery.message.message_id,
            queue=queue,
            attempt=delivery.attempt,
        )
        return Decision.RETRY
    return decision
