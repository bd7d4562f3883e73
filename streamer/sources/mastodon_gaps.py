# -*- test-case-name: tests.unit.test_sources_mastodon_gaps -*-
"""What a Mastodon stream did not bring, fetched from the timelines: pages forward from the last status that is ours.

https://docs.joinmastodon.org/api/guidelines/#pagination — with `min_id` a page is that which follows the id at once.
Ids hold a time in their upper bits, as Mastodon writes them: when the status was made, or when it came if its
author's clock is ahead of the server's. By that time the timelines are in order, and not by `created_at`; the last
status we had may be hours old by it, so it does not say where to begin. A timeline that is switched off is as empty as
one in which nothing happened, so an empty one is asked whether it has anything at all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlencode

import attrs
import msgspec

from streamer.asks import Page, Poll, Polling, Wait
from streamer.policy import backoff
from streamer.sources.mastodon_events import id_of, refusal, reset_in
from streamer.sources.mastodon_streams import Stream
from streamer.sources.x_text import UNREADABLE, iso_milliseconds, without_lone_surrogates
from streamer.upstream import Ending, Missed, Request, Response
from streamer.wire.lines import FRAME_LIMIT
from streamer.wire.sse import Sent

PAGE = 40  # statuses; the server's limit
PAGES = 250  # of one timeline: 10,000 statuses, two thirds of what the rate limit lets us fetch in an hour
LATE_MS = 300_000  # a status from another server may come so much later than its id says; later ones are not fetched
SNOWFLAKE_DIGITS = 16  # an id of so many digits at least may hold a time
FIRST_SNOWFLAKE = 1_451_606_400_000  # ms since the epoch: 2016; Mastodon is not older
AHEAD_MS = 86_400_000  # an id whose time is so much later than what is looked for holds none; other servers count so
SLICE = 10.0  # seconds of a long wait after which we show that we live
WAIT = 300.0  # seconds of one period of the rate limit, https://docs.joinmastodon.org/api/rate-limits/
WAITS = 12  # for the rate limit, in one recovery: an hour
CLOSED = frozenset({400, 401, 403, 404, 410, 422})  # the timeline cannot be had, by us or by anybody


_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Status(msgspec.Struct):
    id: str | int
    created_at: Any = None


@attrs.define
class _Gap:
    """One span that is being fetched.

    Args:
        missed_from: since when something of it cannot be had.
        waits: how often the rate limit may still be waited for.
    """

    start: int
    end: int
    get: Callable[[str], Request]
    missed_from: int | None = None
    waits: int = WAITS

    def miss(self, since: int) -> None:
        """From then on something cannot be had."""
        since = min(max(since, self.start), self.end)
        self.missed_from = since if self.missed_from is None else min(self.missed_from, since)

    def time_of(self, row: _Row) -> int | None:
        """When a status came into the timeline, as far as one can tell; ms since the epoch."""
        made = _time_in(row.id, self.end)
        return row.created if made is None else made


@attrs.frozen
class _Row:
    """A status of a page; `created` is what its author's server says, in ms since the epoch."""

    id: str
    created: int | None
    body: bytes

    @property
    def place(self) -> tuple[int, str]:
        """To be compared with others."""
        return _place(self.id)


def recovery(
    streams: Sequence[Stream], get: Callable[[str], Request], from_ms: int, to_ms: int, cursor: str | None
) -> Poll | None:
    """See `ISource.recovery`; None where no status is known to begin after, or no stream has a timeline.

    Args:
        get: makes the request for a path below `/api/v1/timelines/`, with its query.
    """
    if cursor is None or not any(stream.timeline for stream in streams):
        return None
    after = _first(cursor, from_ms)
    return Poll(lambda: _steps(streams, _Gap(from_ms, to_ms, get), after))


def _first(cursor: str, from_ms: int) -> str:
    """Where to begin: before what may have come late, or after the last status we had where ids hold no time."""
    return cursor if _time_in(cursor, from_ms) is None else str(max(0, from_ms - LATE_MS) << 16)


def _time_in(id_: str, latest: int) -> int | None:
    """The time that an id holds, ms since the epoch; None where it holds none."""
    if not id_.isascii() or not id_.isdecimal() or len(id_) < SNOWFLAKE_DIGITS:
        return None
    found = int(id_) >> 16
    return found if FIRST_SNOWFLAKE <= found <= latest + AHEAD_MS else None


