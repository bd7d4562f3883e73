# -*- test-case-name: tests.unit.test_sources_github_polling -*-
"""How GitHub's events are polled: https://docs.github.com/en/rest/activity/events

A list shows the newest events first, up to 300 of the last 30 days. Each poll reads from its beginning to the first
event that is known. Where none is, although there should be, more happened between two polls than a list holds, and
what was pushed out is missed for good. A `Mark` after each poll says which events are known, so that a restart neither
repeats nor misses any.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import attrs
import msgspec

from streamer.asks import Page, Polling, Wait
from streamer.policy import backoff
from streamer.sources import github_asking
from streamer.sources.github_asking import Asking
from streamer.sources.github_payload import created, identity
from streamer.sources.x_text import UNREADABLE, without_lone_surrogates
from streamer.upstream import Ending, Mark, Missed, Response, brief

KNOWN = 300  # ids kept: as many as a list has; with their JSON 5 kB
PAGES = 10  # read in one poll at most, or as many as a list of `KNOWN` has
REDIRECTS = 5  # followed in a row
WINDOW = 30 * 86_400_000  # ms that an event stays in the list
WINDOW_MARGIN = 3_600_000  # ms: it need not go to the minute
SPREAD = 0.1  # see `Wait`
MOVED = frozenset({301, 308})  # for good; 302, 303 and 307 are for this time only
REDIRECTED = MOVED | {302, 303, 307}
TAG_LIMIT = 500  # characters of an ETag
MARK_LIMIT = 16_000  # characters

_Age = tuple[int, int]  # when it happened, ms since the epoch, and its number: the larger the newer

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Known(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a mark holds.

    Args:
        path: of the list that it is about.
        ids: of events that were published, the newest first.
        newest: when the newest of them happened, ms since the epoch; never later than it was read.
        etag: of the first page, as it came.
        url: where the first page has moved to.
    """

    path: str
    ids: tuple[str, ...] = ()
    newest: int | None = None
    etag: str | None = None
    url: str | None = None

    def mark(self) -> Mark:
        """As a cursor."""
        return Mark(msgspec.json.encode(self).decode())


_decode_known = msgspec.json.Decoder(Known).decode


def known(cursor: str | None, asking: Asking) -> Known | None:
    """What an earlier mark knows of this list; None where it is about another, or is none."""
    if cursor is None or len(cursor) > MARK_LIMIT:
        return None
    try:
        found = _decode_known(cursor)
    except UNREADABLE:
        return None
    if found.path != asking.path:
        return None
    if found.url is not None and not asking.own(found.url):
        return msgspec.structs.replace(found, url=None, etag=None)
    return found


class _Stop(Exception):
    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.detail)
        self.ending = ending


