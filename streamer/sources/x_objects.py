# -*- test-case-name: tests.unit.test_sources_x_payload -*-
"""The objects of an X API v2 stream, as far as we read them.

Only the fields that end up in an `Activity` are declared; msgspec skips the rest unread, which is what makes decoding
cheap and indifferent to new fields. X leaves out what is null or empty, so nearly everything is optional.

https://docs.x.com/x-api/fundamentals/data-dictionary
"""

from __future__ import annotations

import msgspec


class Span(msgspec.Struct, frozen=True, gc=False):
    """An entity; which of the later fields it has depends on its list."""

    start: int = -1
    end: int = -1
    tag: str | None = None
    username: str | None = None
    url: str | None = None
    expanded_url: str | None = None
    unwound_url: str | None = None


class Entities(msgspec.Struct, frozen=True, gc=False):
    urls: list[Span] | None = None
    hashtags: list[Span] | None = None
    mentions: list[Span] | None = None
    cashtags: list[Span] | None = None


class Note(msgspec.Struct, frozen=True, gc=False):
    """The whole of a long post, of which `text` is the beginning."""

    text: str | None = None
    entities: Entities | None = None


class Point(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    coordinates: msgspec.Raw = msgspec.Raw(b"null")  # read leniently: a bad place must not cost us the post


class Location(msgspec.Struct, frozen=True, gc=False):
    place_id: str | None = None
    coordinates: Point | None = None


class Reference(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    id: str | None = None


class Attachments(msgspec.Struct, frozen=True, gc=False):
    media_keys: list[str] | None = None


class Post(msgspec.Struct, frozen=True, gc=False):
    id: str
    text: str
    author_id: str | None = None
    created_at: str | None = None
    conversation_id: str | None = None
    lang: str | None = None
    possibly_sensitive: bool | None = None
    entities: Entities | None = None
    note_tweet: Note | None = None
    geo: Location | None = None
    referenced_tweets: list[Reference] | None = None
    attachments: Attachments | None = None


class User(msgspec.Struct, frozen=True, gc=False):
    id: str = ""
    username: str | None = None
    name: str | None = None


class Attachment(msgspec.Struct, frozen=True, gc=False):
    media_key: str = ""
    type: str | None = None
    url: str | None = None
    preview_image_url: str | None = None
    alt_text: str | None = None


class Shape(msgspec.Struct, frozen=True, gc=False):
    bbox: msgspec.Raw = msgspec.Raw(b"null")


class PlaceObject(msgspec.Struct, frozen=True, gc=False):
    id: str = ""
    full_name: str | None = None
    name: str | None = None
    country_code: str | None = None
    geo: Shape | None = None


class Includes(msgspec.Struct, frozen=True, gc=False):
    users: list[User] | None = None
    media: list[Attachment] | None = None
    places: list[PlaceObject] | None = None


class Deleted(msgspec.Struct, frozen=True, gc=False):
    id: int | str | None = None
    id_str: str | None = None


class Delete(msgspec.Struct, frozen=True, gc=False):
    status: Deleted
    timestamp_ms: int | str | None = None


class Payload(msgspec.Struct, frozen=True, gc=False):
    data: Post | None = None
    includes: Includes = Includes()
    delete: Delete | None = None