def _place(id_: str) -> tuple[int, str]:
    return len(id_), id_


def _steps(streams: Sequence[Stream], gap: _Gap, after: str) -> Polling:
    yield Page()
    for stream in streams:
        if stream.timeline is None:
            gap.miss(gap.start)
        else:
            ending = yield from _timeline(*stream.timeline, gap, after)
            if ending is not None:
                return ending
    if gap.missed_from is not None:
        yield Page((Missed(start=gap.missed_from, end=gap.end),))
    return Ending(cause=backoff.NETWORK, detail="all that the timelines have was fetched", whole=True)


def _timeline(
    path: str, asked: Mapping[str, str], gap: _Gap, after: str
) -> Generator[Request | Wait | Page, Response | None, Ending | None]:
    """Fetch one timeline; says why nothing more can be fetched at all, where that is so."""
    reached, found = gap.start, False
    for _ in range(PAGES):
        rows = yield from _page(gap, path, {**asked, "limit": PAGE, "min_id": after})
        if isinstance(rows, Ending):
            return rows
        if rows == [] and not found:  # nothing happened, or it is switched off
            rows = yield from _page(gap, path, {**asked, "limit": 1})
            if isinstance(rows, Ending):
                return rows
            if rows:
                return None
            rows = None
        if rows is None:
            gap.miss(reached)
            return None
        if not rows:
            return None
        yield Page(tuple([_frame(row.body) for row in rows]))
        if found and rows[0].place <= _place(after):  # `min_id` is not heeded: that was the newest, twice
            gap.miss(gap.start)
            return None
        times = [at for at in map(gap.time_of, rows) if at is not None]
        if len(times) == len(rows) and min(times) > gap.end:  # all of the page came by the stream
            return None
        reached, found, after = max(reached, min(times, default=reached)), True, rows[-1].id
    gap.miss(reached)
    return None


def _page(
    gap: _Gap, path: str, query: Mapping[str, str | int]
) -> Generator[Request | Wait | Page, Response | None, list[_Row] | Ending | None]:
    """The statuses of one page, the oldest first; None where the timeline cannot be had."""
    answer = yield from _fetch(gap, f"{path}?{urlencode(query)}")
    if isinstance(answer, Ending):
        return answer
    return None if answer.status in CLOSED else _rows(answer.body)


def _fetch(gap: _Gap, path: str) -> Generator[Request | Wait | Page, Response | None, Response | Ending]:
    """One answer, after as long as the rate limit wants."""
    while True:
        answer = cast(Response, (yield gap.get(path)))
        if answer.status == 429 and gap.waits:
            gap.waits -= 1
            yield from _pause(reset_in(answer.headers, answer.received))
            continue
        if answer.status != 200 and answer.status not in CLOSED:
            return refusal(answer)
        if answer.headers.get("x-ratelimit-remaining", "").strip() == "0" and gap.waits:
            gap.waits -= 1
            yield from _pause(reset_in(answer.headers, answer.received))
        return answer


def _pause(seconds: float | None) -> Generator[Wait | Page, None, None]:
    left = WAIT if seconds is None else min(seconds, WAIT)
    while left > 0:
        yield Wait(min(left, SLICE))
        yield Page()
        left -= SLICE


def _frame(status: bytes) -> Sent | bytes:
    """As a stream has it; one that is longer than a stream may have it is left to the framer, to be counted."""
    return Sent(status, "update") if len(status) <= FRAME_LIMIT else status


def _rows(body: bytes) -> list[_Row] | None:
    """The statuses of a list, the oldest first; None where it is no list of them."""
    try:
        raws = _listed(body)
    except UNREADABLE:
        return None
    found = []
    for raw in raws:
        try:
            status = msgspec.json.decode(raw, type=_Status)
        except UNREADABLE:
            continue
        id_, at = id_of(status.id), status.created_at
        if id_ is not None:
            found.append(_Row(id_, iso_milliseconds(at) if isinstance(at, str) else None, bytes(raw)))
    return sorted(found, key=lambda row: row.place)


def _listed(body: bytes) -> list[msgspec.Raw]:
    try:
        return _decode_list(body)
    except UNREADABLE:
        return _decode_list(without_lone_surrogates(body))
