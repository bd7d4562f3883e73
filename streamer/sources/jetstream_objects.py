# -*- test-case-name: tests.unit.test_sources_jetstream -*-
"""The JSON of a Jetstream: the envelope of each event, and those records of Bluesky that are read.

https://github.com/bluesky-social/jetstream#consuming-jetstream for the envelope, https://docs.bsky.app/docs/advanced-guides/posts
and the lexicons `app.bsky.*` for the records. Fields that are not read are left out.
"""

from __future__ import annotations

import msgspec

_RAW = msgspec.Raw()


class Commit(msgspec.Struct, gc=False):
    """A record was made, changed or deleted; a deleted one is not there."""

    operation: str
    collection: str
    rkey: str
    rev: str = ""
    record: msgspec.Raw = _RAW


class Told(msgspec.Struct, gc=False):
    """An identity or an account: `seq` is its number in the relay's own stream."""

    seq: int | None = None
    time: str | None = None
    handle: str | None = None
    active: bool | None = None
    status: str | None = None


class Envelope(msgspec.Struct, gc=False):
    """One event; `time_us` is when the Jetstream got it, microseconds since the epoch."""

    did: str
    time_us: int
    kind: str
    commit: Commit | None = None
    identity: Told | None = None
    account: Told | None = None


class Index(msgspec.Struct, gc=False, rename="camel"):
    """A span of a text in bytes of its UTF-8."""

    byte_start: int
    byte_end: int


class Feature(msgspec.Struct, gc=False):
    """What a span is: a link, a mention or a tag, by `$type`."""

    type: str = msgspec.field(name="$type")
    uri: str | None = None
    did: str | None = None
    tag: str | None = None


class FacetObject(msgspec.Struct, gc=False):
    """A span that means something."""

    index: Index
    features: list[Feature] = []


class Reference(msgspec.Struct, gc=False):
    """Another record."""

    uri: str | None = None


class Reply(msgspec.Struct, gc=False):
    """What a post answers, and what it all began with."""

    parent: Reference | None = None
    root: Reference | None = None


class Link(msgspec.Struct, gc=False):
    """The name of a blob."""

    cid: str = msgspec.field(name="$link")


class Blob(msgspec.Struct, gc=False, rename="camel"):
    """A file, kept elsewhere."""

    ref: Link | None = None
    mime_type: str | None = None


class Image(msgspec.Struct, gc=False):
    """A picture of a post."""

    alt: str | None = None
    image: Blob | None = None


class External(msgspec.Struct, gc=False):
    """A page that a post points at."""

    uri: str | None = None
    title: str | None = None
    description: str | None = None
    thumb: Blob | None = None


class Shown(msgspec.Struct, gc=False):
    """Whatever is shown with a post: pictures, a video, or a page."""

    images: list[Image] | None = None
    video: Blob | None = None
    alt: str | None = None
    external: External | None = None


class Embed(Shown, gc=False):
    """As `Shown`, or within `media` where a record is quoted besides."""

    media: Shown | None = None


class Label(msgspec.Struct, gc=False):
    """What somebody says of his own post, such as `porn`."""

    val: str | None = None


class Labels(msgspec.Struct, gc=False):
    """All of them."""

    values: list[Label] | None = None


class PostRecord(msgspec.Struct, gc=False, rename="camel"):
    """`app.bsky.feed.post`."""

    text: str
    created_at: str | None = None
    langs: list[str] | None = None
    facets: list[FacetObject] | None = None
    reply: Reply | None = None
    embed: Embed | None = None
    labels: Labels | None = None
    tags: list[str] | None = None


class AnyRecord(msgspec.Struct, gc=False, rename="camel"):
    """What all records have in common, as far as they do."""

    created_at: str | None = None
