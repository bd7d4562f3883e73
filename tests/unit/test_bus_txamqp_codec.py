"""Frames and tables as bytes, under txAMQP; each defect of its own codec once."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pika.data import decode_table, encode_table
from twisted.trial.unittest import SynchronousTestCase
from txamqp.connection import Frame, Heartbeat, Method

from streamer.bus.txamqp_codec import pack, unpack
from streamer.bus.txamqp_spec import protocol
from streamer.bus.txamqp_values import DEPTH, NotAmqp, Unencodable, read_table, table

UTC = datetime.UTC
NAMES = st.text(st.characters(codec="utf-8"), max_size=60).filter(lambda name: len(name.encode()) <= 255)
WHOLE = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(codec="utf-8"))
    | st.binary()
    | st.floats(allow_nan=False)
    | st.datetimes(datetime.datetime(1970, 1, 1), timezones=st.just(UTC)).map(
        lambda one: one.replace(microsecond=0, fold=0)
    )
    | st.integers(-(2**31), 2**31 - 1).map(lambda unscaled: decimal.Decimal(unscaled).scaleb(-3))
)
VALUES = st.recursive(WHOLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
TABLES = st.dictionaries(NAMES, VALUES, max_size=5)


def method(name: str, **fields: Any) -> Any:
    """A frame on channel 1, as txAMQP's generated methods make it: what is not given is empty."""
    group, _, one = name.partition(".")
    found = protocol().classes.byname[group].methods.byname[one]
    empty = {"table": {}, "shortstr": "", "longstr": ""}
    return Frame(1, Method(found, *(fields.get(field.name, empty.get(field.type, 0)) for field in found.fields)))


class ValuesTests(SynchronousTestCase):
    """What a table may hold."""

    @settings(max_examples=60, deadline=None)
    @given(TABLES)
    def test_round_trip(self, values: dict[str, Any]) -> None:
        """Every value comes back as it was, of the same type."""
        again = read_table(table(values))
        self.assertEqual(again, values)
        self.assertEqual(repr(again), repr(values))

    @settings(max_examples=40, deadline=None)
    @given(st.dictionaries(NAMES, st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(), max_size=5))
    def test_as_pika(self, values: dict[str, Any]) -> None:
        """It is what pika writes, byte for byte, and pika reads it."""
        pieces: list[bytes] = []
        encode_table(pieces, values)
        written = table(values)
        self.assertEqual(len(written).to_bytes(4, "big") + written, b"".join(pieces))
        self.assertEqual(decode_table(b"".join(pieces), 0)[0], values)

    @settings(max_examples=60, deadline=None)
    @given(TABLES, st.data())
    def test_damaged(self, values: dict[str, Any], data: st.DataObject) -> None:
        """Whatever becomes of the bytes, they are a table or they are refused."""
        written = bytearray(table(values) or b"\x00")
        place = data.draw(st.integers(0, len(written) - 1))
        written[place] ^= data.draw(st.integers(1, 255))
        for damaged in (bytes(written), bytes(written[:place])):
            try:
                self.assertIsInstance(read_table(damaged), dict)
            except NotAmqp:
                pass

    def test_numbers(self) -> None:
        """All types of numbers are read, with their signs."""
        written = b"".join(
            b"\x01" + kind + kind + value
            for kind, value in (
                (b"b", b"\xff"),
                (b"B", b"\xff"),
                (b"s", b"\xff\xfe"),
                (b"u", b"\xff\xfe"),
                (b"I", b"\xff\xff\xff\xfd"),
                (b"i", b"\xff\xff\xff\xfd"),
                (b"l", b"\xff" * 8),
                (b"L", b"\xff" * 8),
                (b"f", b"\x3f\x00\x00\x00"),
                (b"d", b"\xbf\xe0" + bytes(6)),
                (b"D", b"\x02\xff\xff\xff\x9c"),
            )
        )
        expected = {"b": -1, "B": 255, "s": -2, "u": 65534, "I": -3, "i": 2**32 - 3, "l": -1, "L": -1}
        self.assertEqual(read_table(written), {**expected, "f": 0.5, "d": -0.5, "D": decimal.Decimal("-1.00")})

    def test_dead_letter(self) -> None:
        """The broker's own headers are read: counts, offsets, and the story of a dead letter."""
        death = {
            "count": 1,
            "reason": "rejected",
            "queue": "streamer.enrich",
            "time": datetime.datetime(2026, 11, 21, tzinfo=UTC),
            "exchange": "streamer.raw",
            "routing-keys": ["raw.birds.post", "größe"],
        }
        values = {"x-death": [death], "x-delivery-count": 2**40, "x-stream-offset": 2**33, "none": None}
        self.assertEqual(read_table(table(values)), values)

    def test_unencodable(self) -> None:
        """What AMQP has no way to write is refused, wherever it is, and named."""
        deep: Any = 1
        for _ in range(DEPTH + 2):
            deep = [deep]
        for value, why in (
            (2**63, "beyond 64 bits"),
            (-(2**63) - 1, "beyond 64 bits"),
            ("\ud800", "UTF-8"),
            (object(), "no type"),
            ({"x" * 256: 1}, "too long"),
            ({1: 1}, "a string is due"),
            (decimal.Decimal("1e11"), "decimal"),
            (decimal.Decimal("nan"), "decimal"),
            (decimal.Decimal(2**31), "decimal"),
            (datetime.datetime(1969, 1, 1, tzinfo=UTC), "1970"),
            (deep, "within each other"),
        ):
            with self.subTest(value=repr(value)[:40]):
                for wrapped in (value, [value], {"inside": value}):
                    self.assertIn(why, str(self.assertRaises(Unencodable, table, {"name": wrapped})))
        self.assertRaises(Unencodable, table, [1])
        self.assertEqual(read_table(table({"moment": datetime.datetime(1970, 1, 2)})).popitem()[1].day, 2)

    def test_bottomless(self) -> None:
        """Tables within each other without end are refused before the interpreter gives up."""
        written = b""
        for _ in range(2000):
            written = b"\x00F" + len(written).to_bytes(4, "big") + written
        self.assertIn("within each other", str(self.assertRaises(NotAmqp, read_table, written)))


