# -*- test-case-name: tests.unit.test_hydrators_geo -*-
"""Tests for `streamer.hydrators.geo`."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer import registry
from streamer.activity import Activity, Geo, Place
from streamer.hydrators.geo import GeoHydrator, distance, geo
from streamer.interfaces import IHydrator
from streamer.message import Item

ITEM = Item(source="birds", kind="post", id="1", received=0, body=b"{}")
DENVER = (-105.109815, 39.614151, -104.734372, 39.812975)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-180, 180)


class GeoTests(SynchronousTestCase):
    """One checked location."""

    def setUp(self) -> None:
        """A hydrator of its own for every test, with its own counts."""
        self.hydrator = GeoHydrator()

    def locate(self, *places: Place) -> Geo | None:
        """The location of a post with these places."""
        return self.hydrator.hydrate(Activity(item=ITEM, kind="post", id="1", places=places)).geo

    def box(self, *box: float) -> Geo:
        """The location of a post with one box, which must be usable."""
        west, south, east, north = box
        found = self.locate(Place(box=(west, south, east, north)))
        assert found is not None
        return found

    def counts(self) -> dict[str, int]:
        """What was dropped."""
        return {reason: count for reason, count in self.hydrator.dropped.items() if count}

    def test_plugin(self) -> None:
        """It is found by name."""
        self.assertIs(registry.find(IHydrator, "geo"), geo)

    def test_p1_longitude_first(self) -> None:
        """PT P1: points and boxes are (longitude, latitude), as GeoJSON has it."""
        self.assertEqual(self.locate(Place(point=(-105.0, 39.7))), Geo(39.7, -105.0, "point", 0.0))
        found = self.box(*DENVER)
        self.assertTrue(DENVER[1] < found.lat < DENVER[3] and DENVER[0] < found.lon < DENVER[2])

    def test_p2_centre(self) -> None:
        """PT P2: a box is its middle, with half its diagonal as radius."""
        found = self.box(10, 40, 12, 42)
        self.assertEqual((found.lat, found.lon, found.precision), (41, 11, "place"))
        self.assertAlmostEqual(found.radius_km, distance(40, 10, 42, 12) / 2, places=3)
        self.assertApproximates(found.radius_km, 139.3, 0.1)

    def test_p3_zero_is_a_place(self) -> None:
        """PT P3: the equator and Greenwich exist."""
        self.assertEqual(self.locate(Place(point=(0.0, 51.5))), Geo(51.5, 0.0, "point", 0.0))
        self.assertEqual(self.locate(Place(point=(32.6, 0.0))), Geo(0.0, 32.6, "point", 0.0))
        self.assertEqual(self.box(-1, -1, 1, 1).lat, 0)
        self.assertEqual(self.counts(), {})

    def test_p4_place_serves(self) -> None:
        """PT P4: where the point is unusable or missing, the place serves."""
        for point in (None, (math.nan, 1.0), (0.0, 0.0), (200.0, 1.0)):
            found = self.locate(Place(point=point), Place(box=DENVER))
            assert found is not None
            self.assertEqual(found.precision, "place")

    def test_p5_nothing_from_nothing(self) -> None:
        """PT P5: without a usable place there is no location, not (0, 0)."""
        self.assertIsNone(self.locate())
        self.assertIsNone(self.locate(Place(country="DE", name="Germany")))
        self.assertIsNone(self.locate(Place(point=(math.inf, 0.0)), Place(box=(0, 0, 0, 0))))

    def test_null_island(self) -> None:
        """Exactly (0, 0) is nowhere, with whatever sign; a hair beside is somewhere."""
        for point in ((0.0, 0.0), (-0.0, 0.0), (0.0, -0.0)):
            self.assertIsNone(self.locate(Place(point=point)))
        self.assertIsNone(self.locate(Place(box=(0, 0, 0, 0))))
        self.assertEqual(self.counts(), {"null-island": 4})
        self.assertIsNotNone(self.locate(Place(point=(0.0, 0.000001))))

    def test_reasons(self) -> None:
        """Everything dropped is counted with its reason."""
        self.locate(Place(point=(math.nan, 1.0)), Place(point=(1.0, -math.inf)), Place(box=(1, 2, math.nan, 4)))
        self.locate(Place(point=(181.0, 0.0)), Place(point=(0.0, -90.1)), Place(box=(-200, 0, 0, 1)))
        self.locate(Place(box=(0, 10, 1, 5)))
        self.locate(Place(box=(-180, -90, 180, 90)))
        self.assertEqual(self.counts(), {"not-a-number": 3, "out-of-range": 3, "upside-down": 1, "too-wide": 1})

    def test_edges(self) -> None:
        """The poles and the antimeridian are in range."""
        for point in ((180.0, 90.0), (-180.0, -90.0)):
            self.assertIsNotNone(self.locate(Place(point=point)))

    def test_antimeridian(self) -> None:
        """A box whose west is east of its east lies across the antimeridian."""
        found = self.box(177, -19, -179, -16)
        self.assertEqual((found.lat, found.lon), (-17.5, 179))
        self.assertLess(found.radius_km, 300)
        self.assertEqual(self.box(179, 0, -175, 1).lon, -178)
        self.assertEqual(self.box(179, 0, -179, 1).lon, 180)

    def test_antimeridian_as_extremes(self) -> None:
        """A box wider than half the earth is the extremes of one across the antimeridian, if it is not tall."""
        found = self.box(-179.9, -19, 177, -16)
        self.assertEqual((found.lat, found.lon), (-17.5, 178.55))
        self.assertIsNone(self.locate(Place(box=(-179.2, 18.9, 179.8, 71.4))))
        self.assertEqual(self.counts(), {"too-wide": 1})

    def test_wide_but_honest(self) -> None:
        """A wide box that says where it lies is used as it is."""
        self.assertEqual(self.box(19.6, 41.2, -169.0, 81.9).lon, 105.3)

    def test_point_beats_box(self) -> None:
        """A point wins over boxes before it; among equals the first wins."""
        found = self.locate(Place(box=DENVER), Place(point=(1.0, 2.0)), Place(point=(3.0, 4.0)))
        self.assertEqual(found, Geo(2.0, 1.0, "point", 0.0))
        first = self.locate(Place(box=(10, 40, 12, 42)), Place(box=DENVER))
        assert first is not None
        self.assertEqual(first.lon, 11)

    def test_country(self) -> None:
        """A country is two letters, in capitals; anything else is none."""
        for code, country in {
            "us": "US",
            "DE": "DE",
            "": None,
            "USA": None,
            "é1": None,
            "12": None,
            None: None,
        }.items():
            found = self.locate(Place(point=(1.0, 2.0), country=code, name="There"))
            self.assertEqual(found, Geo(2.0, 1.0, "point", 0.0, country, "There"))

    def test_known(self) -> None:
        """A location that the source itself found is kept."""
        known = Geo(1.0, 2.0, "point", 0.0)
        activity = Activity(item=ITEM, kind="post", id="1", places=(Place(box=DENVER),), geo=known)
        self.assertIs(self.hydrator.hydrate(activity), activity)

    @given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
    def test_any_numbers(self, west: float, south: float, east: float, north: float) -> None:
        """Whatever the numbers: a location in range, or one more counted drop."""
        before = sum(self.hydrator.dropped.values())
        found = self.locate(Place(box=(west, south, east, north)))
        if found is None:
            self.assertEqual(sum(self.hydrator.dropped.values()), before + 1)
        else:
            self.assertLessEqual(abs(found.lat), 90)
            self.assertLessEqual(abs(found.lon), 180)
            self.assertTrue(south - 1e-6 <= found.lat <= north + 1e-6)
            self.assertTrue(0 <= found.radius_km <= 10_008)

    def test_distance(self) -> None:
        """A quarter of the earth, and the opposite point, in km."""
        self.assertApproximates(distance(0, 0, 0, 90), 10_007.6, 0.1)
        self.assertApproximates(distance(0, 0, 0, 180), 20_015.1, 0.1)
        self.assertApproximates(distance(51.5074, -0.1278, 48.8566, 2.3522), 343.6, 1)

    def test_p13_not_mutated(self) -> None:
        """PT P13: the activity handed in is the same afterwards."""
        before = Activity(item=ITEM, kind="post", id="1", places=(Place(box=DENVER),))
        self.hydrator.hydrate(before)
        self.assertIsNone(before.geo)
