# -*- test-case-name: tests.unit.test_recorded_tweets -*-
"""Recorded posts through the whole pure chain: decode, hydrate, derive, encode."""

from __future__ import annotations

import html
import json
import re
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
from streamer.secrets import Secret
from streamer.sources.twitter_predicates import Predicates
from streamer.sources.twitter_v1 import Settings, twitter_v1
from streamer.sources.x_payload import decode

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "tweets-v2"
V1_FOLDER = FOLDER.parent / "tweets-v1"
V1_FILES = {"lines.json": 72, "from-tweepy.jsonl": 137, "streaming_extended_tweet.json": 1}
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


def recorded_v1() -> list[tuple[Item, Activity, dict[str, Any]]]:
    """Every recorded v1.1 tweet as the source reads it from the wire, and as plain JSON to compare with."""
    if not V1_FOLDER.is_dir():
        pytest.skip(f"the recorded tweets are not at {V1_FOLDER}")
    settings = Settings(user="u", password=Secret("p"), predicates=Predicates(track=("x",)))
    source = twitter_v1.build("tw", settings)
    rows = []
    for name, count in V1_FILES.items():
        frames = source.framer().feed((V1_FOLDER / name).read_bytes() + b"\r\n")
        assert len(frames) == count, name
        for frame in frames:
            (item,) = source.outcomes(frame, 1_700_000_000_000)
            assert isinstance(item, Item)
            rows.append((item, source.decode(item), json.loads(frame)))
    return rows


def spans_of(row: dict[str, Any]) -> set[tuple[int, int]]:
    """Where the recorded entities of the longest text stand; pictures of one post share a place."""
    entities = row.get("extended_tweet", row)["entities"]
    return {tuple(one["indices"]) for rows in entities.values() for one in rows}


class RecordedV1Tests(SynchronousTestCase):
    """What the code makes of what the older streams really sent."""

    def setUp(self) -> None:
        """Hydrate everything once."""
        self.geo = GeoHydrator()
        self.rows = [(item, self.hydrated(activity), row) for item, activity, row in recorded_v1()]

    def hydrated(self, activity: Activity) -> Activity:
        """Through the three hydrators."""
        return self.geo.hydrate(AuthorHydrator().hydrate(EntitiesHydrator().hydrate(activity)))

    def test_none_lost(self) -> None:
        """Each tweet becomes a post with an author, a time and a notice; blips where it has a place."""
        self.assertEqual(210, len(self.rows))
        events: Counter[str] = Counter()
        for item, activity, row in self.rows:
            found = [event for kind in KINDS if (event := kind.derive(activity, 1_700_000_000_500)) is not None]
            events.update(event.type for event in found)
            body = json.loads(found[0].message().body)
            self.assertEqual((row["id_str"], row["id_str"]), (item.id, body["data"]["id"]))
            self.assertEqual(row["user"]["screen_name"], body["data"]["author"]["handle"])
            self.assertEqual(bool(row["place"]), "geo" in body["data"])
        self.assertEqual({"streamer.post": 210, "streamer.notice": 210, "streamer.geo": 20}, events)
        self.assertEqual(0, sum(self.geo.dropped.values()))

    def test_whole_texts(self) -> None:
        """Long posts come with their whole text, without escapes."""
        long = [(activity, row) for _, activity, row in self.rows if "extended_tweet" in row]
        self.assertEqual(73, len(long))
        for activity, row in long:
            self.assertEqual(html.unescape(row["extended_tweet"]["full_text"]), activity.text)

    def test_times(self) -> None:
        """The id, `timestamp_ms` and `created_at` agree; the time is the most exact of what the post says."""
        source = twitter_v1.build("tw", Settings(user="u", password=Secret("p")))
        for item, activity, row in self.rows:
            posted = source.posted(item)
            assert activity.created is not None
            assert posted is not None
            if "timestamp_ms" in row:
                self.assertEqual(posted, activity.created)
            self.assertLessEqual(abs(posted - activity.created), 1000)

    def test_facets_point_at_what_they_name(self) -> None:
        """Each entity is a facet, and the text at its place says the same."""
        facets = 0
        for _, activity, row in self.rows:
            text = activity.text or ""
            for one in activity.facets or ():
                written = text[one.start : one.end]
                if one.kind == "link":
                    self.assertRegex(written, "^https?://t[.]co/")
                else:
                    self.assertEqual(one.value.lower(), written[1:].lower())
            facets += len(activity.facets or ())
            if "retweeted_status" not in row:
                self.assertEqual(len(spans_of(row)), len(activity.facets or ()))
        self.assertGreater(facets, 300)

    def test_retweets(self) -> None:
        """A repost keeps its beginning, repeats the whole original where it comes with it, and names its author."""
        repeated = [(activity, row) for _, activity, row in self.rows if "retweeted_status" in row]
        self.assertEqual(33, len(repeated))
        for activity, row in repeated:
            handle = row["retweeted_status"]["user"]["screen_name"]
            original = "" if row["retweeted_status"]["truncated"] else row["retweeted_status"]["text"]
            self.assertRegex(activity.text or "", rf"\ART @\w+: {re.escape(html.unescape(original))}")
            self.assertIn(handle, [person.handle for person in activity.people])

    def test_points(self) -> None:
        """The one post with coordinates is a point in Connecticut; the others are places."""
        found = Counter(activity.geo.precision for _, activity, _ in self.rows if activity.geo)
        self.assertEqual({"point": 1, "place": 19}, found)
        (point,) = (activity.geo for _, activity, _ in self.rows if activity.geo and activity.geo.precision == "point")
        self.assertEqual((41.3909139, -72.8595447, "US"), (point.lat, point.lon, point.country))
