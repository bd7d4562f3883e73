# -*- test-case-name: tests.unit.test_sources_x_filtered -*-
"""What one line of an X API v2 stream means: a post, a deletion, or the end of the connection.

This runs once for each line of the stream, so it reads no more of it than carrying it takes.

https://docs.x.com/x-api/fundamentals/consuming-streaming-data
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streamer.errors import DecodeError
from streamer.interfaces import Outcome
from streamer.message import Item
from streamer.sources import x_answers
from streamer.sources.x_text import ID, UNREADABLE, without_lone_surrogates

KINDS = frozenset({"post", "delete"})


class _Post(msgspec.Struct, gc=False):
    id: str
    author_id: Any = None  # of whatever type: a post is not lost for it


class _Deleted(msgspec.Struct, gc=False):
    id: int | str | None = None
    id_str: str | None = None
    user_id: Any = None
    user_id_str: Any = None


class _Delete(msgspec.Struct, gc=False):
    status: _Deleted


class _Line(msgspec.Struct, gc=False):
    data: _Post | None = None
    delete: _Delete | None = None
    errors: msgspec.Raw = msgspec.Raw()  # beside `data` they only say what could not be had; then nobody reads them


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_problem = msgspec.json.Decoder(x_answers.Problem).decode


def outcomes(source: str, frame: bytes, received_ms: int) -> Sequence[Outcome]:
    """See `ISource.outcomes`; `source` is the configured name."""
    try:
        line = _decode_line(frame)
    except UNREADABLE as error:
        line = _second_look(frame, error)
    if line.data is not None:
        id_, author = _checked_id(line.data.id), _author(line.data.author_id)
        return [
            Item(source=source, kind="post", id=id_, cursor=id_, received=received_ms, body=frame, partition=author)
        ]
    if line.delete is not None:
        deleted = line.delete.status
        id_, author = _checked_id(deleted.id_str or str(deleted.id)), _author(deleted.user_id_str or deleted.user_id)
        return [
            Item(source=source, kind="delete", id=f"delete:{id_}", received=received_ms, body=frame, partition=author)
        ]
    if line.errors:
        return [x_answers.in_stream(line.errors)]
    return [_problem(frame)]


def _problem(frame: bytes) -> Outcome:
    """A problem that stands alone, as the body of a refusal does: TooManyConnections has come so."""
    try:
        problem = _decode_problem(frame)
    except UNREADABLE as error:
        raise DecodeError(f"not a stream object: {error}") from error
    if problem.title is None and problem.type is None:
        raise DecodeError("an object that is neither post, deletion nor error")
    return x_answers.disconnected(problem)


def _second_look(frame: bytes, error: Exception) -> _Line:
    """Lone surrogate escapes are no Unicode, and still no reason to lose a post: its id is not in them."""
    try:
        return _decode_line(without_lone_surrogates(frame))
    except UNREADABLE:
        raise DecodeError(f"not a stream object: {error}") from error


def _checked_id(id_: str) -> str:
    """An id goes into topics' messages, logs and memories, so it has to be one."""
    if not ID.fullmatch(id_):
        raise DecodeError(f"an id that is none: {id_[:40]!r}")
    return id_


def _author(id_: object) -> str | None:
    """An author's id, by which items are kept in order; None where it is none."""
    text = str(id_) if isinstance(id_, (str, int)) else ""
    return text if ID.fullmatch(text) else None
