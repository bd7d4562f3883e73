# -*- test-case-name: tests.unit.test_bus_memory -*-
"""A running `work` of the in-process bus, and its end: as over RabbitMQ, handlers have so long and no longer."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from streamer.bus import deadline
from streamer.bus.lanes import Lanes
from streamer.bus.memory_broker import MemoryBroker
from streamer.bus.memory_queue import MemoryQueue, MemoryWorker
from streamer.interfaces import IWork


@implementer(IWork)
@attrs.define(eq=False)
class MemoryWork:
    """See IWork.

    Attributes:
        left: called when it has stopped.
    """

    _log = Logger()

    _broker: MemoryBroker
    _queue: MemoryQueue
    _worker: MemoryWorker
    _lanes: Lanes | None
    _clock: IReactorTime
    left: Callable[[], object] = lambda: None
    _stopping: Deferred[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the queue hands out to this worker; all but one of a single-active queue are in reserve."""
        return self._broker.running and self._stopping is None

    @property
    def active(self) -> bool:
        """See IWork."""
        return self.ready and (not self._queue.queue.single_active or self._queue.workers[0] is self._worker)

    @property
    def workers(self) -> int:
        """See IWork."""
        return len(self._queue.workers)

    def stop(self) -> Deferred[None]:
        """See ISubscription. Handlers get `deadline.DRAIN` seconds; what they do not finish is delivered again."""
        finished: Deferred[None] = Deferred()
        if self._stopping is None:
            self._stopping = Deferred()  # one may ask again from within
            Deferred.fromCoroutine(self._stop()).chainDeferred(self._stopping)
        self._stopping.addBoth(lambda _: finished.callback(None))
        return finished

    async def _stop(self) -> None:
        draining = self._queue.leave(self._worker)
        if self._lanes is not None:
            self._lanes.forget()
        try:
            await deadline.within(self._clock, deadline.DRAIN, draining, "let the handlers finish")
        except TimeoutError as error:
            name = self._queue.queue.name
            self._log.warn("work {queue}: {error}; what they had is delivered again", queue=name, error=str(error))
        self._queue.left(self._worker)
        self.left()
