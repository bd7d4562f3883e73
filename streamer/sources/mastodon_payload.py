# -*- test-case-name: tests.unit.test_sources_mastodon_payload -*-
"""What an item from a Mastodon stream says: `decode`.

https://docs.joinmastodon.org/entities/Status/ — what a post cannot do without (its id and content) raises, and what
it can do without never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from streamer.activity import Activity, Author, Facet, Media
from streamer.errors import DecodeError
from streamer.message import Item
from streamer.sources import lenient
from streamer.sources.markup import Marked, address, text_of
from streamer.sources.mastodon_events import id_of
from streamer.sources.x_text import UNREADABLE, iso_milliseconds, language, without_lone_surrogates

OPEN = frozenset({"public", "unlisted"})  # visibilities; all others, and none, are not for everybody
NAME_LIMIT = 400  # characters of a display name; Mastodon's own limit is 30
ALT_LIMIT = 5_000  # characters of a description; Mastodon's own limit is 1,500
MEDIA_LIMIT = 32  # attachments; Mastodon's own limit is 4
TAGS_LIMIT = 100
PEOPLE_LIMIT = 100
MEDIA_KINDS = {"image": "photo", "video": "video", "gifv": "animation"}

_HANDLE = re.compile(r"[\w.-]{1,200}(@[\w.:-]{1,253})?")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Id = str | int | None


class _Account(msgspec.Struct):
    id: Id = None
    acct: str | None = None
    username: str | None = None
    display_name: str | None = None
    url: str | None = None


class _Tag(msgspec.Struct):
    name: str


class _Attachment(msgspec.Struct):
    type: str
    url: str | None = None
    remote_url: str | None = None
    description: str | None = None


class _Status(msgspec.Struct):
    id: str | int
    uri: str | None = None
    url: str | None = None
    created_at: str | None = None
    account: _Account | None = None
    content: str | None = None
    spoiler_text: str | None = None
    sensitive: bool | None = None
    visibility: str | None = None
    language: str | None = None
    in_reply_to_id: Id = None
    reblog: msgspec.Raw = msgspec.Raw(b"null")
    media_attachments: list[_Attachment] | None = None
    mentions: list[_Account] | None = None
    tags: list[_Tag] | None = None


class _Notification(msgspec.Struct):
    id: str | int
    type: str | None = None
    created_at: str | None = None
    account: _Account | None = None
    status: _Status | None = None


class _Announcement(msgspec.Struct):
    id: str | int
    content: str | None = None
    published_at: str | None = None


class _Moment(msgspec.Struct):
    created_at: str | None = None


_decode_moment = msgspec.json.Decoder(_Moment).decode


def decode(item: Item, host: str, *, private: bool = False) -> Activity:
    """The meaning of an item.

    Reposts, and whatever else is no post and no change, give an activity with nothing to show in it; so do posts and
    notifications that are not for everybody.

    Args:
        host: of the server, for accounts that are its own.
        private: show those, too.

    Raises:
        DecodeError: it cannot be read; dead-letter the item.
    """
    try:
        if item.kind in ("post", "edit", "repost"):
            return _post(item, _decoded(item.body, _Status), host, private)
        if item.kind == "delete":
            return Activity(item=item, kind="delete", id=id_of(item.body.decode().strip().strip('"')) or _no(item))
        if item.kind == "notification" and private:
            return _notification(item, _decoded(item.body, _Notification), host)
        if item.kind == "announcement":
            return _announcement(item, _decoded(item.body, _Announcement), host)
    except UNREADABLE as error:
        raise DecodeError(f"{item.kind} {item.id} of {item.source} cannot be read: {error}") from error
    return Activity(item=item, kind=item.kind, id=item.id)


def posted(item: Item) -> int | None:
    """When a post or repost was made, ms since the epoch."""
    if item.kind not in ("post", "repost"):
        return None
    try:
        return iso_milliseconds(_decode_moment(item.body).created_at)
    except UNREADABLE:
        return None


def _decoded(body: bytes, struct: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=struct)
    except UNREADABLE:
        return lenient.decode(without_lone_surrogates(body), struct)


def _no(item: Item) -> str:
    raise DecodeError(f"{item.kind} {item.id} of {item.source} has no id that is one")


def _post(item: Item, status: _Status, host: str, private: bool) -> Activity:
    id_ = id_of(status.id) or _no(item)
    author, created = _author(status.account, host), iso_milliseconds(status.created_at)
    repost = bytes(status.reblog) != b"null"
    hidden = status.visibility not in OPEN and not private
    bare = Activity(item=item, kind=item.kind, id=id_, author=author, created=created)
    if repost or hidden:
        return bare
    if status.content is None:
        raise DecodeError(f"{item.kind} {item.id} of {item.source} has no content")
    people = tuple(_people(status, host))
    marked = _warned(status, text_of(status.content, people={one.url: one.handle for one in people}))  # type: ignore[misc]
    reply_to = id_of(status.in_reply_to_id)
    return msgspec.structs.replace(
        bare,
        url=address(status.url) or address(status.uri),
        text=marked.text,
        facets=marked.facets,
        lang=language(status.language),
        reply_to=reply_to,
        thread=None if reply_to else id_,  # of an answer only what it answers is said
        tags=_tags(status, marked.facets),
        media=tuple(_media(status)),
        sensitive=bool(status.sensitive or (status.spoiler_text or "").strip()),
        people=people if author is None else (author, *people),
    )


def _warned(status: _Status, content: Marked) -> Marked:
    """The content with its author's warning before it."""
    warning = _plain(status.spoiler_text)
    if not warning:
        return content
    before = f"{warning}\n\n" if content.text else warning
    size = len(before)
    facets = [Facet(one.start + size, one.end + size, one.kind, one.value) for one in content.facets]
    return Marked(before + content.text, tuple(facets))


