# -*- test-case-name: tests.unit.test_sources_x_payload -*-
"""What one object of an X API v2 stream says: `decode`, shared by every source that speaks to X.

What a post cannot do without (id, text) raises; what it can do without (a place, a time, a facet) never does.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    User,
)
from streamer.sources.x_text import (
    ID,
    MEDIA_KINDS,
    UNREADABLE,
    iso_milliseconds,
    language,
    link,
    named,
    numbers,
    person,
    post_url,
    separate,
    snowflake_milliseconds,
    unescaped,
    without_lone_surrogates,
    written_milliseconds,
)


class _Created(msgspec.Struct):
    created_at: str | None = None


class _Moment(msgspec.Struct):
    data: _Created


_decode_payload = msgspec.json.Decoder(Payload).decode
_decode_moment = msgspec.json.Decoder(_Moment).decode


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


def posted(item: Item) -> int | None:
    """When an item was posted, ms since the epoch: its id says so, else `created_at`; None for what is no post."""
    if item.kind != "post":
        return None
    exact = snowflake_milliseconds(item.id)
    if exact is not None:
        return exact
    try:
        return iso_milliseconds(_decode_moment(item.body).data.created_at)
    except UNREADABLE:
        return None


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
    return Activity(item=item, kind="delete", id=id_, created=written_milliseconds(delete.timestamp_ms))


def _post(item: Item, post: Post, includes: Includes) -> Activity:
    if not ID.fullmatch(post.id):
        raise DecodeError(f"{item.kind} {item.id} of {item.source} has the id {post.id!r}, which is not a number")
    people = tuple([_author(user) for user in includes.users or ()])
    author = _find_author(post.author_id, people)
    note = post.note_tweet
    if note is not None and note.text:
        text, facets = _text(note.text, note.entities)
    else:
        text, facets = _text(post.text, post.entities)
    return Activity(
        item=item,
        kind=item.kind,
        id=post.id,
        url=post_url(author, post.id),
        author=author,
        text=text,
        facets=facets,
        lang=language(post.lang),
        created=iso_milliseconds(post.created_at),
        reply_to=next((ref.id for ref in post.referenced_tweets or () if ref.type == "replied_to"), None),
        thread=post.conversation_id,
        media=tuple(_media(post.attachments, includes.media)) if post.attachments and includes.media else (),
        places=tuple(_places(post.geo, includes.places or [])) if post.geo else (),
        sensitive=post.possibly_sensitive,
        people=people,
    )


def _author(user: User) -> Author:
    return person(user.id, user.username, user.name)


def _find_author(id_: str | None, people: tuple[Author, ...]) -> Author | None:
    for one in people:
        if one.id == id_:
            return one
    return _author(User(id_)) if id_ else None


def _text(escaped: str, entities: Entities | None) -> tuple[str, tuple[Facet, ...] | None]:
    """Undo X's escapes; `None` for facets where X was not asked for entities, or found none at all."""
    return unescaped(escaped, None if entities is None else tuple(separate(_facets(escaped, entities))))


def _facets(text: str, entities: Entities) -> Iterator[Facet]:
    for span in entities.urls or ():
        value = span.unwound_url or span.expanded_url or span.url
        yield from link(text, span.start, span.end, value, span.url)
    for span in entities.hashtags or ():
        yield from named(text, span.start, span.end, "tag", span.tag)
    for span in entities.mentions or ():
        yield from named(text, span.start, span.end, "mention", span.username)
    for span in entities.cashtags or ():
        yield from named(text, span.start, span.end, "cashtag", span.tag)


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
        lon, lat = numbers(point.coordinates, 2)
        yield Place(point=(lon, lat), country=country, name=name)
    if place is not None and place.geo is not None:
        west, south, east, north = numbers(place.geo.bbox, 4)
        yield Place(box=(west, south, east, north), country=country, name=name)
