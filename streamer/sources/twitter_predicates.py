# -*- test-case-name: tests.unit.test_sources_twitter_v1 -*-
"""What a v1.1 stream is asked for, and how that is written.

https://developer.twitter.com/en/docs/twitter-api/v1/tweets/filter-realtime/guides/basic-stream-parameters
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from streamer.policy import predicates as limits


class Predicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[sources.<name>.predicates]`: posts by any of track, follow and locations that pass the other two.

    Args:
        track: terms, at least one of which must occur; the words of one term must all occur.
        follow: ids of users.
        locations: boxes `[west, south, east, north]` in degrees.
        language: BCP 47 tags.
        filter_level: leaves out what the upstream holds to be of low value.
    """

    track: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()
    locations: tuple[tuple[float, float, float, float], ...] = ()
    language: tuple[str, ...] = ()
    filter_level: Literal["none", "low", "medium"] = "none"


NOTHING = "asks for nothing: filter needs at least one of track, follow and locations in its predicates"


def chooses(predicates: Predicates) -> bool:
    """Whether they name any posts at all, as filter needs it."""
    return bool(predicates.track or predicates.follow or predicates.locations)


def check(predicates: Predicates, stream: str) -> None:
    """Refuse what the server would refuse, but for nothing being asked for (`chooses`).

    Raises:
        ValueError: names the term, id or box, and the limit.
    """
    if stream == "sample" and chooses(predicates):
        raise ValueError('has track, follow or locations, which sample does not take: choose stream = "filter"')
    limits.check_track(predicates.track)
    limits.check_follow(predicates.follow)
    limits.check_locations(predicates.locations)
    limits.check_language(predicates.language)


def parameters(predicates: Predicates) -> Iterator[tuple[str, str]]:
    """The predicates as parameters of a request."""
    if predicates.track:
        yield "track", ",".join(predicates.track)
    if predicates.follow:
        yield "follow", ",".join(predicates.follow)
    if predicates.locations:
        yield "locations", ",".join(_degrees(number) for box in predicates.locations for number in box)
    if predicates.language:
        yield "language", ",".join(predicates.language)
    if predicates.filter_level != "none":
        yield "filter_level", predicates.filter_level


def changes(one: Predicates, other: Predicates) -> int:
    """How many terms, ids, boxes and settings only one of the two has."""
    return len(_rows(one) ^ _rows(other)) + (one.filter_level != other.filter_level)


def _rows(predicates: Predicates) -> set[tuple[str, Any]]:
    lists = {key: getattr(predicates, key) for key in ("track", "follow", "locations", "language")}
    return {(key, value) for key, values in lists.items() for value in values}


def _degrees(number: float) -> str:
    """With six digits, a tenth of a metre, and never with an exponent."""
    written = f"{number:.6f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written