class FramesTests(SynchronousTestCase):
    """Whole frames of txAMQP's."""

    def test_lengths_are_bytes(self) -> None:
        """Strings are counted in bytes: a name that is not ASCII arrives whole, and so does what follows it."""
        frame = method("queue.bind", queue="größe", exchange="streamer.events", **{"routing-key": "мир.#"})
        again = unpack(protocol(), pack(frame))
        self.assertEqual(again.payload.args, (0, "größe", "streamer.events", "мир.#", False, {}))

    def test_booleans(self) -> None:
        """True is a boolean, which RabbitMQ tells from 1; integers carry their sign, and 64 bits."""
        values = {"yes": True, "one": 1, "less": -1, "long": 2**40}
        written = pack(method("queue.declare", queue="q", arguments=values))
        for part in (b"\x03yest\x01", b"\x03oneI\x00\x00\x00\x01", b"\x04lessI\xff\xff\xff\xff", b"\x04longl"):
            self.assertIn(part, written)

    def test_bits(self) -> None:
        """Bits share an octet with their neighbours only."""
        frame = method("basic.nack", **{"delivery-tag": 7, "multiple": True, "requeue": True})
        self.assertTrue(pack(frame).endswith(b"\x07\x03\xce"))
        frame = method("basic.get-ok", **{"redelivered": True, "exchange": "\x01", "message-count": 3})
        self.assertEqual(unpack(protocol(), pack(frame)).payload.args, (0, True, "\x01", "", 3))

    def test_unencodable(self) -> None:
        """A method with an argument that cannot be written is refused whole; the text names the argument."""
        for frame, why in (
            (method("queue.declare", queue="q" * 256), "'queue' of queue.declare"),
            (method("queue.declare", queue="\udcff"), "UTF-8"),
            (method("queue.declare", queue=7), "a string is due"),
            (method("queue.declare", arguments={"x": object()}), "'arguments' of queue.declare"),
            (method("queue.declare", arguments=7), "a table is due"),
            (method("basic.qos", **{"prefetch-count": 65536}), "'prefetch-count' of basic.qos"),
            (method("basic.ack", **{"delivery-tag": -1}), "'delivery-tag' of basic.ack"),
        ):
            with self.subTest(why=why):
                self.assertIn(why, str(self.assertRaises(Unencodable, pack, frame)))

    def test_type_not_content(self) -> None:
        """Text that is not UTF-8 is text all the same, and can be logged."""
        written = pack(method("connection.close", **{"reply-text": b"\xff\xfe"}))
        self.assertEqual(unpack(protocol(), written).payload.args[1], "\\xff\\xfe")

    def test_heartbeat(self) -> None:
        """A heartbeat has nothing in it."""
        written = pack(Frame(0, Heartbeat()))
        self.assertEqual(written, b"\x08\x00\x00\x00\x00\x00\x00\xce")
        self.assertEqual(unpack(protocol(), written).payload.type, Frame.HEARTBEAT)

    def test_not_amqp(self) -> None:
        """Other bytes are refused, in words."""
        good = pack(method("connection.close", **{"reply-code": 200, "reply-text": "so long"}))
        for data, why in (
            (b"AMQP\x00\x00\x09\x02", "no end mark"),
            (good[:-1] + b"\x00", "no end mark"),
            (b"\x02" + good[1:], "a frame of type 2 on channel 1"),
            (good[:7] + b"\x00\x0a\x00\x63" + good[11:], "no method 10.99"),
            (good[:7] + b"\x00\x63\x00\x0a" + good[11:], "no method 99.10"),
            (good[:3] + b"\x00\x00\x00\x06" + good[7:13] + b"\xce", "are left"),
        ):
            with self.subTest(why=why):
                self.assertIn(why, str(self.assertRaises(NotAmqp, unpack, protocol(), data)))
