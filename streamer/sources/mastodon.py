# -*- test-case-name: tests.unit.test_sources_mastodon -*-
"""The streams of a Mastodon server: `type = "mastodon"`.

https://docs.joinmastodon.org/methods/streaming/ — by server-sent events, one stream a connection, or by websocket,
any number. Nothing can be resumed; what was missed is fetched from the timelines (`mastodon_gaps`). Since Mastodon 4.2
every stream needs a user's token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import attrs
import msgspec
from msgspec import Meta
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.asks import Ask, Dial, Poll
from streamer.interfaces import IFramer, ISource, ISourceType, Outcome, Preparation
from streamer.message import Item
from streamer.policy.transport import account, checked_base_url, checked_token
from streamer.secrets import Secret
from streamer.sources import mastodon_events, mastodon_gaps, mastodon_payload, mastodon_streams
from streamer.sources.mastodon_streams import Predicates, Stream
from streamer.upstream import Ending, Prepared, Request, Response, Resume
from streamer.wire.sse import Sent, ServerSent
from streamer.wire.whole import Whole

# Three times what the server sends into a silence: ":thump" every 15 s, a ping every 30 s:
# https://github.com/mastodon/mastodon/blob/main/streaming/index.js
STALL_AFTER = {"sse": 45.0, "websocket": 90.0}  # seconds
PATH = "/api/v1/streaming"
DEFAULT = "https://mastodon.social"
ELSEWHERE = {DEFAULT: "https://streaming.mastodon.social"}  # servers known to stream from another host


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "mastodon"`.

    Args:
        base_url: of the server.
        streaming_url: where it streams, if that is another host; `configuration.urls.streaming` of
            `/api/v2/instance` says.
        token: of a user.
        transport: "sse" for one stream, "websocket" for any number.
        private: make events, which anybody may see, of posts and notifications that are not for everybody, too.
        stall_after: seconds without a byte; by default 45 with server-sent events, 90 with a websocket.
    """

    token: Secret
    base_url: str = DEFAULT
    streaming_url: str | None = None
    transport: Literal["sse", "websocket"] = "sse"
    predicates: Predicates = Predicates()
    private: bool = False
    stall_after: Annotated[float, Meta(gt=0, le=3600)] | None = None
    profile: Literal["stream"] = "stream"


@implementer(IFramer)
@attrs.define
class Frames:
    """Events of a stream where bytes come; whole frames pass, for a recovery has them."""

    events: ServerSent = attrs.field(factory=ServerSent)
    whole: Whole = attrs.field(factory=Whole)

    def feed(self, data: Any) -> Sequence[Sent | bytes]:
        """See `IFramer.feed`."""
        return self.events.feed(data) if isinstance(data, bytes) else self.whole.feed(data)

    def finish(self) -> bytes:
        """See `IFramer.finish`."""
        return self.events.finish()

    @property
    def skipped(self) -> int:
        """See `IFramer`."""
        return self.events.skipped + self.whole.skipped

    @property
    def pending(self) -> bool:
        """See `IFramer`."""
        return self.events.pending


@implementer(ISource)
@attrs.frozen
class Mastodon:
    """Streams of one server; see `ISource` for each of its parts."""

    name: str
    base_url: str
    streaming_url: str
    settings: Settings = attrs.field(repr=False)
    predicates: Predicates
    streams: tuple[Stream, ...]
    profile: str
    stall_after: float
    credential: str  # the account
    lane: str  # the source's own: a server lets one account listen as often as it likes
    live_predicates: bool = False

    def with_predicates(self, predicates: Predicates) -> Mastodon:
        """See `ISource` and `mastodon_streams.streams`."""
        return attrs.evolve(self, predicates=predicates, streams=_streams(predicates, self.settings.transport))

    def changes(self, other: ISource) -> int:
        """See `mastodon_streams.changes`."""
        return mastodon_streams.changes(self.predicates, other.predicates)

    def prepare(self, dry_run: bool) -> Preparation:
        """Nothing is to be done before the stream."""
        yield from ()
        return Prepared()

    def request(self, resume: Resume | None, now_ms: int) -> Ask:
        """One stream over HTTP, or a websocket on which all are subscribed to."""
        if self.settings.transport == "sse":
            return _get(self.settings, f"{self.streaming_url}{PATH}/{self.streams[0].path}", "text/event-stream")
        url = self.streaming_url.replace("http", "ws", 1) + PATH
        hello = [stream.subscription for stream in self.streams]
        return Dial((url,), headers=_authorisation(self.settings), hello=hello)

    def recovery(self, from_ms: int, to_ms: int, cursor: str | None = None) -> Poll | None:
        """See `mastodon_gaps.recovery`."""
        base = f"{self.base_url}/api/v1/timelines/"
        return mastodon_gaps.recovery(
            self.streams, lambda path: _get(self.settings, base + path, "application/json"), from_ms, to_ms, cursor
        )

    def refusal(self, response: Response) -> Ending:
        """See `mastodon_events.refusal`."""
        return mastodon_events.refusal(response)

    def framer(self) -> IFramer:
        """See `Frames`."""
        return Frames()

    def outcomes(self, frame: Any, received_ms: int) -> Sequence[Outcome]:
        """See `mastodon_events.outcomes`."""
        if isinstance(frame, Sent | bytes):
            return mastodon_events.outcomes(self.name, frame, received_ms)
        return [frame]

    def posted(self, item: Item) -> int | None:
        """See `mastodon_payload.posted`."""
        return mastodon_payload.posted(item)

    def decode(self, item: Item) -> Activity:
        """See `mastodon_payload.decode`."""
        return mastodon_payload.decode(item, urlsplit(self.base_url).netloc, private=self.settings.private)


def _authorisation(settings: Settings) -> dict[str, str]:
    return {"Authorization": f"Bearer {settings.token.reveal()}"}


def _get(settings: Settings, url: str, accept: str) -> Request:
    return Request(url=url, headers={**_authorisation(settings), "Accept": accept})


def _streams(predicates: Predicates, transport: str) -> tuple[Stream, ...]:
    found = mastodon_streams.streams(predicates)
    if transport == "sse" and len(found) > 1:
        raise ValueError('names several streams, which take transport = "websocket"; server-sent events carry one')
    return found


def _streaming_url(settings: Settings) -> str:
    base_url = checked_base_url(settings.base_url)
    written = ELSEWHERE.get(base_url, base_url) if settings.streaming_url is None else settings.streaming_url
    if written.lower().startswith(("ws://", "wss://")):  # as servers tell it
        written = "http" + written[2:]
    try:
        return checked_base_url(written)
    except ValueError as error:
        raise ValueError(str(error).replace("base_url", "streaming_url")) from None


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _MastodonType:
    name: str = "mastodon"
    settings: type = Settings
    predicates: type = Predicates
    kinds: frozenset[str] = mastodon_events.KINDS

    def build(self, name: str, settings: Settings) -> Mastodon:
        base_url, token = checked_base_url(settings.base_url), checked_token(settings.token.reveal())
        who = account(base_url, token)
        return Mastodon(
            name,
            base_url,
            _streaming_url(settings),
            settings,
            settings.predicates,
            _streams(settings.predicates, settings.transport),
            settings.profile,
            settings.stall_after or STALL_AFTER[settings.transport],
            credential=who,
            lane=f"{who} {name}",
        )


mastodon = _MastodonType()
