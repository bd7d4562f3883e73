# -*- test-case-name: tests.unit.test_sources_jetstream -*-
"""What an event of a Jetstream is (`read`), and what its item says (`decode`).

What a post cannot do without (its names, its text) raises, and what it can do without never does. Names go into
addresses and message ids, so they are held to their syntax: https://atproto.com/specs/at-uri-scheme
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import msgspec

from streamer.activity import Activity, Author, Facet, Media
from streamer.errors import DecodeError
from streamer.message import Item
from streamer.sources import lenient
from streamer.sources.jetstream_facets import DID, clean_tag, facets_of
from streamer.sources.jetstream_objects import AnyRecord, Blob, Commit, Embed, Envelope, PostRecord, Shown, Told
from streamer.sources.jetstream_predicates import POST
from streamer.sources.markup import address
from streamer.sources.x_text import TIMES, UNREADABLE, iso_milliseconds, language, without_lone_surrogates

SITE = "https://bsky.app/profile"
PICTURES = "https://cdn.bsky.app/img/feed_fullsize/plain"
VIDEOS = "https://video.bsky.app/watch"
ID_LIMIT = 200  # characters of an id; with the source's name it must fit into a message id of 255 bytes
# What one post may have; whoever keeps his own server can write whatever fits into a frame. For the limits of Bluesky
# itself see https://github.com/bluesky-social/atproto/blob/main/lexicons/app/bsky/feed/post.json
TEXT_LIMIT = 20_000  # code points of a text; Bluesky's own limit is 3,000 bytes
FACETS_LIMIT = 100  # so that no more people are mentioned; with three letters each they fill a text of Bluesky's
TAGS_LIMIT = 100  # Bluesky's own limit is 8 beside the text
LANGUAGES_LIMIT = 10  # that are looked at; Bluesky's own limit is 3
MEDIA_LIMIT = 32  # Bluesky's own limit is 4
ALT_LIMIT = 5_000  # characters of a description; the app's own limit is 2,000
SEQUENCES = 10**15  # cursors below it are a host's own numbers and no times: jetstream docs/README.md, section 5.1

# Collection → item kinds of create, update and delete.
COLLECTIONS = {
    POST: {"create": "post", "update": "edit", "delete": "delete"},
    "app.bsky.feed.like": {"create": "like", "update": "like", "delete": "unlike"},
    "app.bsky.feed.repost": {"create": "repost", "update": "repost", "delete": "unrepost"},
    "app.bsky.graph.follow": {"create": "follow", "update": "follow", "delete": "unfollow"},
}
OTHERS = {"create": "record", "update": "record", "delete": "record"}
KINDS = frozenset({kind for kinds in (*COLLECTIONS.values(), OTHERS) for kind in kinds.values()}) | {
    "identity",
    "account",
}

_COLLECTION = re.compile(r"[A-Za-z0-9.-]{1,317}")
_RKEY = re.compile(r"[A-Za-z0-9._:~-]{1,512}")
_REV = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CID = re.compile(r"[A-Za-z0-9]{10,128}")
_AT_URI = re.compile(r"at://did:[a-z]{1,20}:[A-Za-z0-9._:%-]{1,180}/[A-Za-z0-9.-]{1,317}/[A-Za-z0-9._:~-]{1,512}")
_GIF = re.compile(r"https://[^\s?#]+\.gif(?:[?#]\S*)?", re.IGNORECASE)

_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_post = msgspec.json.Decoder(PostRecord).decode

S = TypeVar("S", bound=msgspec.Struct)


def read(body: bytes) -> Envelope:
    """The envelope of an event, its names checked.

    Raises:
        DecodeError: it is none.
    """
    try:
        event = _decode_envelope(body)
    except UNREADABLE:
        event = _again(body, Envelope)
    if not DID.fullmatch(event.did):
        raise DecodeError("its did is none")
    if not SEQUENCES <= event.time_us < TIMES.stop * 1000:
        raise DecodeError("its time_us is no time")
    return event


def name(event: Envelope) -> tuple[str, str]:
    """Kind and id of the item that an event is; the id is equal wherever, and however often, the event comes.

    Raises:
        DecodeError: it has none.
    """
    if event.kind in ("identity", "account"):
        told = event.identity if event.kind == "identity" else event.account
        if told is None:
            raise DecodeError(f"an event of kind {event.kind} without what it is about")
        return event.kind, _short(f"{event.kind}:{event.did}:{_number(told, event)}")
    commit = event.commit
    if event.kind != "commit" or commit is None:
        raise DecodeError("an event of a kind that is not known")
    kind = COLLECTIONS.get(commit.collection, OTHERS).get(commit.operation)
    if kind is None:
        raise DecodeError("a commit of an operation that is not known")
    if not (_COLLECTION.fullmatch(commit.collection) and _RKEY.fullmatch(commit.rkey) and _REV.fullmatch(commit.rev)):
        raise DecodeError("a commit whose collection, rkey or rev is none")
    uri = uri_of(event.did, commit)
    if commit.collection == POST and len(uri) > ID_LIMIT:
        raise DecodeError("a post whose name is too long")
    return kind, _short(f"{uri}#{commit.rev}")


def uri_of(did: str, commit: Commit) -> str:
    """The address of a record."""
    return f"at://{did}/{commit.collection}/{commit.rkey}"


def decode(item: Item) -> Activity:
    """The meaning of an item.

    Likes, reposts, follows, other records, identities and accounts give an activity with an author and no more.

    Raises:
        DecodeError: it cannot be read; dead-letter the item.
    """
    try:
        event = read(item.body)
        commit = event.commit
        if commit is None:
            told = event.identity or event.account
            handle = None if told is None else told.handle
            return Activity(item=item, kind=item.kind, id=event.did, author=_author(event.did, handle))
        if item.kind in ("post", "edit"):
            return _post(item, event, commit)
        created = None if item.kind in ("delete", "unlike", "unrepost", "unfollow") else _record(commit.record)
    except UNREADABLE as error:
        raise DecodeError(f"{item.kind} {item.id} of {item.source} cannot be read: {error}") from error
    return Activity(
        item=item,
        kind=item.kind,
        id=uri_of(event.did, commit),
        author=_author(event.did),
        created=_created(created, event.time_us),
    )


def posted(item: Item) -> int | None:
    """When the Jetstream got it, ms since the epoch: its cursor. What the author says of it may be any time."""
    cursor = item.cursor or ""
    return int(cursor) // 1000 if cursor.isdigit() and len(cursor) <= 18 else None


def _again(body: bytes, struct: type[S]) -> S:
    """A second look at an object that typed decoding refused.

    Raises:
        DecodeError: it cannot be read at all.
    """
    try:
        return lenient.decode(without_lone_surrogates(body), struct)
    except UNREADABLE as error:
        raise DecodeError(f"no event that can be read: {error}") from error


def _short(id_: str) -> str:
    if len(id_) <= ID_LIMIT:
        return id_
    return f"sha256:{hashlib.sha256(id_.encode()).hexdigest()}"


def _number(told: Told, event: Envelope) -> str:
    if told.seq is not None and 0 <= told.seq < 2**63:
        return str(told.seq)
    return told.time if told.time and _RKEY.fullmatch(told.time) else str(event.time_us)


def _author(did: str, handle: str | None = None) -> Author:
    usable = handle if handle and len(handle) <= 253 and handle.isascii() and handle.isprintable() else None
    return Author(did, usable, url=f"{SITE}/{did}")


def _post(item: Item, event: Envelope, commit: Commit) -> Activity:
    try:
        record = _decode_post(commit.record)
    except UNREADABLE:
        record = _again(bytes(commit.record), PostRecord)
    uri, author = uri_of(event.did, commit), _author(event.did)
    facets = facets_of(record.text, (record.facets or ())[:FACETS_LIMIT])
    text = record.text
    if len(text) > TEXT_LIMIT:
        text = f"{text[: TEXT_LIMIT - 1]}…"
        facets = tuple([facet for facet in facets if facet.end < TEXT_LIMIT])
    reply = record.reply
    parent = _uri(reply.parent.uri) if reply and reply.parent else None
    root = _uri(reply.root.uri) if reply and reply.root else None
    return Activity(
        item=item,
        kind=item.kind,
        id=uri,
        url=f"{SITE}/{event.did}/post/{commit.rkey}",
        author=author,
        text=text,
        facets=facets,
        lang=next((found for code in (record.langs or ())[:LANGUAGES_LIMIT] if (found := language(code))), None),
        created=_created(record.created_at, event.time_us),
        reply_to=parent,
        thread=root or parent or uri,
        tags=_tags(record, facets),
        media=tuple(islice(_media(event.did, record.embed), MEDIA_LIMIT)),
        sensitive=True if record.labels and record.labels.values else None,
        people=(author, *_mentioned(facets, event.did)),
    )


def _record(raw: msgspec.Raw) -> str | None:
    try:
        return msgspec.json.decode(raw, type=AnyRecord).created_at
    except UNREADABLE:
        return None


def _created(written: str | None, time_us: int) -> int:
    """What the author says, but never later than it came: https://docs.bsky.app/docs/advanced-guides/timestamps"""
    came = time_us // 1000
    said = iso_milliseconds(written)
    return came if said is None else min(said, came)


