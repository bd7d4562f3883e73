# -*- test-case-name: tests.unit.test_policy_predicates -*-
"""What a v1.1 stream may be asked for, checked before connecting.

The server answers 406 or 413 and not a word more, so the sentence that names the term has to come from us.
https://developer.twitter.com/en/docs/twitter-api/v1/tweets/filter-realtime/guides/basic-stream-parameters
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence

Box = tuple[float, float, float, float]  # west, south, east, north in degrees

TERMS_LIMIT = 400  # track terms
TERM_LIMIT = 60  # bytes of one term, in UTF-8
IDS_LIMIT = 5_000  # follow ids
BOXES_LIMIT = 25  # locations
BOX_SIDES = (0.1, 360.0)  # degrees, shortest and longest side of a box
LANGUAGES_LIMIT = 100  # the server has no documented limit; there are fewer languages that it knows

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ID = re.compile(r"[1-9][0-9]{0,19}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?")


def check_track(terms: Sequence[str]) -> None:
    """Terms to search for; blanks in one mean AND.

    Raises:
        ValueError: names the term and the limit.
    """
    _check_number("track", terms, TERMS_LIMIT)
    for term in terms:
        size = len(term.encode("utf-8", "surrogatepass"))
        if not term.strip():
            raise ValueError("has an empty track term")
        if _CONTROL.search(term):
            raise ValueError(f"has the track term {term!r} with a line break or control character in it")
        if "," in term:
            raise ValueError(f"has the track term {term!r} with a comma, which means OR: write it as two terms")
        if size > TERM_LIMIT:
            raise ValueError(f"has the track term {term!r} of {size} bytes; at most {TERM_LIMIT} are allowed")
    _check_repeats("track term", [term.lower() for term in terms])


def check_follow(ids: Sequence[str]) -> None:
    """Ids of users.

    Raises:
        ValueError: names the id or the limit.
    """
    _check_number("follow", ids, IDS_LIMIT)
    for id_ in ids:
        if not _ID.fullmatch(id_):
            raise ValueError(f"has {id_!r} in follow, which takes ids of users, digits only, and no handles")
    _check_repeats("follow id", ids)


def check_locations(boxes: Sequence[Box]) -> None:
    """Boxes on the map, the south-west corner first.

    Raises:
        ValueError: names the box and what is wrong with it.
    """
    _check_number("locations", boxes, BOXES_LIMIT)
    for box in boxes:
        west, south, east, north = box
        said = f"has the box {list(box)} in locations"
        if not all(map(math.isfinite, box)):
            raise ValueError(f"{said} with a number that is none")
        if max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90:
            raise ValueError(
                f"{said}, off the map: it is west, south, east, north, longitudes within 180, latitudes 90"
            )
        if west >= east or south >= north:
            raise ValueError(
                f"{said}, whose first corner is not the south-west one; one across the 180th meridian becomes two"
            )
        shortest, longest = BOX_SIDES
        if min(east - west, north - south) < shortest - 1e-9 or east - west > longest:
            raise ValueError(f"{said}, whose sides are not between {shortest} and {longest:g} degrees")
    _check_repeats("box", boxes)


def check_language(languages: Sequence[str]) -> None:
    """BCP 47 tags.

    Raises:
        ValueError: names the one that is none.
    """
    _check_number("language", languages, LANGUAGES_LIMIT)
    for language in languages:
        if not _LANGUAGE.fullmatch(language):
            raise ValueError(f"has {language!r} in language, which is no BCP 47 tag such as 'en'")
    _check_repeats("language", languages)


def _check_number(key: str, values: Collection[object], limit: int) -> None:
    if len(values) > limit:
        raise ValueError(f"has {len(values)} entries in {key}; at most {limit} are allowed")


def _check_repeats(noun: str, values: Sequence[object]) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"has the {noun} {value!r} twice")
        seen.add(value)
