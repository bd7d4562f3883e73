# -*- test-case-name: tests.unit.test_bus_publisher -*-
"""Publishing with confirms: a window on the wire, everything else waiting its turn, nothing forgotten.

A message waits until it is written, then until the broker acks it. A nack sends it back to waiting after a while; a
lost connection sends everything unconfirmed back at once, in its old order, with the same `message_id`. Messages not
on the wire belong to their publishers, who are to keep to `IBus.window`.

What is published in one turn of the reactor is written together at the turn's end, before the reactor looks at its
sockets: so it goes out no later than if each message had been written at once. With nothing on the wire a message is
written at once, for it may come from a timer, and the sockets are looked at next.

pika's own confirm tracking is not used: it blames the wrong message when one is returned, and has no time limit. A
broker that stops confirming, for all its heartbeats, is given up after `CONFIRM_LIMIT`.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable
from operator import attrgetter

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from streamer.bus import deadline, frames
from streamer.bus.driver import IChannel, IConnection, Loss
from streamer.bus.limits import check
from streamer.bus.outbox import Outbox, Outgoing
from streamer.bus.role import Broker, Role
from streamer.bus.shards import routed
from streamer.errors import BusStopped, MessageRefused
from streamer.message import Message
from streamer.metrics import BUS_NACKED, BUS_PENDING, BUS_UNCONFIRMED, PUBLISHED, REFUSED, REPUBLISHED, Metric, Metrics

WINDOW = 1000  # publishes on the wire at most
BATCH = 65_536  # bytes that are written together, and one message more; a transport's buffer is full at as much
CONFIRM_LIMIT = 30.0  # seconds the oldest publish may be without its confirm
FULL_LIMIT = 5.0  # seconds the transport's buffer may be full before that is worth a word
NACK_DELAY = 1.0  # seconds until what the broker refused is published again

_exchange = attrgetter("message.exchange")


@attrs.define(eq=False)
class Publisher:
    """The publishing side of a bus."""

    _log = Logger()

    _broker: Broker
    window: int = WINDOW
    shards: int = 0
    role: Role = attrs.field(
        init=False,
        default=attrs.Factory(
            lambda self: Role("publish", self._broker, self._set_up, self._changed), takes_self=True
        ),
    )
    _outbox: Outbox = attrs.field(factory=Outbox)
    _again: IDelayedCall | None = None
    _watch: IDelayedCall | None = None
    _turn: IDelayedCall | None = None  # at its end we write
    _unblocked: float = 0.0  # when the broker was unblocked; infinite while it is blocked
    _full: float | None = None  # since when the transport's buffer is full
    _flushing: Deferred[None] | None = None
    _stopped: bool = False

    @property
    def ready(self) -> bool:
        """Whether messages go to the broker; a buffer that is full for a moment is how a busy one paces us."""
        connection = self.role.connection
        if self._stopped or not self.role.ready or connection is None or connection.gate.blocked is not None:
            return False
        return self._full is None or self._broker.clock.seconds() - self._full <= FULL_LIMIT

    def publish(self, message: Message) -> Deferred[None]:
        """See IBus."""
        if self._stopped:
            return fail(BusStopped("the bus is stopped"))
        if self.shards:
            message = routed(message, self.shards)
        try:
            check(message)
        except MessageRefused as error:
            self._broker.metrics.add(REFUSED, message.exchange)
            return fail(error)
        outgoing = self._outbox.add(message, frames.head(message))
        if not self._outbox.unconfirmed:
            self._send()
        elif self._turn is None:
            self._turn = self._broker.clock.callLater(0, self._turned)
        return outgoing.taken

    async def stop(self) -> None:
        """Take no more; wait for confirms while there is a connection to get them from, then fail what is left."""
        self._stopped = True
        if self.role.ready and len(self._outbox):
            self._flushing = Deferred()
            self._send()
            try:
                await deadline.within(self._broker.clock, deadline.FLUSH, self._flushing, "confirm the last messages")
            except TimeoutError as error:
                self._log.warn("{error}; their publishers get them back", error=error)
        await self.role.stop()
        self._recover()
        for outgoing in self._outbox.take(len(self._outbox), sys.maxsize):
            outgoing.taken.errback(BusStopped("the bus stopped before the broker confirmed"))
        self._send()

    async def _set_up(self, connection: IConnection, channel: IChannel) -> None:
        self._recover()
        await channel.confirm(self._told)

    def _changed(self) -> None:
        connection, now = self.role.connection, self._broker.clock.seconds()
        if connection is None or connection.gate.writable:
            self._full = None
        elif self._full is None:
            self._full = now
        if connection is None:
            self._unblocked = 0.0
            self._recover()
            if self._flushing is not None and not self._flushing.called:
                self._flushing.callback(None)
        elif connection.gate.blocked is not None:
            self._unblocked = math.inf
        else:
            self._unblocked = min(self._unblocked, now)
            self._send()

    def _send(self) -> None:
        """Write what there is a connection, and room, for; and show what waits."""
        connection, outbox = self.role.connection, self._outbox
        if connection is not None and self.role.ready and connection.loss is None:
            now = self._broker.clock.seconds()
            while connection.gate.open and (batch := outbox.take(self.window - outbox.unconfirmed, BATCH)):
                outbox.sent(batch, now)
                contents = ((outgoing.head, outgoing.message.body) for outgoing in batch)
                connection.write(frames.joined(contents, connection.frame_max))
            if self._watch is None and outbox.unconfirmed:
                self._watch = self._broker.clock.callLater(CONFIRM_LIMIT, self._check_head)
        self._broker.metrics.set(BUS_UNCONFIRMED, to=outbox.unconfirmed)
        self._broker.metrics.set(BUS_PENDING, to=outbox.waiting)

    def _turned(self) -> None:
        self._turn = None
        self._send()

    def _told(self, tag: int, multiple: bool, acked: bool) -> None:
        """The broker acked or nacked."""
        settled = self._outbox.settle(tag, multiple, acked)
        _count(self._broker.metrics, PUBLISHED if acked else BUS_NACKED, settled)
        if acked:
            for outgoing in settled:
                outgoing.taken.callback(None)
        elif self._again is None:
            self._again = self._broker.clock.callLater(NACK_DELAY, self._retry)
        if self._turn is None:
            self._turn = self._broker.clock.callLater(0, self._turned)
        if self._flushing is not None and not len(self._outbox) and not self._flushing.called:
            self._flushing.callback(None)

    def _retry(self) -> None:
        self._again = None
        _count(self._broker.metrics, REPUBLISHED, self._outbox.retry())
        self._send()

    def _recover(self) -> None:
        """The channel is gone."""
        for call in (self._again, self._watch, self._turn):
            if call is not None:
                call.cancel()
        self._again = self._watch = self._turn = None
        _count(self._broker.metrics, REPUBLISHED, self._outbox.recover())
        self._send()

    def _check_head(self) -> None:
        self._watch = None
        head, connection, now = self._outbox.head, self.role.connection, self._broker.clock.seconds()
        if head is None or connection is None:
            return
        since = min(max(head, self._unblocked), now)
        if now - since >= CONFIRM_LIMIT:
            connection.abort(Loss("unconfirmed", f"the broker confirmed nothing for {CONFIRM_LIMIT:g} s"))
        else:
            self._watch = self._broker.clock.callLater(since + CONFIRM_LIMIT - now, self._check_head)


def _count(metrics: Metrics, metric: Metric, messages: Iterable[Outgoing]) -> None:
    for exchange, number in Counter(map(_exchange, messages)).items():
        metrics.add(metric, exchange, by=number)
