# -*- test-case-name: tests.unit.test_testing_feeds -*-
"""Invented entries of a feed, the same for the same seed and times."""

from __future__ import annotations

import random
from typing import Any

import attrs

from streamer.testing.corpus import LANGUAGES, Language
from streamer.testing.feeds_forms import Entry
from streamer.testing.profiles import Profile, population
from streamer.testing.texts import some_path

PICTURED = 0.2  # share with a picture


@attrs.define
class Writer:
    """Makes one entry after the other."""

    seed: int
    _chance: random.Random = attrs.field(
        init=False, default=attrs.Factory(lambda self: random.Random(self.seed), takes_self=True)
    )
    _people: tuple[Profile, ...] = ()
    _number: int = 0

    def __attrs_post_init__(self) -> None:
        self._people = population(self._chance)

    def entry(self, now_ms: int, title: str | None = None, **fields: Any) -> Entry:
        """The next entry; `fields` replace what would be in it."""
        chance = self._chance
        self._number += 1
        language = chance.choices(LANGUAGES, [language.weight for language in LANGUAGES])[0]
        link = f"https://feeds.example/{some_path(chance)}/{self._number}"
        picture = f"https://images.example/{self._number}.jpg" if chance.random() < PICTURED else None
        drawn: dict[str, Any] = {
            "id": f"tag:feeds.example,2026:{self.seed}/{self._number}",
            "title": _title(chance, language),
            "link": link,
            "author": str(chance.choice(self._people).user["name"]),
            "published_ms": now_ms,
            "updated_ms": now_ms,
            "summary": _words(chance, language),
            "content": "".join(f"<p>{_words(chance, language)}</p>" for _ in range(chance.randrange(1, 4))),
            "tags": tuple(chance.sample(language.tags, 2)),
            "picture": picture,
            "lang": language.code,
        }
        if title is not None:
            drawn["title"] = title
        return Entry(**{**drawn, **fields})

    def changed(self, entry: Entry, now_ms: int, title: str) -> Entry:
        """The same entry with another title."""
        return attrs.evolve(entry, title=title, updated_ms=now_ms)

    def title(self) -> str:
        """A title by itself."""
        return _title(self._chance, self._chance.choice(LANGUAGES))


def _title(chance: random.Random, language: Language) -> str:
    return f"{chance.choice(language.openings)} {chance.choice(language.middles)}".replace("&amp;", "and")


def _words(chance: random.Random, language: Language) -> str:
    said = (chance.choice(language.openings), chance.choice(language.middles), chance.choice(language.closings))
    return " ".join(said).replace("&amp;", "and")
