# -*- test-case-name: tests.unit.test_bus_fake_broker -*-
"""A fake broker that speaks AMQP's frames, for what a real one won't do on demand.

By itself it lets us in, says yes to every declaration, and notes what is published. What else it does is up to whoever
has it: confirm never, twice or what was not published (`broker_confirms`), block, cancel, return, close with odd
codes, propose odd limits, greet as something else, or fall silent. It has one connection at a time, and speaks by
pika's own codec, so that ours is not checked by itself. What a real broker does is checked in `tests/integration`.

In memory it is an endpoint to connect to, for tests on a `Clock`; on a port of the loopback interface it is made by
`broker_port`, for tests on a real reactor and for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
from pika import frame, spec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from streamer.bus.frames import CHANNEL, PERSISTENT
from streamer.bus.limits import TIMESTAMP_HEADER
from streamer.message import Message

CAPABILITIES = {"publisher_confirms": True, "basic.nack": True, "connection.blocked": True}
FRAME_MAX = 131_072  # bytes; RabbitMQ's own
HEARTBEAT = 15  # seconds

Reply = Callable[[Any], Any]  # what was asked → the method that answers it, or None

REPLIES: dict[type, Reply] = {
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
    spec.Connection.StartOk: lambda method: spec.Connection.Tune(0, FRAME_MAX, HEARTBEAT),
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
    """The client's transport: hands what is written to the broker at once; a full one never empties."""

    def __init__(self, broker: Broker, protocol: Any) -> None:
        super().__init__()
        self.broker = broker
        self.protocol = protocol
        self.gone = False

    def hand(self, data: bytes) -> None:
        """Bytes from the broker."""
        self.protocol.dataReceived(data)

    def write(self, data: bytes) -> None:
        """Bytes from the client."""
        self.broker.read(data)

    def abortConnection(self) -> None:
        """Cut the connection."""
        self.lose(ConnectionAborted())

    def loseConnection(self) -> None:
        """End the connection once all is written, which takes a broker that reads."""
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
        answers: other replies than `REPLIES`; None in place of one is silence.
        confirming: given the tag of each publish, the confirms that are said upon it; see `broker_confirms`.
        greets: what it says first, where it is no broker of ours; nothing at all where that is empty.
        about: further properties of it, such as product and version.
        mechanisms: logins it takes.
        refuses: connections to turn away before the next is let in.
        frozen: it reads and answers nothing any more.
        lingers: seconds until the client is told that a connection is lost.
        link: the present connection.
        methods: what it was asked, on any connection.
        prepared: it has the marker of an installed topology.
        published: message ids by delivery tag, on the present connection.
        received: message ids, on all connections.
        longest: bytes of the longest frame that came.
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
    answers: Mapping[type, Reply | None] = attrs.field(factory=dict)
    confirming: Callable[[int], Iterable[Any]] = lambda tag: ()
    greets: bytes | None = None
    about: Mapping[str, str] = attrs.field(factory=dict)
    mechanisms: str = "PLAIN"
    received: list[str] = attrs.field(factory=list)
    longest: int = 0

    @property
    def replies(self) -> Mapping[type, Reply | None]:
        """What it answers to what."""
        return {**REPLIES, **self.answers}

    def connect(self, factory: Any) -> Deferred[Any]:
        """See IStreamClientEndpoint."""
        if self.refuses:
            self.refuses -= 1
            return fail(ConnectionRefusedError())
        protocol = factory.buildProtocol(None)
        self.joined(Link(self, protocol))
        protocol.makeConnection(self.link)
        return succeed(protocol)

    def joined(self, link: Any) -> None:
        """A client is there."""
        self.connections += 1
        self.published.clear()
        self._buffer = b""
        self.link = link

    def read(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.frozen:
            return
        self._buffer += data
        while self._buffer:
            size, found = frame.decode_frame(self._buffer)
            if not size:
                return
            self._buffer = self._buffer[size:]
            self.longest = max(self.longest, size)
            # Answered in the next turn: pika registers for the answer after it has written.
            self.clock.callLater(0, self.take, self.link, found)

    def take(self, link: Any, found: Any) -> None:
        """One frame from the client."""
        if link is not self.link or link.gone or self.frozen:
            return
        if isinstance(found, frame.ProtocolHeader):
            self._greet()
        elif isinstance(found, frame.Header):
            self.published.append(found.properties.message_id)
            self.received.append(found.properties.message_id)
            for confirm in self.confirming(len(self.published)):
                self.say(confirm)
        elif isinstance(found, frame.Method):
            if isinstance(found.method, spec.Exchange.Declare) and found.method.passive and not self.prepared:
                self.say(spec.Channel.Close(404, "NOT_FOUND - no exchange", 40, 10), channel=found.channel_number)
                return
            self.methods.append(found.method)
            reply = self.replies.get(type(found.method))
            answer = reply(found.method) if reply is not None else None
            if answer is not None:
                of_connection = isinstance(answer, spec.Connection.Close)
                self.say(answer, channel=0 if of_connection else found.channel_number)

    def say(self, method: Any, channel: int = CHANNEL) -> None:
        """One method to the client; nothing where it has gone."""
        if not self.link.gone:
            self.link.hand(frame.Method(channel, method).marshal())

    def beat(self) -> None:
        """A heartbeat to the client."""
        self.link.hand(frame.Heartbeat().marshal())

    def deliver(self, tag: int, properties: spec.BasicProperties, body: bytes) -> None:
        """A delivery to the only consumer."""
        self.deliver_all((tag, properties, body))

    def deliver_all(self, *deliveries: tuple[int, spec.BasicProperties, bytes]) -> None:
        """Deliveries to the only consumer, in one packet."""
        consumer = [method for method in self.methods if isinstance(method, spec.Basic.Consume)][-1].consumer_tag
        packet = b""
        for tag, properties, body in deliveries:
            method = spec.Basic.Deliver(consumer, tag, exchange="streamer.events", routing_key="post.birds")
            packet += content(method, properties, body)
        self.link.hand(packet)

    def _greet(self) -> None:
        if self.greets is not None:
            if self.greets:
                self.link.hand(self.greets)
            return
        about = {"capabilities": CAPABILITIES, **self.about}
        self.say(spec.Connection.Start(server_properties=about, mechanisms=self.mechanisms), channel=0)


def content(method: Any, properties: spec.BasicProperties, body: bytes) -> bytes:
    """The frames of a method that carries a message: basic.deliver, basic.return."""
    parts = (frame.Method(CHANNEL, method), frame.Header(CHANNEL, len(body), properties), frame.Body(CHANNEL, body))
    return b"".join(part.marshal() for part in parts)
