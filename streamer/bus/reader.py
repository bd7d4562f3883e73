# -*- test-case-name: tests.unit.test_bus_reader -*-
"""A running `log` on RabbitMQ: reads the stream queue over AMQP 0-9-1, https://www.rabbitmq.com/docs/streams.

The first connection starts at an interval before now (`"600s"`), which the broker resolves to the start of a chunk of
entries, so older ones may come first; or at an offset, where the broker begins with its first entry if that one is
gone. Every later connection starts at the last entry already read, and drops what was
read before. Seeing that entry again shows that the log is still the same one. Where another one is in its place, or
none comes (the broker says nothing of offsets that do not exist, and holds back all entries below), the stream was
deleted, or its broker lost the tail of it: then the next connection reads whatever came since the last entry did, by
time. The offsets of the other log may be lower than before.
"""

from __future__ import annotations

import math
from functools import partial

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from streamer.bus import envelope
from streamer.bus.acks import Acks
from streamer.bus.deliveries import Deliver, Properties
from streamer.bus.driver import IChannel, IConnection, Loss
from streamer.bus.recall import Recall, Seen
from streamer.bus.role import Broker, Role
from streamer.bus.topology import LOG
from streamer.interfaces import LAST, ILog, Offset, Receiver
from streamer.message import Entry
from streamer.metrics import LOG_REPEATED, LOG_RESET, LOG_SKIPPED

READ_AHEAD = 500  # entries the broker may send before an ack, which is its credit
QUIET = 0.5  # seconds without an entry after which the history is taken to be read
GAP = 1  # offsets not given to entries at a time: the broker takes one for itself with each segment of the stream
RECOGNISE = 3.0  # seconds within which the entry read last must come again after a reconnect


