# -*- test-case-name: tests.unit.test_bus_memory -*-
"""What stands for the broker within one process: the topology's queues and log, routing between them, and turns."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.bus import topology
from streamer.bus.memory_log import MemoryLog
from streamer.bus.memory_queue import MemoryQueue
from streamer.bus.patterns import matches
from streamer.message import Message
from streamer.metrics import BUS_UNROUTED, Metrics

SLICE = 256  # messages that one queue, or one reader, is given in one turn of the reactor
ROUTES = 8192  # topics whose destinations are remembered; then all are forgotten

Destinations = list[MemoryQueue | MemoryLog]


@attrs.define(eq=False)
class MemoryBroker:
    """Routes synchronously; hands out in turns of its own, one at a time, each with a bounded amount of work."""

    _clock: IReactorTime
    _metrics: Metrics
    layout: topology.Layout = attrs.field(factory=topology.layout)
    running: bool = False
    queues: dict[str, MemoryQueue] = attrs.field(factory=dict)
    log: MemoryLog = attrs.field(init=False)
    _unrouted: Destinations = attrs.field(init=False)
    _routes: dict[tuple[str, str], Destinations] = attrs.field(factory=dict)
    _turn: IDelayedCall | None = None

    def __attrs_post_init__(self) -> None:
        for name, queue in self.layout.queues.items():
            if not queue.optional:
                self.queue(name)
        self.log = MemoryLog(self._clock, self._metrics, self.wake)
        self._unrouted = [self.queues[topology.UNROUTED]]

    def queue(self, name: str) -> MemoryQueue:
        """A queue of the topology; from the first call on it is filled, worked or not."""
        if name not in self.queues:
            self.queues[name] = MemoryQueue(self.layout.queues[name], self._metrics, self.wake, self.route)
            self._routes.clear()
        return self.queues[name]

    def start(self) -> None:
        """Begin to hand out."""
        self.running = self.log.reading = True
        self.wake()

    def stop(self) -> dict[str, int]:
        """Hand out no more. Returns how many messages are left in which queue."""
        self.running = self.log.reading = False
        self.log.readers.clear()
        for queue in self.queues.values():
            queue.stop()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        return {name: len(queue) for name, queue in self.queues.items() if len(queue)}

    def route(self, exchange: str, message: Message) -> Deferred[None] | None:
        """Put a message wherever the topology says.

        Returns:
            None when that is all; otherwise a Deferred that fires when the queue at its limit is below it again. The
            topology has at most one queue on an exchange that makes publishers wait.
        """
        destinations = self._routes.get((exchange, message.topic))
        if destinations is None:
            destinations = self._destinations(exchange, message.topic)
            if len(self._routes) >= ROUTES:
                self._routes.clear()
            self._routes[exchange, message.topic] = destinations
        if destinations is self._unrouted:
            self._metrics.add(BUS_UNROUTED, exchange)
        held = None
        for destination in destinations:
            held = destination.put(message) or held
        return held

    def wake(self) -> None:
        """There may be something to hand out."""
        if self._turn is None and self.running:
            self._turn = self._clock.callLater(0, self._hand_out)

    def _hand_out(self) -> None:
        self._turn = None
        more = self.log.hand_out(SLICE)
        for queue in tuple(self.queues.values()):  # a handler may begin to work one more
            more |= queue.hand_out(SLICE)
        if more:
            self.wake()

    def _destinations(self, exchange: str, topic: str) -> Destinations:
        found: Destinations = [
            self.log if binding.queue == topology.LOG else self.queues[binding.queue]
            for binding in self.layout.bindings
            if binding.exchange == exchange
            and matches(binding.pattern, topic)
            and (binding.queue == topology.LOG or binding.queue in self.queues)
        ]
        return found or self._unrouted
