# -*- test-case-name: tests.unit.test_sources_jetstream -*-
"""Spans of a post of Bluesky, which count bytes of UTF-8, as facets, which count code points.

https://docs.bsky.app/docs/advanced-guides/post-richtext — a span that lies outside of the text, or begins or ends
within a character, is dropped, and so is one that overlaps an earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from streamer.activity import Facet
from streamer.sources.jetstream_objects import FacetObject, Feature
from streamer.sources.markup import address
from streamer.sources.x_text import separate

DID = re.compile(r"did:[a-z]{1,20}:[A-Za-z0-9._:%-]{1,180}")  # https://www.w3.org/TR/did-core/#did-syntax
TAG_LIMIT = 640  # characters of a tag; Bluesky's own limit is 64 graphemes in as many bytes

_LINK = "app.bsky.richtext.facet#link"
_MENTION = "app.bsky.richtext.facet#mention"
_TAG = "app.bsky.richtext.facet#tag"


def facets_of(text: str, found: Iterable[FacetObject]) -> tuple[Facet, ...]:
    """All that can be used, in order of the text."""
    spans = [(one.index.byte_start, one.index.byte_end, one.features) for one in found]
    spans = [span for span in spans if 0 <= span[0] < span[1]]
    if not spans:
        return ()
    places = _places(text, {offset for span in spans for offset in span[:2]})
    made = [
        Facet(places[start], places[end], *named)
        for start, end, features in spans
        if start in places and end in places
        for named in _named(features)
    ]
    return tuple(separate(made))


def clean_tag(tag: str) -> str | None:
    """A tag without its sign; None where there is nothing to it."""
    bare = tag.strip().lstrip("#＃")
    return bare if bare and len(bare) <= TAG_LIMIT and bare.isprintable() else None


def _places(text: str, offsets: set[int]) -> dict[int, int]:
    """Byte offsets that lie between two characters → code points."""
    if text.isascii():
        return {offset: offset for offset in offsets if offset <= len(text)}
    written = text.encode("utf-8", "surrogatepass")
    places: dict[int, int] = {}
    reached = counted = 0
    for offset in sorted(offsets):
        if offset > len(written):
            break
        if offset < len(written) and written[offset] & 0xC0 == 0x80:  # within a character
            continue
        counted += len(written[reached:offset].decode("utf-8", "surrogatepass"))
        reached = offset
        places[offset] = counted
    return places


def _named(features: Iterable[Feature]) -> Iterator[tuple[str, str]]:
    """The first feature that says something."""
    for feature in features:
        did, tag = feature.did or "", feature.tag or ""
        if feature.type == _LINK and (uri := address(feature.uri)):
            yield "link", uri
        elif feature.type == _MENTION and DID.fullmatch(did):
            yield "mention", did
        elif feature.type == _TAG and clean_tag(tag):
            yield "tag", clean_tag(tag) or ""
        else:
            continue
        return
