# -*- test-case-name: tests.unit.test_bus_worker -*-
"""A running `work` on RabbitMQ: one connection, one channel, one consumer, and the crew that handles what it gets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from streamer.bus import deadline, envelope
from streamer.bus.acks import Acks
from streamer.bus.crew import Crew
from streamer.bus.deliveries import Deliver, Properties
from streamer.bus.driver import ConnectionLost, Depth, IChannel, IConnection, Loss
from streamer.bus.lanes import Lanes
from streamer.bus.role import Broker, Role
from streamer.bus.watch import Watch
from streamer.interfaces import IWork
from streamer.message import Decision


@implementer(IWork)
@attrs.define(eq=False)
class Worker:
    """See IBus.work."""

    _log = Logger()

    _broker: Broker
    _queue: str
    _crew: Crew
    _prefetch: int
    _lanes: Lanes | None = None
    workers: int = 0
    active: bool = False
    role: Role = attrs.field(init=False)
    _channel: IChannel | None = None
    _consumer: str = ""
    _acks: Acks | None = None
    _stopping: Deferred[None] | None = None
    _watch: Watch = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._watch = Watch([self._queue], self._broker.clock, self._broker.metrics, self._looked)
        self.role = Role(f"work {self._queue}", self._broker, self._set_up, self._changed, (self._queue,))

    @property
    def ready(self) -> bool:
        """Whether the broker confirmed the consumer."""
        return self.role.ready and self._stopping is None

    def stop(self) -> Deferred[None]:
        """See ISubscription. Handlers get `deadline.DRAIN` seconds; what they do not finish is delivered again."""
        finished: Deferred[None] = Deferred()
        if self._stopping is None:
            self._stopping = Deferred()  # from its first moment on nothing is begun, or handed back out of order
            Deferred.fromCoroutine(self._stop()).addBoth(self._stopping.callback)
        self._stopping.addBoth(lambda _: finished.callback(None))
        return finished

    async def _stop(self) -> None:
        if self._lanes is None:
            await self._ask("cancel the consumer", lambda channel: channel.cancel(self._consumer))
        try:
            await deadline.within(self._broker.clock, deadline.DRAIN, self._crew.drain(), "let the handlers finish")
        except TimeoutError as error:
            self._log.warn("{role}: {error}; what they had is delivered again", role=self.role.name, error=error)
        if self._lanes is not None:
            self._lanes.forget()
        if self._acks is not None and self._channel is not None:
            self._acks.flush()
            if self._lanes is None:
                for tag in self._acks.left():  # the connection's end alone would count as a failure
                    self._channel.nack(tag, multiple=True)
            else:
                await self._leave_in_order()
        await self.role.stop()

    async def _leave_in_order(self) -> None:
        """End the connection at once, when the broker has had the acks.

        Then RabbitMQ puts all back where it was, before it serves the next worker. Asked to cancel, or to close the
        channel, it serves that one new messages first, and returns the older ones in pieces.
        """
        await self._ask("take the last acks", lambda channel: channel.prefetch(self._prefetch))
        if self.role.connection is not None:
            self.role.connection.abort(Loss("stopped", "closed by us"))

    async def _ask(self, what: str, question: Callable[[IChannel], Deferred[None]]) -> None:
        """Wait for an answer, where there is anybody to ask."""
        try:
            if self.role.ready and self._channel is not None:
                await deadline.within(self._broker.clock, deadline.CLOSE, question(self._channel), what)
        except (ConnectionLost, TimeoutError) as error:
            self._log.info("{role}: while stopping: {error}", role=self.role.name, error=error)

    async def _set_up(self, connection: IConnection, channel: IChannel) -> None:
        if self._stopping is not None:
            return
        acks = Acks.for_prefetch(self._prefetch, channel.ack, self._broker.clock)
        self._channel, self._acks = channel, acks
        await channel.prefetch(self._prefetch)
        self._consumer = await channel.consume(partial(self._delivered, acks, channel), self._queue, {})
        if self._lanes is None:  # where one worker is active at a time the broker counts no more than that one
            self._watch.begin(connection)

    def _changed(self) -> None:
        if self.role.connection is None and self._acks is not None:
            self._acks.close()
            self._acks = None
            self._crew.forget_waiting()
            self.workers, self.active = 0, False
            self._watch.end()
            if self._lanes is not None:
                self._lanes.forget()

    def _looked(self, depth: Depth) -> None:
        self.workers = depth.consumers

    def _delivered(self, acks: Acks, channel: IChannel, method: Deliver, properties: Properties, body: bytes) -> None:
        tag = method.delivery_tag
        acks.delivered(tag)
        if self._stopping is not None:
            return  # sent before the broker heard of it; it is handed back with all that is left
        self.active = True
        self._crew.take(envelope.delivery(method, properties, body), partial(self._settle, acks, channel, tag))

    def _settle(self, acks: Acks, channel: IChannel, tag: int, decision: Decision) -> None:
        if decision is Decision.ACK:
            acks.done(tag)
        elif self._stopping is not None and decision is not Decision.REJECT:
            pass  # handed back with all that is left, in the order in which it came
        elif acks.settled(tag):
            if decision is Decision.RETURN:
                channel.nack(tag, multiple=False)
            else:
                channel.reject(tag, requeue=decision is Decision.RETRY)