@attrs.define
class Poller:
    """Polls of one list.

    Args:
        known: of earlier polls; None where there were none.
        read: when the list was read last, ms since the epoch; None where it never was.
    """

    asking: Asking
    known: Known | None
    read: int | None = None
    _pause: float = 0.0  # seconds that the last poll's answers ask for
    _until: float = 0.0  # seconds for which nothing may be asked
    _now: float = 0.0  # seconds since the epoch: when the last answer came

    def steps(self) -> Polling:
        """Poll for ever; see `asks.Polling`."""
        try:
            while True:
                frames = yield from self._poll()
                self.read = int(self._now * 1000)
                yield Page(frames)
                yield Wait(max(self.asking.interval, self._pause, self._until), SPREAD)
                self._until = 0.0
        except _Stop as stop:
            return stop.ending

    def _poll(self) -> Generator[Any, Any, tuple[Any, ...]]:
        """One look at the list. Returns what is new, the oldest first."""
        before = self.known or Known(self.asking.path)
        self._pause = 0.0
        response, first, moved = yield from self._ask(before.url or self.asking.url, before.etag)
        if response.status == 304 or (response.status in (404, 410) and before.url is not None):
            # What has moved, and is not there any more, may have moved back.
            url = before.url if response.status == 304 else None
            if (moved or url) == before.url:
                return ()
            self.known = msgspec.structs.replace(before, url=moved or url)
            return (self.known.mark(),)
        found: dict[str, bytes] = {}
        top, met = self._read(response, before, found, None)
        etag = _kept_tag(response.headers.get("etag", ""))
        pages, most = 1, max(PAGES, -(-KNOWN // self.asking.per_page))
        following = github_asking.next_page(response, first)
        while self.known is not None and not met and following is not None and pages < most:
            if not self.asking.own(following):
                break
            response, following, _ = yield from self._ask(following, None)
            _, met = self._read(response, before, found, top)
            pages += 1
            following = github_asking.next_page(response, following)
        return self._told(before, found, met, etag, moved or before.url)

    def _told(
        self, before: Known, found: dict[str, bytes], met: bool, etag: str | None, url: str | None
    ) -> tuple[Any, ...]:
        now_ms = int(self._now * 1000)
        times = [min(at, now_ms) for at in map(created, found.values()) if at is not None]
        last = None if before.newest is None else min(before.newest, now_ms)
        newest = max([*times, *([] if last is None else [last])], default=None)
        words: list[Any] = []
        full = len(found) >= (1 if before.ids else KNOWN)  # what follows an empty list is whole unless it is full
        if self.known is not None and full and not met:
            words = self._missed(last, times, len(found), now_ms)
        ids = (*found, *before.ids)[:KNOWN]
        self.known = Known(before.path, ids, newest, etag, url)
        return (*words, *reversed(found.values()), self.known.mark())

    def _missed(self, last: int | None, times: list[int], count: int, now_ms: int) -> list[Any]:
        """A gap, where events must have been pushed out; those of more than a month ago went in their own time.

        Args:
            last: when the newest of those that are known happened; where none is, all since the last poll may be gone.
            times: of those that are new; of one that says to be older than `last` nothing follows.
        """
        if last is not None and last < now_ms - WINDOW + WINDOW_MARGIN and count < KNOWN:
            return []
        start = self.read if last is None else last
        end = min([at for at in times if start is None or at >= start], default=now_ms)
        return [Missed(start=end if start is None else min(start, end), end=end)]

    def _read(
        self, response: Response, before: Known, found: dict[str, bytes], top: _Age | None
    ) -> tuple[_Age | None, bool]:
        """Collect a page's events that are not known.

        What happens while we read pushes the others on to later pages, where they are found twice; and is itself the
        next poll's, or what lies between it and the first page would never be looked for.

        Args:
            top: the newest of the first page; None where this is the first page.

        Returns:
            The newest of the first page, and whether an event that is known was on this one.
        """
        if response.status != 200:
            raise _Stop(github_asking.refusal(response))
        try:
            rows = _rows(response.body)
        except UNREADABLE as error:
            raise _Stop(Ending(cause=backoff.HTTP, detail=f"no list of events came: {brief(str(error))}")) from error
        keyed = [(identity(row), row) for row in rows]
        if top is None:
            top = max([_age(id_, row) for id_, row in keyed], default=None)
        ids = frozenset(before.ids)
        for id_, row in keyed:
            if id_ not in ids and (top is None or _age(id_, row) <= top):
                found.setdefault(id_, row)
        return top, any(id_ in ids for id_, _ in keyed)

    def _ask(self, url: str, etag: str | None) -> Generator[Any, Any, tuple[Response, str, str | None]]:
        """Ask, after the wait that is due, and follow redirects.

        Returns:
            The answer, where it came from, and where the list is from now on, if it has moved for good.
        """
        kept: str | None = None
        lasting = True
        for _ in range(REDIRECTS + 1):
            if self._until:
                yield Wait(self._until, SPREAD)
            response: Response = yield self.asking.request(url, etag)
            self._now = response.received
            self._pause = max(self._pause, github_asking.poll_interval(response))
            self._until = github_asking.exhausted(response)
            if response.status not in REDIRECTED:
                return response, url, kept
            target = github_asking.moved(response, url)
            if target is None or not self.asking.own(target):
                said = brief(target or "nowhere")
                raise _Stop(
                    Ending(
                        cause=backoff.HTTP, detail=f"a redirect leads to {said}, which is not followed; see base_url"
                    )
                )
            lasting = lasting and response.status in MOVED
            kept = target if lasting else kept
            url = target
        raise _Stop(Ending(cause=backoff.HTTP, detail=f"more than {REDIRECTS} redirects in a row"))


def _rows(body: bytes) -> list[bytes]:
    """The events of a page as they came; half a surrogate pair in one of them harms no other.

    Raises:
        DecodeError, UnicodeDecodeError, RecursionError: those of `UNREADABLE`; it is no list.
    """
    try:
        return [bytes(row) for row in _decode_list(body)]
    except UNREADABLE:
        mended = without_lone_surrogates(body)
        if mended == body:
            raise
    rows, at = list[bytes](), 0
    for row in map(bytes, _decode_list(mended)):
        at = mended.index(row, at)
        rows.append(body[at : at + len(row)])  # what is put in place of an escape is as long
        at += len(row)
    return rows


def _age(id_: str, row: bytes) -> _Age:
    return created(row) or 0, int(id_) if id_.isdecimal() and id_.isascii() else 0


def _kept_tag(etag: str) -> str | None:
    """A tag to be given back as it came; none that could not be."""
    return etag if 0 < len(etag) <= TAG_LIMIT and etag.isascii() and etag.isprintable() else None
