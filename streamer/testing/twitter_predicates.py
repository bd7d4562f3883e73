# -*- test-case-name: tests.unit.test_testing_twitter_predicates -*-
"""Which tweets a client asked for: track, follow, locations, language and filter level.

https://developer.x.com/en/docs/twitter-api/v1/tweets/filter-realtime/guides/basic-stream-parameters
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import attrs

LEVELS = ("none", "low", "medium")
_WORD = re.compile(r"\w+")
_EDGES = re.compile(r"^\W+|\W+$")
_TRAIL = re.compile(r"\W+$")


class Box(NamedTuple):
    """Degrees; `west` is greater than `east` where the box spans the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    def holds(self, lon: float, lat: float) -> bool:
        """Whether the point is in it, edges counted."""
        inside = self.west <= lon <= self.east
        if self.west > self.east:
            inside = lon >= self.west or lon <= self.east
        return inside and self.south <= lat <= self.north

    def overlaps(self, other: Box) -> bool:
        """Whether they share a point."""
        if self.south > other.north or other.south > self.north:
            return False
        return any(a <= d and c <= b for a, b in self._spans() for c, d in other._spans())

    def _spans(self) -> list[tuple[float, float]]:
        if self.west <= self.east:
            return [(self.west, self.east)]
        return [(self.west, 180.0), (-180.0, self.east)]


@attrs.frozen
class Facets:
    """What of a tweet is looked at.

    Args:
        words: lower case; words as they stand and without their punctuation, tags, names, links and their parts.
        people: ids of those that wrote it, that it answers, and whom it repeats.
        point: (longitude, latitude), degrees.
        place: the box of its place.
        level: its filter level, a number that counts in `LEVELS`.
    """

    words: frozenset[str]
    people: frozenset[int]
    point: tuple[float, float] | None
    place: Box | None
    lang: str
    level: int


@attrs.frozen
class Predicates:
    """What a client asked for; each of the first three adds tweets, the last two take some away.

    Args:
        track: phrases of lower-case terms that all must occur.
        languages: empty means any.
        everything: take them all, as the sample does.
    """

    track: tuple[tuple[str, ...], ...] = ()
    follow: frozenset[int] = frozenset()
    locations: tuple[Box, ...] = ()
    languages: frozenset[str] = frozenset()
    level: int = 0
    everything: bool = False

    def match(self, tweet: Facets) -> bool:
        """Whether the client gets this tweet."""
        if tweet.level < self.level or (self.languages and tweet.lang not in self.languages):
            return False
        return (
            self.everything
            or not self.follow.isdisjoint(tweet.people)
            or any(tweet.words.issuperset(phrase) for phrase in self.track)
            or any(self._within(box, tweet) for box in self.locations)
        )

    @staticmethod
    def _within(box: Box, tweet: Facets) -> bool:
        if tweet.point is not None:
            return box.holds(*tweet.point)
        return tweet.place is not None and box.overlaps(tweet.place)


def facets_of(tweet: Mapping[str, Any]) -> Facets:
    """Look at a tweet as it stands on the wire; of a long one at all of its text."""
    repeated = tweet.get("retweeted_status")
    whole = tweet.get("extended_tweet", tweet)
    words = set(_words(whole.get("full_text", tweet["text"]), whole["entities"]))
    people = {tweet["user"]["id"], tweet.get("in_reply_to_user_id")}
    point, place = tweet.get("coordinates"), tweet.get("place")
    if repeated is not None:
        below = facets_of(repeated)
        words |= below.words
        people.add(repeated["user"]["id"])
        point = place = None  # a retweet is nowhere
    return Facets(
        words=frozenset(words),
        people=frozenset(id_ for id_ in people if id_ is not None),
        point=None if point is None else tuple(point["coordinates"]),
        place=None if place is None else _box(place["bounding_box"]["coordinates"][0]),
        lang=tweet["lang"],
        level=LEVELS.index(tweet["filter_level"]),
    )


def _box(ring: list[list[float]]) -> Box:
    """The box of a ring that begins in the south-west and goes on by the north-west."""
    (west, south), (_, north), (east, _), _ = ring
    return Box(west, south, east, north)


def _words(text: str, entities: Mapping[str, Any]) -> Iterable[str]:
    text = text.lower()
    yield from _WORD.findall(text)
    for word in text.split():
        yield word
        yield _TRAIL.sub("", word)  # with its # or @
        yield _EDGES.sub("", word)
    for tag in entities["hashtags"]:
        yield tag["text"].lower()
    for person in entities["user_mentions"]:
        yield person["screen_name"].lower()
    for link in entities["urls"]:
        for shown in (link["expanded_url"], link["display_url"]):
            bare = shown.lower().partition("://")[2] or shown.lower()
            yield from (bare, bare.removeprefix("www."), *_WORD.findall(bare))
