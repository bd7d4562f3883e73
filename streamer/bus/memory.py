# -*- test-case-name: tests.unit.test_bus_memory -*-
"""The bus within one process: the embedded default, for trying it out, for tests, and for one small machine.

It keeps the contract of the real one (`tests/bus_contract.py` runs on both) except for durability: what is in it when
the process ends is gone.

Publishing is synchronous: the message is in every queue it is routed to when `publish` returns, and the Deferred has
fired, unless a queue that must not lose anything is at its limit, or so much was published in this turn of the reactor
that others must have theirs. Delivering is not: handlers and readers run in a later turn, so that a publisher never
finds itself inside a handler. It is bounded by `bus.memory_bounds`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from streamer.bus import topology
from streamer.bus.crew import Crew
from streamer.bus.lanes import Lanes
from streamer.bus.limits import check
from streamer.bus.memory_broker import MemoryBroker
from streamer.bus.memory_locks import MemoryLocks
from streamer.bus.memory_queue import MemoryWorker
from streamer.bus.memory_work import MemoryWork
from streamer.bus.shards import routed
from streamer.errors import BusStopped, MessageRefused
from streamer.interfaces import Handler, IBus, ILog, IWork, Offset, Receiver
from streamer.message import Message
from streamer.metrics import BUS_CONNECTED, PUBLISHED, REFUSED, Metrics
from streamer.policy.delivery import retry_delay

WINDOW = 1000  # unconfirmed messages; see IBus.window


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
    trouble = ""
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
        self.locks = MemoryLocks()
        self._works: dict[MemoryWork, None] = {}  # those whose handlers are not done, in order
        self._stopping: Deferred[None] | None = None
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
        queues = self._broker.queues.items()
        full = [
            f"{name} is full, {len(queue.publishers)} publishes wait; " for name, queue in queues if queue.publishers
        ]
        waiting = ", ".join(f"{len(queue)} in {name}" for name, queue in queues if len(queue)) or "nothing"
        return f"{''.join(full)}in this process; waiting: {waiting}; log at {self._broker.log.ring.next}"

    def startService(self) -> None:
        """Begin to hand out."""
        Service.startService(self)
        self._metrics.set(BUS_CONNECTED, "memory", to=1)
        self._broker.start()

    def stopService(self) -> Deferred[None]:
        """Let handlers finish, publishing meanwhile; then refuse, and say what is lost."""
        if self._stopping is None:
            self._stopping = Deferred.fromCoroutine(self._stop())
        finished: Deferred[None] = Deferred()
        self._stopping.addBoth(lambda _: finished.callback(None))
        return finished

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
        return held or self._broker.answer()

    def work(self, queue: str, handler: Handler, prefetch: int) -> IWork:
        """See IBus."""
        self._refuse_when_stopped()
        if queue not in self._broker.layout.queues:
            raise ValueError(f"there is no queue {queue!r}; known are {', '.join(self._broker.layout.queues)}")
        if not 1 <= prefetch <= 65535:
            raise ValueError(f"prefetch must be 1 to 65535, not {prefetch}")
        found = self._broker.layout.queues[queue]
        lanes = Lanes.of(found, handler, self._delay, self._clock, self._metrics)
        crew = Crew(queue, lanes or handler, prefetch, self._clock, self._metrics, self._delay)
        worker = MemoryWorker(crew, prefetch)
        worked = self._broker.queue(queue)
        worked.join(worker)
        work = MemoryWork(self._broker, worked, worker, lanes, self._clock)
        work.left = partial(self._works.pop, work, None)
        self._works[work] = None
        return IWork(work)

    def log(self, start: float | Offset, receive: Receiver) -> ILog:
        """See IBus."""
        self._refuse_when_stopped()
        return self._broker.log.reader(start, receive)

    async def _stop(self) -> None:
        await gatherResults([work.stop() for work in tuple(self._works)])
        self._stopped = True
        for queue, count in self._broker.stop().items():
            self._reports.warn(
                "the in-process bus stops with {count} messages in {queue}; they are lost", count=count, queue=queue
            )
        self._metrics.set(BUS_CONNECTED, "memory", to=0)
        Service.stopService(self)

    def _refuse_when_stopped(self) -> None:
        if self._stopping is not None:
            raise BusStopped("the in-process bus is stopped")
