# -*- test-case-name: tests.unit.test_sources_wikimedia -*-
"""What an event of Wikimedia says: https://schema.wikimedia.org/#!/primary/jsonschema/mediawiki

Three families of schemas come down these streams: `recentchange` as the feeds of the wikis have had it for long,
`page-create` and its like with a performer, and `page_change`, with a page as well. One struct reads them all, for
their fields do not contradict each other. Only `meta` must be there; whatever else does not fit is left out.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

import msgspec

from streamer.activity import Activity, Author
from streamer.errors import DecodeError
from streamer.message import Item
from streamer.sources import lenient
from streamer.sources.x_text import TIMES, UNREADABLE, iso_milliseconds, without_lone_surrogates

CANARY = "canary"  # domain of events that only show that a stream lives
LINK_LIMIT = 2_000  # characters of an address
NAME_LIMIT = 512  # characters of a title, a user, an action; a title has 255 bytes, a user's name as many
TEXT_LIMIT = 5_000  # characters of a comment; the wikis' own limit is 500
PARTITION_LIMIT = 120  # characters

_ID = re.compile(r"[0-9A-Za-z_.:-]{1,80}")
_DOMAIN = re.compile(r"[a-z0-9.-]{1,253}")


class Meta(msgspec.Struct, frozen=True):
    """What every event has."""

    id: str | None = None
    domain: str | None = None
    stream: str | None = None
    uri: str | None = None
    dt: str | None = None


class Performer(msgspec.Struct, frozen=True):
    """Who did it, in all but `recentchange`."""

    user_text: str | None = None
    user_is_bot: bool | None = None


class Page(msgspec.Struct, frozen=True):
    """What it was done to, in `page_change`."""

    page_title: str | None = None
    namespace_id: int | None = None


class Record(msgspec.Struct, frozen=True):
    """An event of any of the schemas."""

    meta: Meta
    # recentchange
    type: str | None = None
    title: str | None = None
    namespace: int | None = None
    comment: str | None = None
    timestamp: int | float | None = None
    user: str | None = None
    bot: bool | None = None
    minor: bool | None = None
    wiki: str | None = None
    server_url: str | None = None
    notify_url: str | None = None
    log_type: str | None = None
    log_action: str | None = None
    log_action_comment: str | None = None
    # page-create, page-delete, …
    database: str | None = None
    page_title: str | None = None
    page_namespace: int | None = None
    performer: Performer | None = None
    # page_change
    wiki_id: str | None = None
    page: Page | None = None
    page_change_kind: str | None = None
    dt: str | None = None

    @property
    def scope(self) -> str | None:
        """The wiki, by the name of its database."""
        return _name(self.wiki or self.database or self.wiki_id or self.meta.domain)

    @property
    def named(self) -> str | None:
        """The page's title with its name space, as people write it."""
        title = self.title or self.page_title or (self.page.page_title if self.page else None)
        return _name(title.replace("_", " ") if title else None)

    @property
    def space(self) -> int | None:
        """The number of the name space."""
        found = self.namespace if self.namespace is not None else self.page_namespace
        return self.page.namespace_id if found is None and self.page is not None else found

    @property
    def by_bot(self) -> bool | None:
        """Whether a bot did it; None where that is not told."""
        return self.performer.user_is_bot if self.bot is None and self.performer is not None else self.bot

    @property
    def action(self) -> str:
        """What was done: edit, new, log, …, page-create, …"""
        kind = self.type or self.page_change_kind
        return _name(kind or (self.meta.stream or "").removeprefix("mediawiki.")) or "change"

    @property
    def created(self) -> int | None:
        """When, ms since the epoch."""
        found = iso_milliseconds(self.meta.dt) or iso_milliseconds(self.dt)
        if found is None and self.timestamp is not None and 0 <= self.timestamp < TIMES.stop / 1000:
            found = int(self.timestamp * 1000)
        return found


class _Dated(msgspec.Struct):
    meta: Meta


_decode_record = msgspec.json.Decoder(Record).decode
_decode_dated = msgspec.json.Decoder(_Dated).decode


def read(body: bytes) -> Record:
    """Read an event.

    Raises:
        DecodeError: it is none.
    """
    try:
        return _decode_record(body)
    except UNREADABLE as error:
        try:
            return lenient.decode(without_lone_surrogates(body), Record)
        except UNREADABLE:
            raise DecodeError(f"no event of Wikimedia's: {error}") from error


def identity(record: Record, body: bytes) -> str:
    """The event's id; where it has none that can be used, one that the same bytes will have again."""
    id_ = record.meta.id
    return id_ if id_ and _ID.fullmatch(id_) else f"sha256-{hashlib.sha256(body).hexdigest()[:32]}"


def partition(record: Record) -> str | None:
    """What is done to one page stays in order, whoever does it."""
    title = record.named
    return f"{record.scope or '-'}:{title}"[:PARTITION_LIMIT] if title else None


def posted(item: Item) -> int | None:
    """When it was done, ms since the epoch."""
    try:
        return iso_milliseconds(_decode_dated(item.body).meta.dt)
    except UNREADABLE:
        return None


def decode(item: Item) -> Activity:
    """The meaning of an event.

    Its tags are, of a log entry, the log and what was entered, and then what is told of it: `bot`, `minor`.

    Raises:
        DecodeError: it is none.
    """
    record = read(item.body)
    marks = (record.log_type, record.log_action, "bot" if record.by_bot else None, "minor" if record.minor else None)
    text = (record.comment or record.log_action_comment or "").strip()
    return Activity(
        item=item,
        kind=item.kind,
        id=item.id,
        action=record.action,
        scope=record.scope,
        title=record.named,
        url=_link(record.notify_url) or _link(record.meta.uri),
        author=_author(record),
        text=text[:TEXT_LIMIT] or None,
        created=record.created,
        tags=tuple(dict.fromkeys(mark[:NAME_LIMIT] for mark in marks if mark)),
    )


def _author(record: Record) -> Author | None:
    name = _name(record.user or (record.performer.user_text if record.performer else None))
    if name is None:
        return None
    domain = record.meta.domain or ""
    server = _link(record.server_url) or (f"https://{domain}" if _DOMAIN.fullmatch(domain) else None)
    page = quote(name.replace(" ", "_"), safe=":@!,;()*-._~")
    return Author(name, name, url=None if server is None else f"{server.rstrip('/')}/wiki/User:{page}")


def _name(text: str | None) -> str | None:
    """Something short on one line."""
    return " ".join(text[:NAME_LIMIT].split()) or None if text else None


def _link(url: str | None) -> str | None:
    fits = url and len(url) <= LINK_LIMIT and url.startswith(("http://", "https://")) and url.isprintable()
    return url if fits else None
