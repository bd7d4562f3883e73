# -*- test-case-name: tests.unit.test_bus_deliveries -*-
"""The broker's bytes → deliveries, for a third of what pika takes; all other frames go on to pika as they are.

A delivery is three frames or more: `basic.deliver`, content header, and the body in pieces. pika makes an object of
each, asks for callbacks by each one's type, and puts them together again; a relay that reads thousands of events a
second spends most of its time on that. What comes out is what pika would have given, for the properties that the
house reads.

The format: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, sections 2.3.5 and 4.2; the types of a table's
values: https://www.rabbitmq.com/amqp-0-9-1-errata#section_3
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Any

import msgspec
from pika.data import decode_value

from streamer.bus.frames import ASIDES, CHANNEL, OVERHEAD
from streamer.errors import BusError

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8  # frame types
_END = 0xCE
_DELIVER = struct.pack(">HH", 60, 60)  # class and method
_CONTENT_TYPE, _ENCODING, _HEADERS, _DELIVERY_MODE, _PRIORITY = 1 << 15, 1 << 14, 1 << 13, 1 << 12, 1 << 11
_CORRELATION, _REPLY_TO, _EXPIRATION, _MESSAGE_ID, _TIMESTAMP, _TYPE = 1 << 10, 1 << 9, 1 << 8, 1 << 7, 1 << 6, 1 << 5
_MORE_FLAGS = 1  # a second word of flags follows; no broker writes one
_KNOWN = 1024  # names of headers kept decoded
_LONGEST = 131_072  # bytes of a frame; none of our drivers lets a broker write longer ones
# Bytes of a value by its type; and the types of which each value tells its length.
_FIXED = dict(zip(b"tbBsuiLfdDTV", (1, 1, 1, 2, 2, 4, 8, 4, 8, 5, 8, 0), strict=True))
_LONG = b"SxAF"

_frame = struct.Struct(">BHI").unpack_from
_header = struct.Struct(">QH").unpack_from  # size of the body, flags
_long = struct.Struct(">q").unpack_from
_int = struct.Struct(">i").unpack_from
_size = struct.Struct(">I").unpack_from
_unsigned = struct.Struct(">Q").unpack_from


class Deliver(msgspec.Struct, gc=False):
    """What `basic.deliver` says, under pika's names."""

    consumer_tag: str
    delivery_tag: int
    redelivered: bool
    exchange: str
    routing_key: str


class Properties(msgspec.Struct):
    """What the content header says, as far as the house reads it, under pika's names."""

    content_type: str | None = None
    headers: dict[str, Any] | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None


Consumer = Callable[[Deliver, Properties, bytes], None]


class Deliveries:
    """Cuts the deliveries out of one connection's bytes.

    Args:
        rest: given the bytes of all other frames, whole, in order.

    Attributes:
        consumer: called with each delivery; None while nothing is consumed, then pika has them all.
    """

    def __init__(self, rest: Callable[[bytes], None]) -> None:
        self._rest = rest
        self.consumer: Consumer | None = None
        self._stopped = False
        self._buffer = b""
        self._deliver: Deliver | None = None  # of the delivery under way
        self._properties: Properties | None = None
        self._missing = 0  # bytes of its body that are still to come
        self._pieces: list[bytes] = []

    def stop(self) -> None:
        """Hand on nothing more, not even what is in the bytes being cut."""
        self._stopped = True

    def feed(self, data: bytes) -> None:
        """Take the connection's next bytes.

        Raises:
            BusError: they are no frames, or frames in an order that cannot be; the connection is of no more use.
        """
        buffer = self._buffer + data if self._buffer else data
        start, end = 0, len(buffer)
        while end - start >= OVERHEAD and not self._stopped:
            kind, channel, size = _frame(buffer, start)
            stop = start + OVERHEAD + size
            if kind > _HEARTBEAT:  # not a frame: the broker speaks another version, which pika knows how to say
                stop = end
            elif size > _LONGEST or channel >= ASIDES.stop:  # else it would be waited for, or go unnoticed
                raise BusError(f"there is no frame of {size} bytes on channel {channel}")
            elif stop > end:
                break
            elif buffer[stop - 1] != _END:
                raise BusError(f"a frame of {size} bytes has no end mark")
            if channel != CHANNEL or not self._take(kind, buffer, start + 7, stop - 1):
                self._rest(buffer[start:stop])
            start = stop
        self._buffer = buffer[start:]

    def _take(self, kind: int, buffer: bytes, start: int, stop: int) -> bool:
        """Whether the payload between two places belongs to a delivery; then it was used."""
        if self._deliver is None:
            if kind != _METHOD or self.consumer is None or buffer[start : start + 4] != _DELIVER:
                return False
            self._deliver = _delivered(buffer, start + 4)
        elif self._properties is None:
            if kind != _HEADER:
                raise BusError(f"a delivery goes on with a frame of type {kind}, not with its header")
            self._missing, _ = _header(buffer, start + 4)
            self._properties = _properties(buffer, start + 12)
            if not self._missing:
                self._complete(b"")
        else:
            size = stop - start
            if kind != _BODY or size > self._missing:
                raise BusError(f"{size} bytes of type {kind} where {self._missing} bytes of a body are missing")
            self._missing -= size
            if self._missing:
                self._pieces.append(buffer[start:stop])
            elif self._pieces:
                self._complete(b"".join([*self._pieces, buffer[start:stop]]))
            else:
                self._complete(buffer[start:stop])
        return True

    def _complete(self, body: bytes) -> None:
        deliver, properties, consumer = self._deliver, self._properties, self.consumer
        self._deliver = self._properties = None
        self._pieces.clear()
        if consumer is not None and deliver is not None and properties is not None:
            consumer(deliver, properties, body)


