# -*- test-case-name: tests.unit.test_hydrators_entities -*-
"""Tests for `streamer.hydrators.entities`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from streamer import registry
from streamer.activity import Activity, Facet
from streamer.hydrators.entities import EntitiesHydrator, entities
from streamer.interfaces import IHydrator
from streamer.message import Item

ITEM = Item(source="birds", kind="post", id="1", received=0, body=b"{}")


def hydrated(text: str | None, facets: tuple[Facet, ...] | None = None, tags: tuple[str, ...] = ()) -> Activity:
    """What the hydrator makes of a post."""
    return EntitiesHydrator().hydrate(Activity(item=ITEM, kind="post", id="1", text=text, facets=facets, tags=tags))


class EntitiesTests(SynchronousTestCase):
    """Facets and tags."""

    def test_plugin(self) -> None:
        """It is found by name."""
        self.assertIs(registry.find(IHydrator, "entities"), entities)

    def test_found_in_text(self) -> None:
        """Where the upstream gives no facets they are found in the text."""
        activity = hydrated("@biz #One https://a.example/ $TWTR")
        self.assertEqual([facet.kind for facet in activity.facets or ()], ["mention", "tag", "link", "cashtag"])
        self.assertEqual(activity.tags, ("One",))

    def test_upstreams_own(self) -> None:
        """The upstream's facets are kept as they are, even where the text shows others."""
        facets = (Facet(0, 4, "tag", "One"),)
        activity = hydrated("#One #two", facets)
        self.assertEqual((activity.facets, activity.tags), (facets, ("One",)))
        self.assertEqual(hydrated("#One", ()).facets, ())

    def test_tags_once(self) -> None:
        """Tags stand in order of appearance, without repeats in other capitals, as first written."""
        activity = hydrated("#Straße #b #STRASSE #B #c")
        self.assertEqual(activity.tags, ("Straße", "b", "c"))
        self.assertEqual(len(activity.facets or ()), 5)

    def test_tags_known(self) -> None:
        """Tags the source gave come first and stay."""
        self.assertEqual(hydrated("#b #C", tags=("c", "x")).tags, ("c", "x", "b"))
        self.assertEqual(hydrated("none", (), tags=("x",)).tags, ("x",))

    def test_no_facets(self) -> None:
        """A text without any has an empty tuple: looked for, none there."""
        self.assertEqual(hydrated("plain").facets, ())

    def test_no_text(self) -> None:
        """What has no text is left alone."""
        self.assertIsNone(hydrated(None).facets)

    def test_p13_not_mutated(self) -> None:
        """PT P13: the activity handed in is the same afterwards."""
        before = Activity(item=ITEM, kind="post", id="1", text="#a")
        EntitiesHydrator().hydrate(before)
        self.assertEqual(before, Activity(item=ITEM, kind="post", id="1", text="#a"))
