# -*- test-case-name: tests.unit.test_bus_publisher -*-
"""A broker for one connection at a time, in memory, that does as it is told: it speaks AMQP by pika's own codec.

It lets us in, says yes to every declaration, and notes what is published; confirming, blocking, falling silent and
leaving are up to the test. What a real broker does is checked in `tests/integration`.
"""

from __future__ import annotations

from typing import Any

import attrs
from pika import frame, spec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from streamer.bus.frames import PERSISTENT
from streamer.bus.limits import TIMESTAMP_HEADER
from streamer.message import Message

CAPABILITIES = {"publisher_confirms": True, "basic.nack": True, "connection.blocked": True}

REPLIES: dict[type, Any] = {
    spec.Channel.Open: lambda method: spec.Channel.OpenOk(),
    spec.Channel.Close: lambda method: spec.Channel.CloseOk(),
    spec.Exchange.Declare: lambda method: spec.Exchange.DeclareOk(),
    spec.Queue.Declare: lambda method: spec.Queue.DeclareOk(method.queue, 0, 0),
    spec.Queue.Bind: lambda method: spec.Queue.BindOk(),
    spec.Queue.Unbind: lambda method: spec.Queue.UnbindOk(),
    spec.Confirm.Select: lambda method: spec.Confirm.SelectOk(),
    spec.Basic.Qos: lambda method: spec.Basic.QosOk(),
    spec.Basic.Consume: lambda method: spec.Basic.ConsumeOk(method.consumer_tag),
    spec.Basic.Cancel: lambda method: spec.Basic.CancelOk(method.consumer_tag),
    spec.Connection.StartOk: lambda method: spec.Connection.Tune(0, 131072, 15),
    spec.Connection.Open: lambda method: spec.Connection.OpenOk(),
    spec.Connection.Close: lambda method: spec.Connection.CloseOk(),
}


def pika_properties(message: Message) -> spec.BasicProperties:
    """A message's properties as pika has them: the yardstick for our own encoder, and what a broker delivers."""
    return spec.BasicProperties(
        content_type=message.content_type,
        headers={**message.headers, TIMESTAMP_HEADER: message.timestamp_ms},
        delivery_mode=PERSISTENT,
        timestamp=message.timestamp_ms // 1000,
        message_id=message.message_id,
        type=message.kind,
    )


class Link(StringTransport):
    """Our end's transport: hands what is written to the broker at once; a full one never empties."""

    def __init__(self, broker: Broker, protocol: Any) -> None:
        super().__init__()
        self.broker = broker
        self.protocol = protocol
        self.gone = False

    def write(self, data: bytes) -> None:
        self.broker.read(data)

    def abortConnection(self) -> None:
        self.lose(ConnectionAborted())

    def loseConnection(self) -> None:
        if self.producer is None and not self.broker.frozen:
            self.lose(ConnectionDone())

    def lose(self, error: Exception) -> None:
        """The connection ends in a later turn, as a reactor does it."""
        if not self.gone:
            self.gone = True
            self.broker.clock.callLater(self.broker.lingers, self.protocol.connectionLost, Failure(error))


@attrs.define
class Broker:
    """The other end; also the endpoint that connects to it.

    Attributes:
        refuses: connections to turn away before the next is let in.
        frozen: it reads and answers nothing any more.
        lingers: seconds until we are told that a connection is lost.
        methods: what it was asked, on any connection.
        prepared: it has the marker of an installed topology.
        published: message ids by delivery tag, on the present connection.
    """

    clock: Any
    refuses: int = 0
    frozen: bool = False
    lingers: float = 0
    link: Any = None
    methods: list[Any] = attrs.field(factory=list)
    prepared: bool = False
    published: list[str] = attrs.field(factory=list)
    connections: int = 0
    _buffer: bytes = b""

    def connect(self, factory: Any) -> Deferred[Any]:
        """See IStreamClientEndpoint."""
        if self.refuses:
            self.refuses -= 1
            return fail(ConnectionRefusedError())
        self.connections += 1
        self.published.clear()
        self._buffer = b""
        protocol = factory.buildProtocol(None)
        self.link = Link(self, protocol)
        protocol.makeConnection(self.link)
        return succeed(protocol)

    def read(self, data: bytes) -> None:
        """Bytes from us."""
        if self.frozen:
            return
        self._buffer += data
        while self._buffer:
            size, found = frame.decode_frame(self._buffer)
            if not size:
                return
            self._buffer = self._buffer[size:]
            # Answered in the next turn: pika registers for the answer after it has written.
            self.clock.callLater(0, self.take, self.link, found)

    def take(self, link: Any, found: Any) -> None:
        """One frame from us."""
        if link is not self.link or link.gone or self.frozen:
            return
        if isinstance(found, frame.ProtocolHeader):
            start = spec.Connection.Start(server_properties={"capabilities": CAPABILITIES}, mechanisms="PLAIN")
            self.say(start, channel=0)
        elif isinstance(found, frame.Header):
            self.published.append(found.properties.message_id)
        elif isinstance(found, frame.Method):
            if isinstance(found.method, spec.Exchange.Declare) and found.method.passive and not self.prepared:
                self.say(spec.Channel.Close(404, "NOT_FOUND - no exchange", 40, 10), channel=found.channel_number)
                return
            self.methods.append(found.method)
            reply = REPLIES.get(type(found.method))
            if reply is not None:
                self.say(reply(found.method), channel=found.channel_number)

    def say(self, method: Any, channel: int = 1) -> None:
        """One method to us."""
        self.link.protocol.dataReceived(frame.Method(channel, method).marshal())

    def deliver(self, tag: int, properties: spec.BasicProperties, body: bytes) -> None:
        """A delivery to the only consumer."""
        self.deliver_all((tag, properties, body))

    def deliver_all(self, *deliveries: tuple[int, spec.BasicProperties, bytes]) -> None:
        """Deliveries to the only consumer, in one packet."""
        consumer = [method for method in self.methods if isinstance(method, spec.Basic.Consume)][-1].consumer_tag
        packet = b""
        for tag, properties, body in deliveries:
            method = spec.Basic.Deliver(consumer, tag, exchange="streamer.events", routing_key="post.birds")
            content = (frame.Method(1, method), frame.Header(1, len(body), properties), frame.Body(1, body))
            packet += b"".join(part.marshal() for part in content)
        self.link.protocol.dataReceived(packet)
