# -*- test-case-name: tests.unit.test_bus_memory -*-
"""What stands for the broker within one process: the topology's queues and log, routing between them, and turns."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.bus import memory_bounds, topology
from streamer.bus.memory_log import MemoryLog
from streamer.bus.memory_places import Places
from streamer.bus.memory_queue import MemoryQueue
from streamer.bus.patterns import matches
from streamer.message import Death, Message
from streamer.metrics import BUS_PENDING, BUS_UNROUTED, Metrics

SLICE = 256  # messages that one queue, or one reader, is given in one turn of the reactor
AT_ONCE = 64  # publishes answered within one turn; a publisher that publishes when it is answered nests as deep
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
    _answered: int = 0  # in this turn
    _later: list[Deferred[None]] = attrs.field(factory=list)  # answered at its end
    _held: int = 0  # publishes that were not answered because of a full queue, as shown

    def __attrs_post_init__(self) -> None:
        for name, queue in self.layout.queues.items():
            if not queue.optional:
                self.queue(name)
        self.log = MemoryLog(self._clock, self._metrics, self.wake)
        self._unrouted = [self.queues[topology.UNROUTED]]

    def queue(self, name: str) -> MemoryQueue:
        """A queue of the topology; from the first call on it is filled, worked or not."""
        if name not in self.queues:
            queue = self.layout.queues[name]
            places = Places(*memory_bounds.bounds(queue, self.layout))
            self.queues[name] = MemoryQueue(queue, self._clock, self._metrics, self.wake, self.route, places)
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
            queue.show(there=False)
        self._answer()
        self._metrics.set(BUS_PENDING, to=0)
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        return {name: len(queue) for name, queue in self.queues.items() if len(queue)}

    def route(self, exchange: str, message: Message, death: Death | None = None) -> Deferred[None] | None:
        """Put a message wherever the topology says.

        Args:
            death: how it died; it comes from another queue.

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
            held = destination.put(message, death) or held
        return held

    def answer(self) -> Deferred[None]:
        """Tell a publisher that its message was taken: now, or at the end of the turn, when there is to be one."""
        self._answered += 1
        if self._answered <= AT_ONCE or not self.running:
            return succeed(None)
        later: Deferred[None] = Deferred()
        self._later.append(later)
        self.wake()
        return later

    def wake(self) -> None:
        """There may be something to hand out."""
        if self._turn is None and self.running:
            self._turn = self._clock.callLater(0, self._hand_out)

    def _hand_out(self) -> None:
        self._turn = None
        more = self.log.hand_out(SLICE)
        for queue in tuple(self.queues.values()):  # a handler may begin to work one more
            more |= queue.hand_out(SLICE)
        self._answer()
        self._show()
        if more:
            self.wake()

    def _answer(self) -> None:
        self._answered, later = 0, self._later
        self._later = []
        for taken in later:
            taken.callback(None)

    def _show(self) -> None:
        """Set the gauges, once a turn."""
        held = 0
        for queue in self.queues.values():
            queue.show()
            held += len(queue.publishers)
        if held != self._held:
            self._held = held
            self._metrics.set(BUS_PENDING, to=held)

    def _destinations(self, exchange: str, topic: str) -> Destinations:
        found: Destinations = [
            self.log if binding.queue == topology.LOG else self.queues[binding.queue]
            for binding in self.layout.bindings
            if binding.exchange == exchange
            and matches(binding.pattern, topic)
            and (binding.queue == topology.LOG or binding.queue in self.queues)
        ]
        return found or self._unrouted
