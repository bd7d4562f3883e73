# -*- test-case-name: tests.unit.test_sources_x_payload -*-
"""What one object of an X API v2 stream says: `decode`, shared by every source that speaks to X.

What a post cannot do without (id, text) raises; what it can do without (a place, a time, a facet) never does.

Two things about the text are not in X's documentation but in every recorded object: `start` and `end` count Unicode
code points (not UTF-16 units), and they count them in the text as delivered, where `&`, `<` and `>` are written
`&amp;`, `&lt;` and `&gt;`. `decode` undoes the escapes and moves the offsets along.
"""

from __future__ import annotations

import functools
import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from streamer.activity import Activity, Author, Facet, Media, Place
from streamer.errors import DecodeError
from streamer.message import Item
from streamer.sources import lenient
from streamer.sources.x_objects import (
    Attachment,
    Attachments,
    Delete,
    Entities,
    Includes,
    Location,
    Payload,
    PlaceObject,
    Post,
    Span,
    User,
)

SITE = "https://x.com"
MEDIA_KINDS = {"photo": "photo", "video": "video", "animated_gif": "animation"}
SIGILS = {"tag": "#＃", "mention": "@＠", "cashtag": "$＄"}

# BCP 47 replaced these ISO 639 codes, X still sends them; https://www.iana.org/assignments/language-subtag-registry
_RENAMED_LANGUAGES = {"in": "id", "iw": "he", "ji": "yi"}
# Codes for "no language"; so are X's own qam, qct, qht, qme, qst, from ISO 639-2's private range qaa to qtz.
_NO_LANGUAGES = frozenset({"und", "zxx", "mul", "mis", "art"})
_LANGUAGE = re.compile(r"(?!q[a-t][a-z]$)[a-z]{2,3}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TIMES = range(253_402_300_800_000)  # ms since the epoch, up to the year 9999: what RFC 3339 can write
ID = re.compile(r"[0-9]{1,20}")  # 64 bits in decimal
_HANDLE = re.compile(r"[A-Za-z0-9_]{1,20}")
_ESCAPE = re.compile("&(amp|lt|gt);")
_ESCAPED = {"amp": "&", "lt": "<", "gt": ">"}
# Every escape of a JSON string, so that the `\\` of `\\ud800` is not taken for the start of `\ud800`.
_SURROGATES = re.compile(rb"\\(?:(u[dD][89abAB]..\\u[dD][c-fC-F]..)|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


# What msgspec raises for bytes that are not as declared; deep nesting is a RecursionError.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_payload = msgspec.json.Decoder(Payload).decode
_decode_numbers = msgspec.json.Decoder(list[float]).decode


def decode(item: Item) -> Activity:
    """The meaning of an item from an X stream.

    Items that are about the stream and not about a post (`limit`, `warning`, …) give an activity with nothing in it.

    Raises:
        DecodeError: not a post and not a deletion; dead-letter the item.
    """
    if item.kind not in ("post", "edit", "delete"):
        return Activity(item=item, kind=item.kind, id=item.id)
    payload = _payload(item)
    if payload.delete is not None:
        return _deletion(item, payload.delete)
    if payload.data is None:
        raise DecodeError(f"{item.kind} {item.id} of {item.source} has neither `data` nor `delete`")
    return _post(item, payload.data, payload.includes)


def without_lone_surrogates(body: bytes) -> bytes:
    r"""JSON with every escape of half a surrogate pair replaced by `\ufffd`; everything else untouched."""
    return _SURROGATES.sub(_keep_pairs, body)


def _keep_pairs(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[2] else escape[0]


def _payload(item: Item) -> Payload:
    try:
        return _decode_payload(item.body)
    except UNREADABLE as error:
        try:
            # RFC 8259 allows the escape of half a surrogate pair, and posts contain it; msgspec does not.
            mended = lenient.decode(without_lone_surrogates(item.body), Payload)
        except UNREADABLE:
            mended = Payload()
        if mended == Payload():
            raise DecodeError(f"{item.kind} {item.id} of {item.source} cannot be read: {error}") from error
        return mended


def _deletion(item: Item, delete: Delete) -> Activity:
    id_ = delete.status.id_str or str(delete.status.id)
    if not ID.fullmatch(id_):
        raise DecodeError(f"delete {item.id} of {item.source} names no post: {id_!r}")
    when = str(delete.timestamp_ms)
    created = int(when) if ID.fullmatch(when) and int(when) in _TIMES else None
    return Activity(item=item, kind="delete", id=id_, created=created)


def _post(item: Item, post: Post, includes: Includes) -> Activity:
    if not ID.fullmatch(post.id):
        raise DecodeError(f"{item.kind} {item.id} of {item.source} has the id {post.id!r}, which is not a number")
    people = tuple([_author(user) for user in includes.users or ()])
    author = _find_author(post.author_id, people)
    handle = author.handle if author and author.handle and _HANDLE.fullmatch(author.handle) else "i"
    note = post.note_tweet
    if note is not None and note.text:
        text, facets = _text(note.text, note.entities)
    else:
        text, facets = _text(post.text, post.entities)
    return Activity(
        item=item,
        kind=item.kind,
        id=post.id,
        url=f"{SITE}/{handle}/status/{post.id}",
        author=author,
        text=text,
        facets=facets,
        lang=language(post.lang),
        created=_milliseconds(post.created_at),
        reply_to=next((ref.id for ref in post.referenced_tweets or () if ref.type == "replied_to"), None),
        thread=post.conversation_id,
        media=tuple(_media(post.attachments, includes.media)) if post.attachments and includes.media else (),
        places=tuple(_places(post.geo, includes.places or [])) if post.geo else (),
        sensitive=post.possibly_sensitive,
        people=people,
    )


def _author(user: User) -> Author:
    handle = user.username
    url = f"{SITE}/{handle}" if handle and _HANDLE.fullmatch(handle) else f"{SITE}/i/user/{user.id}"
    return Author(user.id, handle, user.name, url)


def _find_author(id_: str | None, people: tuple[Author, ...]) -> Author | None:
    for person in people:
        if person.id == id_:
            return person
    return _author(User(id_)) if id_ else None


def _text(escaped: str, entities: Entities | None) -> tuple[str, tuple[Facet, ...] | None]:
    """Undo X's escapes; `None` for facets where X was not asked for entities, or found none at all."""
    facets = None if entities is None else tuple(_separate(_facets(escaped, entities)))
    if "&" not in escaped:
        return escaped, facets
    ends: list[int] = []
    shorter = [0]  # code points by which the text has shrunk after each escape
    for escape in _ESCAPE.finditer(escaped):
        ends.append(escape.end())
        shorter.append(shorter[-1] + escape.end() - escape.start() - 1)
    text = _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], escaped)
    if facets:

        def moved(offset: int) -> int:
            return offset - shorter[bisect_right(ends, offset)]

        facets = tuple([Facet(moved(one.start), moved(one.end), one.kind, one.value) for one in facets])
    return text, facets


def _facets(text: str, entities: Entities) -> Iterator[Facet]:
    for span in entities.urls or ():
        value = span.unwound_url or span.expanded_url or span.url
        if value and value.lower().startswith(("http://", "https://")) and _fits(text, span, span.url):
            yield Facet(span.start, span.end, "link", value)
    for span in entities.hashtags or ():
        yield from _named(text, span, "tag", span.tag)
    for span in entities.mentions or ():
        yield from _named(text, span, "mention", span.username)
    for span in entities.cashtags or ():
        yield from _named(text, span, "cashtag", span.tag)


def _named(text: str, span: Span, kind: str, value: str | None) -> Iterator[Facet]:
    if value and _fits(text, span, None) and text[span.start] in SIGILS[kind]:
        written = text[span.start + 1 : span.end]
        if written == value or written.lower() == value.lower():
            yield Facet(span.start, span.end, kind, value)


def _fits(text: str, span: Span, written: str | None) -> bool:
    inside = 0 <= span.start < span.end <= len(text)
    return inside and (written is None or text[span.start : span.end] == written)


def _separate(facets: Iterator[Facet]) -> Iterator[Facet]:
    """In order of the text, without overlaps: X repeats a link once for each picture of a post."""
    reached = 0
    for facet in sorted(facets, key=_start):
        if facet.start >= reached:
            reached = facet.end
            yield facet


def _start(facet: Facet) -> int:
    return facet.start


@functools.lru_cache(maxsize=512)
def language(code: str | None) -> str | None:
    """The primary BCP 47 subtag of what X calls the language; None where that is none."""
    primary = (code or "").lower().partition("-")[0]
    primary = _RENAMED_LANGUAGES.get(primary, primary)
    return primary if _LANGUAGE.fullmatch(primary) and primary not in _NO_LANGUAGES else None


def _milliseconds(written: str | None) -> int | None:
    if not written:
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    past = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    milliseconds = past // _MILLISECOND
    return milliseconds if milliseconds in _TIMES else None


def _media(attachments: Attachments, included: list[Attachment]) -> Iterator[Media]:
    by_key = {one.media_key: one for one in included}
    for key in attachments.media_keys or ():
        one = by_key.get(key)
        kind = MEDIA_KINDS.get(one.type or "") if one else None
        if one and kind:
            yield Media(kind, one.url or one.preview_image_url, one.alt_text or None)


def _places(location: Location, included: list[PlaceObject]) -> Iterator[Place]:
    place = next((one for one in included if one.id == location.place_id), None)
    country = place.country_code if place else None
    name = (place.full_name or place.name) if place else None
    point = location.coordinates
    if point is not None and point.type in (None, "Point"):
        lon, lat = _numbers(point.coordinates, 2)
        yield Place(point=(lon, lat), country=country, name=name)
    if place is not None and place.geo is not None:
        west, south, east, north = _numbers(place.geo.bbox, 4)
        yield Place(box=(west, south, east, north), country=country, name=name)


def _numbers(raw: msgspec.Raw, count: int) -> list[float]:
    """As many numbers as asked for; NaN for each where they are not there, so that the geo hydrator counts it."""
    try:
        numbers = _decode_numbers(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [math.nan] * count
    return numbers if len(numbers) == count else [math.nan] * count
