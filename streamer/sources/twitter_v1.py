# -*- test-case-name: tests.unit.test_sources_twitter_v1 -*-
"""Streams of the kind of Twitter's API v1.1: `type = "twitter-v1"`.

https://developer.twitter.com/en/docs/twitter-api/v1/tweets/filter-realtime/overview — the form that all these streams
had from 2009 on, and compatible servers still speak it. One request says what is wanted, for as long as the connection
lasts: other predicates take a new connection. One account has one connection, whatever its streams. Nothing can be
repeated by time; `backfill_count` asks for so many of the last posts, which says nothing about since when.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import attrs
import msgspec
from msgspec import Meta
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.interfaces import IFramer, ISource, ISourceType, Outcome, Preparation
from streamer.message import Item
from streamer.policy import backoff, oauth
from streamer.policy.transport import checked_base_url
from streamer.secrets import Secret
from streamer.sources import twitter_control, twitter_payload, twitter_predicates, x_answers
from streamer.sources.twitter_auth import Basic, OAuth, chosen
from streamer.sources.twitter_predicates import Predicates
from streamer.upstream import Ending, Prepared, Request, Response, Resume
from streamer.wire.lengths import Lengths
from streamer.wire.lines import Lines

STALL_AFTER = 90.0  # seconds; three of the upstream's 30 s keep-alives
COUNT_LIMIT = 150_000  # posts that `count` may ask for


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "twitter-v1"`; credentials of one kind, either four keys or user and password.

    Args:
        stream: "filter" by predicates, or "sample" of all.
        delimited: how messages are told apart; "length" where a server can.
        gzip: let the server compress.
        stall_warnings: let the server say when we read too slowly.
        backfill_count: how many of the last posts to ask for on each connect (elevated access); a negative count,
            which ends the connection after them, is of no use here.
    """

    consumer_key: Secret | None = None
    consumer_secret: Secret | None = None
    token: Secret | None = None
    token_secret: Secret | None = None
    user: str | None = None
    password: Secret | None = None
    base_url: str = "https://stream.twitter.com"
    stream: Literal["filter", "sample"] = "filter"
    predicates: Predicates = Predicates()
    delimited: Literal["newline", "length"] = "newline"
    gzip: bool = False
    stall_warnings: bool = True
    backfill_count: Annotated[int, Meta(ge=0, le=COUNT_LIMIT)] = 0
    stall_after: Annotated[float, Meta(gt=0, le=3600)] = STALL_AFTER
    profile: Literal["x", "2010"] = "x"


@implementer(ISource)
@attrs.frozen
class TwitterV1:
    """One v1.1 stream; see `ISource` for each of its parts."""

    name: str
    base_url: str
    settings: Settings = attrs.field(repr=False)
    auth: OAuth | Basic = attrs.field(repr=False)
    predicates: Predicates
    profile: str
    stall_after: float
    credential: str  # the account
    lane: str  # the account too: a new connection to either of its streams closes the oldest one
    live_predicates: bool = False

    def with_predicates(self, predicates: Predicates) -> TwitterV1:
        """See `ISource` and `twitter_predicates.check`."""
        twitter_predicates.check(predicates, self.settings.stream)
        if self.settings.stream == "filter" and not twitter_predicates.chooses(predicates):
            raise ValueError(twitter_predicates.NOTHING)
        return attrs.evolve(self, predicates=predicates)

    def changes(self, other: ISource) -> int:
        """See `twitter_predicates.changes`."""
        return twitter_predicates.changes(self.predicates, other.predicates)

    def prepare(self, dry_run: bool) -> Preparation:
        """Ask the server nothing; refuse only to ask for nothing, for predicates may come later than the settings."""
        yield from ()
        if self.settings.stream == "filter" and not twitter_predicates.chooses(self.predicates):
            return Ending(cause=backoff.REFUSED, detail=f"[sources.{self.name}] {twitter_predicates.NOTHING}")
        return Prepared()

    def request(self, resume: Resume | None, now_ms: int) -> Request:
        """The stream: filter by POST, for its predicates are too long for a URL, sample by GET."""
        asked = [*_options(self.settings), *twitter_predicates.parameters(self.predicates)]
        url = f"{self.base_url}/1.1/statuses/{self.settings.stream}.json"
        method = "POST" if self.settings.stream == "filter" else "GET"
        headers = {"Authorization": self.auth.header(method, url, asked, now_ms)}
        if self.settings.gzip:
            headers["Accept-Encoding"] = "gzip"
        body = oauth.form(asked)
        if method == "GET":
            return Request(url=f"{url}?{body}" if body else url, headers=headers)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return Request(method=method, url=url, headers=headers, body=body.encode())

    def recovery(self, from_ms: int, to_ms: int, cursor: str | None = None) -> Request | None:
        """None ever: no part of the past can be had."""
        return None

    def refusal(self, response: Response) -> Ending:
        """See `x_answers.refusal`; 401 has a second reason here."""
        ending = x_answers.refusal(response)
        if response.status != 401:
            return ending
        hint = "the credentials are wrong, or the clock of this machine is off by minutes"
        return msgspec.structs.replace(ending, detail=f"{ending.detail}; {hint}")

    def framer(self) -> IFramer:
        """As asked for."""
        return Lengths() if self.settings.delimited == "length" else Lines()

    def outcomes(self, frame: bytes, received_ms: int) -> Sequence[Outcome]:
        """See `twitter_control.outcomes`."""
        return twitter_control.outcomes(self.name, frame, received_ms)

    def posted(self, item: Item) -> int | None:
        """See `twitter_payload.posted`."""
        return twitter_payload.posted(item)

    def decode(self, item: Item) -> Activity:
        """See `twitter_payload.decode`."""
        return twitter_payload.decode(item)


def _options(settings: Settings) -> list[tuple[str, str]]:
    wanted = {
        "delimited": "length" if settings.delimited == "length" else "",
        "stall_warnings": "true" if settings.stall_warnings else "",
        "count": str(settings.backfill_count or ""),
    }
    return [(name, value) for name, value in wanted.items() if value]


def _auth(settings: Settings) -> OAuth | Basic:
    parts = {name: getattr(settings, name) for name in oauth.Keys.__struct_fields__}
    shown = {name: None if secret is None else secret.reveal() for name, secret in parts.items()}
    return chosen(shown, settings.user, None if settings.password is None else settings.password.reveal())


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _TwitterV1Type:
    name: str = "twitter-v1"
    settings: type = Settings
    predicates: type = Predicates
    kinds: frozenset[str] = twitter_control.KINDS

    def build(self, name: str, settings: Settings) -> TwitterV1:
        twitter_predicates.check(settings.predicates, settings.stream)
        base_url, auth = checked_base_url(settings.base_url), _auth(settings)
        account = auth.account(base_url)
        return TwitterV1(
            name,
            base_url,
            settings,
            auth,
            settings.predicates,
            settings.profile,
            settings.stall_after,
            credential=account,
            lane=account,
        )


twitter_v1 = _TwitterV1Type()
