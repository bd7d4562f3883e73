"""Our encoder beside pika's: every byte is the same."""

from __future__ import annotations

import math

import attrs
from hypothesis import example, given
from hypothesis import strategies as st
from pika import ConnectionParameters, frame, spec
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import frames
from streamer.bus.connection import BrokerConnection
from streamer.bus.limits import check
from streamer.message import Item, Message, Topic
from tests.bus_broker import Broker, pika_properties
from tests.bus_contract import event, raw
from tests.unit.test_bus_envelope import MESSAGES

FRAME_MAX = 131_072  # bytes; RabbitMQ's default


def ours(*messages: Message, frame_max: int = FRAME_MAX) -> bytes:
    """As we publish them."""
    return frames.joined([(frames.head(message), message.body) for message in messages], frame_max)


def theirs(message: Message, frame_max: int = FRAME_MAX) -> bytes:
    """As pika's frames have it."""
    longest = frame_max - frames.OVERHEAD
    publish = spec.Basic.Publish(exchange=message.exchange, routing_key=message.topic)
    bodies = [
        frame.Body(frames.CHANNEL, message.body[longest * number : longest * (number + 1)])
        for number in range(math.ceil(len(message.body) / longest))
    ]
    header = frame.Header(frames.CHANNEL, len(message.body), pika_properties(message))
    return b"".join(part.marshal() for part in (frame.Method(frames.CHANNEL, publish), header, *bodies))


@attrs.define
class Wire(Broker):
    """A broker that keeps the bytes it was sent."""

    written: bytes = b""

    def read(self, data: bytes) -> None:
        self.written += data
        Broker.read(self, data)


class FramesTests(SynchronousTestCase):
    """Encoding."""

    @given(MESSAGES)
    @example(raw(1, timestamp_ms=2**31 - 1, headers={"below": -(2**31), "under": -(2**31) - 1, "above": 2**31}))
    @example(raw(1, timestamp_ms=2**31, headers={"yes": True, "no": False, "ā": "🦜", "": ""}))
    @example(Item(source="birds", kind="post", id="1519", received=1519, body=b"", cursor="1519").message())
    @example(event(1, topic=Topic("post.vögel.-.jack"), message_id="/sources/vögel#post:1"))
    def test_same_bytes(self, message: Message) -> None:
        """Any message that passes the check is encoded as pika does it."""
        check(message)
        self.assertEqual(ours(message), theirs(message))

    @given(st.lists(st.binary(max_size=40), max_size=5), st.integers(frames.OVERHEAD + 1, 60))
    def test_long_bodies(self, bodies: list[bytes], frame_max: int) -> None:
        """Bodies are split into frames of the size that was agreed on, empty ones have none; messages follow each
        other."""
        messages = [raw(number, body) for number, body in enumerate(bodies)]
        whole = b"".join(theirs(message, frame_max) for message in messages)
        self.assertEqual(ours(*messages, frame_max=frame_max), whole)

    def test_same_as_a_channel(self) -> None:
        """What pika's channel writes is what we write, with the channel and the frames of a real handshake."""
        clock = Clock()
        broker, connection = Wire(clock), BrokerConnection(ConnectionParameters(heartbeat=0), clock)
        broker.connect(Factory.forProtocol(lambda: connection))
        clock.advance(0)
        opening = Deferred.fromCoroutine(connection.channel())
        clock.advance(0)
        channel = self.successResultOf(opening).raw
        self.assertEqual((channel.channel_number, connection.frame_max), (frames.CHANNEL, FRAME_MAX))
        for body in (b"", b"{}", b"x" * (FRAME_MAX - frames.OVERHEAD), b"x" * 300_000):
            message = raw(1, body, headers={"cursor": "c"})
            broker.written = b""
            channel.basic_publish(message.exchange, message.topic, message.body, pika_properties(message))
            self.assertEqual(ours(message, frame_max=connection.frame_max), broker.written)
