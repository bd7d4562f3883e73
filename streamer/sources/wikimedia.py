# -*- test-case-name: tests.unit.test_sources_wikimedia -*-
"""Edits, logs and new pages of Wikipedia and its sisters: `type = "wikimedia"`.

https://wikitech.wikimedia.org/wiki/Event_Platform/EventStreams_HTTP_Service — server-sent events, several streams on
one connection. The server ends each connection after fifteen minutes, which is no trouble: the id of the last event,
given back, resumes after it, up to seven days later. It filters nothing; `predicates` choose here, before the bus.
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
from streamer.policy import backoff
from streamer.policy.transport import account, checked_base_url
from streamer.sources import wikimedia_asking, wikimedia_payload
from streamer.sources.wikimedia_payload import CANARY, Record
from streamer.upstream import Ending, Mark, Prepared, Request, Response, Resume, brief
from streamer.wire.sse import Sent, ServerSent

BUSY = frozenset({"recentchange", "mediawiki.recentchange"})  # about 30 events a second
STALL_AFTER = 60.0  # seconds, of those: nothing else shows that they live
STALL_AFTER_QUIET = 1_000.0  # seconds, of the others: the server hangs up after 900


class Predicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>.predicates]`; what is left out is not asked about, all that is there must hold.

    Args:
        wikis: names of databases, such as "enwiki".
        namespaces: numbers; articles are 0, talk pages odd.
        types: of `recentchange`: edit, new, log, categorize, external; of `page_change`: create, edit, delete, …
        bots: only what bots do, or nothing of it.
    """

    wikis: tuple[str, ...] | None = None
    namespaces: tuple[int, ...] | None = None
    types: tuple[str, ...] | None = None
    bots: bool | None = None

    def choose(self, record: Record) -> bool:
        """Whether this event is asked for."""
        return (
            (self.wikis is None or record.scope in self.wikis)
            and (self.namespaces is None or record.space in self.namespaces)
            and (self.types is None or record.action in self.types)
            and (self.bots is None or bool(record.by_bot) is self.bots)
        )


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "wikimedia"`.

    Args:
        streams: all on one connection.
        contact: who runs this, for the User-Agent: an e-mail address or a URL.
        since: where the very first connection begins, as a time or in ms since the epoch; later ones go on where the
            last one ended.
        stall_after: seconds of silence; by default it depends on how much the streams have to say.
    """

    base_url: str = "https://stream.wikimedia.org"
    streams: tuple[str, ...] = ("recentchange",)
    contact: str | None = None
    since: str | int | None = None
    predicates: Predicates = Predicates()
    stall_after: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    profile: Literal["stream"] = "stream"


@implementer(ISource)
@attrs.frozen
class Wikimedia:
    """Streams of Wikimedia on one connection; see `ISource` for each of its parts."""

    name: str
    base_url: str
    streams: tuple[str, ...]
    user_agent: str | None
    since: int | None  # ms since the epoch
    predicates: Predicates
    profile: str
    stall_after: float
    credential: str  # this machine's address
    lane: str  # its own: connections do not disturb each other
    live_predicates: bool = False

    def with_predicates(self, predicates: Predicates) -> Wikimedia:
        """See `ISource`."""
        return attrs.evolve(self, predicates=_checked(predicates))

    def changes(self, other: ISource) -> int:
        """How many of the predicates differ."""
        theirs = other.predicates
        return sum(getattr(self.predicates, key) != getattr(theirs, key) for key in Predicates.__struct_fields__)

    def prepare(self, dry_run: bool) -> Preparation:
        """Nothing is to be done before the stream."""
        yield from ()
        return Prepared()

    def request(self, resume: Resume | None, now_ms: int) -> Request:
        """The stream, from where `wikimedia_asking.place` says."""
        last_id, since, replays_from = wikimedia_asking.place(self.streams, self.since, resume, now_ms)
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if self.user_agent is not None:
            headers["User-Agent"] = self.user_agent
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        url = f"{self.base_url}/v2/stream/{','.join(self.streams)}"
        return Request(
            url=url if since is None else f"{url}?since={since}", headers=headers, replays_from=replays_from
        )

    def recovery(self, from_ms: int, to_ms: int, cursor: str | None = None) -> Request | None:
        """None ever: what a connection can repeat, the next one does."""
        return None

    def refusal(self, response: Response) -> Ending:
        """See `wikimedia_asking.refusal`."""
        return wikimedia_asking.refusal(response)

    def framer(self) -> IFramer:
        """Server-sent events."""
        return ServerSent()

    def outcomes(self, frame: Sent, received_ms: int) -> Sequence[Outcome]:
        """The event as an item, if it was asked for, and where to go on after it.

        That is said after every event, so that those that nobody asked for move the cursor, too.

        Raises:
            DecodeError: it is none.
        """
        if frame.event == "error":
            said = brief(frame.data[:1000].decode("utf-8", "replace"))
            return [Ending(cause=backoff.HTTP, detail=f"the stream ends with an error: {said}")]
        record = wikimedia_payload.read(frame.data)
        cursor = frame.id if 0 < len(frame.id) <= wikimedia_asking.CURSOR_LIMIT else None
        mark = [] if cursor is None else [Mark(cursor)]
        if record.meta.domain == CANARY or not self.predicates.choose(record):
            return mark
        item = Item(
            source=self.name,
            kind="change",
            id=wikimedia_payload.identity(record, frame.data),
            received=received_ms,
            body=frame.data,
            cursor=cursor,
            partition=wikimedia_payload.partition(record),
        )
        return [item, *mark]

    def posted(self, item: Item) -> int | None:
        """See `wikimedia_payload.posted`."""
        return wikimedia_payload.posted(item)

    def decode(self, item: Item) -> Activity:
        """See `wikimedia_payload.decode`."""
        return wikimedia_payload.decode(item)


def _checked(predicates: Predicates) -> Predicates:
    for key in ("wikis", "namespaces", "types"):
        if getattr(predicates, key) == ():
            raise ValueError(f"{key} is empty, so that nothing could be chosen; leave it out to choose everything")
    return predicates


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _WikimediaType:
    name: str = "wikimedia"
    settings: type = Settings
    predicates: type = Predicates
    kinds: frozenset[str] = frozenset({"change"})

    def build(self, name: str, settings: Settings) -> Wikimedia:
        base_url = checked_base_url(settings.base_url)
        streams = wikimedia_asking.checked_streams(settings.streams)
        stall_after = STALL_AFTER if BUSY.intersection(streams) else STALL_AFTER_QUIET
        return Wikimedia(
            name,
            base_url,
            streams,
            wikimedia_asking.user_agent(settings.contact, base_url),
            wikimedia_asking.checked_since(settings.since),
            _checked(settings.predicates),
            settings.profile,
            settings.stall_after or stall_after,
            credential=account(base_url),
            lane=account(base_url, name),
        )


wikimedia = _WikimediaType()
