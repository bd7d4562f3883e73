# -*- test-case-name: tests.unit.test_recording -*-
"""A recording: what upstreams sent, with its times, as JSON lines (https://jsonlines.org/).

The first line is a header, each other one an item:

    {"streamer":"recording","version":1,"began":"2026-11-21T04:00:00.000Z","sources":{"birds":"x-filtered"}}
    {"source":"birds","kind":"post","id":"1519","received":1795233600123,"body":"{\"data\":…}"}

`received` is in ms since the epoch; `cursor`, `partition` and `content_type` are there where they are not the default.
The body is text where the bytes are UTF-8, else it is `base64`; either way the same bytes come back. Keys that are
not known are passed over. A header further down is that of a recording put behind this one: its sources are added.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from streamer.errors import DecodeError
from streamer.message import Item

VERSION = 1
LINE_LIMIT = 32_000_000  # bytes; the longest body that the bus carries, 16 MiB, takes 22 MB as base64
TEXT_SHARE = 2  # times its bytes that a body may take as text, escaped; beyond that base64 is the shorter form
OTHERS = 20_000  # bytes of a line besides its body, about
JSON = "application/json"
ROUND = "~"  # between an item's id and the number of the round, from the second one on


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first line.

    Args:
        sources: recorded names and their types.
        began: RFC 3339, for people.
    """

    streamer: str  # "recording"; this and the version come first, so that a look at the first bytes tells what it is
    version: int
    began: str = ""
    sources: dict[str, str] = {}

    @classmethod
    def of(cls, sources: Mapping[str, str], began: str) -> Header:
        """That of a new recording."""
        return cls(streamer="recording", version=VERSION, began=began, sources=dict(sources))

    def line(self) -> bytes:
        """As it stands in the file."""
        return msgspec.json.encode(self) + b"\n"


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An item of a recording; `number` is that of its line, the header's being 0."""

    number: int
    item: Item

    def __len__(self) -> int:
        return len(self.item.body)


class Damaged(msgspec.Struct, frozen=True):
    """A line that holds no item, `reason` says why."""

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number + 1} {self.reason}"


class CutOff(msgspec.Struct, frozen=True):
    """The recording was not ended properly: whoever wrote it was interrupted.

    Args:
        number: of the last line.
        within: it is not whole.
    """

    number: int
    within: bool = True

    def __str__(self) -> str:
        place = f"in the middle of line {self.number + 1}, which is left out" if self.within else "without an end"
        return f"it breaks off {place}: whoever recorded it was interrupted"


class Joined(msgspec.Struct, frozen=True):
    """Here begins a recording that was put behind the first one; `sources` are what its header names."""

    number: int
    sources: dict[str, str]


Entry = Recorded | Damaged | CutOff | Joined


class _Format(msgspec.Struct):
    streamer: str
    version: int


class _Line(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    source: Annotated[str, Meta(min_length=1)]
    kind: str
    id: str
    received: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    cursor: str | None = None
    content_type: str | None = None  # JSON, as most are
    partition: str | None = None
    body: str | None = None
    base64: str | None = None


_PLACE = re.compile(r"([0-9]{1,15})\.([0-9]{1,15})\.([0-9a-f]{8}|)")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


def line_of(item: Item) -> bytes:
    """An item as a line.

    Raises:
        ValueError: it cannot be written, and no bus would carry it either.
    """
    if not 0 <= item.received < 2**63 or not item.source:
        raise ValueError(f"the item {item.id!r} has no source, or was received at {item.received}")
    line = _Line(
        source=item.source,
        kind=item.kind,
        id=item.id,
        received=item.received,
        cursor=item.cursor,
        content_type=None if item.content_type == JSON else item.content_type,
        partition=item.partition,
    )
    try:
        line.body = item.body.decode("utf-8")
    except UnicodeDecodeError:
        return _with_base64(line, item.body)
    written: bytes = _encode(line) + b"\n"
    most = min(TEXT_SHARE * len(item.body) + OTHERS, LINE_LIMIT)
    return written if len(written) <= most else _with_base64(line, item.body)


def _with_base64(line: _Line, body: bytes) -> bytes:
    line.body, line.base64 = None, base64.b64encode(body).decode("ascii")
    written: bytes = _encode(line) + b"\n"
    if len(written) > LINE_LIMIT:
        raise ValueError(f"the item {line.id[:80]!r} takes {len(written)} bytes, a line has {LINE_LIMIT} at most")
    return written


def header_of(line: bytes) -> Header:
    """Read the first line.

    Raises:
        DecodeError: this is no recording, or one that we cannot read; the text is a clause about it.
    """
    try:
        form = msgspec.json.decode(line, type=_Format)
        if form.streamer == "recording" and form.version != VERSION:
            raise DecodeError(
                f"is a recording of version {form.version}, and this Streamer reads version {VERSION}: "
                "play it with the Streamer that recorded it, or with a later one"
            )
        header = msgspec.json.decode(line, type=Header)
        if header.streamer == "recording":
            return header
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    raise DecodeError("is no recording: its first line is not a recording's header")


def item_of(line: bytes) -> Item | Header:
    """Read a line, which may be another header.

    Raises:
        DecodeError: it is no item; the text is a clause about the line.
    """
    try:
        found = _decode(line)
        if (found.body is None) == (found.base64 is None):
            raise DecodeError("holds not one body")
        body = found.body.encode() if found.body is not None else _bytes(found.base64 or "")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        try:
            return header_of(line)
        except DecodeError:
            raise DecodeError(f"is no item: {error}") from None
    return Item(
        source=found.source,
        kind=found.kind,
        id=found.id,
        received=found.received,
        body=body,
        cursor=found.cursor,
        content_type=JSON if found.content_type is None else found.content_type,
        partition=found.partition,
    )


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError("has a body that is not base64") from None


def again(item: Item, round_: int) -> Item:
    """An item in a later round, counted from 0: with an id of its own, so that it is no repeat."""
    return item if round_ == 0 else msgspec.structs.replace(item, id=f"{item.id}{ROUND}{round_ + 1}")


def check_of(item: Item) -> str:
    """What tells an item from the one at the same place of another recording."""
    words = f"{item.source}/{item.id} {item.received}"
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:8]


class Place(msgspec.Struct, frozen=True):
    """How far a recording was played.

    Args:
        round: how often it had been played to its end before.
        number: of the last line that was, 0 for none.
        check: see `check_of`; empty for none.
    """

    round: int = 0
    number: int = 0
    check: str = ""

    @property
    def text(self) -> str:
        """As a cursor."""
        return f"{self.round}.{self.number}.{self.check}"

    @classmethod
    def parse(cls, text: str | None) -> Place:
        """Read a cursor; whatever is none stands for the beginning."""
        match = _PLACE.fullmatch(text or "")
        return cls() if match is None else cls(int(match[1]), int(match[2]), match[3])
