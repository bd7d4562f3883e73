# -*- test-case-name: tests.unit.test_bus_patterns -*-
"""AMQP's topic patterns: `*` is exactly one word, `#` is zero or more, words are separated by dots."""

from __future__ import annotations

import functools


def matches(pattern: str, topic: str) -> bool:
    """Whether a binding's pattern wants a topic (AMQP 0-9-1, section 3.1.3.3). Both may be empty: one empty word."""
    if pattern == "#":
        return True
    if (beginning := _beginning(pattern)) is not None:
        return f"{topic}.".startswith(beginning)
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


@functools.lru_cache(256)
def _beginning(pattern: str) -> str | None:
    """`post.` for `post.#`: the plain words before a `#` at the end; None where a pattern is anything else."""
    words, dot, last = pattern.rpartition(".")
    return f"{words}." if dot and last == "#" and not {"*", "#"} & set(words.split(".")) else None


def _past_hashes(wanted: list[str], places: set[int]) -> set[int]:
    for start in tuple(places):
        place = start
        while place < len(wanted) and wanted[place] == "#":
            place += 1
            places.add(place)
    return places
