# -*- test-case-name: tests.unit.test_hydrators_entities -*-
"""Facets and tags: what a text links to, names and is about.

The upstream's own facets are used where it gives them, for it knows what stands behind its shortened links; else they
are found in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity, Facet
from streamer.interfaces import IHydrator
from streamer.policy.entities import find_facets


@implementer(IPlugin, IHydrator)
@attrs.define(eq=False)
class EntitiesHydrator:
    """Fills `facets` and `tags`."""

    name: str = "entities"
    dropped: Mapping[str, int] = attrs.field(factory=dict)

    def hydrate(self, activity: Activity) -> Activity:
        """The activity with facets (`()` where the text has none) and with every tag once."""
        if activity.text is None:
            return activity
        facets = activity.facets
        if facets is None:
            facets = find_facets(activity.text)
        elif not facets:
            return activity
        return msgspec.structs.replace(activity, facets=facets, tags=_tags(activity.tags, facets))


def _tags(known: tuple[str, ...], facets: Iterable[Facet]) -> tuple[str, ...]:
    """In order of appearance; the spelling seen first stands for all."""
    tags: dict[str, str] = {}
    for tag in (*known, *[facet.value for facet in facets if facet.kind == "tag"]):
        tags.setdefault(tag.casefold(), tag)
    return tuple(tags.values())


entities = EntitiesHydrator()
