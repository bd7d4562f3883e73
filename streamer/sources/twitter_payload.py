# -*- test-case-name: tests.unit.test_sources_twitter_payload -*-
"""What an item from a v1.1 stream says: `decode`.

As with API v2, what a post cannot do without (id, text) raises, and what it can do without never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from streamer.activity import Activity, Author, Facet, Media, Place
from streamer.errors import DecodeError
from streamer.message import Item
from streamer.sources import lenient
from streamer.sources.twitter_objects import (
    Deletion,
    Entities,
    Id,
    Moment,
    PlaceObject,
    Scrubbing,
    Span,
    Tweet,
    User,
    Written,
)
from streamer.sources.x_text import (
    ID,
    MEDIA_KINDS,
    UNREADABLE,
    language,
    link,
    milliseconds,
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

# "Tue Feb 09 22:48:55 +0000 2021"; strptime would read the month in the language of the machine.
_CREATED = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2}) ([0-9]{4})",
    re.ASCII,
)
_REPOST = re.compile(r"RT @[A-Za-z0-9_]{1,20}: ")  # the handle is that of then; accounts get other ones
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_decode_tweet = msgspec.json.Decoder(Tweet).decode
_decode_moment = msgspec.json.Decoder(Moment).decode
_decode_polygon = msgspec.json.Decoder(list[list[tuple[float, float]]]).decode


def decode(item: Item) -> Activity:
    """The meaning of an item from a v1.1 stream.

    A `scrub` names the user (author) and the newest post (id) whose places must be forgotten. Items that are about
    the stream and not about a post (`limit`, `warning`, …) give an activity with nothing in it.

    Raises:
        DecodeError: a post, deletion or scrub that cannot be read; dead-letter the item.
    """
    try:
        if item.kind == "post":
            return _post(item, _tweet(item.body))
        if item.kind == "delete":
            return _deletion(item)
        if item.kind == "scrub":
            return _scrub(item)
    except UNREADABLE as error:
        raise DecodeError(f"{item.kind} {item.id} of {item.source} cannot be read: {error}") from error
    return Activity(item=item, kind=item.kind, id=item.id)


def posted(item: Item) -> int | None:
    """When an item was posted, ms since the epoch: its id says so, else the post itself; None for what is no post."""
    if item.kind != "post":
        return None
    exact = snowflake_milliseconds(item.id)
    if exact is not None:
        return exact
    try:
        return _created(_decode_moment(item.body))
    except UNREADABLE:
        return None


def first_id(*candidates: Id) -> str | None:
    """The first of several forms of an id that is one."""
    return next((str(one) for one in candidates if ID.fullmatch(str(one))), None)


def _tweet(body: bytes) -> Tweet:
    try:
        return _decode_tweet(body)
    except UNREADABLE:
        return lenient.decode(without_lone_surrogates(body), Tweet)


def _deletion(item: Item) -> Activity:
    delete = msgspec.json.decode(item.body, type=Deletion).delete
    id_ = first_id(delete.status.id_str, delete.status.id)
    if id_ is None:
        raise DecodeError(f"delete {item.id} of {item.source} names no post")
    return Activity(item=item, kind="delete", id=id_, created=written_milliseconds(delete.timestamp_ms))


def _scrub(item: Item) -> Activity:
    scrub = msgspec.json.decode(item.body, type=Scrubbing).scrub_geo
    user = first_id(scrub.user_id_str, scrub.user_id)
    newest = first_id(scrub.up_to_status_id_str, scrub.up_to_status_id)
    if user is None or newest is None:
        raise DecodeError(f"scrub {item.id} of {item.source} names no user or no post")
    return Activity(item=item, kind="scrub", id=newest, author=Author(id=user))


def _post(item: Item, tweet: Tweet) -> Activity:
    id_ = first_id(tweet.id_str, tweet.id)
    if id_ is None:
        raise DecodeError(f"post {item.id} of {item.source} has no id that is a number")
    text, facets, media = _content(tweet)
    if text is None:
        raise DecodeError(f"post {item.id} of {item.source} has no text")
    author = _author(tweet.user)
    reply_to = first_id(tweet.in_reply_to_status_id_str, tweet.in_reply_to_status_id)
    text, facets = unescaped(text, facets)
    return Activity(
        item=item,
        kind="post",
        id=id_,
        url=post_url(author, id_),
        author=author,
        text=text,
        facets=facets,
        lang=language(tweet.lang),
        created=_created(tweet),
        reply_to=reply_to,
        thread=reply_to or id_,  # the beginning of a conversation is not said, only what is answered
        media=tuple(_media(media)),
        places=tuple(_places(tweet)),
        sensitive=tweet.possibly_sensitive,
        people=tuple(_people(author, tweet)),
    )


def _content(tweet: Tweet) -> tuple[str | None, tuple[Facet, ...] | None, Entities | None]:
    """Text as delivered, its facets, and where the media are; a repost is cut, so its text is put together anew."""
    text, entities, media = _whole(tweet)
    original = tweet.retweeted_status
    repeated, inner, inner_media = _whole(original) if original else (None, None, None)
    repost = _REPOST.match(text or "")
    prefix = repost[0] if repost else ""
    if not text or not prefix or not repeated or not repeated.startswith(text[len(prefix) :].rstrip("… ")):
        return text, _separated(text or "", entities), media
    before = [facet for facet in _facets(text, entities) if facet.end <= len(prefix)] if entities else []
    facets = None
    if inner is not None:
        after = (
            Facet(one.start + len(prefix), one.end + len(prefix), one.kind, one.value)
            for one in _facets(repeated, inner)
        )
        facets = tuple(separate([*before, *after]))
    return prefix + repeated, facets, media if media and media.media else inner_media


def _whole(written: Written) -> tuple[str | None, Entities | None, Entities | None]:
    """The longest text there is, the entities that belong to it, and those that hold all media."""
    extended = written.extended_tweet
    if extended is not None and extended.full_text:
        return extended.full_text, extended.entities, extended.extended_entities or extended.entities
    text = written.text if written.full_text is None else written.full_text
    return text, written.entities, written.extended_entities or written.entities


def _separated(text: str, entities: Entities | None) -> tuple[Facet, ...] | None:
    return None if entities is None else tuple(separate(_facets(text, entities)))


def _facets(text: str, entities: Entities) -> Iterator[Facet]:
    for span in (*(entities.urls or ()), *(entities.media or ())):
        start, end = span.indices
        yield from link(text, start, end, span.expanded_url or span.url, span.url)
    for span in entities.hashtags or ():
        yield from named(text, *span.indices, "tag", span.text)
    for span in entities.user_mentions or ():
        yield from named(text, *span.indices, "mention", span.screen_name)
    for span in entities.symbols or ():
        yield from named(text, *span.indices, "cashtag", span.text)


def _author(user: User | Span | None) -> Author | None:
    id_ = first_id(user.id_str, user.id) if user else None
    return person(id_, user.screen_name, user.name) if user and id_ else None


def _people(author: Author | None, tweet: Tweet) -> Iterator[Author]:
    """Everybody named in a post, each once, the author first."""
    spans = tweet.entities.user_mentions if tweet.entities else None
    extended = tweet.extended_tweet.entities if tweet.extended_tweet else None
    more = extended.user_mentions if extended else None
    original = tweet.retweeted_status.user if tweet.retweeted_status else None
    seen: set[str] = set()
    for one in (author, *map(_author, (original, *(spans or ()), *(more or ())))):
        if one is not None and one.id not in seen:
            seen.add(one.id)
            yield one


def _media(entities: Entities | None) -> Iterator[Media]:
    for one in (entities.media if entities else None) or ():
        kind = MEDIA_KINDS.get(one.type or "")
        if kind:
            yield Media(kind, one.media_url_https or one.media_url, one.ext_alt_text or None)


def _places(tweet: Tweet) -> Iterator[Place]:
    place = tweet.place
    country = (place.country_code or None) if place else None
    name = (place.full_name or place.name) if place else None
    point = _point(tweet)
    if point is not None:
        yield Place(point=point, country=country, name=name)
    if place is not None and place.bounding_box is not None:
        yield Place(box=_box(place), country=country, name=name)


def _point(tweet: Tweet) -> tuple[float, float] | None:
    """(longitude, latitude): `coordinates` is GeoJSON, the older `geo` has them the other way round."""
    for shape, lon_first in ((tweet.coordinates, True), (tweet.geo, False)):
        if shape is not None and shape.type in (None, "Point"):
            one, other = numbers(shape.coordinates, 2)
            return (one, other) if lon_first else (other, one)
    return None


def _box(place: PlaceObject) -> tuple[float, float, float, float]:
    """West, south, east, north of a ring of (longitude, latitude); NaN where it is none, which the hydrator counts."""
    raw = place.bounding_box.coordinates if place.bounding_box else msgspec.Raw(b"null")
    try:
        lons, lats = zip(*_decode_polygon(raw)[0], strict=True)
    except (*UNREADABLE, IndexError, ValueError):
        return (float("nan"),) * 4
    return min(lons), min(lats), max(lons), max(lats)


def _created(tweet: Tweet | Moment) -> int | None:
    exact = written_milliseconds(tweet.timestamp_ms)
    if exact is not None:
        return exact
    said = _CREATED.fullmatch(tweet.created_at or "")
    if said is None or said[1] not in _MONTHS:
        return None
    month = _MONTHS.index(said[1]) + 1
    offset = timedelta(hours=int(said[7]), minutes=int(said[8])) * (-1 if said[6] == "-" else 1)
    try:
        local = datetime(int(said[9]), month, int(said[2]), int(said[3]), int(said[4]), int(said[5]), tzinfo=UTC)
        return milliseconds(local - offset)
    except (ValueError, OverflowError):
        return None
