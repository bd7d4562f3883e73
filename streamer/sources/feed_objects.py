# -*- test-case-name: tests.unit.test_sources_feed_payload -*-
"""An entry of a feed as this house writes it down: the body of an item, JSON.

No slice of a feed's bytes is one entry by itself: namespaces, base addresses and languages stand outside of it, and
half of all feeds are no XML. So what is kept is what was read, untouched in its texts but for their length.
"""

from __future__ import annotations

import msgspec

PLAIN = "text/plain"
HTML = "text/html"


class Text(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text in its markup; `type` is `text/plain` or `text/html`, which XHTML is written as, too."""

    value: str
    type: str = PLAIN


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who wrote it, as far as the feed tells; addresses of e-mail are left out."""

    name: str | None = None
    url: str | None = None


class Enclosure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that goes with an entry: `type` is a media type or a medium such as "image"."""

    url: str
    type: str | None = None
    length: int | None = None
    title: str | None = None


class FeedInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """The feed that an entry came in; not where it was asked for, since that may hold a token."""

    title: str | None = None
    link: str | None = None


class FeedEntry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An entry.

    Args:
        item: the id of the item, see `feed_memory`.
        action: "entry" for a new one, "update" where its text changed.
        identity: Atom's `id`, RSS's `guid`, else its link, else a hash of its text.
        published, updated: ms since the epoch.
        tags: as written.
    """

    item: str = ""
    action: str = "entry"
    identity: str
    feed: FeedInfo
    title: Text | None = None
    link: str | None = None
    author: Person | None = None
    published: int | None = None
    updated: int | None = None
    summary: Text | None = None
    content: Text | None = None
    tags: tuple[str, ...] = ()
    enclosures: tuple[Enclosure, ...] = ()
    lang: str | None = None
