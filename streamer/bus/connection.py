# -*- test-case-name: tests.unit.test_bus_role -*-
"""One AMQP connection: pika's Twisted adapter, with what it lacks.

What it lacks, found by experiment with pika 1.4.4:

* Its ways out (close, heartbeat failure, a broker's close) end in `loseConnection()`, which waits for the write
  buffer; a peer that no longer reads keeps such a connection for ever. Here every way out ends in `abortConnection()`.
* The broker's reason for closing is overwritten by ConnectionDone. Here the first reason is kept.
* It writes without regard to the transport. Here a `Gate` follows the transport's producer signals.
* Its Deferreds break when cancelled. Here each call has a Deferred of our own, and all fail when the connection goes.

Importing this module imports pika's adapter, which installs the default reactor: only `bus.factory` does so, late.
"""

from __future__ import annotations

import logging
from typing import Any

from pika import ConnectionParameters
from pika.adapters.twisted_connection import _TwistedConnectionAdapter
from pika.credentials import ExternalCredentials, PlainCredentials
from pika.exceptions import AMQPError, AuthenticationError, ChannelClosed, ConnectionClosed
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer.bus import deadline, endings, logins
from streamer.bus.calls import Calls
from streamer.bus.deliveries import Deliveries
from streamer.bus.driver import CANCELLED, ChannelRefused, ConnectionLost, IConnection, Login, Loss
from streamer.bus.frames import ASIDES, CHANNEL
from streamer.bus.gate import Gate
from streamer.bus.greeting import Greeting
from streamer.bus.pika_channel import PikaChannel
from streamer.bus.pulse import IAudible
from streamer.errors import BusError

# Whatever pika logs we say ourselves, in sentences; unconfigured it would write to stderr.
logging.getLogger("pika").setLevel(logging.CRITICAL)


def connect(login: Login, clock: IReactorTime) -> BrokerConnection:
    """The driver `amqp://` and `amqps://`: a connection by pika."""
    credentials = ExternalCredentials() if login.external else PlainCredentials(login.user, login.password)
    properties = {"connection_name": login.name, "product": "streamer", "version": login.version}
    parameters = ConnectionParameters(
        virtual_host=login.vhost, credentials=credentials, heartbeat=login.heartbeat, client_properties=properties
    )
    return BrokerConnection(parameters, clock)


class _Adapter(_TwistedConnectionAdapter):  # type: ignore[misc]  # pika has no types
    """pika's side; tells the protocol why it wants to hang up."""

    protocol: BrokerConnection

    def _adapter_disconnect_stream(self) -> None:
        self.protocol.hang_up(self._error)

    def _get_credentials(self, method_frame: Any) -> Any:
        try:
            return super()._get_credentials(method_frame)
        except AuthenticationError:
            raise logins.unknown(self.params.credentials.TYPE, method_frame.method.mechanisms) from None

    def _on_connection_tune(self, method_frame: Any) -> None:
        try:
            logins.check_frame_max(method_frame.method.frame_max)
        except BusError as error:
            self._terminate_stream(error)
        else:
            super()._on_connection_tune(method_frame)
            self.protocol.heartbeat = self.params.heartbeat or 0


