# -*- test-case-name: tests.unit.test_sources_x_payload -*-
"""What an item says, in words that do not depend on its upstream.

A source decodes its own payload into an `Activity`; hydrators return it with more data points; event kinds read
it. Every field but the first three may be missing, and None always means "the upstream did not say".
"""

from __future__ import annotations

import msgspec

from streamer.message import Item


class Facet(msgspec.Struct, frozen=True):
    """A span of a text: `start` and `end` in Unicode code points, `kind` one of link, tag, mention, cashtag."""

    start: int
    end: int
    kind: str
    value: str


class Author(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who wrote it; `handle` without the leading @."""

    id: str
    handle: str | None = None
    name: str | None = None
    url: str | None = None


class Media(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attachment; `kind` is photo, video or animation."""

    kind: str
    url: str | None = None
    alt: str | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the upstream says it happened, not yet checked.

    Args:
        point: (longitude, latitude), in GeoJSON's order.
        box: (west, south, east, north) in degrees.
        country: ISO 3166-1 alpha-2.
        name: for people.
    """

    point: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    country: str | None = None
    name: str | None = None


class Geo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A checked location: degrees, `precision` one of point, place, gazetteer, `radius_km` its uncertainty."""

    lat: float
    lon: float
    precision: str
    radius_km: float
    country: str | None = None
    name: str | None = None


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded item.

    Args:
        item: what it was decoded from.
        kind: the item's kind, unless decoding showed a better one.
        id: the upstream's id of the thing acted on (the post, for a delete too).
        created: ms since the epoch.
        facets: None where the upstream gives none and they must be found in the text.
        tags: without `#`, in order of appearance, no repeats.
        reply_to: id of the thing answered.
        thread: id of the conversation.
        places: candidates, best first.
        geo: filled by the `geo` hydrator.
        action: what was done, of activities that are no posts, as the upstream calls it: edit, push, release, entry.
        scope: where it was done: a wiki, a repository, the host of a feed.
        title: of the page, the release, the entry; `text` sums up what was done to it.
    """

    item: Item
    kind: str
    id: str
    url: str | None = None
    author: Author | None = None
    text: str | None = None
    facets: tuple[Facet, ...] | None = None
    lang: str | None = None
    created: int | None = None
    reply_to: str | None = None
    thread: str | None = None
    tags: tuple[str, ...] = ()
    media: tuple[Media, ...] = ()
    places: tuple[Place, ...] = ()
    geo: Geo | None = None
    sensitive: bool | None = None
    people: tuple[Author, ...] = ()
    action: str | None = None
    scope: str | None = None
    title: str | None = None
