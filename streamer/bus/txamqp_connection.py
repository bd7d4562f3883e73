# -*- test-case-name: tests.unit.test_bus_txamqp_connection -*-
"""One AMQP connection by txAMQP: the driver of `txamqp+amqp://` and `txamqp+amqps://`, an optional extra.

txAMQP's are the handshake, heartbeats, channels and all questions to the broker; what it lacks for that is in
`txamqp_client`, `txamqp_delegate` and `txamqp_codec`. Publishes and deliveries are the bus's own, as with pika. With
that nothing of the bus's contract is out of its reach, so nothing is refused.

Importing this module imports txAMQP, which installs the default reactor: only `bus.factory` does so, late.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer.bus import deadline, endings
from streamer.bus.calls import Calls
from streamer.bus.deliveries import Deliveries
from streamer.bus.driver import ConnectionLost, IConnection, Login, Loss
from streamer.bus.frames import ASIDES, CHANNEL
from streamer.bus.gate import Gate
from streamer.bus.greeting import Greeting
from streamer.bus.pulse import IAudible
from streamer.bus.txamqp_channel import Questions, TxChannel
from streamer.bus.txamqp_client import Client
from streamer.bus.txamqp_delegate import FRAME_MAX, Delegate

SILENT = Loss("heartbeat", "the broker was silent for too long")


def connect(login: Login, clock: IReactorTime) -> TxConnection:
    """The driver `txamqp+amqp://` and `txamqp+amqps://`: a connection by txAMQP."""
    return TxConnection(login, clock)


@implementer(IConnection, IAudible)
class TxConnection(Protocol):
    """See IConnection.

    Args:
        login: who we are.
        clock: the reactor.
    """

    _log = Logger()
    transport: Any

    def __init__(self, login: Login, clock: IReactorTime) -> None:
        self._login = login
        self._clock = clock
        self._calls = Calls()
        self._abort_timer: IDelayedCall | None = None
        self._main: Any = None  # the channel that `write` publishes on
        self._wanted: Deferred[None] | None = None  # fires when an aside channel gave its number back
        self._greeting = Greeting()
        self.opened: Deferred[None] = self._calls.ask()
        self.ended: Deferred[Loss] = Deferred()
        self.alive = False
        self.loss: Loss | None = None
        self.gate = Gate()
        self.received = 0
        self.heartbeat = 0
        self.server = "a broker of an unknown version"
        self._delegate = Delegate(self, login)
        self._client: Any = None  # there once there is a transport, for its timers begin at once
        self._deliveries = Deliveries(lambda frame: self._client.whole_frame(frame))

    async def channel(self) -> TxChannel:
        """See IConnection."""
        if CHANNEL in self._client.channels:
            self._wanted = self._calls.ask()
            await self._wanted
        self._main = self._client.open_channel(CHANNEL)
        return await self._open(self._main)

    async def aside(self) -> TxChannel:
        """See IConnection. Where the broker allows one channel only, there is one before `channel` or none at all."""
        number = _free(self._client.channels, self._client.channel_max)
        return await self._open(self._client.open_channel(number))

    async def _open(self, raw: Any) -> TxChannel:
        questions = Questions(self._calls, self.abort, refusable=raw is not self._main)
        await questions.ask(raw.channel_open)
        return TxChannel(raw, questions, self._deliveries, self._delegate, self._let_go)

    @property
    def frame_max(self) -> int:
        """See IConnection."""
        return int(self._client.MAX_LENGTH) if self._client is not None else FRAME_MAX

    def write(self, frames: bytes) -> None:
        """See IConnection."""
        self.transport.write(frames)

    def close(self) -> None:
        """See IConnection."""
        if self.loss is None:
            self.loss = Loss("stopped", "closed by us")
            if not self.opened.called:
                self.abort(self.loss)
                return
            self._abort_later()
            taking_leave = self._client.channels[0].connection_close(reply_code=200, reply_text="closed by us")
            taking_leave.addBoth(lambda _: self.hang_up(Loss("stopped", "closed by us")))

    def abort(self, loss: Loss) -> None:
        """See IConnection."""
        self.loss = self.loss or loss
        self._deliveries.stop()
        if self.alive:
            self.transport.abortConnection()

    def hang_up(self, loss: Loss) -> None:
        """Close the transport once all is written, or after a while all the same."""
        self.loss = self.loss or loss
        if self.alive:
            self._abort_later()
            self.transport.unregisterProducer()  # TLS would wait for it
            self.transport.loseConnection()

    def refused(self, channel: Any, code: int, text: str) -> None:
        """The broker closed a channel; without its only one the connection is of no use."""
        if channel is self._main:
            self.abort(Loss("broker", f"the broker closed the channel: {code} {text}", code))
        else:
            self._let_go(channel)

    def connectionMade(self) -> None:
        """Begin the handshake."""
        self.alive = True
        self.transport.registerProducer(self.gate, True)
        self._client = client = Client(self._delegate, self._login, self._clock, partial(self.abort, SILENT))
        client.open_channel(0)
        client.log_in().addCallbacks(lambda _: self._calls.answer(self.opened, None), lambda _: None)
        client.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Hand deliveries to the consumer, all else to txAMQP. What either raises is the connection's end."""
        self.received += len(data)
        if not self._greeting.known:
            strange = self._greeting.feed(data)
            if strange is not None:
                self.abort(Loss("protocol", strange))
            if not self._greeting.known:
                return
        try:
            self._client.heard()
            self._deliveries.feed(data)
        except Exception as error:
            self._log.failure("while reading from the broker; the connection is given up")
            self.abort(Loss("protocol", f"what the broker sent could not be used: {error!r}"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All is over: fail what still waits, then say why."""
        self.alive = False
        if self._abort_timer is not None and self._abort_timer.active():
            self._abort_timer.cancel()
        self.loss = self.loss or endings.lost(reason.value, self._greeting)
        self._calls.fail(ConnectionLost(self.loss.detail))
        try:
            self._client.connectionLost(reason)
        except Exception:
            self._log.failure("while txAMQP cleaned up after a lost connection")
        self.ended.callback(self.loss)

    def _let_go(self, channel: Any) -> None:
        """An aside channel is over, and its number free again."""
        self._client.channels.pop(channel.id, None)
        if channel.id == CHANNEL and self._wanted is not None:
            self._calls.answer(self._wanted, None)

    def _abort_later(self) -> None:
        if self._abort_timer is None:
            stuck = Loss("stuck", "the broker did not take leave in time")
            self._abort_timer = self._clock.callLater(deadline.CLOSE, self.abort, stuck)


def _free(channels: Collection[int], limit: int) -> int:
    """A number for another channel than the one that publishes or consumes; that one's while there is no other."""
    for number in itertools.chain(ASIDES, (CHANNEL,)):
        if number <= limit and number not in channels:
            return number
    raise ConnectionLost(f"the broker allows {limit} channels only (channel_max), and all are in use")
