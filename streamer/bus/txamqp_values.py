# -*- test-case-name: tests.unit.test_bus_txamqp_codec -*-
"""The values of AMQP's tables and arrays, in Python and as bytes, for txAMQP, whose own codec knows four of the types.

Their types: https://www.rabbitmq.com/amqp-0-9-1-errata#section_3
"""

from __future__ import annotations

import datetime
import decimal
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from streamer.errors import BusError

SHORT_STRING = 255  # bytes
SHOWN = 40  # characters of a long value that an error shows
SHORT = 2**31  # integers below it, and not below its negative, are written with 4 bytes
LONG = 2**63  # and so with 8
DEPTH = 16  # tables and arrays within each other; nobody sends that many

# By their type. RabbitMQ reads and writes "l" for 64 bits; "L" is what others call it.
_NUMBERS = {ord(kind): struct.Struct(f">{code}") for kind, code in zip("bBsuIilLfd", "bBhHiIqqfd", strict=True)}
_TIME = struct.Struct(">Q")
_DECIMAL = struct.Struct(">Bi")
_SIZE = struct.Struct(">I")


class Unencodable(BusError):
    """A value that AMQP has no way to write. Nothing of what it was part of has been written."""


class NotAmqp(BusError):
    """Bytes that are no AMQP; the connection is of no more use."""


def text(value: object) -> bytes:
    """A string's bytes.

    Raises:
        Unencodable: it is none, or holds half a surrogate pair.
    """
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Unencodable(f"{value!r} is a {type(value).__name__}, and a string is due")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise Unencodable(f"{value[:SHOWN]!r} cannot be written as UTF-8: {error.reason}") from None


def short_text(value: object) -> bytes:
    """A string's bytes after their number.

    Raises:
        Unencodable: as `text`; or it has more than 255 bytes.
    """
    data = text(value)
    if len(data) > SHORT_STRING:
        raise Unencodable(f"a string of {len(data)} bytes is too long, AMQP allows {SHORT_STRING}: {data[:SHOWN]!r}…")
    return bytes((len(data),)) + data


def table(values: object, depth: int = 0) -> bytes:
    """A table's fields, without its size.

    Raises:
        Unencodable: there is something in it that AMQP cannot carry.
    """
    if not isinstance(values, Mapping):
        raise Unencodable(f"{values!r} is a {type(values).__name__}, and a table is due")
    return b"".join(short_text(name) + _value(one, depth) for name, one in values.items())


def read_table(data: bytes, depth: int = 0) -> dict[str, Any]:
    """A table of its fields, which are all of `data`.

    Raises:
        NotAmqp: they are not.
    """
    found: dict[str, Any] = {}
    at = 0
    try:
        while at < len(data):
            start, at = at + 1, at + 1 + data[at]
            name = _cut(data, start, at).decode("utf-8", "backslashreplace")
            found[name], at = _read_value(data, at, depth)
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise NotAmqp(f"a table of {len(data)} bytes cannot be read: {error}") from error
    return found


def _value(value: object, depth: int) -> bytes:
    """One value: its type, then itself."""
    if value is None:
        return b"V"
    if isinstance(value, bool):
        return b"t\x01" if value else b"t\x00"
    if isinstance(value, int):
        if not -LONG <= value < LONG:
            raise Unencodable(f"{value} is an integer beyond 64 bits")
        return struct.pack(">ci", b"I", value) if -SHORT <= value < SHORT else struct.pack(">cq", b"l", value)
    if isinstance(value, str):
        return _sized(b"S", text(value))
    if isinstance(value, bytes):
        return _sized(b"x", value)
    if isinstance(value, float):
        return struct.pack(">cd", b"d", value)
    if isinstance(value, datetime.datetime):
        return _moment(value)
    if isinstance(value, decimal.Decimal):
        return _decimal(value)
    if depth >= DEPTH:
        raise Unencodable(f"more than {DEPTH} tables within each other")
    if isinstance(value, Mapping):
        return _sized(b"F", table(value, depth + 1))
    if isinstance(value, Sequence):
        return _sized(b"A", b"".join(_value(one, depth + 1) for one in value))
    raise Unencodable(f"{value!r} is a {type(value).__name__}, which AMQP has no type for")


def _sized(kind: bytes, data: bytes) -> bytes:
    return kind + _SIZE.pack(len(data)) + data


def _moment(value: datetime.datetime) -> bytes:
    seconds = int((value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).timestamp())
    if seconds < 0:
        raise Unencodable(f"{value} is before 1970")
    return b"T" + _TIME.pack(seconds)


def _decimal(value: decimal.Decimal) -> bytes:
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -255 <= exponent < 10:
        places = max(0, -exponent)
        unscaled = int(value.scaleb(places))
        if -SHORT <= unscaled < SHORT:
            return b"D" + _DECIMAL.pack(places, unscaled)
    raise Unencodable(f"AMQP cannot carry the decimal {value}")


def _read_value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """The value at a place, and where it ends."""
    kind, at = data[at], at + 1
    number = _NUMBERS.get(kind)
    if number is not None:
        return number.unpack_from(data, at)[0], at + number.size
    if kind == 0x74:  # t
        return data[at] != 0, at + 1
    if kind == 0x56:  # V
        return None, at
    if kind == 0x54:  # T
        return datetime.datetime.fromtimestamp(_TIME.unpack_from(data, at)[0], datetime.UTC), at + 8
    if kind == 0x44:  # D
        places, unscaled = _DECIMAL.unpack_from(data, at)
        return decimal.Decimal(unscaled).scaleb(-places), at + 5
    start = at + 4
    stop = start + _SIZE.unpack_from(data, at)[0]
    inside = _cut(data, start, stop)
    if kind == 0x53:  # S
        return inside.decode("utf-8", "backslashreplace"), stop
    if kind == 0x78:  # x
        return inside, stop
    if depth >= DEPTH:
        raise NotAmqp(f"more than {DEPTH} tables within each other")
    if kind == 0x46:  # F
        return read_table(inside, depth + 1), stop
    if kind == 0x41:  # A
        return _read_array(inside, depth + 1), stop
    raise NotAmqp(f"a table has a value of the unknown type {chr(kind)!r}")


def _read_array(data: bytes, depth: int) -> list[Any]:
    found, at = [], 0
    while at < len(data):
        value, at = _read_value(data, at, depth)
        found.append(value)
    return found


def _cut(data: bytes, start: int, stop: int) -> bytes:
    if stop > len(data):
        raise NotAmqp(f"{stop - start} bytes are due, and {len(data) - start} are left")
    return data[start:stop]