@implementer(IConnection, IAudible)
class BrokerConnection(Protocol):
    """See IConnection.

    Args:
        parameters: pika's; host, port and TLS in them are ignored.
        clock: the reactor.
    """

    _log = Logger()
    transport: Any

    def __init__(self, parameters: Any, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls = Calls()
        self._abort_timer: IDelayedCall | None = None
        self._freed: IDelayedCall | None = None
        self._opened = False  # the channel that `write` publishes on
        self._lent: Deferred[None] | None = None  # its number is used by an aside, until this fires
        self._greeting = Greeting()
        self.opened: Deferred[None] = self._calls.ask()
        self.ended: Deferred[Loss] = Deferred()
        self.alive = False
        self.loss: Loss | None = None
        self.received = 0
        self.heartbeat = 0
        self.gate = Gate()
        self.impl = _Adapter(
            parameters=parameters,
            on_open_callback=lambda _: self._calls.answer(self.opened, None),
            on_open_error_callback=lambda *_: None,
            on_close_callback=lambda *_: None,
            custom_reactor=clock,
        )
        self.impl.protocol = self
        self._deliveries = Deliveries(self.impl.data_received)
        self.impl.add_on_connection_blocked_callback(self.gate.block)
        self.impl.add_on_connection_unblocked_callback(self.gate.unblock)

    async def channel(self) -> PikaChannel:
        """See IConnection."""
        self._opened = True
        channel = await self._open(CHANNEL, self._calls)

        def closed(_: Any, error: Exception) -> None:
            if self.loss is None:
                self.abort(loss_of(error))

        channel.raw.add_on_close_callback(closed)
        channel.raw.add_on_cancel_callback(lambda _: self.abort(CANCELLED))
        return channel

    async def aside(self) -> PikaChannel:
        """See IConnection. Where the broker allows one channel only, there is one before `channel` or none at all."""
        limit = self.impl.params.channel_max
        numbers = [number for number in ASIDES if not 0 < limit < number]
        while numbers and all(number in self.impl._channels for number in numbers):
            await deferLater(self._clock, 0)  # pika tells of a channel's end before it frees the number
            if not self.alive:
                raise ConnectionLost("the connection is gone")
        number = next((number for number in numbers if number not in self.impl._channels), CHANNEL)
        if number == CHANNEL and self._opened:
            raise ConnectionLost("the broker allows one channel only (channel_max = 1), which is in use")
        calls = Calls()
        channel = await self._open(number, calls)
        lent: Deferred[None] | None = Deferred() if number == CHANNEL else None
        self._lent = lent

        def closed(_: Any, error: Exception) -> None:
            if lent is not None and self.alive:
                self._freed = self._clock.callLater(0, lent.callback, None)  # pika frees it after telling of the end
            if isinstance(error, ChannelClosed):
                calls.fail(ChannelRefused(error.reply_code, error.reply_text))
            else:
                calls.fail(ConnectionLost(loss_of(error).detail))

        channel.raw.add_on_close_callback(closed)
        return channel

    async def _open(self, number: int, calls: Calls) -> PikaChannel:
        if self._lent is not None and number == CHANNEL:
            free, lent, self._lent = self._calls.ask(), self._lent, None
            lent.addCallback(lambda _: self._calls.answer(free, None))
            await free
        answer = self._calls.ask()
        try:
            self.impl.channel(number, on_open_callback=lambda opened: self._calls.answer(answer, opened))
        except AMQPError as error:
            self._calls.drop(answer)
            raise ConnectionLost(f"cannot open a channel: {error!r}") from error
        return PikaChannel(await answer, calls, self._deliveries)

    @property
    def server(self) -> str:
        """See IConnection."""
        said = self.impl.server_properties or {}
        return f"{said.get('product', 'a broker')} {said.get('version', 'of an unknown version')}"

    @property
    def frame_max(self) -> int:
        """Bytes of the longest frame the broker takes, once the connection is open."""
        return int(self.impl.params.frame_max)

    def write(self, frames: bytes) -> None:
        """Write whole frames, after all that pika has written."""
        self.transport.write(frames)

    def close(self) -> None:
        """Take leave of the broker; cut the connection when that takes too long."""
        if self.loss is None:
            self.loss = Loss("stopped", "closed by us")
            self._abort_later()
            try:
                self.impl.close()
            except AMQPError:
                self.abort(self.loss)

    def abort(self, loss: Loss) -> None:
        """Cut the connection now; the first reason given for its end stands."""
        self.loss = self.loss or loss
        self._deliveries.stop()
        if self.alive:
            self.transport.abortConnection()

    def hang_up(self, error: Exception | None) -> None:
        """pika wants the transport closed."""
        self.loss = self.loss or loss_of(error or ConnectionDone())
        if self.alive:
            self._abort_later()
            self.transport.unregisterProducer()  # TLS would wait for it
            self.transport.loseConnection()

    def connectionMade(self) -> None:
        """Begin the handshake."""
        self.alive = True
        self.transport.registerProducer(self.gate, True)
        self.impl.connection_made(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Hand deliveries to the consumer, all else to pika. What either raises is the connection's end."""
        self.received += len(data)
        if not self._greeting.known:
            strange = self._greeting.feed(data)
            if strange is not None:
                self.abort(Loss("protocol", strange))
            if not self._greeting.known:
                return
        try:
            self._deliveries.feed(data)
            self.impl.bytes_received = self.received  # by which pika sees that the broker is alive, within a frame too
        except Exception as error:
            self._log.failure("while reading from the broker; the connection is given up")
            self.abort(Loss("protocol", f"what the broker sent could not be used: {error!r}"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All is over: fail what still waits, then say why."""
        self.alive = False
        for call in (self._abort_timer, self._freed):
            if call is not None and call.active():
                call.cancel()
        self.loss = self.loss or loss_of(reason.value or ConnectionDone(), self._greeting)
        try:
            self.impl.connection_lost(reason)
        except Exception:
            self._log.failure("while pika cleaned up after a lost connection")
        self._calls.fail(ConnectionLost(self.loss.detail))
        self.ended.callback(self.loss)

    def _abort_later(self) -> None:
        if self._abort_timer is None:
            stuck = Loss("stuck", "the broker did not take leave in time")
            self._abort_timer = self._clock.callLater(deadline.CLOSE, self.abort, stuck)


def loss_of(error: BaseException, greeting: Greeting | None = None) -> Loss:
    """Name what ended a connection or a channel; see `endings.lost`."""
    if isinstance(error, (ConnectionClosed, ChannelClosed)):
        what = "the channel" if isinstance(error, ChannelClosed) else "the connection"
        return Loss("broker", f"the broker closed {what}: {error.reply_code} {error.reply_text}", error.reply_code)
    if "eartbeat" in type(error).__name__:
        return Loss("heartbeat", "the broker was silent for too long")
    return endings.lost(error, greeting)
