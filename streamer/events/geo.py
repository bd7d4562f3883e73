# -*- test-case-name: tests.unit.test_events_geo -*-
"""`streamer.geo`: a blip for the map. No location, no event."""

from __future__ import annotations

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.interfaces import IEventKind
from streamer.message import Event, topic


class GeoData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Degrees; `precision` is point, place or gazetteer; `post` is the id of the post.

    `author` is the id of its author, for whoever holds the event when that author's locations are taken back.
    """

    lat: float
    lon: float
    precision: str
    radius_km: float
    post: str
    author: str | None = None


@implementer(IPlugin, IEventKind)
@attrs.frozen
class GeoKind:
    """Topic `geo.<source>.<country>`."""

    name: str = "geo"

    def derive(self, activity: Activity, now_ms: int) -> Event | None:
        """The event of a post whose location is known."""
        geo, item, author = activity.geo, activity.item, activity.author
        if geo is None or activity.kind not in ("post", "edit"):
            return None
        return Event(
            id=f"geo:{activity.id}",
            source=item.source,
            type="streamer.geo",
            topic=topic("geo", item.source, geo.country),
            data=GeoData(
                geo.lat, geo.lon, geo.precision, geo.radius_km, activity.id, (author.id or None) if author else None
            ),
            time=item.received if activity.created is None else activity.created,
            received=item.received,
            enriched=now_ms,
            subject=f"@{author.handle}" if author and author.handle else None,
        )


geo = GeoKind()
