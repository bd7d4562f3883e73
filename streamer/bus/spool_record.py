# -*- test-case-name: tests.unit.test_bus_spool_record -*-
"""A chunk as a row of the spool's table, and back.

SQLite notices damage to its own structure only, not to what we store in it; hence the checksum, over everything.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from streamer.bus.spool_values import Append, Chunk
from streamer.message import Item

_encode = msgspec.msgpack.Encoder().encode
_decode_items = msgspec.msgpack.Decoder(tuple[Item, ...]).decode
_decode_ids = msgspec.msgpack.Decoder(tuple[str, ...]).decode

Row = tuple[int, int, int, int, bytes, bytes]  # number, items, bytes, checksum, ids, body


class Unreadable(Exception):
    """A stored chunk is not what was stored; `body` is what is there, None where not even that can be read."""

    def __init__(self, why: str, body: bytes | None = None) -> None:
        super().__init__(why)
        self.body = body


def encode(append: Append) -> Row:
    """The row of a chunk.

    Raises:
        ValueError, OverflowError: an item holds what MessagePack cannot carry, such as half of a surrogate pair.
    """
    head = append.number, len(append.items), append.bytes
    ids = _encode([item.id for item in append.items])
    body = _encode(append.items)
    return *head, _checksum(head, ids, body), ids, body


def decode(row: Sequence[Any]) -> Chunk:
    """The chunk of a row, whatever stands in it.

    Raises:
        Unreadable: it is not the row that was stored.
    """
    number, items, size, checksum, ids, body = row
    if not isinstance(ids, bytes) or not isinstance(body, bytes):
        raise Unreadable("its columns have other types")
    if _checksum((number, items, size), ids, body) != checksum:
        raise Unreadable("its checksum is wrong", body)
    try:
        return Chunk(number, _decode_items(body))
    except msgspec.MsgspecError as error:
        raise Unreadable(f"it was written in another form: {error}", body) from error


def decode_ids(ids: Any) -> tuple[str, ...]:
    """The ids of a row; none where the column is damaged, for they only serve to recognise repeats."""
    try:
        return _decode_ids(ids)
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):
        return ()


def _checksum(head: tuple[Any, ...], ids: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(ids, zlib.crc32(repr(head).encode())))
