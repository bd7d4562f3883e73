# -*- test-case-name: tests.unit.test_hydrators_geo -*-
"""Where it happened: one checked location out of what the upstream says about places.

Order is GeoJSON's, longitude first (RFC 7946 §3.1.1). Zero is a place like any other, but exactly (0, 0) is what
broken clients send for "unknown", so it is dropped. What is dropped is counted by reason; without a usable place
there is no location, and nothing is made up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity, Geo, Place
from streamer.interfaces import IHydrator

EARTH_RADIUS = 6371.0088  # km, mean
# A box wider than half the earth is the smallest and the largest longitude of a place that lies across the
# antimeridian (Fiji, the Aleutians); it is turned inside out. Where it is also taller than this it is the United
# States, Russia or the world, whose middle says nothing, and is dropped.
TALLEST_TURNED = 30.0  # degrees of latitude
DIGITS = 6  # decimals of a computed degree: 11 cm

REASONS = ("not-a-number", "out-of-range", "null-island", "upside-down", "too-wide")


class Unusable(ValueError):
    """A place that is none; the only argument is one of `REASONS`."""


@implementer(IPlugin, IHydrator)
@attrs.define(eq=False)
class GeoHydrator:
    """Turns `places` into `geo`."""

    name: str = "geo"
    _dropped: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(REASONS, 0))

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many places were unusable, by reason."""
        return self._dropped

    def hydrate(self, activity: Activity) -> Activity:
        """The activity with the first usable point, else the middle of the first usable box."""
        if not activity.places or activity.geo is not None:
            return activity
        found: Geo | None = None
        for place in activity.places:
            try:
                geo = locate(place)
            except Unusable as why:
                self._dropped[why.args[0]] += 1
                continue
            if geo is not None and (found is None or (geo.precision == "point" and found.precision != "point")):
                found = geo
        return activity if found is None else msgspec.structs.replace(activity, geo=found)


def locate(place: Place) -> Geo | None:
    """The location of a place; None where it has neither point nor box.

    Raises:
        Unusable: it says something that cannot be; count it.
    """
    country, name = _country(place.country), place.name
    if place.point is not None:
        lon, lat = place.point
        _check(lon, lat)
        if lon == 0 and lat == 0:
            raise Unusable("null-island")
        return Geo(lat, lon, "point", 0.0, country, name)
    if place.box is not None:
        lat, lon, radius = middle(*place.box)
        return Geo(lat, lon, "place", radius, country, name)
    return None


def middle(west: float, south: float, east: float, north: float) -> tuple[float, float, float]:
    """Latitude and longitude of the middle of a box, and half its diagonal in km.

    A box with `west > east` lies across the antimeridian (RFC 7946 §5.2).

    Raises:
        Unusable: not a box that a place can have.
    """
    _check(west, south)
    _check(east, north)
    if south > north:
        raise Unusable("upside-down")
    if west == south == east == north == 0:
        raise Unusable("null-island")
    if east - west > 180:
        if north - south > TALLEST_TURNED:
            raise Unusable("too-wide")
        west, east = east, west
    span = east - west if west <= east else east - west + 360
    lon = west + span / 2
    lon = round(lon - 360 if lon > 180 else lon, DIGITS)
    return round((south + north) / 2, DIGITS), lon, round(distance(south, west, north, west + span) / 2, 3)


def distance(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Great-circle distance in km (haversine)."""
    phi, other_phi = math.radians(lat), math.radians(other_lat)
    half_lat, half_lon = (other_phi - phi) / 2, math.radians(other_lon - lon) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(phi) * math.cos(other_phi) * math.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS * math.asin(math.sqrt(min(1.0, chord)))


def _check(lon: float, lat: float) -> None:
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise Unusable("not-a-number")
    if abs(lon) > 180 or abs(lat) > 90:
        raise Unusable("out-of-range")


def _country(code: str | None) -> str | None:
    return code.upper() if code is not None and len(code) == 2 and code.isascii() and code.isalpha() else None


geo = GeoHydrator()