def _delivered(buffer: bytes, at: int) -> Deliver:
    tag, at = _short_string(buffer, at)
    (number,) = _unsigned(buffer, at)
    redelivered = bool(buffer[at + 8] & 1)
    exchange, at = _short_string(buffer, at + 9)
    routing_key, at = _short_string(buffer, at)
    return Deliver(tag, number, redelivered, exchange, routing_key)


def _properties(buffer: bytes, at: int) -> Properties:
    flags = buffer[at] << 8 | buffer[at + 1]
    at += 2
    if flags & _MORE_FLAGS:
        raise BusError("a content header has a second word of flags")
    found = Properties()
    if flags & _CONTENT_TYPE:
        found.content_type, at = _short_string(buffer, at)
    if flags & _ENCODING:
        at += 1 + buffer[at]
    if flags & _HEADERS:
        found.headers, at = _table(buffer, at)
    if flags & _DELIVERY_MODE:
        at += 1
    if flags & _PRIORITY:
        at += 1
    for unread in (_CORRELATION, _REPLY_TO, _EXPIRATION):
        if flags & unread:
            at += 1 + buffer[at]
    if flags & _MESSAGE_ID:
        found.message_id, at = _short_string(buffer, at)
    if flags & _TIMESTAMP:
        (found.timestamp,) = _unsigned(buffer, at)
        at += 8
    if flags & _TYPE:
        found.type, at = _short_string(buffer, at)
    return found


def _table(buffer: bytes, at: int) -> tuple[dict[str, Any], int]:
    """A table, and where it ends. What cannot be read of somebody else's headers is left out: it is no use to go on
    about it with the broker, which would send the same again after each reconnect.
    """
    (size,) = _size(buffer, at)
    at += 4
    stop = at + size
    found: dict[str, Any] = {}
    while at < stop:
        length = buffer[at]
        name = _name(buffer[at + 1 : at + 1 + length])
        at += 1 + length
        kind = buffer[at]
        if kind == 0x6C:  # l, 64 bits
            (found[name],) = _long(buffer, at + 1)
            at += 9
        elif kind == 0x49:  # I, 32 bits
            (found[name],) = _int(buffer, at + 1)
            at += 5
        else:
            start, fixed = at, _FIXED.get(kind)
            if fixed is None and kind not in _LONG:
                break  # nobody knows where such a value ends
            at += 1 + (4 + _size(buffer, at + 1)[0] if fixed is None else fixed)
            try:
                found[name] = buffer[start + 5 : at].decode() if kind == 0x53 else decode_value(buffer, start)[0]
            except Exception:  # noqa: S112 - pika raises what struct, datetime or the codec do
                continue
    return found, stop


def _short_string(buffer: bytes, at: int) -> tuple[str, int]:
    stop = at + 1 + buffer[at]
    return buffer[at + 1 : stop].decode("utf-8", "surrogateescape"), stop


@functools.lru_cache(maxsize=_KNOWN)
def _name(written: bytes) -> str:
    return written.decode("utf-8", "surrogateescape")
