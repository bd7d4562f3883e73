"""Deliveries cut out of the broker's bytes, against what pika makes of the same."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pika import frame, spec
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.deliveries import Deliver, Deliveries, Properties
from streamer.errors import BusError

WORDS = st.text(max_size=40)
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.text(max_size=50), st.booleans(), st.binary(max_size=9), st.none(),
    st.lists(st.integers(0, 9), max_size=2), st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=2),
)  # fmt: skip
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "content_type": WORDS,
        "content_encoding": WORDS,
        "headers": st.dictionaries(WORDS, VALUES, max_size=4),
        "delivery_mode": st.integers(1, 2),
        "priority": st.integers(0, 9),
        "correlation_id": WORDS,
        "reply_to": WORDS,
        "expiration": WORDS,
        "message_id": WORDS,
        "timestamp": st.integers(0, 2**60),
        "type": WORDS,
        "user_id": WORDS,
        "app_id": WORDS,
        "cluster_id": WORDS,
    },
)
DELIVERIES = st.tuples(st.integers(0, 2**63), st.booleans(), WORDS, PROPERTIES, st.binary(max_size=300))
OTHERS = st.sampled_from([
    frame.Heartbeat().marshal(),
    frame.Method(1, spec.Basic.ConsumeOk("tag")).marshal(),
    frame.Method(0, spec.Connection.Blocked("memory")).marshal(),
    frame.Method(2, spec.Basic.Ack(7, True)).marshal(),
])  # fmt: skip


def delivery(number: int, redelivered: bool, key: str, properties: dict[str, Any], body: bytes, piece: int) -> bytes:
    """The frames of one delivery, its body in pieces."""
    method = spec.Basic.Deliver("tag", number, redelivered, "streamer.events", key)
    frames = [frame.Method(1, method), frame.Header(1, len(body), spec.BasicProperties(**properties))]
    frames += [frame.Body(1, body[start : start + piece]) for start in range(0, len(body), piece)]
    return b"".join(one.marshal() for one in frames)


class DeliveriesTests(SynchronousTestCase):
    """`Deliveries`."""

    def setUp(self) -> None:
        self.got: list[Any] = []
        self.rest: list[bytes] = []
        self.deliveries = Deliveries(self.rest.append)
        self.deliveries.consumer = lambda *delivery: self.got.append(delivery)

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.one_of(DELIVERIES, OTHERS), max_size=5), st.lists(st.integers(1, 60), max_size=20), st.data())
    def test_as_pika(self, parts: list[Any], cuts: list[int], data: st.DataObject) -> None:
        """Whatever is delivered, however it is cut: the same values that pika decodes, and all else is pika's."""
        self.setUp()
        wire, expected, others = b"", [], []
        for part in parts:
            if isinstance(part, bytes):
                wire += part
                others.append(part)
                continue
            frames = delivery(*part, piece=data.draw(st.integers(1, 300)))
            wire += frames
            expected.append(self.by_pika(frames))
        start = 0
        for cut in cuts:
            self.deliveries.feed(wire[start : start + cut])
            start += cut
        self.deliveries.feed(wire[start:])
        self.assertEqual(expected, self.got)
        self.assertEqual(others, self.rest)

    def by_pika(self, frames: bytes) -> tuple[Deliver, Properties, bytes]:
        """A delivery as pika reads it."""
        used, first = frame.decode_frame(frames)
        more, header = frame.decode_frame(frames[used:])
        body, rest = b"", frames[used + more :]
        while rest:
            used, piece = frame.decode_frame(rest)
            body, rest = body + piece.fragment, rest[used:]
        method, found = first.method, header.properties
        return (
            Deliver(method.consumer_tag, method.delivery_tag, method.redelivered, method.exchange, method.routing_key),
            Properties(found.content_type, found.headers, found.message_id, found.timestamp, found.type),
            body,
        )

    def test_nothing_is_consumed(self) -> None:
        """Before there is a consumer, pika gets everything, as it came."""
        self.deliveries.consumer = None
        frames = delivery(1, False, "a", {}, b"body", 2)
        self.deliveries.feed(frames)
        self.assertEqual(frames, b"".join(self.rest))

    def test_another_version(self) -> None:
        """A broker that answers with a protocol header is pika's to explain."""
        self.deliveries.feed(b"AMQP\x00\x00\x09\x01")
        self.assertEqual([b"AMQP\x00\x00\x09\x01"], self.rest)

    def test_stop(self) -> None:
        """A consumer that has the connection cut is called no more, whatever came in the same read."""
        self.deliveries.consumer = lambda *delivery: (self.got.append(delivery), self.deliveries.stop())
        self.deliveries.feed(delivery(1, False, "a", {}, b"x", 9) * 3)
        self.assertEqual(1, len(self.got))

    def test_text_that_is_none(self) -> None:
        """Names that are no UTF-8 come as text that no topic matches, such values of headers not at all."""
        frames = delivery(1, False, "a", {"message_id": "idid", "headers": {"x": "abcd"}}, b"x", 9)
        self.deliveries.feed(frames.replace(b"idid", b"i\xff\xfed").replace(b"abcd", b"a\xff\xfed"))
        ((_, properties, _),) = self.got
        self.assertEqual("i\udcff\udcfed", properties.message_id)
        self.assertEqual({}, properties.headers)

    def test_headers_that_cannot_be_read(self) -> None:
        """A header of somebody else's that nobody can decode is left out; the others, and the message, come."""
        known = spec.BasicProperties(headers={"a": 1, "z": "last"})
        table = b"".join(known.encode())[2:]
        for bad in (
            b"T" + b"\xff" * 8,
            b"D\xff" + b"\0" * 4,
            b"F" + (3).to_bytes(4, "big") + b"\xff\xff\xff",
            b"d" + b"\xff" * 8,
        ):
            self.setUp()
            rows = b"\x03bad" + bad + table[4:]
            header = (60 << 16).to_bytes(4, "big") + (1).to_bytes(8, "big") + (1 << 13).to_bytes(2, "big")
            payload = header + len(rows).to_bytes(4, "big") + rows
            method = frame.Method(1, spec.Basic.Deliver("t", 1, False, "e", "k")).marshal()
            content = b"\x02\x00\x01" + len(payload).to_bytes(4, "big") + payload + b"\xce"
            self.deliveries.feed(method + content + frame.Body(1, b"x").marshal())
            ((_, properties, body),) = self.got
            self.assertEqual((1, "last", b"x"), (properties.headers["a"], properties.headers["z"], body))

    def test_nonsense(self) -> None:
        """Bytes that are no frames, or frames out of turn, are an error and not a guess."""
        whole = delivery(1, False, "a", {}, b"body", 9)
        method = frame.Method(1, spec.Basic.Deliver("t", 1, False, "e", "k")).marshal()
        header = frame.Header(1, 4, spec.BasicProperties()).marshal()
        for wrong in (
            whole[:-1] + b"\x00",
            method + frame.Body(1, b"body").marshal(),
            method + header + frame.Body(1, b"longer").marshal(),
            method + header + header,
        ):
            self.setUp()
            self.assertRaises(BusError, self.deliveries.feed, wrong)

    def test_frames_that_cannot_be(self) -> None:
        """A longer frame than was agreed, or one for a channel nobody opened, is an error at once, not waited for."""
        for head in (
            b"\x01\x00\x01\xff\x00\x00\x00",
            b"\x01\x00\x01\x00\x02\x00\x01",
            b"\x01\xff\x01\x00\x00\x00\x04",
        ):
            with self.subTest(head=head):
                self.setUp()
                self.assertRaises(BusError, self.deliveries.feed, head + b"xxxx\xce")
        longest = frame.Body(1, b"x" * (131_072 - 8)).marshal()
        self.deliveries.consumer = None
        self.deliveries.feed(longest)
        self.assertEqual([longest], self.rest)
