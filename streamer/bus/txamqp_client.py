# -*- test-case-name: tests.unit.test_bus_txamqp_connection -*-
"""txAMQP's protocol and channel, with what they lack.

What they lack, found by experiment with txAMQP 0.8.2 and in its source:

* What is to be written goes through a chain of Deferreds, which one argument that cannot be encoded breaks for ever.
  Here a frame is encoded, whole, before anything is written, and whoever asked hears of it.
* Its timers begin before there is a connection, and each frame sets two of them anew. Here they begin with the
  handshake's end, and frames only leave a note.
* It uses `defer.returnValue`, which Twisted is about to drop. Here it is not reached.
* A method that it has no handler for, or an answer that nobody waits for, goes astray. Here each is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from txamqp.client import Closed  # type: ignore[import-untyped,import-not-found,unused-ignore]
from txamqp.connection import Frame, Method  # type: ignore[import-untyped,import-not-found,unused-ignore]
from txamqp.message import Message  # type: ignore[import-untyped,import-not-found,unused-ignore]
from txamqp.protocol import AMQChannel, AMQClient  # type: ignore[import-untyped,import-not-found,unused-ignore]
from txamqp.queue import Closed as QueueClosed  # type: ignore[import-untyped,import-not-found,unused-ignore]

from streamer.bus import txamqp_codec
from streamer.bus.driver import Login
from streamer.bus.txamqp_spec import protocol
from streamer.bus.txamqp_values import NotAmqp, Unencodable

GREETING = b"AMQP\x00\x00\x09\x01"  # txAMQP's own is that of 0-9
UNSEEN = 2  # heartbeats' time without a byte after which a broker is dead; it sends two in each


@attrs.define
class Outgoing:
    """What txAMQP takes for its queue of frames to write: it writes them."""

    _send: Callable[[Any], None]

    def put(self, frame: Any) -> None:
        """Write a frame; raises Unencodable, and writes nothing, where it cannot be encoded."""
        self._send(frame)


class Channel(AMQChannel):  # type: ignore[misc]  # txAMQP has no types
    """txAMQP's channel; the broker's methods go to the delegate at once, in the order they came."""

    def invoke(self, method: Any, args: tuple[Any, ...], content: None = None) -> Deferred[Any]:
        """Every call of the description ends here.

        Returns:
            Fires with the broker's answer, or at once where there is none to be expected. Fails with Unencodable, and
            nothing is written; with Closed where the channel or connection is; with NotAmqp at a wrong answer.
        """
        try:
            if self.closed:
                self._raise_closed(self.reason)
            if method.content:
                raise Unencodable(f"{method.klass.name}.{method.name} carries a body, which does not go this way")
            self.outgoing.put(Frame(self.id, Method(method, *args)))
        except (Closed, Unencodable) as error:
            return fail(error)
        if not method.responses:
            return succeed(None)
        answering: Deferred[Any] = self.responses.get()
        return answering.addCallbacks(self._answered, self._gone, callbackArgs=(method,))

    def _answered(self, frame: Any, asked: Any) -> Any:
        answer = frame.payload
        if answer.method not in asked.responses:
            what = f"{answer.method.klass.name}.{answer.method.name}"
            raise NotAmqp(f"the broker answered {what} to {asked.klass.name}.{asked.name}")
        return Message(answer.method, answer.args)

    def _gone(self, failure: Failure) -> None:
        failure.trap(QueueClosed)
        self._raise_closed(self.reason)

    def dispatch(self, frame: Any, work: Any) -> None:
        """One method from the broker."""
        method = frame.payload.method
        if not method.response:
            self.client.delegate.dispatch(self, Message(method, frame.payload.args))
        elif self.responses.waiting:
            self.responses.put(frame)
        else:
            raise NotAmqp(f"the broker answered {method.klass.name}.{method.name}, and was not asked")


class Client(AMQClient):  # type: ignore[misc]  # txAMQP has no types
    """txAMQP's protocol, inside of `TxConnection`.

    Args:
        delegate: is given the broker's methods that answer nothing.
        login: the virtual host and the heartbeat.
        clock: the reactor.
        silent: called when the broker seems dead.
    """

    channelClass = Channel
    channel_max = 0  # until the broker said what it is
    MAX_UNSEEN_HEARTBEAT = UNSEEN

    def __init__(self, delegate: Any, login: Login, clock: Any, silent: Callable[[], None]) -> None:
        self._silent = silent
        self._heard = clock.seconds()
        super().__init__(delegate, login.vhost, protocol(), heartbeat=login.heartbeat, clock=clock)
        self.outgoing = Outgoing(self.send_frame)

    def open_channel(self, number: int) -> Any:
        """A new channel under a number, of which the broker does not know yet."""
        self.channels[number] = channel = self.channelFactory(number, self.outgoing, self)
        return channel

    def log_in(self) -> Deferred[Any]:
        """Answer what the broker asks; fires when it has opened the virtual host, fails with Closed otherwise."""
        waiting: Deferred[Any] = self.started.wait()
        return waiting.addCallback(lambda _: self.channels[0].connection_open(self.vhost))

    def heard(self) -> None:
        """Bytes came from the broker."""
        self._heard = self.clock.seconds()

    def whole_frame(self, data: bytes) -> None:
        """Take one frame's bytes.

        Raises:
            NotAmqp: they are no AMQP, or nothing that fits in here.
        """
        frame = txamqp_codec.unpack(self.spec, data)
        if frame.payload.type != Frame.HEARTBEAT:
            channel = self.channels.get(frame.channel)
            if channel is None:
                raise NotAmqp(f"the broker spoke on channel {frame.channel}, which is not open")
            channel.dispatch(frame, self.work)

    def send_init_string(self) -> None:
        """Say which AMQP we speak."""
        self.transport.write(GREETING)

    def send_frame(self, frame: Any) -> None:
        """Write one frame, or raise Unencodable and write nothing."""
        data = txamqp_codec.pack(frame)
        if len(data) > self.MAX_LENGTH:
            raise Unencodable(f"a frame of {len(data)} bytes is too long, the broker takes {self.MAX_LENGTH}")
        self.transport.write(data)

    def reschedule_send_heartbeat(self) -> None:
        """Begin to send heartbeats, as often as the broker does: it looks for any byte within twice that time."""
        if not self.sendHB.running:
            self.sendHB.start(self.heartbeatInterval / 2, now=False)

    def reschedule_check_heartbeat(self) -> None:
        """The handshake is over; the check that waits will find out when something came last."""
        self.heard()

    def check_heartbeat(self) -> None:
        """Look whether the broker was heard of, and look again when it might be dead."""
        left = self._heard + UNSEEN * self.heartbeatInterval - self.clock.seconds()
        if left > 0:
            self.checkHB = self.clock.callLater(left, self.check_heartbeat)
        else:
            self._silent()
