# -*- test-case-name: tests.unit.test_bus_worker -*-
"""A running `work` on RabbitMQ: one connection, one channel, one consumer, and the crew that handles what it gets."""

from __future__ import annotations

from functools import partial

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from streamer.bus import deadline, envelope
from streamer.bus.acks import Acks
from streamer.bus.crew import Crew
from streamer.bus.deliveries import Deliver, Properties
from streamer.bus.driver import ConnectionLost, Depth, IChannel, IConnection
from streamer.bus.handover import Handover
from streamer.bus.lanes import Lanes
from streamer.bus.role import Broker, Role
from streamer.bus.watch import Watch
from streamer.interfaces import IWork
from streamer.message import Decision, Delivery

CLEAN_LIMIT = 5.0  # seconds that the worker of an ordered queue goes on after it was to stop, so that order is kept
CLEAN_POLL = 0.05  # seconds
LAST_DELIVERIES = 0.25  # seconds within which the broker has sent what the last acks made room for


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
    _leaving: bool = False  # nothing more is begun, or handed back out of order
    _handover: Handover | None = None
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
            self._stopping = Deferred()
            Deferred.fromCoroutine(self._stop()).addBoth(self._stopping.callback)
        self._stopping.addBoth(lambda _: finished.callback(None))
        return finished

    async def _stop(self) -> None:
        clock = self._broker.clock
        if self._lanes is None:
            self._leaving = True
            await self._cancel()
        else:  # the queue stays ours, or the next worker would overtake the handlers that still run
            await self._clean()
            self._leaving = True
            self._lanes.forget(for_good=True)
            if self._handover is not None:
                self._handover.end()
        try:
            await deadline.within(clock, deadline.DRAIN, self._crew.drain(), "let the handlers finish")
        except TimeoutError as error:
            self._log.warn("{role}: {error}; what they had is delivered again", role=self.role.name, error=error)
        if self._acks is not None and self._channel is not None:
            self._acks.flush()
            if self._lanes is None:
                for tag in self._acks.left():  # the connection's end alone would count as a failure
                    self._channel.nack(tag, multiple=True)
            else:  # only the connection's end gives all back in order; what is on its way then would come before it
                await deferLater(clock, LAST_DELIVERIES)
        await self.role.stop()

    async def _clean(self) -> None:
        """See `Handover`: go on until nothing is left in the queue that is newer than what is in hand."""
        until = self._broker.clock.seconds() + CLEAN_LIMIT
        while self.role.ready and self._broker.clock.seconds() < until:
            if self._handover is None or self._acks is None or not self._acks.unsettled:
                return
            if self._handover.clean and not (self._lanes is not None and self._lanes.retrying):
                return
            await deferLater(self._broker.clock, CLEAN_POLL)

    async def _cancel(self) -> None:
        try:
            if self.role.ready and self._channel is not None:
                cancelling = self._channel.cancel(self._consumer)
                await deadline.within(self._broker.clock, deadline.CLOSE, cancelling, "cancel the consumer")
        except (ConnectionLost, TimeoutError) as error:
            self._log.info("{role}: while stopping: {error}", role=self.role.name, error=error)

    async def _set_up(self, connection: IConnection, channel: IChannel) -> None:
        if self._leaving:
            return
        acks = Acks.for_prefetch(self._prefetch, channel.ack, self._broker.clock)
        self._channel, self._acks = channel, acks
        if self._lanes is not None:
            take = partial(self._take, acks, channel)
            self._handover = Handover(self._broker.clock, take, partial(_give_back, acks, channel))
        await channel.prefetch(self._prefetch)
        self._consumer = await channel.consume(partial(self._delivered, acks, channel), self._queue, {})
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
            if self._handover is not None:
                self._handover.end()

    def _looked(self, depth: Depth) -> None:
        self.workers = depth.consumers

    def _delivered(self, acks: Acks, channel: IChannel, method: Deliver, properties: Properties, body: bytes) -> None:
        tag = method.delivery_tag
        acks.delivered(tag)
        if self._leaving:
            return  # sent before the broker heard of it; it is handed back with all that is left
        self.active = True
        delivery = envelope.delivery(method, properties, body)
        if self._handover is None:
            self._take(acks, channel, tag, delivery)
        else:
            self._handover.take(tag, delivery, new=not method.redelivered and delivery.attempt == 1)

    def _take(self, acks: Acks, channel: IChannel, tag: int, delivery: Delivery) -> None:
        self._crew.take(delivery, partial(self._settle, acks, channel, tag))

    def _settle(self, acks: Acks, channel: IChannel, tag: int, decision: Decision) -> None:
        if decision is Decision.ACK:
            acks.done(tag)
        elif self._leaving and decision is not Decision.REJECT:
            pass  # handed back with all that is left, in the order in which it came
        elif acks.settled(tag):
            if decision is Decision.RETURN:
                channel.nack(tag, multiple=False)
            else:
                channel.reject(tag, requeue=decision is Decision.RETRY)


def _give_back(acks: Acks, channel: IChannel, tag: int) -> None:
    if acks.settled(tag):
        channel.nack(tag, multiple=False)
