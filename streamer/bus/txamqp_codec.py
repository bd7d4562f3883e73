# -*- test-case-name: tests.unit.test_bus_txamqp_codec -*-
"""txAMQP's frames ↔ bytes, without its own codec, which is not safe to use.

txAMQP 0.8.2 counts characters where bytes are meant, so that one "ü" makes a corrupt frame; writes True and negative
numbers as unsigned integers, which RabbitMQ does not take for booleans; dies of most types that a table may hold; and
returns str or bytes depending on what is in them. Here the type decides. A frame is written whole or not at all.

Frames with content do not come this way: publishes are `bus.frames`' and deliveries `bus.deliveries`'.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

from txamqp.codec import Codec  # type: ignore[import-untyped,import-not-found,unused-ignore]
from txamqp.connection import Frame, Heartbeat, Method  # type: ignore[import-untyped,import-not-found,unused-ignore]

from streamer.bus import txamqp_values
from streamer.bus.frames import OVERHEAD
from streamer.bus.txamqp_values import NotAmqp, Unencodable

_METHOD, _HEARTBEAT, _END = 1, 8, 0xCE  # frame types, and the mark at the end of each
_head = struct.Struct(">BHI")


class StrictCodec(Codec):  # type: ignore[misc]  # txAMQP has no types
    """txAMQP's codec of a method's fields, its defects replaced.

    Raises:
        Unencodable: from `encode`.
        NotAmqp: from `decode`.
    """

    def read(self, n: int) -> bytes:
        """Exactly `n` bytes."""
        data: bytes = self.stream.read(n)
        if len(data) != n:
            raise NotAmqp(f"{n} bytes are due, and {len(data)} are left")
        self.nread += n
        del self.incoming_bits[:]  # an octet of bits ends where another field begins
        return data

    def pack(self, fmt: str, *args: Any) -> None:
        """Write numbers."""
        try:
            data = struct.pack(fmt, *args)
        except struct.error as error:
            raise Unencodable(f"AMQP cannot carry {', '.join(map(repr, args))} here: {error}") from None
        self.write(data)

    def encode_shortstr(self, s: object) -> None:
        """Write at most 255 bytes of text."""
        self.write(txamqp_values.short_text(s))

    def encode_longstr(self, s: object) -> None:
        """Write text, after its length in bytes."""
        self.enc_bytes("!L", txamqp_values.text(s))

    def encode_table(self, tbl: object) -> None:
        """Write a table, after its length in bytes."""
        self.enc_bytes("!L", txamqp_values.table(tbl))

    def dec_str(self, fmt: str) -> str:
        """Read text. What is not UTF-8 in it is escaped: it is shown to people, and sent back to nobody."""
        return self.dec_bytes(fmt).decode("utf-8", "backslashreplace")  # type: ignore[no-any-return]

    def decode_table(self) -> dict[str, Any]:
        """Read a table."""
        return txamqp_values.read_table(self.dec_bytes("!L"))


def pack(frame: Any) -> bytes:
    """The bytes of a frame of txAMQP's that holds a method or is a heartbeat.

    Raises:
        Unencodable: an argument is nothing that AMQP can carry.
    """
    if frame.payload.type == Frame.HEARTBEAT:
        return _head.pack(_HEARTBEAT, frame.channel, 0) + bytes((_END,))
    method, arguments = frame.payload.method, frame.payload.args
    codec = StrictCodec(BytesIO())
    codec.encode_short(method.klass.id)
    codec.encode_short(method.id)
    for field, argument in zip(method.fields, arguments, strict=True):
        try:
            codec.encode(field.type, argument)
        except Unencodable as error:
            raise Unencodable(f"{field.name!r} of {method.klass.name}.{method.name}: {error}") from None
    codec.flush()
    payload: bytes = codec.stream.getvalue()
    return _head.pack(_METHOD, frame.channel, len(payload)) + payload + bytes((_END,))


def unpack(protocol: Any, data: bytes) -> Any:
    """The frame of txAMQP's that one whole frame's bytes are.

    Args:
        protocol: the description of AMQP, see `txamqp_spec`.

    Raises:
        NotAmqp: they are another kind of frame, or no frame.
    """
    kind, channel, size = _head.unpack_from(data)
    if len(data) != size + OVERHEAD or data[-1] != _END:
        raise NotAmqp(f"a frame of {size} bytes has no end mark")
    if kind == _HEARTBEAT:
        return Frame(channel, Heartbeat())
    if kind != _METHOD:
        raise NotAmqp(f"a frame of type {kind} on channel {channel} that was not asked for")
    codec = StrictCodec(BytesIO(data[_head.size : -1]))
    class_id, method_id = codec.decode_short(), codec.decode_short()
    try:
        method = protocol.classes.byid[class_id].methods.byid[method_id]
    except KeyError:
        raise NotAmqp(f"there is no method {class_id}.{method_id}") from None
    return Frame(channel, Method(method, *(codec.decode(field.type) for field in method.fields)))
