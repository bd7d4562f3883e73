# -*- test-case-name: tests.unit.test_sources_mastodon_gaps -*-
"""What a Mastodon stream did not bring, fetched from the timelines: pages forward from the last status that is ours.

https://docs.joinmastodon.org/api/guidelines/#pagination — with `min_id` a page is that which follows the id at once.
Ids hold the time of their making in their upper bits, as Mastodon writes them; the last status we had is asked for
again, so that an empty answer tells of a timeline that is switched off.
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
from streamer.sources.mastodon_payload import moment
from streamer.sources.mastodon_streams import Stream
from streamer.sources.x_text import UNREADABLE
from streamer.upstream import Ending, Missed, Request, Response
from streamer.wire.lines import FRAME_LIMIT
from streamer.wire.sse import Sent

PAGE = 40  # statuses; the server's limit
PAGES = 250  # of one timeline: 10,000 statuses, two thirds of what the rate limit lets us fetch in an hour
LATE_MS = 30_000  # a status from another server may come so much later than its id says
SNOWFLAKE_DIGITS = 16  # an id of so many digits at least holds a time
SLICE = 10.0  # seconds of a long wait after which we show that we live
WAIT = 300.0  # seconds of one period of the rate limit, https://docs.joinmastodon.org/api/rate-limits/
WAITS = 12  # for the rate limit, in one recovery: an hour
CLOSED = frozenset({400, 401, 403, 404, 410, 422})  # the timeline cannot be had, by us or by anybody


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
    found: bool = False  # a timeline had something

    def miss(self, since: int) -> None:
        """From then on something cannot be had."""
        self.missed_from = since if self.missed_from is None else min(self.missed_from, since)


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
    """Where to begin: before the last status we had, and before what may have come late."""
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) < SNOWFLAKE_DIGITS:
        return cursor
    return str(min(int(cursor) - 1, max(0, from_ms - LATE_MS) << 16))


def _steps(streams: Sequence[Stream], gap: _Gap, after: str) -> Polling:
    yield Page()
    for stream in streams:
        if stream.timeline is None:
            gap.miss(gap.start)
        else:
            ending = yield from _timeline(*stream.timeline, gap, after)
            if ending is not None:
                return ending
    if not gap.found:
        gap.miss(gap.start)
    if gap.missed_from is not None:
        yield Page((Missed(start=gap.missed_from, end=max(gap.end, gap.missed_from)),))
    return Ending(cause=backoff.NETWORK, detail="all that the timelines have was fetched", whole=True)


def _timeline(
    path: str, asked: Mapping[str, str], gap: _Gap, after: str
) -> Generator[Request | Wait | Page, Response | None, Ending | None]:
    """Fetch one timeline; says why nothing more can be fetched at all, where that is so."""
    reached = gap.start
    for _ in range(PAGES):
        query = urlencode({**asked, "limit": PAGE, "min_id": after})
        answer = yield from _fetch(gap, f"{path}?{query}")
        if isinstance(answer, Ending):
            return answer
        rows = None if answer.status in CLOSED else _rows(answer.body)
        if rows is None:
            gap.miss(reached)
            return None
        if not rows:
            return None
        gap.found = True
        yield Page(tuple([_frame(bytes(raw)) for _, _, raw in rows]))
        first, (last, made, _) = rows[0][1], rows[-1]
        reached = reached if made is None else made
        if last == after or (first is not None and first > gap.end):  # all of the page is newer
            return None
        after = last
    gap.miss(reached)
    return None


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


def _rows(body: bytes) -> list[tuple[str, int | None, msgspec.Raw]] | None:
    """Id, time and bytes of each status, the oldest first; None where it is no list of them."""
    try:
        raws = msgspec.json.decode(body, type=list[msgspec.Raw])
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
            found.append((id_, moment(at) if isinstance(at, str) else None, raw))
    return sorted(found, key=lambda row: (len(row[0]), row[0]))
