# -*- test-case-name: tests.unit.test_fanout_scrubs -*-
"""Locations that authors took back: which events hold some, and what is left of these.

A scrub names an author and a post: the locations of that author's posts up to and with that one must go. It may come
before a post that it covers, from upstream or because another enricher was quicker, so scrubs are remembered a while.
What one costs is bounded by the located events of that author which are held, and each of these goes only once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar

import attrs
import msgspec

SCRUB = "streamer.scrub"
GEO = "streamer.geo"
POST = "streamer.post"
KEPT = 1_000  # scrubs remembered for what may come after them
DIGITS = 30  # of an id that is taken for a number

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
Value = TypeVar("Value")


class Scrub(msgspec.Struct, frozen=True, gc=False):
    """`author`: source and id as one text; `up_to`: the last post covered, None for all of them."""

    author: str
    up_to: int | None

    def covers(self, held: Located) -> bool:
        """Whether that location must go. A post that cannot be told to come later loses it, too."""
        if held.author != self.author:
            return False
        return self.up_to is None or held.post is None or held.post <= self.up_to


class Located(msgspec.Struct, frozen=True, gc=False):
    """Whose location an event holds.

    Args:
        author: as in `Scrub`.
        post: None where its id is no number.
        whole: the event is the location and nothing else.
    """

    author: str
    post: int | None
    whole: bool


def scrub(source: str, data: Any) -> Scrub | None:
    """What a scrub covers; None where it names nobody."""
    found = _fields(data)
    author = _author(source, found.get("author"))
    return None if author is None else Scrub(author, _number(found.get("up_to")))


def located(type_: str, source: str, data: Any) -> Located | None:
    """Whose location an event holds; None where it holds none, or does not say whose."""
    found = _fields(data)
    whole = type_ == GEO
    if whole:
        author, post = found.get("author"), found.get("post")
    elif type_ == POST and found.get("geo") is not None:
        author, post = _fields(found.get("author")).get("id"), found.get("id")
    else:
        return None
    whose = _author(source, author)
    return None if whose is None else Located(whose, _number(post), whole)


def without_location(event: bytes) -> bytes:
    """The JSON of a post's event without its `geo`; all else is what it was."""
    attributes = _decode(event)
    data = _decode(attributes["data"])
    data.pop("geo", None)
    attributes["data"] = msgspec.Raw(_encode(data))
    return _encode(attributes)


@attrs.define
class Scrubs(Generic[Value]):
    """Which places of a journal hold locations, by author; and the last scrubs.

    Args:
        kept: scrubs remembered, each with the value that it was given.
    """

    kept: int = KEPT
    _places: dict[str, dict[int, Located]] = attrs.field(factory=dict)
    _last: OrderedDict[str, tuple[Scrub, Value]] = attrs.field(factory=OrderedDict)  # by author

    def hold(self, place: int, held: Located) -> None:
        """There is a location at that place."""
        self._places.setdefault(held.author, {})[place] = held

    def release(self, place: int, held: Located) -> None:
        """Undo `hold`."""
        places = self._places[held.author]
        del places[place]
        if not places:
            del self._places[held.author]

    def covered(self, by: Scrub) -> list[int]:
        """The places of the locations that must go."""
        return [place for place, held in self._places.get(by.author, {}).items() if by.covers(held)]

    def remember(self, one: Scrub, value: Value) -> None:
        """Keep a scrub for what comes after it; of an author's, the one that covers most."""
        before = self._last.pop(one.author, None)
        if before is not None and not _reaches(one, before[0]):
            one, value = before
        self._last[one.author] = (one, value)
        if len(self._last) > self.kept:
            self._last.popitem(last=False)

    def over(self, held: Located) -> Value | None:
        """What was remembered with a scrub that covers that location, if there is one."""
        scrub_, value = self._last.get(held.author, (None, None))
        return value if scrub_ is not None and scrub_.covers(held) else None


def _reaches(one: Scrub, other: Scrub) -> bool:
    return one.up_to is None or (other.up_to is not None and one.up_to >= other.up_to)


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _author(source: str, id_: Any) -> str | None:
    return f"{source}#{id_}" if isinstance(id_, str) and id_ else None


def _number(id_: Any) -> int | None:
    """An id as a number. Ids are compared as numbers: as texts, "9" would come after "10"."""
    if isinstance(id_, str) and id_.isascii() and id_.isdigit() and len(id_) <= DIGITS:
        return int(id_)
    return None