def _plain(text: str | None, limit: int = ALT_LIMIT) -> str:
    return _CONTROL.sub("", text or "")[:limit].strip()


def _handle(account: _Account, host: str) -> str | None:
    """`user@host`, for accounts of the server itself too, so that one person has one name on every server."""
    acct = account.acct or account.username or ""
    if not _HANDLE.fullmatch(acct):
        return None
    if "@" in acct:
        return acct
    url = address(account.url)
    return f"{acct}@{(urlsplit(url).netloc if url else '') or host}"


def _author(account: _Account | None, host: str) -> Author | None:
    id_ = id_of(account.id) if account else None
    if account is None or id_ is None:
        return None
    name = _plain(account.display_name, NAME_LIMIT) or _plain(account.username, NAME_LIMIT)
    return Author(id_, _handle(account, host), name or None, address(account.url))


def _people(status: _Status, host: str) -> Iterator[Author]:
    """Those who are mentioned, as far as their address and handle are known."""
    for account in (status.mentions or ())[:PEOPLE_LIMIT]:
        id_, handle, url = id_of(account.id), _handle(account, host), address(account.url)
        if id_ and handle and url:
            yield Author(id_, handle, None, url)


def _tags(status: _Status, facets: tuple[Facet, ...]) -> tuple[str, ...]:
    """As they are written in the text, then those that are not in it."""
    found: dict[str, str] = {}
    said = [_plain(tag.name) for tag in (status.tags or ())[:TAGS_LIMIT]]
    for tag in (*[facet.value for facet in facets if facet.kind == "tag"], *said):
        if tag:
            found.setdefault(tag.casefold(), tag)
    return tuple(found.values())[:TAGS_LIMIT]


def _media(status: _Status) -> Iterator[Media]:
    for one in (status.media_attachments or ())[:MEDIA_LIMIT]:
        kind = MEDIA_KINDS.get(one.type)
        if kind is not None:
            url = address(one.url) or address(one.remote_url)
            yield Media(kind, url, _plain(one.description) or None)


def _notification(item: Item, said: _Notification, host: str) -> Activity:
    status = said.status
    return Activity(
        item=item,
        kind=item.kind,
        id=id_of(said.id) or _no(item),
        author=_author(said.account, host),
        created=iso_milliseconds(said.created_at),
        url=address(status.url) if status else None,
        text=text_of(status.content).text if status and status.content else None,
        action=_plain(said.type, 60) or item.kind,
        scope=host,
    )


def _announcement(item: Item, said: _Announcement, host: str) -> Activity:
    return Activity(
        item=item,
        kind=item.kind,
        id=id_of(said.id) or _no(item),
        created=iso_milliseconds(said.published_at),
        text=text_of(said.content or "").text,
        action=item.kind,
        scope=host,
    )
