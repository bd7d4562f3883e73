# -*- test-case-name: tests.unit.test_bus_patterns -*-
"""AMQP's topic patterns: `*` is exactly one word, `#` is zero or more, words are separated by dots."""

from __future__ import annotations


def matches(pattern: str, topic: str) -> bool:
    """Whether a binding's pattern wants a topic (AMQP 0-9-1, section 3.1.3.3). Both may be empty: one empty word."""
    if pattern == "#":
        return True
    wanted = pattern.split(".")
    # The set of places in the pattern reached so far: linear in both lengths, whatever the number of `#`.
    places = _past_hashes(wanted, {0})
    for word in topic.split("."):
        reached = set()
        for place in places:
            if place == len(wanted):
                continue
            if wanted[place] == "#":
                reached.add(place)
            elif wanted[place] in ("*", word):
                reached.add(place + 1)
        places = _past_hashes(wanted, reached)
        if not places:
            return False
    return len(wanted) in places


def _past_hashes(wanted: list[str], places: set[int]) -> set[int]:
    for start in tuple(places):
        place = start
        while place < len(wanted) and wanted[place] == "#":
            place += 1
            places.add(place)
    return places