def _uri(written: str | None) -> str | None:
    return written if written and len(written) <= ID_LIMIT and _AT_URI.fullmatch(written) else None


def _tags(record: PostRecord, facets: Iterable[Facet]) -> tuple[str, ...]:
    tags: dict[str, str] = {}
    said = map(clean_tag, (record.tags or ())[:TAGS_LIMIT])
    for tag in (*[facet.value for facet in facets if facet.kind == "tag"], *said):
        if tag:
            tags.setdefault(tag.casefold(), tag)
    return tuple(tags.values())[:TAGS_LIMIT]


def _mentioned(facets: Iterable[Facet], author: str) -> Iterator[Author]:
    for did in dict.fromkeys(facet.value for facet in facets if facet.kind == "mention"):
        if did != author:
            yield _author(did)


def _media(did: str, embed: Embed | None) -> Iterator[Media]:
    shown: tuple[Shown | None, ...] = () if embed is None else (embed, embed.media)
    for one in shown:
        if one is None:
            continue
        for image in one.images or ():
            yield Media("photo", _picture(did, image.image), _alt(image.alt))
        if one.video is not None:
            cid = _cid(one.video)
            yield Media("video", cid and f"{VIDEOS}/{did}/{cid}/playlist.m3u8", _alt(one.alt))
        page = one.external
        if page is None:
            continue
        uri = address(page.uri)
        if uri and _GIF.fullmatch(uri):
            yield Media("animation", uri, _alt(page.description or page.title))
        elif _picture(did, page.thumb):
            yield Media("photo", _picture(did, page.thumb), _alt(page.title))


def _alt(written: str | None) -> str | None:
    return (written or "")[:ALT_LIMIT] or None


def _picture(did: str, blob: Blob | None) -> str | None:
    cid = _cid(blob)
    return cid and f"{PICTURES}/{did}/{cid}@jpeg"


def _cid(blob: Any) -> str | None:
    cid = blob.ref.cid if blob is not None and blob.ref is not None else ""
    return cid if _CID.fullmatch(cid) else None
