# -*- test-case-name: tests.unit.test_recorded_tweets -*-
"""Recorded posts through the whole pure chain: decode, hydrate, derive, encode."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from streamer.activity import Activity
from streamer.events import delete, geo, notice, post
from streamer.hydrators.author import AuthorHydrator
from streamer.hydrators.entities import EntitiesHydrator
from streamer.hydrators.geo import GeoHydrator
from streamer.message import Item
from streamer.policy.entities import find_facets
from streamer.sources.x_payload import decode

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "tweets-v2"
KINDS = (post.post, geo.geo, notice.notice, delete.delete)
ENTITIES = (("hashtags", "tag", "#"), ("mentions", "username", "@"), ("cashtags", "tag", "$"), ("urls", "url", ""))


def recorded() -> list[tuple[Item, dict[str, Any]]]:
    """Every recorded object as an item, and as plain JSON to compare with."""
    if not FOLDER.is_dir():
        pytest.skip(f"the recorded posts are not at {FOLDER}")
    lines = [line for path in sorted(FOLDER.glob("*.jsonl")) for line in path.read_bytes().splitlines() if line]
    rows = [(line, json.loads(line)) for line in lines]
    return [
        (Item(source="x", kind="post", id=row["data"]["id"], received=1_700_000_000_000, body=line), row)
        for line, row in rows
    ]


class RecordedTests(SynchronousTestCase):
    """What the code makes of what X really sent."""

    def setUp(self) -> None:
        """Hydrate everything once."""
        self.geo = GeoHydrator()
        self.rows = [(self.hydrated(decode(item)), row) for item, row in recorded()]

    def hydrated(self, activity: Activity) -> Activity:
        """Through the three hydrators."""
        return self.geo.hydrate(AuthorHydrator().hydrate(EntitiesHydrator().hydrate(activity)))

    def test_none_lost(self) -> None:
        """Each object becomes a post with an author, a time and a notice; blips exactly where X gives a location."""
        self.assertEqual(len(self.rows), 507)
        events: Counter[str] = Counter()
        for activity, row in self.rows:
            found = [event for kind in KINDS if (event := kind.derive(activity, 1_700_000_000_500)) is not None]
            events.update(event.type for event in found)
            body = json.loads(found[0].message().body)
            self.assertEqual(body["data"]["id"], row["data"]["id"])
            self.assertTrue(body["data"]["author"]["handle"])
            self.assertEqual(body["time"], row["data"]["created_at"])
            self.assertEqual("geo" in body["data"], "geo" in row["data"])
        self.assertEqual(events, {"streamer.post": 507, "streamer.notice": 507, "streamer.geo": 8})
        self.assertEqual(sum(self.geo.dropped.values()), 0)

    def test_facets_point_at_what_they_name(self) -> None:
        """Each entity of X is a facet, and the text at its place says the same; repeated picture links are one."""
        facets = 0
        for activity, row in self.rows:
            entities = row["data"].get("entities")
            if entities is None:
                continue
            wanted = sorted(
                {
                    (one["start"], f"{sigil}{one[key]}".lower())
                    for name, key, sigil in ENTITIES
                    for one in entities.get(name, ())
                }
            )
            text = activity.text or ""
            found = [text[one.start : one.end].lower().replace("＃", "#") for one in activity.facets or ()]
            self.assertEqual(found, [written for _, written in wanted])
            facets += len(found)
        self.assertGreater(facets, 1500)

    def test_escapes_are_undone(self) -> None:
        """No text shows `&amp;`."""
        escaped = [row["data"]["text"] for _, row in self.rows if "&amp;" in row["data"]["text"]]
        self.assertGreater(len(escaped), 5)
        for activity, _ in self.rows:
            self.assertNotIn("&amp;", activity.text or "")

    def test_finding_agrees_with_x(self) -> None:
        """Tags and mentions found in the text are those of X, but for names X withholds and words at a cut."""
        more: list[str] = []
        fewer: list[str] = []
        for activity, row in self.rows:
            if "entities" not in row["data"]:
                continue
            text = activity.text or ""
            spans = [
                {(one.start, one.end) for one in facets or () if one.kind in ("tag", "mention")}
                for facets in (find_facets(text), activity.facets)
            ]
            more += [text[start:end] for start, end in spans[0] - spans[1]]
            fewer += [text[start:] for start, _ in spans[1] - spans[0]]
        self.assertEqual({name[0] for name in more}, {"@"})
        self.assertLessEqual(len(more), 5)
        self.assertEqual({cut[-1] for cut in fewer}, {"…"})
        self.assertLessEqual(len(fewer), 15)

    def test_points(self) -> None:
        """The two posts with coordinates are points in Alabama and North Carolina; the others are places."""
        found = Counter(activity.geo.precision for activity, _ in self.rows if activity.geo)
        self.assertEqual(found, {"point": 2, "place": 6})
        points = [activity.geo for activity, _ in self.rows if activity.geo and activity.geo.precision == "point"]
        self.assertEqual(
            [(at.lat, at.lon, at.country) for at in points],
            [(34.75192228, -86.58216981, "US"), (36.08795, -79.91655, "US")],
        )
