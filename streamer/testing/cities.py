# -*- test-case-name: tests.unit.test_testing_posts -*-
"""Where invented posts come from: real cities, and the edges of the map where arithmetic goes wrong."""

from __future__ import annotations

import hashlib
import random

import msgspec

SPREAD = 0.06  # degrees: standard deviation of the points around a city
BOX = 0.15  # degrees: half the sides of a city's box


class City(msgspec.Struct, frozen=True):
    """A place.

    Args:
        lat: degrees; 0.0 means exactly on the equator, for its points as well.
        lon: degrees; 0.0, 180.0 or -180.0 mean exactly on that meridian, for its points as well.
    """

    name: str
    country: str
    country_code: str
    lat: float
    lon: float

    @property
    def id(self) -> str:
        """16 hexadecimal digits, as X numbers its places."""
        return hashlib.sha256(f"{self.name}/{self.country_code}".encode()).hexdigest()[:16]

    def place(self) -> dict[str, object]:
        """The place object, with a GeoJSON box (west, south, east, north); west > east across the antimeridian."""
        return {
            "id": self.id,
            "full_name": f"{self.name}, {self.country}",
            "name": self.name,
            "place_type": "city",
            "country": self.country,
            "country_code": self.country_code,
            "geo": {
                "type": "Feature",
                "bbox": [wrap(self.lon - BOX), self.lat - BOX, wrap(self.lon + BOX), self.lat + BOX],
                "properties": {},
            },
        }

    def point(self, chance: random.Random) -> tuple[float, float]:
        """A point near it: (longitude, latitude) in degrees, GeoJSON's order."""
        lat = self.lat if self.lat == 0.0 else self.lat + chance.gauss(0.0, SPREAD)
        lon = self.lon if self.lon in (0.0, 180.0, -180.0) else wrap(self.lon + chance.gauss(0.0, SPREAD))
        return round(lon, 6), round(max(-90.0, min(90.0, lat)), 6)


def wrap(lon: float) -> float:
    """The same longitude between -180 and 180."""
    return lon - 360.0 if lon > 180.0 else lon + 360.0 if lon < -180.0 else lon


CITIES = (
    City("Lisbon", "Portugal", "PT", 38.7223, -9.1393),
    City("Madrid", "Spain", "ES", 40.4168, -3.7038),
    City("Paris", "France", "FR", 48.8566, 2.3522),
    City("Marseille", "France", "FR", 43.2965, 5.3698),
    City("Brussels", "Belgium", "BE", 50.8503, 4.3517),
    City("London", "United Kingdom", "GB", 51.5074, -0.1278),
    City("Edinburgh", "United Kingdom", "GB", 55.9533, -3.1883),
    City("Dublin", "Ireland", "IE", 53.3498, -6.2603),
    City("Reykjavík", "Iceland", "IS", 64.1466, -21.9426),
    City("Oslo", "Norway", "NO", 59.9139, 10.7522),
    City("Stockholm", "Sweden", "SE", 59.3293, 18.0686),
    City("Helsinki", "Finland", "FI", 60.1699, 24.9384),
    City("Berlin", "Germany", "DE", 52.52, 13.405),
    City("Vienna", "Austria", "AT", 48.2082, 16.3738),
    City("Zürich", "Switzerland", "CH", 47.3769, 8.5417),
    City("Prague", "Czechia", "CZ", 50.0755, 14.4378),
    City("Warsaw", "Poland", "PL", 52.2297, 21.0122),
    City("Kyiv", "Ukraine", "UA", 50.4501, 30.5234),
    City("Lviv", "Ukraine", "UA", 49.8397, 24.0297),
    City("Athens", "Greece", "GR", 37.9838, 23.7275),
    City("Rome", "Italy", "IT", 41.9028, 12.4964),
    City("Istanbul", "Türkiye", "TR", 41.0082, 28.9784),
    City("Tel Aviv", "Israel", "IL", 32.0853, 34.7818),
    City("Amman", "Jordan", "JO", 31.9454, 35.9284),
    City("Cairo", "Egypt", "EG", 30.0444, 31.2357),
    City("Casablanca", "Morocco", "MA", 33.5731, -7.5898),
    City("Lagos", "Nigeria", "NG", 6.5244, 3.3792),
    City("Accra", "Ghana", "GH", 5.6037, -0.187),
    City("Nairobi", "Kenya", "KE", -1.2921, 36.8219),
    City("Cape Town", "South Africa", "ZA", -33.9249, 18.4241),
    City("Dubai", "United Arab Emirates", "AE", 25.2048, 55.2708),
    City("Delhi", "India", "IN", 28.7041, 77.1025),
    City("Mumbai", "India", "IN", 19.076, 72.8777),
    City("Kathmandu", "Nepal", "NP", 27.7172, 85.324),
    City("Almaty", "Kazakhstan", "KZ", 43.222, 76.8512),
    City("Bangkok", "Thailand", "TH", 13.7563, 100.5018),
    City("Singapore", "Singapore", "SG", 1.3521, 103.8198),
    City("Jakarta", "Indonesia", "ID", -6.2088, 106.8456),
    City("Manila", "Philippines", "PH", 14.5995, 120.9842),
    City("Hong Kong", "Hong Kong", "HK", 22.3193, 114.1694),
    City("Taipei", "Taiwan", "TW", 25.033, 121.5654),
    City("Shanghai", "China", "CN", 31.2304, 121.4737),
    City("Seoul", "Republic of Korea", "KR", 37.5665, 126.978),
    City("Tokyo", "Japan", "JP", 35.6762, 139.6503),
    City("Osaka", "Japan", "JP", 34.6937, 135.5023),
    City("Sapporo", "Japan", "JP", 43.0618, 141.3545),
    City("Sydney", "Australia", "AU", -33.8688, 151.2093),
    City("Perth", "Australia", "AU", -31.9505, 115.8605),
    City("Auckland", "New Zealand", "NZ", -36.8509, 174.7645),
    City("Dunedin", "New Zealand", "NZ", -45.8788, 170.5028),
    City("Honolulu", "United States", "US", 21.3069, -157.8583),
    City("Seattle", "United States", "US", 47.6062, -122.3321),
    City("San Francisco", "United States", "US", 37.7749, -122.4194),
    City("Chicago", "United States", "US", 41.8781, -87.6298),
    City("New York", "United States", "US", 40.7128, -74.006),
    City("Toronto", "Canada", "CA", 43.6532, -79.3832),
    City("Mexico City", "Mexico", "MX", 19.4326, -99.1332),
    City("Bogotá", "Colombia", "CO", 4.711, -74.0721),
    City("Lima", "Peru", "PE", -12.0464, -77.0428),
    City("São Paulo", "Brazil", "BR", -23.5505, -46.6333),
    City("Buenos Aires", "Argentina", "AR", -34.6037, -58.3816),
    City("Santiago", "Chile", "CL", -33.4489, -70.6693),
    # The edges.
    City("Pontianak", "Indonesia", "ID", 0.0, 109.3333),
    City("Greenwich", "United Kingdom", "GB", 51.4779, 0.0),
    City("Taveuni", "Fiji", "FJ", -16.8333, 180.0),
    City("Vanua Levu", "Fiji", "FJ", -16.6, 179.95),
    City("Udu Point", "Fiji", "FJ", -16.1, -180.0),
)
