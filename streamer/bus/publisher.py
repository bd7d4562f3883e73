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
from streamer.bus.standing import Standing
from streamer.bus.watch import Watch
from streamer.errors import BusStopped, MessageRefused
from streamer.message import Message
from streamer.metrics import BUS_NACKED, BUS_PENDING, BUS_UNCONFIRMED, PUBLISHED, REFUSED, REPUBLISHED, Metric, Metrics
from streamer.policy.delivery import nack_delay

WINDOW = 1000  # publishes on the wire at most
BATCH = 65_536  # bytes that are written together, and one message more; a transport's buffer is full at as much
CHANNEL_LIMIT = 2.5  # seconds the broker may refuse messages before another channel is tried; doubles each time
CHANNEL_CEILING = 300.0  # seconds
CONFIRM_LIMIT = 30.0  # seconds the oldest publish may be without its confirm

_exchange = attrgetter("message.exchange")


@attrs.define(eq=False)
class Publisher:
    """One connection that publishes.

    Args:
        name: of its role.
        watching: it looks at the queues meanwhile, as one publisher of a bus does.

    Attributes:
        watch: what it sees of them.
    """

    _log = Logger()

    _broker: Broker
    window: int = WINDOW
    shards: int = 0
    name: str = "publish"
    watching: bool = True
    role: Role = attrs.field(
        init=False,
        default=attrs.Factory(
            lambda self: Role(self.name, self._broker, self._set_up, self._changed), takes_self=True
        ),
    )
    watch: Watch = attrs.field(
        init=False, default=attrs.Factory(lambda self: _watch_over(self._broker, self.role), takes_self=True)
    )
    _outbox: Outbox = attrs.field(factory=Outbox)
    _again: IDelayedCall | None = None
    _head_check: IDelayedCall | None = None
    _turn: IDelayedCall | None = None  # at its end we write
    _standing: Standing = attrs.field(factory=Standing)
    _shown: tuple[int, int] = (0, 0)  # unconfirmed and waiting, as the gauges have them
    _flushing: Deferred[None] | None = None
    _stopped: bool = False
    _patience: float = CHANNEL_LIMIT

    @property
    def ready(self) -> bool:
        """Whether messages go to the broker, and it takes them."""
        return not self._stopped and self.role.ready and not self.trouble

    @property
    def trouble(self) -> str:
        """What is wrong though we are connected, as a sentence; empty where nothing is."""
        connection = self.role.connection
        if connection is None:
            return ""
        return self._standing.trouble(connection.gate, self._outbox.head, self._broker.clock.seconds())

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
            self._turn = self._broker.clock.callLater(0, self._send, turned=True)
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
        if self.watching:
            self.watch.begin(connection)

    def _changed(self) -> None:
        connection = self.role.connection
        if connection is None:
            self.watch.end()
            self._standing = Standing()
            self._recover()
            if self._flushing is not None and not self._flushing.called:
                self._flushing.callback(None)
            return
        self._standing.gate_changed(connection.gate, self._broker.clock.seconds())
        if connection.gate.blocked is None:
            self._send()

    def _send(self, *, turned: bool = False) -> None:
        """Write what there is a connection, and room, for; and show what waits. `turned`: the turn is at its end."""
        if turned:
            self._turn = None
        connection, outbox = self.role.connection, self._outbox
        if connection is not None and self.role.ready and connection.loss is None:
            now = self._broker.clock.seconds()
            while connection.gate.open and (batch := outbox.take(self.window - outbox.unconfirmed, BATCH)):
                outbox.sent(batch, now)
                contents = ((outgoing.head, outgoing.message.body) for outgoing in batch)
                connection.write(frames.joined(contents, connection.frame_max))
            if self._head_check is None and outbox.unconfirmed:
                self._head_check = self._broker.clock.callLater(CONFIRM_LIMIT, self._check_head)
        shown, self._shown = self._shown, (outbox.unconfirmed, outbox.waiting)
        for gauge, before, now_is in zip((BUS_UNCONFIRMED, BUS_PENDING), shown, self._shown, strict=True):
            self._broker.metrics.add(gauge, by=now_is - before)  # one of several publishers

    def _told(self, tag: int, multiple: bool, acked: bool) -> None:
        """The broker acked or nacked."""
        settled = self._outbox.settle(tag, multiple, acked)
        _count(self._broker.metrics, PUBLISHED if acked else BUS_NACKED, settled)
        if acked:
            if not self._outbox.refused:
                self._standing.acked()
                self._patience = CHANNEL_LIMIT
            for outgoing in settled:
                outgoing.taken.callback(None)
        elif self._again is None:
            before = self._standing.nacked(self._broker.clock.seconds())
            self._again = self._broker.clock.callLater(nack_delay(before), self._retry)
        if self._turn is None:
            self._turn = self._broker.clock.callLater(0, self._send, turned=True)
        if self._flushing is not None and not len(self._outbox) and not self._flushing.called:
            self._flushing.callback(None)

    def _retry(self) -> None:
        self._again = None
        connection, now = self.role.connection, self._broker.clock.seconds()
        if connection is not None and self._standing.refused_for(now) >= self._patience:
            # RabbitMQ 3.10: a channel begun while a quorum queue had no leader asks the dead one until that is back.
            # A queue that is full refuses the next channel too, which then is kept for longer.
            connection.abort(Loss("refused", f"the broker refused messages for {self._patience:g} s on this channel"))
            self._patience = min(2 * self._patience, CHANNEL_CEILING)
            return
        _count(self._broker.metrics, REPUBLISHED, self._outbox.retry())
        self._send()

    def _recover(self) -> None:
        """The channel is gone."""
        for call in (self._again, self._head_check, self._turn):
            if call is not None:
                call.cancel()
        self._again = self._head_check = self._turn = None
        _count(self._broker.metrics, REPUBLISHED, self._outbox.recover())
        self._send()

    def _check_head(self) -> None:
        self._head_check = None
        connection, now = self.role.connection, self._broker.clock.seconds()
        since = self._standing.unanswered(self._outbox.head, now)
        if since is None or connection is None:
            return
        if now - since >= CONFIRM_LIMIT:
            connection.abort(Loss("unconfirmed", f"the broker confirmed nothing for {CONFIRM_LIMIT:g} s"))
        else:
            self._head_check = self._broker.clock.callLater(since + CONFIRM_LIMIT - now, self._check_head)


def _watch_over(broker: Broker, role: Role) -> Watch:
    def missed(queue: str) -> None:
        if role.connection is not None and not role.prepared:
            role.connection.abort(Loss("missing", f"the queue {queue} is gone, and is declared again"))

    always = [queue.name for queue in broker.layout.queues.values() if not queue.optional]
    return Watch([*always, *broker.layout.streams], broker.clock, broker.metrics, missed=missed)


def _count(metrics: Metrics, metric: Metric, messages: Iterable[Outgoing]) -> None:
    for exchange, number in Counter(map(_exchange, messages)).items():
        metrics.add(metric, exchange, by=number)
