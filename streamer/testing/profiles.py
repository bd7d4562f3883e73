# -*- test-case-name: tests.unit.test_testing_posts -*-
"""Who writes: people that do not exist, their handles made of a property and a thing."""

from __future__ import annotations

import random

import msgspec

from streamer.testing.snowflakes import rfc3339

POPULATION = 240  # people
PROPERTIES = "amber brisk calm dusty early fern gentle happy inky jolly kind lunar mossy nimble opal plain"
THINGS = "badger canoe drum ember finch grove harbor island jetty kite lantern meadow needle otter pebble quill"
BIRTHS = 1_230_768_000_000  # ms since the epoch: the earliest account, 2009-01-01
AGES = 400_000_000_000  # ms: the span in which accounts were made


class Profile(msgspec.Struct, frozen=True):
    """A person: what a post says of its author, `user` in full and `mention` within entities."""

    id: str
    handle: str
    user: dict[str, object]


def population(chance: random.Random) -> tuple[Profile, ...]:
    """Everybody, the same for the same seed."""
    pairs = [(first, second) for first in PROPERTIES.split() for second in THINGS.split()]
    return tuple(_profile(chance, *pair) for pair in chance.sample(pairs, POPULATION))


def _profile(chance: random.Random, first: str, second: str) -> Profile:
    id_ = str(chance.randrange(10**9, 10**18))
    handle = chance.choice(("{0}_{1}", "{0}{1}", "the{1}_{0}", "{0}{1}42")).format(first, second)[:15]
    name = f"{first} {second}".title() + chance.choice(("", "", " 🌱", " ✨", " (she/her)", " | maps"))
    return Profile(
        id_,
        handle,
        {
            "id": id_,
            "name": name,
            "username": handle,
            "created_at": rfc3339(BIRTHS + chance.randrange(AGES)),
            "description": f"{first} things, mostly about a {second}.",
            "profile_image_url": f"https://images.example/{id_}.png",
            "protected": False,
            "verified": chance.random() < 0.1,
            "public_metrics": {
                "followers_count": int(chance.paretovariate(0.8) * 20),
                "following_count": chance.randrange(1500),
                "tweet_count": chance.randrange(60_000),
                "listed_count": chance.randrange(40),
            },
        },
    )
