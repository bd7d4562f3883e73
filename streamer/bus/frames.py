# -*- test-case-name: tests.unit.test_bus_frames -*-
"""A Message as the AMQP frames that publish it: `basic.publish`, content header, content body.

pika encodes each message anew, piece by piece; here what messages have in common is encoded once and kept. The
result is what pika would write, byte for byte (`tests/unit/test_bus_frames.py`), for a fifth of the time.

The format: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, sections 2.3.5 and 4.2. A frame is its type, its
channel and its size, the payload, and an end mark.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable

from streamer.bus.limits import TIMESTAMP_HEADER
from streamer.message import Headers, Message

CHANNEL = 1  # on which a connection publishes, or consumes
ASIDES = range(2, 10)  # in turn, for questions that may be refused: pika frees a number only after telling of its end
OVERHEAD = 8  # bytes of a frame that are not its payload
PERSISTENT = 2  # AMQP delivery mode
KNOWN = 4096  # routes, and as many short strings, that are kept encoded; the longest unused are forgotten

_BODY = 3  # frame type
_END = b"\xce"
_METHOD_FRAME = struct.pack(">BH", 1, CHANNEL)
_HEADER_FRAME = struct.pack(">BH", 2, CHANNEL)
_BASIC_PUBLISH = struct.pack(">HHH", 60, 40, 0)  # class, method, reserved
_BASIC = 60 << 16  # class, and its weight, which is unused
# Of the content properties these are there: content type, headers, delivery mode, message id, timestamp, type.
_FLAGS = struct.pack(">H", 1 << 15 | 1 << 13 | 1 << 12 | 1 << 7 | 1 << 6 | 1 << 5)
_FIXED = 4 + 8 + 2 + 4 + 1 + 1 + 8  # bytes of a content header's payload that all have
_SHORT = 1 << 31  # integers below it, and not below its negative, take 4 bytes

_pack_frame = struct.Struct(">BHI").pack
_pack_header = struct.Struct(">IIQ").pack  # size of the payload, class, size of the body
_pack_size = struct.Struct(">I").pack
_pack_short = struct.Struct(">ci").pack
_pack_long = struct.Struct(">cq").pack
_pack_id = struct.Struct(">BB").pack  # delivery mode, length of the message id
_pack_seconds = struct.Struct(">Q").pack


def head(message: Message) -> bytes:
    """All that goes before the body of a checked message (see `limits.check`)."""
    content_type, kind = _short_string(message.content_type), _short_string(message.kind)
    message_id = message.message_id.encode()
    milliseconds = message.timestamp_ms
    table = _table(message.headers, milliseconds)
    size = _FIXED + len(content_type) + len(table) + len(message_id) + len(kind)
    return b"".join(
        (
            _publish(message.exchange, message.topic),
            _HEADER_FRAME,
            _pack_header(size, _BASIC, len(message.body)),
            _FLAGS,
            content_type,
            _pack_size(len(table)),
            table,
            _pack_id(PERSISTENT, len(message_id)),
            message_id,
            _pack_seconds(milliseconds // 1000),
            kind,
            _END,
        )
    )


def joined(contents: Iterable[tuple[bytes, bytes]], frame_max: int) -> bytes:
    """What publishes several messages, one after the other.

    Args:
        contents: the head and the body of each.
        frame_max: bytes of the longest frame the broker takes; longer bodies are split.
    """
    pieces: list[bytes] = []
    longest = frame_max - OVERHEAD
    for start, body in contents:
        size = len(body)
        if 0 < size <= longest:
            pieces += (start, _pack_frame(_BODY, CHANNEL, size), body, _END)
            continue
        pieces.append(start)
        for at in range(0, size, longest):
            part = body[at : at + longest]
            pieces += (_pack_frame(_BODY, CHANNEL, len(part)), part, _END)
    return b"".join(pieces)


@functools.lru_cache(KNOWN)
def _publish(exchange: str, topic: str) -> bytes:
    """The method frame; neither of its bits (mandatory, immediate) is set."""
    payload = _BASIC_PUBLISH + _short_string(exchange) + _short_string(topic) + b"\x00"
    return _METHOD_FRAME + _pack_size(len(payload)) + payload + _END


@functools.lru_cache(KNOWN)
def _short_string(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def _table(headers: Headers, milliseconds: int) -> bytes:
    """The fields of a table, without its size: the headers, and last the timestamp."""
    fields = []
    for name, value in headers.items():
        fields.append(_short_string(name))
        if isinstance(value, str):
            data = value.encode()
            fields += (b"S", _pack_size(len(data)), data)
        elif isinstance(value, bool):
            fields.append(b"t\x01" if value else b"t\x00")
        else:
            fields.append(_pack_short(b"I", value) if -_SHORT <= value < _SHORT else _pack_long(b"l", value))
    fields.append(_TIMESTAMP)
    fields.append(_pack_short(b"I", milliseconds) if milliseconds < _SHORT else _pack_long(b"l", milliseconds))
    return b"".join(fields)


_TIMESTAMP = _short_string(TIMESTAMP_HEADER)
