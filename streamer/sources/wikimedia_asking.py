# -*- test-case-name: tests.unit.test_sources_wikimedia -*-
"""What Wikimedia is asked for, as whom, and from where on; and what it says when it refuses.

https://wikitech.wikimedia.org/wiki/Event_Platform/EventStreams_HTTP_Service and
https://meta.wikimedia.org/wiki/User-Agent_policy
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, structs

from streamer.policy import backoff
from streamer.policy.transport import is_loopback
from streamer.sources import answers
from streamer.sources.x_text import UNREADABLE, iso_milliseconds, written_milliseconds
from streamer.upstream import Ending, Response, Resume

HISTORY = 7 * 86_400_000  # ms; the least that the streams keep, some keep 31 days
REWIND = 10_000  # ms that a resume reaches back further than it must: their clock is not ours
# ms by which the times of an id are set back. The server writes the time of the last event and 1 ms more, its log is
# not in order of time (by 60 ms, as recorded), and busy streams have several events in one ms: what stands after the
# last event with the same time or an earlier one would be skipped.
SET_BACK = 5_000
ID_TRIED = (
    3_600_000  # ms for which an id is tried; after that a time says it, lest one that is refused ends it for good
)
CURSOR_LIMIT = 16_000  # characters; one topic takes 80, a stream has two
STREAM_LIMIT = 30  # names; they go into one URL

_STREAM = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_CONTACT = re.compile(r"https?://[^\s/@]+\.[^\s@]+|(?:mailto:)?[^\s@]+@[^\s@]+\.[^\s@]+")


class _Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where one part of one topic goes on: at a time (ms since the epoch), or at a number of its log."""

    topic: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,249}\Z")]  # Kafka's rule
    partition: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    timestamp: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    offset: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None


_decode_cursor = msgspec.json.Decoder(list[_Row]).decode


def checked_streams(streams: Sequence[str]) -> tuple[str, ...]:
    """Names of streams, each once.

    Raises:
        ValueError: none, too many, or one that cannot be a name.
    """
    if not streams:
        raise ValueError("streams is empty; name at least one, such as 'recentchange'")
    if len(streams) > STREAM_LIMIT:
        raise ValueError(f"streams has {len(streams)} names; one connection carries {STREAM_LIMIT}")
    for name in streams:
        if not _STREAM.fullmatch(name):
            raise ValueError(
                f"streams holds {name!r}, which is no name of a stream; https://stream.wikimedia.org/?doc lists them"
            )
    return tuple(dict.fromkeys(streams))


def user_agent(contact: str | None, base_url: str) -> str | None:
    """What to call ourselves; None on this machine, where nobody is to be told.

    Raises:
        ValueError: there is no contact, or it is none.
    """
    library = f"streamer/{version('streamer')}"
    if contact is None:
        if is_loopback((urlsplit(base_url).hostname or "").strip("[]")):
            return None
        raise ValueError(
            "contact is missing: Wikimedia asks that whoever runs a client can be reached, and may block those who"
            " do not say how; give an e-mail address or the URL of a page about you"
        )
    if not _CONTACT.fullmatch(contact) or not contact.isascii() or not contact.isprintable() or len(contact) > 200:
        raise ValueError("contact must be an e-mail address or an http(s) URL, in ASCII and without blanks")
    if "(" in contact or ")" in contact:
        raise ValueError("contact must hold no parentheses, for it is written between some; write %28 and %29")
    return f"{library} ({contact}) Twisted/{version('twisted')}"


def checked_since(since: str | int | None) -> int | None:
    """Where the very first connection is to begin, ms since the epoch.

    Raises:
        ValueError: that is no time.
    """
    if since is None:
        return None
    found = written_milliseconds(since)
    if found is None and isinstance(since, str):
        found = iso_milliseconds(since)
    if found is None:
        raise ValueError(f"since is {since!r}; write a time such as '2026-11-21T04:00:00Z', or ms since the epoch")
    return found


def place(
    streams: Sequence[str], since: int | None, resume: Resume | None, now_ms: int
) -> tuple[str | None, int | None, int | None]:
    """Where to begin.

    The id that came last says it best. It is not given back as it was, which would lose events without a word: its
    times are set back by `SET_BACK`, and a topic of which it says "from now on", for nothing of it had come, goes on
    at what is safe. What is repeated by that has ids that we know. A time says it for all topics where the id does not
    speak of just these streams, for others were followed when it came; where none has come yet; and where the id has
    not served for `ID_TRIED`. To say both would be of no use: a time is heeded only where no id is given.

    Returns:
        The id, the time to ask for, and since when, by either, the answer repeats the past.
    """
    if resume is None:
        return None, since, None if since is None else max(since, now_ms - HISTORY)
    start = max(resume.received - REWIND, now_ms - HISTORY)
    rows = [] if resume.cursor is None else [_safe(row, start) for row in _rows(resume.cursor, streams)]
    rows = [_not_before(row, now_ms - HISTORY) for row in rows]
    if rows and resume.received >= now_ms - ID_TRIED:
        return msgspec.json.encode(rows).decode(), None, start
    return None, min([start, *(row.timestamp for row in rows if row.timestamp is not None)]), start


def refusal(response: Response) -> Ending:
    """What an answer other than 200 means."""
    ending, hint = answers.refusal(response), ""
    if response.status == 400 or (response.status == 404 and b"stream" not in response.body.lower()):
        # It is the id that is not taken, or a proxy that answers; a stream that is none is named as such.
        hint = f"; after {ID_TRIED // 60_000} min it goes on by time, not by the last id"
        ending = structs.replace(ending, cause=backoff.HTTP)
    if response.status == 429 and "concurrent connection" in ending.detail.lower():
        return structs.replace(ending, cause=backoff.CONNECTION_LIMIT)  # our last one may not be forgotten yet
    if response.status == 403:
        hint = "; look whether `contact` is right, and whether this address was blocked"
    return structs.replace(ending, detail=ending.detail + hint)


def _rows(cursor: str, streams: Sequence[str]) -> list[_Row]:
    """Those of an id; none where it is none, or not of topics of each of the streams and of no others."""
    if len(cursor) > CURSOR_LIMIT:
        return []
    try:
        rows = _decode_cursor(cursor)
    except UNREADABLE:
        return []
    # A topic is `<data centre>.<stream>`, the stream with or without its first word.
    topics = {row.topic for row in rows}
    own = [{topic for topic in topics if topic.endswith(f".{name}")} for name in streams]
    return rows if all(own) and topics == set().union(*own) else []


def _safe(row: _Row, start: int) -> _Row:
    """Where to go on with a topic: a number of its log, from 0 on, is exact; one below means "from now on"."""
    if row.offset is not None and row.offset >= 0:
        return row
    at_ms = start if row.offset is not None or row.timestamp is None else row.timestamp - SET_BACK
    return _Row(row.topic, row.partition, at_ms)


def _not_before(row: _Row, first_ms: int) -> _Row:
    """The same, with no time older than what is kept; ids that are too old have been refused."""
    return row if row.timestamp is None else structs.replace(row, timestamp=max(row.timestamp, first_ms))
