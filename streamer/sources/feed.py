# -*- test-case-name: tests.unit.test_sources_feed -*-
"""A feed, RSS or Atom, polled: `type = "feed"`.

https://www.rssboard.org/rss-specification and https://www.rfc-editor.org/rfc/rfc4287. Each entry is an item of the
kind `entry`, and an item again when its text changed; its body is a `feed_objects.FeedEntry` as JSON, since no slice
of a feed is one entry by itself. What was seen is remembered beyond restarts (`feed_memory`); when a whole page is
new, that is announced as a gap, for there may have been more. When an entry was posted is not told: feeds hand things
in later, so everything is ours up to the last poll, whatever the dates in it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import attrs
import msgspec
from msgspec import Meta
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.asks import Hook, Poll
from streamer.interfaces import IFramer, ISource, ISourceType, Outcome
from streamer.message import Item
from streamer.policy.transport import account, checked_base_url
from streamer.sources import answers, feed_address, feed_memory, feed_payload
from streamer.sources.feed_polling import STATUSES, Polls, Terms
from streamer.sources.feed_push import Push
from streamer.sources.fixed import Fixed
from streamer.upstream import Ending, Mark, Missed, Response, Resume, Warned
from streamer.wire.whole import Whole

REPLAYED = 10_000  # ms before the end of what is ours: a poll sees by itself what it missed


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "feed"`.

    Args:
        url: of the feed.
        base_url: asked in place of the url's scheme and host: a proxy, or a test.
        allow_http: plain http may be used beyond this machine.
        interval: seconds between two polls at least; sooner after news, later without.
        interval_max: seconds between two polls at most; the feed's own wishes (ttl, max-age, updatePeriod) are heeded
            up to that.
        backlog: entries to take at the first contact ever.
        websub: the public URL that our hooks are below, such as "https://example.org/hooks": where a feed names a hub,
            that brings what is new at once, and polls become rare. Empty: only poll.
        size_limit: bytes of a page. A page is read in one go: 2 MB take 0.1 s, the worst 0.4 s, 5 MB 1 s.
    """

    url: str
    base_url: str | None = None
    allow_http: bool = False
    interval: Annotated[float, Meta(ge=1, le=604_800)] = 900.0
    interval_max: Annotated[float, Meta(ge=1, le=604_800)] = 21_600.0
    backlog: Annotated[int, Meta(ge=0, le=200)] = 20
    websub: str = ""
    size_limit: Annotated[int, Meta(ge=1_000, le=5_000_000)] = 2_000_000
    stall_after: Annotated[float, Meta(gt=0)] = math.inf
    profile: Literal["poll"] = "poll"


@implementer(ISource)
@attrs.frozen
class Feed(Fixed):
    """One feed; see `ISource` for each of its parts.

    Args:
        url: as it is asked for, before any redirect; it may hold a token.
        scope: host of the feed.
        websub: the public URL that hooks are below; empty without WebSub.
        fresh: a new word that nobody can guess.
    """

    name: str
    url: str = attrs.field(repr=False)
    scope: str
    terms: Terms
    profile: str
    stall_after: float
    credential: str
    lane: str
    websub: str = ""
    fresh: Callable[[], str] = attrs.field(default=lambda: secrets.token_urlsafe(32), eq=False, repr=False)

    def request(self, resume: Resume | None, now_ms: int) -> Poll:
        """Polls that go on with what is remembered, where it is of this feed."""
        memory, known = feed_memory.begun(self.url, None if resume is None else resume.cursor)
        since = None if resume is None else resume.received
        replays_from = since - REPLAYED if since is not None and known else None
        if not self.websub:
            polls = Polls(self.terms, self.url, memory, known, since)
            return Poll(polls.steps, replays_from)
        if memory.hub is None:
            memory = memory.with_validators(None, None)  # a whole answer names the hub
        push = Push.of(self.url, self.websub, self.fresh, memory.hub)
        polls = Polls(self.terms, self.url, memory, known, since, push)
        path = push.subscription.kept.path
        hook = Hook(path, polls.called, body_limit=self.terms.size_limit, methods=("GET", "POST"))
        return Poll(polls.steps, replays_from, hook)

    def refusal(self, response: Response) -> Ending:
        """Never asked for: the polls know what each answer means."""
        return answers.refusal(response, STATUSES)

    def framer(self) -> IFramer:
        """Entries come whole."""
        return Whole()

    def outcomes(self, frame: bytes | Mark | Missed | Warned, received_ms: int) -> Sequence[Outcome]:
        """An entry, or a word of the polls."""
        if isinstance(frame, Mark | Missed | Warned):
            return (frame,)
        return (feed_payload.item_of(self.name, frame, received_ms),)

    def posted(self, item: Item) -> None:
        """Nobody knows: a date of publication is no date of appearance."""

    def decode(self, item: Item) -> Activity:
        """See `feed_payload.decode`."""
        return feed_payload.decode(item, self.scope)


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _FeedType:
    name: str = "feed"
    settings: type = Settings
    predicates: None = None
    kinds: frozenset[str] = frozenset({feed_payload.KIND})

    def build(self, name: str, settings: Settings) -> Feed:
        url = feed_address.checked(settings.url, plain=settings.allow_http or settings.base_url is not None)
        if settings.interval > settings.interval_max:
            raise ValueError(
                f"interval, {settings.interval:g} s, is longer than interval_max, {settings.interval_max:g} s"
            )
        asked = url if settings.base_url is None else feed_address.rebased(url, checked_base_url(settings.base_url))
        terms = Terms(
            settings.interval, settings.interval_max, settings.backlog, settings.size_limit, settings.allow_http
        )
        return Feed(
            name,
            asked,
            feed_address.host(url),
            terms,
            settings.profile,
            settings.stall_after,
            credential=account(feed_address.host(asked)),
            lane=account(asked),
            websub=_callbacks(settings.websub) if settings.websub else "",
        )


def _callbacks(url: str) -> str:
    """Where hubs reach our hooks; they are told a secret and bring content, so not in the clear."""
    try:
        return checked_base_url(url)
    except ValueError as error:
        raise ValueError(str(error).replace("base_url", "websub").replace("api.x.com", "example.org/hooks")) from None


feed = _FeedType()
