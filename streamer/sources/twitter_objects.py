# -*- test-case-name: tests.unit.test_sources_twitter_payload -*-
"""The objects of a v1.1 stream, as far as we read them; msgspec skips the rest unread.

https://developer.twitter.com/en/docs/twitter-api/v1/data-dictionary/object-model/tweet — ids stand twice, as a number
and as a string, for JavaScript cannot hold the number; either will do.
"""

from __future__ import annotations

from typing import Any

import msgspec

Id = int | str | None


class Span(msgspec.Struct, frozen=True, gc=False):
    """An entity; which of the fields it has depends on its list."""

    indices: tuple[int, int] = (-1, -1)
    text: str | None = None
    id: Id = None
    id_str: str | None = None
    screen_name: str | None = None
    name: str | None = None
    url: str | None = None
    expanded_url: str | None = None
    media_url_https: str | None = None
    media_url: str | None = None
    type: str | None = None
    ext_alt_text: str | None = None


class Entities(msgspec.Struct, frozen=True, gc=False):
    urls: list[Span] | None = None
    hashtags: list[Span] | None = None
    user_mentions: list[Span] | None = None
    symbols: list[Span] | None = None
    media: list[Span] | None = None


class Extended(msgspec.Struct, frozen=True, gc=False):
    """The whole of a post over 140 characters, of which `text` is the beginning."""

    full_text: str | None = None
    entities: Entities | None = None
    extended_entities: Entities | None = None


class User(msgspec.Struct, frozen=True, gc=False):
    id: Id = None
    id_str: str | None = None
    screen_name: str | None = None
    name: str | None = None


class Shape(msgspec.Struct, frozen=True, gc=False):
    """Point or polygon; the numbers are read leniently, for a bad place must not cost us the post."""

    type: str | None = None
    coordinates: msgspec.Raw = msgspec.Raw(b"null")


class PlaceObject(msgspec.Struct, frozen=True, gc=False):
    full_name: str | None = None
    name: str | None = None
    country_code: str | None = None
    bounding_box: Shape | None = None


class Written(msgspec.Struct, frozen=True, gc=False):
    """What was written: of a post itself, or of the one it repeats."""

    text: str | None = None
    full_text: str | None = None
    entities: Entities | None = None
    extended_entities: Entities | None = None
    extended_tweet: Extended | None = None
    user: User | None = None


class Moment(msgspec.Struct, frozen=True, gc=False):
    """Of a post only when it was made: to the millisecond on a stream, else to the second."""

    created_at: str | None = None
    timestamp_ms: Id = None


class Tweet(Written, frozen=True, gc=False):
    id: Id = None
    id_str: str | None = None
    created_at: str | None = None
    timestamp_ms: Id = None
    lang: str | None = None
    in_reply_to_status_id: Id = None
    in_reply_to_status_id_str: str | None = None
    retweeted_status: Written | None = None
    coordinates: Shape | None = None
    geo: Shape | None = None
    place: PlaceObject | None = None
    possibly_sensitive: bool | None = None


class Status(msgspec.Struct, frozen=True, gc=False):
    id: Id = None
    id_str: str | None = None
    user_id: Any = None  # of whatever type: a deletion is not lost for it
    user_id_str: Any = None


class Delete(msgspec.Struct, frozen=True, gc=False):
    status: Status
    timestamp_ms: Id = None


class Deletion(msgspec.Struct, frozen=True, gc=False):
    delete: Delete


class Scrub(msgspec.Struct, frozen=True, gc=False):
    """All of a user's places up to a post must be forgotten."""

    user_id: Id = None
    user_id_str: str | None = None
    up_to_status_id: Id = None
    up_to_status_id_str: str | None = None


class Scrubbing(msgspec.Struct, frozen=True, gc=False):
    scrub_geo: Scrub