@implementer(ILog)
@attrs.define(eq=False)
class Reader:
    """See IBus.log.

    `caught_up` fires when an entry comes whose message was made after the start, or when none has come for `QUIET`
    seconds: the broker does not tell where the log ends, a busy log is never quiet, and a quiet one has no new entry.
    """

    _log = Logger()

    _broker: Broker
    _begin: float | Offset
    _receive: Receiver
    caught_up: Deferred[None] = attrs.field(factory=Deferred)
    role: Role = attrs.field(init=False)
    _began: float = attrs.field(init=False)
    _since: float | None = None  # how far the first connection looked back
    _recall: Recall = attrs.field(factory=Recall)
    _acks: Acks | None = None
    _quiet: IDelayedCall | None = None
    _silence: IDelayedCall | None = None
    _heard: float = 0.0  # when the last entry came
    _doubtful: bool = False  # the last connection did not find the entry read last
    _paused: bool = False
    _resumed: float = 0.0  # when the last pause was over
    _withheld: list[int] = attrs.field(factory=list)  # deliveries to be acked when the pause is over

    def __attrs_post_init__(self) -> None:
        name = "log offset" if isinstance(self._begin, Offset) else "log"
        self.role = Role(name, self._broker, self._set_up, self._changed)
        self._began = self._broker.clock.seconds()

    @property
    def ready(self) -> bool:
        """Whether the broker confirmed the consumer."""
        return self.role.ready

    def stop(self) -> Deferred[None]:
        """See ISubscription."""
        self._abandon()
        return self.role.stop()

    def pause(self) -> None:
        """See ILog: acks are withheld, and the broker's credit runs out."""
        self._paused = True

    def resume(self) -> None:
        """See ILog."""
        self._paused = False
        self._resumed = self._broker.clock.seconds()
        withheld, self._withheld = self._withheld, []
        for tag in withheld:
            if self._acks is not None:
                self._acks.done(tag)

    async def _set_up(self, connection: IConnection, channel: IChannel) -> None:
        start = self._start()
        self._recall.reconnected(self._doubtful)
        self._doubtful = False
        self._acks = acks = Acks.for_prefetch(READ_AHEAD, channel.ack, self._broker.clock)
        await channel.prefetch(READ_AHEAD)
        if self._recall.last is not None and start == self._recall.last:
            self._silence = self._broker.clock.callLater(RECOGNISE, self._doubt, "the entry read last did not come")
        await channel.consume(partial(self._delivered, acks), LOG, {"x-stream-offset": start})

    def _start(self) -> int | str:
        now = self._broker.clock.seconds()
        if self._recall.last is not None:
            return _interval(now - self._heard) if self._doubtful else self._recall.last
        if isinstance(self._begin, Offset):
            return "last" if self._begin is LAST else self._begin.number
        if self._since is None:
            self._since = now - self._begin
            if not self._begin:
                return "next"
        return _interval(now - self._since)

    def _changed(self) -> None:
        if self.role.connection is None:
            self._abandon()
        elif self.role.ready and not self.caught_up.called and self._quiet is None:
            if self._begin:
                self._quiet = self._broker.clock.callLater(QUIET, self._maybe_quiet, self._broker.clock.seconds())
            else:
                self.caught_up.callback(None)

    def _delivered(self, acks: Acks, method: Deliver, properties: Properties, body: bytes) -> None:
        if acks is not self._acks:
            return  # the connection is being given up
        acks.delivered(method.delivery_tag)
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        headers = properties.headers or {}
        entry = Entry(headers[envelope.OFFSET], envelope.message(method, properties, body))
        if self._recall.last is None and isinstance(self._begin, Offset) and entry.offset < self._begin.number:
            acks.done(method.delivery_tag)  # the start of the chunk that holds what was asked for
            return
        expected = entry.offset if self._recall.last is None else self._recall.last + 1
        seen = self._recall.see(entry.offset, entry.message.message_id, entry.message.timestamp_ms)
        if seen is Seen.REPEATED:
            self._broker.metrics.add(LOG_REPEATED)
        elif seen is Seen.DOUBTFUL:
            self._doubt(f"entry {entry.offset} is another one than before")
            return
        else:
            if seen is Seen.OTHER:
                self._broker.metrics.add(LOG_RESET)
                self._log.error("the log is another one than before; reading on from {offset}", offset=entry.offset)
            elif entry.offset - expected > GAP:
                # What lies between is gone, but for a few offsets: retention took it, whole segments at a time.
                skipped = entry.offset - expected
                self._broker.metrics.add(LOG_SKIPPED, by=skipped)
                self._log.warn(
                    "about {count} entries left the log before they were read; reading on from {offset}",
                    count=skipped,
                    offset=entry.offset,
                )
            self._heard = self._broker.clock.seconds()
            self._receive(entry)
            if not (self.caught_up.called or self._paused) and entry.message.timestamp_ms >= self._began * 1000:
                self.caught_up.callback(None)
        if self._paused:
            self._withheld.append(method.delivery_tag)
        else:
            acks.done(method.delivery_tag)

    def _doubt(self, why: str) -> None:
        self._silence = None
        self._doubtful = True
        self._abandon()
        if self.role.connection is not None:
            self.role.connection.abort(Loss("doubt", f"the log may be another one than before: {why}"))

    def _maybe_quiet(self, since: float) -> None:
        """Nothing came for a while, or it did and this is set anew."""
        left = max(since, self._heard, self._resumed) + QUIET - self._broker.clock.seconds()
        self._quiet = None
        if self.caught_up.called:
            return
        if left <= 0 and not self._paused:
            self.caught_up.callback(None)
        else:
            self._quiet = self._broker.clock.callLater(QUIET if self._paused else left, self._maybe_quiet, since)

    def _abandon(self) -> None:
        """Nothing of this connection counts any more."""
        if self._acks is not None:
            self._acks.close()
            self._acks = None
        self._withheld.clear()
        for call in (self._quiet, self._silence):
            if call is not None:
                call.cancel()
        self._quiet = self._silence = None


def _interval(seconds: float) -> str:
    """So far back, rounded up, as the broker reads it; one second stands for the difference of clocks."""
    return f"{math.ceil(seconds) + 1}s"
