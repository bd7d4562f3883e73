# -*- test-case-name: tests.unit.test_bus_limits -*-
"""What a message must be to be carried at all.

Checked before publishing, by both buses: a message that breaks AMQP's encoding or a rule of the broker would close
the channel, be published again after the reconnect, and so stop everything behind it for ever.
"""

from __future__ import annotations

import functools

from streamer.bus.topology import EXCHANGES
from streamer.errors import MessageRefused
from streamer.message import Message

SHORT_STRING = 255  # bytes; AMQP 0-9-1 short string
BODY_LIMIT = 16_777_216  # bytes; RabbitMQ's default since 4.0 (134217728 before)
HEADERS_LIMIT = 6_144  # bytes, encoded: headers and properties must fit one frame, which may be as short as 8192 bytes
STRING_OVERHEAD = 6  # bytes around a header that is a string: lengths of name and value, type
INTEGER_SIZE = 10  # bytes of a header that is an integer, its name left out
KNOWN_NAMES = 1024  # header names known to be good, which are few; the longest unused are forgotten
INTEGER_LIMIT = 2**63  # AMQP's longest integer is signed

TIMESTAMP_HEADER = "timestamp_in_ms"  # ours: AMQP's own timestamp has whole seconds
# RabbitMQ acts on these itself, and closes the channel where their type is not what it expects
# (https://www.rabbitmq.com/docs/sender-selected).
RESERVED = frozenset({TIMESTAMP_HEADER, "CC", "BCC"})
RESERVED_PREFIX = "x-"  # the broker's own; taken off again on delivery


def check(message: Message) -> None:
    """See that the bus can carry a message.

    Raises:
        MessageRefused: it never can; the text says what is wrong with it.
    """
    if message.exchange not in EXCHANGES:
        raise _refused(message, f"there is no exchange {message.exchange!r}; known are {', '.join(EXCHANGES)}")
    together = f"{message.topic}{message.message_id}{message.kind}{message.content_type}"
    if len(together) > SHORT_STRING or not together.isascii():  # otherwise each of them fits
        _check_short_strings(message)
    if len(message.body) > BODY_LIMIT:
        raise _refused(message, f"its body has {len(message.body)} bytes, the limit is {BODY_LIMIT}")
    if not 0 <= message.timestamp_ms < INTEGER_LIMIT:
        raise _refused(message, f"its timestamp {message.timestamp_ms} is not milliseconds since 1970")
    if message.headers:
        _check_headers(message)


def _check_short_strings(message: Message) -> None:
    for what, text in (
        ("topic", message.topic),
        ("message id", message.message_id),
        ("kind", message.kind),
        ("content type", message.content_type),
    ):
        size = _size(message, what, text)
        if size > SHORT_STRING:
            raise _refused(message, f"its {what} has {size} bytes, AMQP allows {SHORT_STRING}")


def _check_headers(message: Message) -> None:
    total = 0
    for name, value in message.headers.items():
        try:
            total += _name_size(name)
        except ValueError as error:
            raise _refused(message, str(error)) from None
        if isinstance(value, str):
            total += STRING_OVERHEAD + (len(value) if value.isascii() else _size(message, f"header {name!r}", value))
        elif not isinstance(value, int):
            raise _refused(message, f"the header {name!r} is a {type(value).__name__}; use str or int")
        elif not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
            raise _refused(message, f"the header {name!r} is an integer beyond 64 bits")
        else:
            total += INTEGER_SIZE
    if total > HEADERS_LIMIT:
        raise _refused(message, f"its headers have {total} bytes, the limit is {HEADERS_LIMIT}")


@functools.lru_cache(KNOWN_NAMES)
def _name_size(name: str) -> int:
    """Bytes of a header's name; ValueError where the bus cannot carry it."""
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise ValueError(f"the header name {name!r} is reserved")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"its header name cannot be written as UTF-8 ({error.reason})") from None
    if size > SHORT_STRING:
        raise ValueError(f"a header name has {size} bytes, AMQP allows {SHORT_STRING}")
    return size


def _size(message: Message, what: str, text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise _refused(message, f"its {what} cannot be written as UTF-8 ({error.reason})") from None


def _refused(message: Message, why: str) -> MessageRefused:
    return MessageRefused(f"the bus cannot carry message {message.message_id[:80]!r}: {why}")
