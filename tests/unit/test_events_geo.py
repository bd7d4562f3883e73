# -*- test-case-name: tests.unit.test_events_geo -*-
"""Tests for `streamer.events.geo`."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from streamer import registry
from streamer.activity import Activity, Author, Geo, Place
from streamer.events.geo import geo
from streamer.interfaces import IEventKind
from streamer.message import Item

ITEM = Item(source="birds", kind="post", id="1519", received=1_700_000_000_000, body=b"{}")


class GeoTests(SynchronousTestCase):
    """The blip of a post."""

    def test_plugin(self) -> None:
        """It is found by name."""
        self.assertIs(registry.find(IEventKind, "geo"), geo)

    def test_blip(self) -> None:
        """It says where, how sure, of which post and whose; the country is in the topic."""
        where = Geo(-36.8, 174.7, "place", 12.5, "NZ", "Auckland")
        activity = Activity(item=ITEM, kind="post", id="1519", text="a", author=Author("1", "jack"), geo=where)
        event = geo.derive(activity, 5)
        assert event is not None
        body = json.loads(event.message().body)
        self.assertEqual((body["id"], body["type"], body["topic"]), ("geo:1519", "streamer.geo", "geo.birds.nz"))
        self.assertEqual(
            body["data"],
            {"lat": -36.8, "lon": 174.7, "precision": "place", "radius_km": 12.5, "post": "1519", "author": "1"},
        )
        self.assertEqual((body["subject"], body["time"]), ("@jack", "2023-11-14T22:13:20.000Z"))

    def test_zero(self) -> None:
        """PT P3: zeros are data and are written."""
        event = geo.derive(Activity(item=ITEM, kind="post", id="1", geo=Geo(0.0, 0.0, "place", 0.0), created=0), 5)
        assert event is not None
        body = json.loads(event.message().body)
        self.assertEqual(body["data"], {"lat": 0.0, "lon": 0.0, "precision": "place", "radius_km": 0.0, "post": "1"})
        self.assertEqual((body["topic"], body["time"]), ("geo.birds.-", "1970-01-01T00:00:00.000Z"))

    def test_author(self) -> None:
        """Whose it is stays out where the upstream did not say; an empty id would be everybody's."""
        for author in (None, Author("")):
            event = geo.derive(
                Activity(item=ITEM, kind="post", id="1", author=author, geo=Geo(1.0, 2.0, "point", 0.0)), 5
            )
            assert event is not None
            self.assertNotIn("author", json.loads(event.message().body)["data"])

    def test_p5_no_location_no_blip(self) -> None:
        """PT P5: a post without a checked location makes no blip, whatever places it names."""
        places = (Place(point=(1.0, 2.0)),)
        self.assertIsNone(geo.derive(Activity(item=ITEM, kind="post", id="1", text="a", places=places), 5))

    def test_other_kinds(self) -> None:
        """Only posts are on the map."""
        where = Geo(1.0, 2.0, "point", 0.0)
        self.assertIsNone(geo.derive(Activity(item=ITEM, kind="delete", id="1", geo=where), 5))
