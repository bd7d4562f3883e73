# -*- test-case-name: tests.unit.test_bus_memory -*-
"""A work queue of the in-process bus, with the promises of a quorum queue: order, attempts, limit, dead letters.

One thing is otherwise, so that nothing fails for it: handing back is not counted as a failure (with RabbitMQ only from
4.3 on). Of a queue with a single active worker the next one is handed nothing before the last one is done, as with
RabbitMQ when the last one leaves as ours do (`bus.worker`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from streamer.bus.crew import Crew
from streamer.bus.memory_places import Place, Places
from streamer.bus.topology import Queue
from streamer.errors import BusStopped
from streamer.message import Death, Decision, Delivery, Message
from streamer.metrics import BUS_DEAD_LETTERED, BUS_DROPPED, BUS_QUEUE_CONSUMERS, BUS_QUEUE_MESSAGES, Metrics

REJECTED, DELIVERY_LIMIT = "rejected", "delivery_limit"  # why a message dies, as RabbitMQ has it


@attrs.define(eq=False)
class MemoryWorker:
    """One consumer of a queue; `in_hand` is what it was handed and has not settled, by number."""

    crew: Crew
    prefetch: int
    leaving: bool = False
    in_hand: dict[int, Place] = attrs.field(factory=dict)


@attrs.define(eq=False)
class MemoryQueue:
    """Messages waiting for workers.

    Args:
        queue: what the topology says of it.
        wake: called when there may be something to hand out.
        bury: takes dead letters: exchange, message, how it died.
        places: what waits; beyond its bounds publishers wait, or the oldest go.

    Attributes:
        publishers: publishes that wait for their answer.
    """

    queue: Queue
    _clock: IReactorTime
    _metrics: Metrics
    _wake: Callable[[], None]
    _bury: Callable[[str, Message, Death], object]
    places: Places
    workers: deque[MemoryWorker] = attrs.field(factory=deque)
    publishers: deque[Deferred[None]] = attrs.field(factory=deque)
    _shown: tuple[int, int] = (-1, -1)

    def __len__(self) -> int:
        return len(self.places)

    def put(self, message: Message, death: Death | None = None) -> Deferred[None] | None:
        """Take a message at the end of the queue.

        Returns:
            None when that is all; otherwise a Deferred that fires when the queue is below its limit again.
        """
        self.places.add(message, death)
        self._wake()
        if not self.places.over:
            return None
        if not self.queue.rejects:
            self._shorten()
            return None
        held: Deferred[None] = Deferred()
        self.publishers.append(held)
        return held

    def hand_out(self, most: int) -> bool:
        """Give up to so many messages to workers with room, none of them twice. Returns whether it could go on."""
        places = self.places
        places.turn()
        for _ in range(most):
            if not places.ready:
                return len(places) > 0
            if (worker := self._next_worker()) is None:
                return False
            place = places.take()
            worker.in_hand[place[0]] = place
            worker.crew.take(place[1], partial(self._settled, worker, place))
            while self.publishers and not places.over:
                self.publishers.popleft().callback(None)
        return True

    def join(self, worker: MemoryWorker) -> None:
        """A worker takes its share from now on."""
        self.workers.append(worker)
        self._wake()

    def leave(self, worker: MemoryWorker) -> Deferred[None]:
        """A worker takes no more; fires when its handlers are done. Then, or when that takes too long, call `left`."""
        worker.leaving = True
        if worker in self.workers and not (self.queue.single_active and self.workers[0] is worker):
            self.workers.remove(worker)
        self._wake()
        return worker.crew.drain()

    def left(self, worker: MemoryWorker) -> None:
        """Take back what a worker has not settled; whatever its handlers decide from now on comes too late."""
        places, worker.in_hand = worker.in_hand, {}
        for place in places.values():
            self._give_back(place)
        if worker in self.workers:
            self.workers.remove(worker)
        self._wake()

    def stop(self) -> None:
        """The bus is stopping: publishers held at the limit get their messages back."""
        while self.publishers:
            self.publishers.popleft().errback(BusStopped(f"the bus stopped while {self.queue.name} was full"))

    def show(self, there: bool = True) -> None:
        """Set the gauges; nothing to do where neither number is another one than at the last time.

        Args:
            there: the queue has not gone with its bus.
        """
        shown = (len(self), len(self.workers)) if there else (0, 0)
        if shown != self._shown:
            self._shown = shown
            self._metrics.set(BUS_QUEUE_MESSAGES, self.queue.name, to=shown[0])
            self._metrics.set(BUS_QUEUE_CONSUMERS, self.queue.name, to=shown[1])

    def _settled(self, worker: MemoryWorker, place: Place, decision: Decision) -> None:
        number, delivery, size = place
        if worker.in_hand.pop(number, None) is None:
            return
        limit = self.queue.delivery_limit
        if decision is Decision.ACK:
            pass
        elif decision is Decision.RETURN:
            self._give_back(place)
        elif decision is Decision.RETRY and (limit is None or delivery.attempt <= limit):
            self._give_back((number, Delivery(delivery.message, delivery.attempt + 1, delivery.death), size))
        elif self.queue.dead_letter is not None:
            self._metrics.add(BUS_DEAD_LETTERED, self.queue.name)
            reason = REJECTED if decision is Decision.REJECT else DELIVERY_LIMIT
            death = Death(self.queue.name, reason, int(self._clock.seconds()))
            self._bury(self.queue.dead_letter, delivery.message, death)
        else:
            self._metrics.add(BUS_DROPPED, self.queue.name)
        self._wake()

    def _give_back(self, place: Place) -> None:
        self.places.give_back(place)
        if not self.queue.rejects:
            self._shorten()

    def _next_worker(self) -> MemoryWorker | None:
        if self.queue.single_active:
            first = self.workers[0] if self.workers else None
            return first if first is not None and not first.leaving and len(first.in_hand) < first.prefetch else None
        for _ in range(len(self.workers)):
            worker = self.workers[0]
            self.workers.rotate(-1)
            if len(worker.in_hand) < worker.prefetch:
                return worker
        return None

    def _shorten(self) -> None:
        while self.places.over:
            self.places.take()
            self._metrics.add(BUS_DROPPED, self.queue.name)
