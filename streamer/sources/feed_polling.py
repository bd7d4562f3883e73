# -*- test-case-name: tests.unit.test_sources_feed_polling -*-
"""The polls of a feed, as a generator: conditional requests, redirects, and how long to wait.

https://www.rfc-editor.org/rfc/rfc9110#section-13.1: validators go back exactly as they came, both of them, for some
servers know only one. What moved for good is asked for at its new place, and where it was when that fails: a redirect
may have been a mistake, or have led to a host that is another's now. What is gone is asked for no more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator
from typing import Any

import attrs
import msgspec

from streamer.asks import Page, Polling, Posted, Reply, Taken, Wait
from streamer.policy import backoff
from streamer.sources import answers, feed_address, feed_document, feed_entries, feed_memory
from streamer.sources.feed_memory import Memory, News
from streamer.sources.feed_push import Push
from streamer.upstream import Ending, Mark, Missed, Request, Response, Warned, brief

Frame = bytes | Missed | Warned
_Had = tuple[Response, tuple[Frame, ...]]

ACCEPT = (
    "application/atom+xml, application/rss+xml, application/rdf+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1"
)
MOST_REDIRECTS = 5
FOR_GOOD = frozenset({301, 308})
FOR_NOW = frozenset({302, 303, 307})
# A 404 or a 406 of today is often cured tomorrow, and nobody watches a hundred feeds: only 410 is believed for good,
# and what is no matter of rights or rates is asked for again, at the pace of an error.
STATUSES = {
    401: backoff.AUTHORISATION,
    403: backoff.AUTHORISATION,
    410: backoff.GONE,
    420: backoff.RATE_LIMIT,
    429: backoff.RATE_LIMIT,
}
LONG = f"of a page {feed_entries.PAGE_LIMIT} are looked at, and what is new may be among the others"
SLOWER, FASTER = 1.5, 0.5  # times the last wait, after a poll without news and after one with
SPREAD = 0.1  # share of a wait

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


@attrs.frozen
class Terms:
    """How a feed is to be polled.

    Args:
        interval, interval_max: seconds between two polls, at least and at most.
        backlog: entries to take at the first contact ever.
        size_limit: bytes of a page.
        plain: http is allowed beyond this machine.
    """

    interval: float
    interval_max: float
    backlog: int
    size_limit: int
    plain: bool = False


@attrs.define
class Polls:
    """The polls of one connection.

    Args:
        url: of the feed, as configured.
        memory: of the feed.
        known: the memory is that of an earlier poll.
        since_ms: up to when everything came in, ms since the epoch.
        push: the subscription at the feed's hub; None without one.
    """

    terms: Terms
    url: str
    memory: Memory
    known: bool
    since_ms: int | None
    push: Push | None = None
    _wait: float = 0.0  # seconds before the last poll
    _pace: float = 0.0  # seconds that the feed asked for
    _last: bytes = b""  # a hash of the last page
    _told: bool = False  # that the page is too long

    def steps(self) -> Polling:
        """See `asks.Poll`."""
        while True:
            had = yield from self._had()
            if isinstance(had, Ending):
                return had
            answer, frames = had
            self.since_ms = int(answer.received * 1000)
            yield self._page(frames)
            request = None if self.push is None else self.push.subscription.due(answer.received)
            if self.push is not None and request is not None:
                yield self._page(())  # whatever happens to it, it is not made again at once
                yield from self.push.ask(request)
                yield self._page(self.push.warning())
            yield Wait(self._next(answer, news=any(isinstance(frame, bytes) for frame in frames)), SPREAD)

    def called(self, posted: Posted) -> Reply | Taken:
        """The hub calls: see `asks.Hook`."""
        if self.push is None:
            return Reply(status=404)
        said = self.push.subscription.called(posted)
        if isinstance(said, Reply):
            return said
        try:
            news = self._news(said.body, said.content_type, part=True)
        except feed_document.NoFeed:
            return said.reply  # a hub that is told of it would only bring it again
        self.memory = news.memory
        return Taken(frames=self._page(_frames(news)).frames, reply=said.reply)

    def _had(self) -> Generator[Request, Response, _Had | Ending]:
        """Ask where the feed is remembered to be, and where that fails, where it is configured to be."""
        remembered = self.memory.url
        again: _Had | Ending | None
        try:
            had: _Had | Ending = yield from self._at(remembered)
        except Exception as error:  # the network's
            if remembered == self.url:
                raise
            again = yield from self._at(self.url, remembered)
            if again is None:
                raise error from None
            return again
        if remembered == self.url or not isinstance(had, Ending) or had.cause == backoff.RATE_LIMIT:
            return had
        again = yield from self._at(self.url, remembered)
        return had if again is None else again

    def _at(self, url: str, failed: str = "") -> Generator[Request, Response, Any]:
        """Ask for the feed at a place; where it leads for good is remembered once it proved good.

        Args:
            failed: where it was looked for in vain, and what validators are of; None is returned where it leads there.
        """
        here, place, lasting = url, url, True
        for _ in range(MOST_REDIRECTS + 1):
            if here == failed:
                return None
            answer = yield Request(url=here, headers=_headers(self.memory, whole=bool(failed)))
            if answer.status not in FOR_GOOD | FOR_NOW:
                if answer.status not in (200, 304):
                    refused = answers.refusal(answer, STATUSES)
                    return self._ended(refused.detail, here, refused.cause, refused.retry_after)
                self.memory = msgspec.structs.replace(self.memory, url=place)
                frames = self._understood(answer)
                return self._ended(frames, here) if isinstance(frames, str) else (answer, frames)
            try:
                here = feed_address.led_to(here, answer.headers.get("location", ""), plain=self.terms.plain)
            except ValueError as error:
                return self._ended(brief(f"{answer.status}: a redirect that is not followed: {error}"), here)
            lasting = lasting and answer.status in FOR_GOOD
            place = here if lasting else place
        return self._ended(f"more than {MOST_REDIRECTS} redirects, the last to {feed_address.host(here)}", here)

    def _ended(self, detail: str, here: str, cause: str = backoff.HTTP, retry_after: float | None = None) -> Ending:
        """An ending that names the host that was asked, where it is not the configured one, and shows no tokens."""
        host = feed_address.host(here)
        at = "" if host == feed_address.host(self.url) else f"{host}, to where it moved: "
        shown = feed_address.shown(detail, self.url, self.memory.url, here)
        return Ending(cause=cause, detail=at + shown, retry_after=retry_after)

    def _understood(self, answer: Response) -> tuple[Frame, ...] | str:
        """The frames of an answer, or why there are none; what they leave is remembered."""
        etag, modified = _validators(answer)
        if answer.status == 304:
            self.memory = self.memory.with_validators(etag or self.memory.etag, modified or self.memory.modified)
            return ()
        if len(answer.body) > self.terms.size_limit:
            return f"the feed has more than {self.terms.size_limit} bytes; raise size_limit if that is no mistake"
        page = hashlib.sha256(answer.body).digest()
        if page == self._last:
            self.memory = self.memory.with_validators(etag, modified)
            return ()
        try:
            news = self._news(answer.body, answer.headers.get("content-type", ""), answer=answer)
        except feed_document.NoFeed as error:
            return brief(f"200, but {error}")
        self.memory, self.known, self._last = news.memory.with_validators(etag, modified), True, page
        frames: tuple[Frame, ...] = _frames(news)
        if news.broken and self.since_ms is not None:
            frames = (*frames, Missed(start=self.since_ms, end=int(answer.received * 1000)))
        if news.more and not self._told:
            self._told = True
            frames = (*frames, Warned(detail=f"the feed has {news.more} entries too many: {LONG}"))
        return frames

    def _news(self, body: bytes, content_type: str, *, part: bool = False, answer: Response | None = None) -> News:
        """What a document brings; that of an answer also says how the feed wants to be asked."""
        root = feed_document.root_of(body, content_type, self.memory.url)
        read = feed_entries.read(root)
        if answer is not None:
            self._pace = read.pace
            if self.push is not None:
                self.push.found(answer, read.links, self.memory.url)
        backlog = None if self.known else self.terms.backlog
        return feed_memory.news(read, self.memory, backlog, part=part)

    def _page(self, frames: tuple[Frame, ...]) -> Page:
        """Frames, and what is remembered after them."""
        if self.push is not None:
            self.memory = msgspec.structs.replace(self.memory, hub=self.push.kept)
        return Page((*frames, Mark(feed_memory.written(self.memory))))

    def _next(self, answer: Response, *, news: bool) -> float:
        """Seconds until the next poll: sooner after news, later without, never sooner than the feed asks for."""
        terms = self.terms
        self._wait = min(max(self._wait * (FASTER if news else SLOWER), terms.interval), terms.interval_max)
        said = _MAX_AGE.search(answer.headers.get("cache-control", "")[:400])
        asked = max(self._pace, float(said[1]) if said else 0.0)
        if self.push is None:
            return max(self._wait, min(asked, terms.interval_max))
        if self.push.subscription.active(answer.received):
            asked = terms.interval_max  # the hub brings what is new; this is for what it loses
        return min(max(self._wait, min(asked, terms.interval_max)), self.push.pause(answer.received))


def _frames(news: News) -> tuple[bytes, ...]:
    return tuple([msgspec.json.encode(entry) for entry in news.entries])


def _validators(answer: Response) -> tuple[str | None, str | None]:
    """ETag and date; not a date of this very second, in which there may be more to come.

    https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2
    """
    modified = answer.headers.get("last-modified")
    return answer.headers.get("etag"), None if modified == answer.headers.get("date") else modified


def _headers(memory: Memory, *, whole: bool) -> dict[str, str]:
    """Those of a request; without validators where the whole page is wanted."""
    headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip"}
    if whole:
        return headers
    if memory.etag is not None:
        headers["If-None-Match"] = memory.etag
    if memory.modified is not None:
        headers["If-Modified-Since"] = memory.modified
    return headers
