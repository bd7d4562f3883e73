# -*- test-case-name: tests.unit.test_sources_jetstream -*-
"""Bluesky, and all that is built like it, by a Jetstream: `type = "jetstream"`.

https://github.com/bluesky-social/jetstream — a websocket of JSON, without credentials. It repeats the last 36 hours
from any time on: a cursor is a time in microseconds, at any host. It is given a few seconds early, for events do not
come in the order of their times; where there are several hosts a minute early, for each gives an event the time at
which it had it itself, and one may lag behind another. What comes twice is dropped by its id. Cursors below 10^15 are
numbers of a single host, so none is ever stored or sent. A connection takes another filter while it is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlencode

import attrs
import msgspec
from msgspec import Meta
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.asks import Dial
from streamer.interfaces import IFramer, ISource, ISourceType, Outcome, Preparation
from streamer.message import Item
from streamer.policy.transport import account, checked_base_url
from streamer.sources import jetstream_answers, jetstream_payload, jetstream_predicates
from streamer.sources.jetstream_predicates import Predicates
from streamer.upstream import Ending, Prepared, Response, Resume
from streamer.wire.lines import FRAME_LIMIT
from streamer.wire.whole import Whole
from streamer.wire.zstd import ZstdMessages, checked_dictionary

# https://github.com/bluesky-social/jetstream#public-instances
HOSTS = (
    "https://jetstream1.us-east.bsky.network",
    "https://jetstream2.us-east.bsky.network",
    "https://jetstream1.us-west.bsky.network",
    "https://jetstream2.us-west.bsky.network",
)
HOSTS_LIMIT = 16
STALL_AFTER = 90.0  # seconds; three of the server's 30 s pings
REWIND = 5_000  # ms before the last item from which on is asked again: "a few seconds"
REWIND_ELSEWHERE = 60_000  # ms in their place where another host may answer: how far behind one may be unnoticed
MARGIN = 10_000  # ms before what is safe at which the answer begins at the latest
WINDOW = 36 * 3_600_000  # ms that can be repeated
DICTIONARY_LIMIT = 10_000_000  # bytes
DICTIONARY = "https://github.com/bluesky-social/jetstream (internal/subscribe/dictionaries/legacy_subscribe.zdict)"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "jetstream"`.

    Args:
        base_url: the one host to use.
        hosts: several; where one fails, the next is asked, from a minute before the last event on.
        compress: zstd with the upstream's dictionary, about half the bytes.
        zstd_dictionary: path of that dictionary, which is not part of this program.
        deflate: permessage-deflate instead.
        max_message_bytes: larger events are left out by the server; 0 for none.
        backfill_minutes: how much of the past to ask for where nothing is known yet.
    """

    base_url: str | None = None
    hosts: tuple[str, ...] = HOSTS
    compress: bool = False
    zstd_dictionary: str | None = None
    deflate: bool = False
    max_message_bytes: Annotated[int, Meta(ge=0, le=FRAME_LIMIT)] = 0
    backfill_minutes: Annotated[int, Meta(ge=0, le=WINDOW // 60_000)] = 0
    predicates: Predicates = Predicates()
    stall_after: Annotated[float, Meta(gt=0, le=3600)] = STALL_AFTER
    profile: Literal["stream"] = "stream"


@implementer(ISource)
@attrs.frozen
class Jetstream:
    """One Jetstream; see `ISource` for each of its parts."""

    name: str
    urls: tuple[str, ...]  # of the endpoint, without a query
    settings: Settings
    predicates: Predicates
    dictionary: bytes | None = attrs.field(repr=False)
    profile: str
    stall_after: float
    credential: str
    lane: str
    live_predicates: bool = True

    def with_predicates(self, predicates: Predicates) -> Jetstream:
        """See `ISource` and `jetstream_predicates.check`."""
        jetstream_predicates.check(predicates)
        return attrs.evolve(self, predicates=predicates)

    def changes(self, other: ISource) -> int:
        """See `jetstream_predicates.changes`."""
        return jetstream_predicates.changes(self.predicates, other.predicates)

    def prepare(self, dry_run: bool) -> Preparation:
        """Ask nothing: the filter goes with the connection, and its change as a message on it."""
        yield from ()
        return Prepared(say=(self._update(),))

    def request(self, resume: Resume | None, now_ms: int) -> Dial:
        """The websocket, from a little before what is safe on; the filter in the URL, or as a message if too long."""
        asked = list(jetstream_predicates.parameters(self.predicates))
        if self.settings.max_message_bytes:
            asked.append(("maxMessageSizeBytes", str(self.settings.max_message_bytes)))
        hello: tuple[str, ...] = ()
        if len(urlencode(asked, safe=":*")) > jetstream_predicates.URL_LIMIT:
            asked, hello = [("requireHello", "true")], (self._update(),)
        if self.settings.compress:
            asked.append(("compress", "true"))
        since_us = _since_us(self.settings.backfill_minutes, resume, now_ms, len(self.urls))
        if since_us is not None:
            asked.append(("cursor", str(since_us)))
        query = urlencode(asked, safe=":*")
        return Dial(
            [f"{url}?{query}" if query else url for url in self.urls],
            hello=hello,
            deflate=self.settings.deflate,
            replays_from=None if since_us is None else -(-since_us // 1000),
        )

    def recovery(self, from_ms: int, to_ms: int, cursor: str | None = None) -> Dial | None:
        """None ever: the stream itself repeats what was missed."""
        return None

    def refusal(self, response: Response) -> Ending:
        """See `jetstream_answers.refusal`."""
        return jetstream_answers.refusal(response, len(self.urls))

    def framer(self) -> IFramer:
        """One event a message, as asked for."""
        return ZstdMessages(self.dictionary) if self.settings.compress else Whole()

    def outcomes(self, frame: bytes, received_ms: int) -> Sequence[Outcome]:
        """One item each; its cursor is the time at which the Jetstream got it."""
        event = jetstream_payload.read(frame)
        kind, id_ = jetstream_payload.name(event)
        return (
            Item(
                source=self.name,
                kind=kind,
                id=id_,
                received=received_ms,
                body=frame,
                cursor=str(event.time_us),
                partition=event.did,
            ),
        )

    def posted(self, item: Item) -> int | None:
        """See `jetstream_payload.posted`."""
        return jetstream_payload.posted(item)

    def decode(self, item: Item) -> Activity:
        """See `jetstream_payload.decode`."""
        return jetstream_payload.decode(item)

    def _update(self) -> str:
        return jetstream_predicates.update(self.predicates, self.settings.max_message_bytes)


def _since_us(minutes: int, resume: Resume | None, now_ms: int, hosts: int) -> int | None:
    """From when on to ask, microseconds since the epoch; None for what comes next.

    Args:
        minutes: so much of the past is asked for where nothing is known.
        hosts: how many may answer; which one did last time nobody remembers.
    """
    if resume is None:
        return (now_ms - minutes * 60_000) * 1000 if minutes else None
    rewind = REWIND if hosts == 1 else REWIND_ELSEWHERE
    since_us = (resume.received - max(MARGIN, rewind)) * 1000
    cursor = resume.cursor or ""
    if cursor.isdigit() and len(cursor) < 20 and int(cursor) >= jetstream_payload.SEQUENCES:
        since_us = min(since_us, int(cursor) - rewind * 1000)
    return max(since_us, (now_ms - WINDOW) * 1000)


def _urls(settings: Settings) -> tuple[str, ...]:
    if settings.base_url is not None and settings.hosts != HOSTS:
        raise ValueError("has base_url and hosts, which both say where to connect; leave one of them out")
    written = settings.hosts if settings.base_url is None else (settings.base_url,)
    if not 1 <= len(written) <= HOSTS_LIMIT:
        raise ValueError(f"hosts has {len(written)} hosts; it must name 1 to {HOSTS_LIMIT}")
    bases = [checked_base_url(f"http{url[2:]}" if url.startswith(("ws://", "wss://")) else url) for url in written]
    if len(set(bases)) < len(bases):
        raise ValueError("hosts names a host twice; take one of them out")
    return tuple(f"ws{base[4:]}/subscribe" for base in bases)


def _dictionary(settings: Settings) -> bytes | None:
    if settings.compress and settings.deflate:
        raise ValueError("has compress and deflate, which the upstream refuses together; choose one of them")
    if settings.zstd_dictionary is None:
        if settings.compress:
            raise ValueError(
                "has compress = true and no zstd_dictionary: set it to the path of the file that is published "
                f"at {DICTIONARY}, or set deflate = true instead"
            )
        return None
    path = Path(settings.zstd_dictionary)
    try:
        with path.open("rb") as file:
            return checked_dictionary(file.read(DICTIONARY_LIMIT))
    except OSError as error:
        raise ValueError(f"zstd_dictionary {str(path)!r} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"zstd_dictionary {str(path)!r} cannot be used: {error}; see {DICTIONARY}") from error


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _JetstreamType:
    name: str = "jetstream"
    settings: type = Settings
    predicates: type = Predicates
    kinds: frozenset[str] = jetstream_payload.KINDS

    def build(self, name: str, settings: Settings) -> Jetstream:
        jetstream_predicates.check(settings.predicates)
        urls = _urls(settings)
        return Jetstream(
            name,
            urls,
            settings,
            settings.predicates,
            _dictionary(settings),
            settings.profile,
            settings.stall_after,
            credential=account("jetstream", *urls),
            lane=f"jetstream {name}",  # any number of connections stand beside each other
        )


jetstream = _JetstreamType()
