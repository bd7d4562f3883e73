# -*- test-case-name: tests.unit.test_bus_memory -*-
"""The bus within one process: the embedded default, for trying it out, for tests, and for one small machine.

It keeps the contract of the real one (`tests/bus_contract.py` runs on both) except for durability: what is in it when
the process ends is gone.

Publishing is synchronous: the message is in every queue it is routed to when `publish` returns, and the Deferred has
fired, unless a queue that must not lose anything is at its limit. Delivering is not: handlers and readers run in a
later turn of the reactor, so that a publisher never finds itself inside a handler.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from streamer.bus import deadline, topology
from streamer.bus.crew import Crew
from streamer.bus.limits import check
from streamer.bus.memory_broker import MemoryBroker
from streamer.bus.memory_queue import MemoryQueue, MemoryWorker
from streamer.bus.shards import routed
from streamer.errors import BusStopped, MessageRefused
from streamer.interfaces import Handler, IBus, ILog, ISubscription, Offset, Receiver
from streamer.message import Message
from streamer.metrics import BUS_CONNECTED, PUBLISHED, REFUSED, Metrics
from streamer.policy.delivery import retry_delay

WINDOW = 1000  # unconfirmed messages; see IBus.window


@implementer(ISubscription)
@attrs.define(eq=False)
class MemoryWork:
    """A running `work`."""

    _broker: MemoryBroker
    _queue: MemoryQueue
    _worker: MemoryWorker

    @property
    def ready(self) -> bool:
        """Whether the queue hands out to this worker; all but one of a single-active queue are in reserve."""
        return self._broker.running and self._worker in self._queue.workers

    def stop(self) -> Deferred[None]:
        """See ISubscription."""
        return self._queue.leave(self._worker)


@implementer(IBus)
class MemoryBus(Service):
    """See IBus.

    Args:
        clock: the reactor, or a Clock.
        metrics: where counts go.
        delay: attempt number to the seconds a failed delivery is held.
        shards: see `bus.shards`.
    """

    durable = False
    window = WINDOW
    _reports = Logger()  # `log` is a verb of the bus

    def __init__(
        self,
        clock: IReactorTime,
        metrics: Metrics,
        *,
        delay: Callable[[int], float] = retry_delay,
        shards: int = 0,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._delay = delay
        self._shards = shards
        self._broker = MemoryBroker(clock, metrics, topology.layout(shards))
        self._stopped = False

    @property
    def ready(self) -> bool:
        """Whether a message would be taken at once."""
        return self._broker.running

    @property
    def status(self) -> str:
        """For the operator."""
        if self._stopped:
            return "the in-process bus is stopped"
        waiting = [f"{len(queue)} in {name}" for name, queue in self._broker.queues.items() if len(queue)]
        return f"in this process; waiting: {', '.join(waiting) or 'nothing'}; log at {self._broker.log.ring.next}"

    def startService(self) -> None:
        """Begin to hand out."""
        Service.startService(self)
        self._metrics.set(BUS_CONNECTED, "memory", to=1)
        self._broker.start()

    def stopService(self) -> Deferred[None]:
        """Let handlers finish, publishing meanwhile; then refuse, and say what is lost."""
        return Deferred.fromCoroutine(self._stop())

    def publish(self, message: Message) -> Deferred[None]:
        """See IBus."""
        if self._stopped:
            return fail(BusStopped("the in-process bus is stopped"))
        if self._shards:
            message = routed(message, self._shards)
        try:
            check(message)
        except MessageRefused as error:
            self._metrics.add(REFUSED, message.exchange)
            return fail(error)
        held = self._broker.route(message.exchange, message)
        self._metrics.add(PUBLISHED, message.exchange)
        return held or succeed(None)

    def work(self, queue: str, handler: Handler, prefetch: int) -> ISubscription:
        """See IBus."""
        self._refuse_when_stopped()
        if queue not in self._broker.layout.queues:
            raise ValueError(f"there is no queue {queue!r}; known are {', '.join(self._broker.layout.queues)}")
        if not 1 <= prefetch <= 65535:
            raise ValueError(f"prefetch must be 1 to 65535, not {prefetch}")
        crew = Crew(queue, handler, prefetch, self._clock, self._metrics, self._delay)
        worker = MemoryWorker(crew, prefetch)
        worked = self._broker.queue(queue)
        worked.join(worker)
        return ISubscription(MemoryWork(self._broker, worked, worker))

    def log(self, start: float | Offset, receive: Receiver) -> ILog:
        """See IBus."""
        self._refuse_when_stopped()
        return self._broker.log.reader(start, receive)

    async def _stop(self) -> None:
        queues = self._broker.queues.values()
        leaving = [queue.leave(worker) for queue in queues for worker in tuple(queue.workers)]
        gathered = gatherResults(leaving, consumeErrors=True)  # at the deadline each of them fails
        try:
            await deadline.within(self._clock, deadline.DRAIN, gathered, "let the handlers finish")
        except TimeoutError as error:
            self._reports.warn("the in-process bus stops with handlers still running: {error}", error=str(error))
        self._stopped = True
        for queue, count in self._broker.stop().items():
            self._reports.warn(
                "the in-process bus stops with {count} messages in {queue}; they are lost", count=count, queue=queue
            )
        self._metrics.set(BUS_CONNECTED, "memory", to=0)
        Service.stopService(self)

    def _refuse_when_stopped(self) -> None:
        if self._stopped:
            raise BusStopped("the in-process bus is stopped")
