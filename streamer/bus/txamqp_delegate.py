# -*- test-case-name: tests.unit.test_bus_txamqp_connection -*-
"""What the broker says unasked: txAMQP hands each such method to the method of that name here.

txAMQP's own delegate knows neither confirms nor blocked connections, and announces nothing of what it can do: so the
broker would drop us without a word at a wrong password, and would not tell of a consumer that it cancelled
(https://www.rabbitmq.com/docs/connections#capabilities).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from txamqp.client import Closed, TwistedDelegate  # type: ignore[import-untyped,import-not-found,unused-ignore]

from streamer.bus import logins
from streamer.bus.driver import CANCELLED, Login, Loss
from streamer.bus.gate import Gate
from streamer.bus.txamqp_values import NotAmqp
from streamer.errors import BusError

FRAME_MAX = 131_072  # bytes; RabbitMQ's default
CHANNEL_MAX = 65_535
CAPABILITIES = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "exchange_exchange_bindings": True,
    "publisher_confirms": True,
}


class Owner(Protocol):
    """What a delegate needs of its connection."""

    gate: Gate
    heartbeat: int
    server: str

    def abort(self, loss: Loss) -> None:
        """Cut the connection now."""

    def hang_up(self, loss: Loss) -> None:
        """Close the transport once all is written."""

    def refused(self, channel: Any, code: int, text: str) -> None:
        """The broker closed a channel."""


class Delegate(TwistedDelegate):  # type: ignore[misc]  # txAMQP has no types
    """The broker's own methods.

    Attributes:
        told: given the broker's confirms, once asked for; see `IChannel.confirm`.
    """

    def __init__(self, owner: Owner, login: Login) -> None:
        super().__init__()
        self._owner = owner
        self._login = login
        self.told: Callable[[int, bool, bool], None] | None = None

    def dispatch(self, channel: Any, message: Any) -> None:
        """One method.

        Raises:
            NotAmqp: it makes no sense here.
        """
        try:
            super().dispatch(channel, message)
        except AttributeError:
            if message.method in self.handlers:
                raise
            _unasked(self, channel, message)

    def connection_start(self, ch: Any, msg: Any) -> None:
        """The broker's first words: log in."""
        login, said = self._login, msg.server_properties
        self._owner.server = f"{said.get('product', 'a broker')} {said.get('version', 'of an unknown version')}"
        mechanism = "EXTERNAL" if login.external else "PLAIN"
        if mechanism not in msg.mechanisms.split():
            self._owner.abort(Loss("refused", str(logins.unknown(mechanism, msg.mechanisms))))
            return
        properties = {"connection_name": login.name, "product": "streamer", "version": login.version}
        ch.connection_start_ok(
            client_properties={**properties, "platform": "Python, txAMQP", "capabilities": CAPABILITIES},
            mechanism=mechanism,
            response=b"" if login.external else _plain(login),
            locale="en_US",
        )

    def connection_tune(self, ch: Any, msg: Any) -> None:
        """It let us in, and says how much it takes; 0 is no limit."""
        try:
            logins.check_frame_max(msg.frame_max)
        except BusError as error:
            self._owner.abort(Loss("refused", str(error)))
            return
        self.client.channel_max = msg.channel_max or CHANNEL_MAX
        self.client.MAX_LENGTH = frame_max = min(msg.frame_max or FRAME_MAX, FRAME_MAX)
        heartbeat = self.client.heartbeatInterval
        self._owner.heartbeat = heartbeat
        ch.connection_tune_ok(channel_max=msg.channel_max, frame_max=frame_max, heartbeat=heartbeat)
        self.client.started.fire()

    def connection_close(self, ch: Any, msg: Any) -> None:
        """It closes the connection, and says why."""
        loss = Loss("broker", f"the broker closed the connection: {msg.reply_code} {msg.reply_text}", msg.reply_code)
        ch.connection_close_ok()
        self._owner.hang_up(loss)
        self.client.do_close(msg)

    def connection_blocked(self, ch: Any, msg: Any) -> None:
        """It is out of memory or disk, and reads from publishers no more."""
        self._owner.gate.blocked = msg.reason or "no reason given"
        self._owner.gate.changed()

    def connection_unblocked(self, ch: Any, msg: Any) -> None:
        """It reads again."""
        self._owner.gate.blocked = None
        self._owner.gate.changed()

    def channel_close(self, ch: Any, msg: Any) -> None:
        """It closes a channel, and says why."""
        ch.channel_close_ok()
        self._owner.refused(ch, msg.reply_code, msg.reply_text)
        ch.close(msg)

    def basic_ack(self, ch: Any, msg: Any) -> None:
        """It confirms publishes."""
        _confirmed(self, ch, msg, True)

    def basic_nack(self, ch: Any, msg: Any) -> None:
        """It refuses publishes."""
        _confirmed(self, ch, msg, False)

    def basic_cancel(self, ch: Any, msg: Any) -> None:
        """The consumer's queue is gone."""
        self._owner.abort(CANCELLED)

    def close(self, reason: Any) -> None:
        """txAMQP's protocol is over. The transport is the connection's to close."""
        self.client.closed = True
        self.client.started.fail_if_not_fired(Closed(reason))


def _plain(login: Login) -> bytes:
    """What SASL PLAIN sends; whatever it is, for an error about it would show the password."""
    return f"\0{login.user}\0{login.password}".encode(errors="backslashreplace")


def _confirmed(delegate: Delegate, channel: Any, message: Any, acked: bool) -> None:
    if delegate.told is None:
        _unasked(delegate, channel, message)
    else:
        delegate.told(message.delivery_tag, message.multiple, acked)


def _unasked(delegate: Delegate, channel: Any, message: Any) -> None:
    raise NotAmqp(f"the broker said {message.method.klass.name}.{message.method.name}, which was not asked for")


# Publishes are never mandatory, and deliveries are cut out before txAMQP sees them.
Delegate.basic_return_ = Delegate.basic_deliver = _unasked
