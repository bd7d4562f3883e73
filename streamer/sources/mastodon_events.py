# -*- test-case-name: tests.unit.test_sources_mastodon -*-
"""What one event of a Mastodon stream means, and what a refusal says.

https://docs.joinmastodon.org/methods/streaming/#events — server-sent events and websocket messages carry the same
payloads, so that an item is the same whichever way it came, and also where it was fetched from a timeline.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from streamer.errors import DecodeError
from streamer.interfaces import Outcome
from streamer.message import Item
from streamer.policy import backoff
from streamer.sources import answers
from streamer.sources.x_text import UNREADABLE, without_lone_surrogates
from streamer.upstream import Ending, Response, brief
from streamer.wire.sse import Sent

KINDS = frozenset(
    {
        "post",
        "edit",
        "delete",
        "repost",
        "notification",
        "notifications_merged",
        "conversation",
        "announcement",
        "announcement-reaction",
        "announcement-delete",
        "event",  # of any other name; a name of the server's own is no kind, nor the name of a metric
    }
)
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # Mastodon's are numbers; other servers' have letters, too
_EVENT = re.compile(r"[a-z0-9_.-]{1,60}")
_KINDS = {  # of events that are about no status
    "notification": "notification",
    "notifications_merged": "notifications_merged",
    "conversation": "conversation",
    "announcement": "announcement",
    "announcement.reaction": "announcement-reaction",
    "announcement.delete": "announcement-delete",
}
_NOTHING = frozenset({"filters_changed"})  # a word to the owner's own programs, without content

STATUSES: Mapping[int, str] = {
    **answers.STATUSES,
    **dict.fromkeys((300, 301, 302, 303, 307, 308), backoff.REFUSED),
    **dict.fromkeys((1000, 1001, 1005, 1006, 1012), backoff.DISCONNECT),  # closed, as servers do that restart
}


class _Named(msgspec.Struct):
    """What an item needs of a status, notification or whatever else has an id."""

    id: str | int
    edited_at: Any = None
    reblog: msgspec.Raw = msgspec.Raw(b"null")


class _Message(msgspec.Struct):
    """One message of a websocket."""

    event: str | None = None
    payload: msgspec.Raw = msgspec.Raw()
    error: Any = None
    status: Any = None


_decode_named = msgspec.json.Decoder(_Named).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_text = msgspec.json.Decoder(str).decode


def outcomes(source: str, frame: Sent | bytes, received_ms: int) -> Sequence[Outcome]:
    """See `ISource.outcomes`; `source` is the configured name. Bytes are a message of a websocket.

    Raises:
        DecodeError: not an event that we can name; count it.
    """
    try:
        if isinstance(frame, Sent):
            return _item(source, frame.event, frame.data, received_ms)
        message = _message(frame)
        if message.error is not None:
            status = message.status if isinstance(message.status, int) else 0
            detail = brief(f"the server refuses with {status}: {message.error}")
            return [Ending(cause=STATUSES.get(status, backoff.HTTP), detail=detail)]
        if message.event is None:
            raise DecodeError("a message that is neither an event nor an error")
        return _item(source, message.event, _payload(message.payload), received_ms)
    except UNREADABLE as error:
        raise DecodeError(f"not an event of a stream: {error}") from error


def refusal(response: Response) -> Ending:
    """What an answer other than the one hoped for means, or the closing of a websocket."""
    ending = answers.refusal(response, STATUSES)
    status, headers = response.status, response.headers
    if status >= 1000:
        reason = brief(response.body[:1000].decode("utf-8", "replace")) or "no reason given"
        return msgspec.structs.replace(ending, detail=f"the server closes with code {status}: {reason}")
    if 300 <= status < 400:
        hint = brief(f"it points to {headers.get('location', 'nowhere')}; set streaming_url to where it streams")
        return msgspec.structs.replace(ending, detail=f"HTTP {status}: {hint}")
    written = headers.get("x-error-message")
    if written:  # a handshake is refused without a body
        ending = msgspec.structs.replace(ending, detail=f"HTTP {status}, {brief(written)}")
    if ending.cause == backoff.RATE_LIMIT:
        waits = [wait for wait in (ending.retry_after, reset_in(headers, response.received)) if wait is not None]
        ending = msgspec.structs.replace(ending, retry_after=max(waits, default=None))
    return ending


def reset_in(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from `now` (since the epoch) until a new rate limit begins; None where that is not said or past.

    https://docs.joinmastodon.org/api/rate-limits/ — the time is written as ISO 8601.
    """
    try:
        moment = datetime.fromisoformat(headers.get("x-ratelimit-reset", ""))
        wait = moment.timestamp() - now if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
    return wait if wait is not None and wait > 0 else None


def id_of(value: object) -> str | None:
    """An id as a string; None where it is none."""
    written = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return written if ID.fullmatch(written) else None


def _message(frame: bytes) -> _Message:
    try:
        return _decode_message(frame)
    except UNREADABLE:
        return _decode_message(without_lone_surrogates(frame))


def _payload(raw: msgspec.Raw) -> bytes:
    """JSON within a JSON string, as documented; some servers send the object itself."""
    said = bytes(raw)
    if not said.startswith(b'"'):
        return said
    try:
        return _decode_text(said).encode()
    except UNREADABLE:
        return _decode_text(without_lone_surrogates(said)).encode()


def _item(source: str, event: str, payload: bytes, received_ms: int) -> Sequence[Outcome]:
    if event in _NOTHING:
        return []
    if not _EVENT.fullmatch(event):
        raise DecodeError("an event whose name is none")

    def item(kind: str, id_: str, status: str | None = None, cursor: str | None = None, **more: str) -> Item:
        return Item(
            source=source,
            kind=kind,
            id=id_,
            received=received_ms,
            body=payload,
            cursor=cursor,
            partition=status,
            **more,
        )

    if event == "delete":
        gone = id_of(payload.decode().strip().strip('"'))
        if gone is None:
            raise DecodeError("a deletion that names nothing")
        return [item("delete", f"delete:{gone}", gone, content_type="text/plain")]
    if event not in ("update", "status.update"):
        kind = _KINDS.get(event)
        return [item(kind or "event", f"{event if kind else f'event:{event}'}:{_mark(payload)}")]
    status = _named(payload)
    id_ = id_of(status.id)
    if id_ is None:
        raise DecodeError("a status whose id is none")
    if event == "status.update":
        return [item("edit", f"edit:{id_}@{_version(status, payload)}", id_)]
    return [item("post" if bytes(status.reblog) == b"null" else "repost", id_, id_, id_)]


def _named(payload: bytes) -> _Named:
    try:
        return _decode_named(payload)
    except UNREADABLE:
        return _decode_named(without_lone_surrogates(payload))


def _mark(payload: bytes) -> str:
    """What tells one notification, conversation or announcement, as it then was, from all others of its event."""
    try:
        id_ = id_of(_named(payload).id)
    except UNREADABLE:
        id_ = None
    return _digest(payload) if id_ is None else f"{id_}@{_digest(payload)}"


def _version(status: _Named, payload: bytes) -> str:
    """What tells one edit of a status from another; the same one may come by several streams."""
    at = status.edited_at
    return _digest(at.encode() if isinstance(at, str) and at else payload)


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()[:16]
