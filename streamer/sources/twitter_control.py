# -*- test-case-name: tests.unit.test_sources_twitter_control -*-
"""What one message of a v1.1 stream means: a post, a word about posts, or a word about the stream.

https://developer.twitter.com/en/docs/twitter-api/v1/tweets/filter-realtime/guides/streaming-message-types — every
message is an item, so that the log has it; some are also the end of the connection, or a number for us. Messages
without an id of their own get one from their content, so that the same one is known again on another connection.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from streamer.errors import DecodeError
from streamer.interfaces import Outcome
from streamer.message import Item
from streamer.policy import backoff
from streamer.sources.twitter_objects import Delete, Id, Scrub, Status
from streamer.sources.twitter_payload import first_id
from streamer.sources.x_answers import Problem
from streamer.sources.x_text import UNREADABLE, without_lone_surrogates, written_milliseconds
from streamer.upstream import Ending, Undelivered, Warned, brief

KINDS = frozenset({"post", "delete", "scrub", "limit", "withheld", "disconnect", "warning", "event", "friends"})
COUNT_LIMIT = 2**53  # of undelivered posts; beyond that a number is none

# `disconnect` codes → the row of `policy.backoff`, and what the upstream means by it.
# https://developer.twitter.com/en/docs/twitter-api/v1/tweets/filter-realtime/guides/streaming-message-types
DISCONNECTS: dict[int, tuple[str, str]] = {
    1: (backoff.DISCONNECT, "the machine at the other end was shut down"),
    2: (backoff.CONNECTION_LIMIT, "the same stream was opened too often with these credentials"),
    3: (backoff.HTTP, "a control request closed this stream"),
    4: (backoff.SLOW, "we read too slowly"),
    5: (backoff.DISCONNECT, "the upstream took it for our own hanging up"),
    6: (backoff.AUTHORISATION, "the token was revoked"),
    7: (backoff.CONNECTION_LIMIT, "a newer connection with the same credentials replaced this one"),
    8: (backoff.HTTP, "reserved"),
    9: (backoff.HTTP, "all posts that `count` asked for were sent"),
    10: (backoff.HTTP, "the upstream had an internal error"),
    11: (backoff.HTTP, "the upstream's own feed stalled"),
    12: (backoff.HTTP, "the upstream is overloaded and sheds connections"),
}

# https://developer.twitter.com/en/support/twitter-api/error-troubleshooting#error-codes
ERRORS: dict[int, str] = {
    32: backoff.AUTHORISATION,  # could not authenticate
    64: backoff.AUTHORISATION,  # account suspended
    88: backoff.RATE_LIMIT,
    89: backoff.AUTHORISATION,  # token invalid or expired
    99: backoff.AUTHORISATION,  # credentials not verified
    135: backoff.AUTHORISATION,  # timestamp out of bounds
    215: backoff.AUTHORISATION,  # bad authentication data
    326: backoff.AUTHORISATION,  # account locked
}

_WORD = re.compile(r"[A-Za-z0-9_]{1,40}")


class _Line(msgspec.Struct, gc=False):
    """The keys by which messages are told apart; their values stay unread until it is known which they are."""

    id: msgspec.Raw = msgspec.Raw()
    id_str: msgspec.Raw = msgspec.Raw()
    text: msgspec.Raw = msgspec.Raw()
    full_text: msgspec.Raw = msgspec.Raw()
    user: msgspec.Raw = msgspec.Raw()
    extended_tweet: msgspec.Raw = msgspec.Raw()
    delete: msgspec.Raw = msgspec.Raw()
    scrub_geo: msgspec.Raw = msgspec.Raw()
    limit: msgspec.Raw = msgspec.Raw()
    status_withheld: msgspec.Raw = msgspec.Raw()
    user_withheld: msgspec.Raw = msgspec.Raw()
    disconnect: msgspec.Raw = msgspec.Raw()
    warning: msgspec.Raw = msgspec.Raw()
    event: msgspec.Raw = msgspec.Raw()
    friends: msgspec.Raw = msgspec.Raw()
    friends_str: msgspec.Raw = msgspec.Raw()
    for_user: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    errors: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Limit(msgspec.Struct):
    track: Id = None
    timestamp_ms: Id = None


class _User(msgspec.Struct, gc=False):
    id: Any = None
    id_str: Any = None


class _Disconnect(msgspec.Struct):
    code: Id = None
    stream_name: Any = None
    reason: Any = None


class _Warning(msgspec.Struct):
    code: Any = None
    message: Any = None
    percent_full: Any = None


class _Error(Problem, frozen=True):
    code: Id = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_user = msgspec.json.Decoder(_User).decode


def outcomes(source: str, frame: bytes, received_ms: int) -> Sequence[Outcome]:
    """See `ISource.outcomes`; `source` is the configured name. Messages of site streams come out of their envelope.

    Raises:
        DecodeError: not a message we know; count it.
    """
    try:
        line = _line(frame)
        if line.for_user and line.message:  # https://developer.twitter.com/en/docs: `{"for_user":…,"message":{…}}`
            frame = bytes(line.message)
            line = _line(frame)
        return _Understanding(source, frame, received_ms).of(line)
    except UNREADABLE as error:
        raise DecodeError(f"not a stream message: {error}") from error


def _line(frame: bytes) -> _Line:
    try:
        return _decode_line(frame)
    except UNREADABLE:
        # Lone surrogate escapes are no Unicode, and still no reason to lose a post: its id is not in them.
        return _decode_line(without_lone_surrogates(frame))


class _Understanding(msgspec.Struct, gc=False):
    """One message being understood."""

    source: str
    frame: bytes
    received_ms: int

    def of(self, line: _Line) -> Sequence[Outcome]:
        if line.id_str or line.id:
            if not (line.text or line.full_text or line.extended_tweet):
                raise DecodeError("an object with an id and no text")
            return [self.item("post", _raw_id(line.id_str) or _raw_id(line.id) or _no("id"), _author(line.user))]
        if line.delete:
            status = msgspec.json.decode(line.delete, type=Delete).status
            author = first_id(status.user_id_str, status.user_id)
            return [self.item("delete", f"delete:{first_id(status.id_str, status.id) or _no('delete')}", author)]
        if line.scrub_geo:
            return [self.scrub(msgspec.json.decode(line.scrub_geo, type=Scrub))]
        if line.limit:
            return self.limit(msgspec.json.decode(line.limit, type=_Limit))
        if line.status_withheld or line.user_withheld:
            return [self.withheld(line)]
        if line.disconnect:
            return self.disconnect(msgspec.json.decode(line.disconnect, type=_Disconnect))
        if line.warning:
            return self.warning(msgspec.json.decode(line.warning, type=_Warning))
        return self.rest(line)

    def rest(self, line: _Line) -> Sequence[Outcome]:
        if line.event:
            return [self.item("event", f"event:{_word(msgspec.json.decode(line.event))}:{_digest(self.frame)}")]
        if line.friends or line.friends_str:
            return [self.item("friends", f"friends:{_digest(self.frame)}")]
        if line.errors:
            return [_errors(msgspec.json.decode(line.errors, type=tuple[_Error, ...]))]
        if line.error:
            return [_errors((_Error(message=msgspec.json.decode(line.error, type=str)),))]
        raise DecodeError("an object that is no message we know")

    def item(self, kind: str, id_: str, author: str | None = None) -> Item:
        return Item(
            source=self.source, kind=kind, id=id_, received=self.received_ms, body=self.frame, partition=author
        )

    def scrub(self, scrub: Scrub) -> Item:
        user = first_id(scrub.user_id_str, scrub.user_id) or _no("scrub_geo")
        newest = first_id(scrub.up_to_status_id_str, scrub.up_to_status_id) or _no("scrub_geo")
        return self.item("scrub", f"scrub:{user}-{newest}", user)

    def limit(self, limit: _Limit) -> Sequence[Outcome]:
        count = int(first_id(limit.track) or _no("limit"))
        if count > COUNT_LIMIT:
            raise DecodeError(f"a limit of {count}, which cannot be")
        said = written_milliseconds(limit.timestamp_ms)
        when = self.received_ms if said is None else said
        return [self.item("limit", f"limit:{count}@{when}"), Undelivered(count)]

    def withheld(self, line: _Line) -> Item:
        """A post or a user is withheld in some countries; in more of them later, so the id tells those apart."""
        status = msgspec.json.decode(line.status_withheld or line.user_withheld, type=Status)
        of = "" if line.status_withheld else "user:"
        return self.item(
            "withheld",
            f"withheld:{of}{first_id(status.id_str, status.id) or _no('withheld')}@{_digest(self.frame)}",
        )

    def disconnect(self, said: _Disconnect) -> Sequence[Outcome]:
        code = int(first_id(said.code) or 0)
        cause, meaning = DISCONNECTS.get(code, (backoff.HTTP, "a code we do not know"))
        reason = f" ({said.reason})" if isinstance(said.reason, str) and said.reason else ""
        detail = brief(f"the upstream disconnects with code {code}: {meaning}{reason}")
        return [self.item("disconnect", f"disconnect:{code}@{self.received_ms}"), Ending(cause=cause, detail=detail)]

    def warning(self, said: _Warning) -> Sequence[Outcome]:
        full = said.percent_full
        sane = isinstance(full, int | float) and not isinstance(full, bool) and 0 <= full <= 100
        percent = float(full) if sane else None
        detail = said.message if isinstance(said.message, str) and said.message else "no reason given"
        word = _word(said.code)
        return [
            self.item("warning", f"warning:{word}@{self.received_ms}"),
            Warned(detail=brief(f"{word}: {detail}"), percent=percent),
        ]


def _errors(errors: Sequence[_Error]) -> Ending:
    if not errors:
        raise DecodeError("errors without an error in them")
    first = errors[0]
    cause = first.cause() or ERRORS.get(int(first_id(first.code) or 0), backoff.HTTP)
    return Ending(
        cause=cause, detail=brief(f"{first.sentence()} (code {first.code})" if first.code else first.sentence())
    )


def _author(user: msgspec.Raw) -> str | None:
    """The id of a post's author, by which items are kept in order; None where there is none."""
    try:
        found = _decode_user(user) if user else _User()
    except UNREADABLE:
        return None
    return first_id(found.id_str, found.id)


def _raw_id(raw: msgspec.Raw) -> str | None:
    """An id as it stands in the frame; both forms of it have the same digits."""
    return first_id(bytes(raw).decode("ascii", "replace").strip('"')) if raw else None


def _no(key: str) -> str:
    raise DecodeError(f"{key} without an id or number in it")


def _word(value: object) -> str:
    """A name that may stand in an id."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else "other"


def _digest(frame: bytes) -> str:
    return hashlib.sha256(frame).hexdigest()[:16]
