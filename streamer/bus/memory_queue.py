# -*- test-case-name: tests.unit.test_bus_memory -*-
"""A work queue of the in-process bus, with the promises of a quorum queue: order, attempts, limit, dead letters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.defer import Deferred, succeed

from streamer.bus.crew import Crew
from streamer.bus.topology import Queue
from streamer.errors import BusStopped
from streamer.message import Decision, Delivery, Message
from streamer.metrics import BUS_DEAD_LETTERED, BUS_DROPPED, Metrics

QUEUE_MESSAGES = 20_000  # messages waiting at most; the topology's own limit where that is lower
QUEUE_BYTES = 67_108_864  # bytes of bodies waiting at most


@attrs.define(eq=False)
class MemoryWorker:
    """One consumer of a queue; an ISubscription, whose `stop` is `MemoryQueue.leave`."""

    crew: Crew
    prefetch: int


@attrs.define(eq=False)
class MemoryQueue:
    """Messages waiting for workers.

    Args:
        queue: what the topology says of it.
        wake: called when there may be something to hand out.
        bury: takes dead letters.
    """

    queue: Queue
    _metrics: Metrics
    _wake: Callable[[], None]
    _bury: Callable[[str, Message], object]
    max_messages: int = QUEUE_MESSAGES
    max_bytes: int = QUEUE_BYTES
    workers: deque[MemoryWorker] = attrs.field(factory=deque)
    _ready: deque[tuple[Message, int]] = attrs.field(factory=deque)
    _bytes: int = 0
    _publishers: deque[Deferred[None]] = attrs.field(factory=deque)

    def __len__(self) -> int:
        return len(self._ready)

    def put(self, message: Message) -> Deferred[None] | None:
        """Take a message at the end of the queue.

        Returns:
            None when that is all; otherwise a Deferred that fires when the queue is below its limit again.
        """
        self._ready.append((message, 1))
        self._bytes += len(message.body)
        self._wake()
        if not self._over():
            return None
        if not self.queue.rejects:
            while self._over() and len(self._ready) > 1:
                self._pop()
                self._metrics.add(BUS_DROPPED, self.queue.name)
            return None
        held: Deferred[None] = Deferred()
        self._publishers.append(held)
        return held

    def hand_out(self, most: int) -> bool:
        """Give up to so many messages to workers with room. Returns whether it could go on."""
        for _ in range(most):
            worker = self._next_worker() if self._ready else None
            if worker is None:
                return False
            message, attempt = self._pop()
            worker.crew.take(Delivery(message, attempt), partial(self._settled, message, attempt))
            while self._publishers and not self._over():
                self._publishers.popleft().callback(None)
        return True

    def join(self, worker: MemoryWorker) -> None:
        """A worker takes its share from now on."""
        self.workers.append(worker)
        self._wake()

    def leave(self, worker: MemoryWorker) -> Deferred[None]:
        """A worker takes no more; fires when its handlers are done."""
        if worker not in self.workers:
            return succeed(None)
        self.workers.remove(worker)
        self._wake()
        return worker.crew.drain()

    def stop(self) -> None:
        """The bus is stopping: publishers held at the limit get their messages back."""
        while self._publishers:
            self._publishers.popleft().errback(BusStopped(f"the bus stopped while {self.queue.name} was full"))

    def _settled(self, message: Message, attempt: int, decision: Decision) -> None:
        limit = self.queue.delivery_limit
        if decision is Decision.RETURN:
            self._ready.appendleft((message, attempt))
            self._bytes += len(message.body)
        elif decision is Decision.RETRY and (limit is None or attempt <= limit):
            self._ready.appendleft((message, attempt + 1))
            self._bytes += len(message.body)
        elif decision is not Decision.ACK and self.queue.dead_letter is not None:
            self._metrics.add(BUS_DEAD_LETTERED, self.queue.name)
            self._bury(self.queue.dead_letter, message)
        elif decision is not Decision.ACK:
            self._metrics.add(BUS_DROPPED, self.queue.name)
        self._wake()

    def _next_worker(self) -> MemoryWorker | None:
        if self.queue.single_active:
            first = self.workers[0] if self.workers else None
            return first if first is not None and first.crew.running < first.prefetch else None
        for _ in range(len(self.workers)):
            worker = self.workers[0]
            self.workers.rotate(-1)
            if worker.crew.running < worker.prefetch:
                return worker
        return None

    def _pop(self) -> tuple[Message, int]:
        message, attempt = self._ready.popleft()
        self._bytes -= len(message.body)
        return message, attempt

    def _over(self) -> bool:
        return len(self._ready) > min(self.max_messages, self.queue.limit or self.max_messages) or (
            self._bytes > self.max_bytes
        )
