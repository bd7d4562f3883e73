# -*- test-case-name: tests.unit.test_testing_twitter_query -*-
"""The parameters of Twitter's streams: what is asked for, or why it cannot be had.

https://developer.x.com/en/docs/twitter-api/v1/tweets/filter-realtime/guides/basic-stream-parameters
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from streamer.testing.oauth1 import Pairs
from streamer.testing.twitter_predicates import LEVELS, Box, Predicates
from streamer.testing.twitter_refusals import NO_PREDICATE, TextRefusal, not_acceptable, out_of_range, too_many

MOST_TERMS = 400
MOST_PEOPLE = 5_000
MOST_BOXES = 25
LONGEST_TERM = 60  # bytes
SMALLEST_BOX = 0.1  # degrees
MOST_COUNT = 150_000

_ID = re.compile(r"\d{1,19}", re.ASCII)
_COUNT = re.compile(r"-?\d{1,6}", re.ASCII)
_DEGREES = re.compile(r"[-+]?\d{1,3}(\.\d*)?", re.ASCII)


@attrs.frozen
class Asked:
    """A request for a stream, understood.

    Args:
        count: tweets of the past to begin with; negative ends the stream after them.
        delimited: each message has its length before it.
        stall_warnings: tell a slow reader.
    """

    predicates: Predicates
    count: int
    delimited: bool
    stall_warnings: bool


def read_asked(pairs: Pairs, *, sample: bool = False, elevated: bool = True) -> Asked | TextRefusal:
    """Understand the parameters; those that Twitter does not know are not looked at.

    Args:
        sample: there are no predicates.
        elevated: whether this account may ask for a count.
    """
    given = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in reversed(pairs)}
    level = given.get("filter_level", "none")
    if level not in LEVELS:
        return not_acceptable(f"Parameter filter_level must be one of {', '.join(LEVELS)}")
    if given.get("delimited", "length") != "length":
        return not_acceptable("Parameter delimited can only be length")
    count = given.get("count", "0")
    if not _COUNT.fullmatch(count) or abs(int(count)) > MOST_COUNT or ("count" in given and not int(count)):
        return out_of_range(f"Parameter count must be between 1 and {MOST_COUNT}, or so far below zero")
    if "count" in given and not elevated:
        return out_of_range("Parameter count is not allowed in this role")
    predicates: Predicates | TextRefusal = Predicates(everything=True) if sample else _predicates(given)
    if isinstance(predicates, TextRefusal):
        return predicates
    languages = frozenset(code for code in given.get("language", "").lower().split(",") if code)
    return Asked(
        attrs.evolve(predicates, level=LEVELS.index(level), languages=languages),
        int(count),
        "delimited" in given,
        given.get("stall_warnings") == "true",
    )


def _predicates(given: Mapping[str, str]) -> Predicates | TextRefusal:
    track, follow, boxes = (_items(given.get(name, "")) for name in ("track", "follow", "locations"))
    if not (track or follow or boxes):
        return NO_PREDICATE
    if len(track) > MOST_TERMS:
        return too_many(f"Too many track keywords: {len(track)}, at most {MOST_TERMS} are allowed")
    if len(follow) > MOST_PEOPLE:
        return too_many(f"Too many follow ids: {len(follow)}, at most {MOST_PEOPLE} are allowed")
    if len(boxes) > 4 * MOST_BOXES:
        return too_many(f"Too many location boxes: {len(boxes) / 4:g}, at most {MOST_BOXES} are allowed")
    phrases = [tuple(item.lower().split()) for item in track]
    if not all(phrases):
        return not_acceptable("Parameter track has an empty keyword")
    for item in track:
        if len(item.encode()) > LONGEST_TERM:
            return not_acceptable(f"Parameter track item is longer than {LONGEST_TERM} bytes: {item}")
    for item in follow:
        if not _ID.fullmatch(item):
            return not_acceptable(f"Parameter follow has unparseable item: {item}")
    locations = _boxes(boxes)
    if isinstance(locations, TextRefusal):
        return locations
    return Predicates(tuple(phrases), frozenset(int(item) for item in follow), locations)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _boxes(items: list[str]) -> tuple[Box, ...] | TextRefusal:
    """Boxes given as longitude and latitude of the south-west corner, then of the north-east one."""
    if len(items) % 4:
        return not_acceptable("Parameter locations must be boxes of four numbers each")
    for item in items:
        if not _DEGREES.fullmatch(item):
            return not_acceptable(f"Parameter locations has unparseable item: {item}")
    numbers = [float(item) for item in items]
    boxes = [Box(*numbers[at : at + 4]) for at in range(0, len(numbers), 4)]
    for box in boxes:
        on_earth = box.west >= -180 and box.east <= 180 and box.south >= -90 and box.north <= 90
        wide, high = round(box.east - box.west, 9), round(box.north - box.south, 9)
        if not on_earth or wide < SMALLEST_BOX or high < SMALLEST_BOX:
            corners = ",".join(f"{number:g}" for number in box)
            return not_acceptable(f"Parameter locations has an invalid box, south-west corner first: {corners}")
    return tuple(boxes)
