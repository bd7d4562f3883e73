# -*- test-case-name: tests.unit.test_testing_posts -*-
"""A text under construction, with the entities that X finds in it.

Offsets count Unicode code points of the text as it stands, `&amp;` being five: X's own recorded posts do so.
"""

from __future__ import annotations

import random
import re
import string

import attrs

from streamer.testing.corpus import MORE_WORDS, Language
from streamer.testing.profiles import Profile

LINK_LETTERS = string.ascii_letters + string.digits
LINK_LENGTH = 10  # letters after https://t.co/

_TAG = re.compile(r"#(\w+)")


@attrs.define
class Text:
    """Parts joined by spaces; each part that means something leaves an entity."""

    _parts: list[str] = attrs.field(factory=list)
    _length: int = 0
    entities: dict[str, list[dict[str, object]]] = attrs.field(factory=dict)

    def words(self, words: str) -> None:
        """Add plain words."""
        self._add(words)

    def tag(self, tag: str) -> None:
        """Add a hashtag, given without its `#`."""
        self._entity("hashtags", "#" + tag, {"tag": tag})

    def cashtag(self, symbol: str) -> None:
        """Add a cashtag, given without its `$`."""
        self._entity("cashtags", "$" + symbol, {"tag": symbol})

    def mention(self, profile: Profile) -> None:
        """Add somebody's handle."""
        self._entity("mentions", "@" + profile.handle, {"username": profile.handle, "id": profile.id})

    def link(self, short: str, host: str, path: str) -> None:
        """Add a shortened link to `https://host/path`."""
        shown = f"{host}/{path}"
        self._entity("urls", short, {"url": short, "expanded_url": f"https://{shown}", "display_url": shown})

    def __str__(self) -> str:
        return " ".join(self._parts)

    def _entity(self, kind: str, part: str, fields: dict[str, object]) -> None:
        start, end = self._add(part)
        self.entities.setdefault(kind, []).append({"start": start, "end": end, **fields})

    def _add(self, part: str) -> tuple[int, int]:
        start = self._length + 1 if self._parts else 0
        self._parts.append(part)
        self._length = start + len(part)
        return start, self._length


def sentence(text: Text, language: Language, chance: random.Random) -> None:
    """Add an opening, a middle and a closing of the language."""
    text.words(chance.choice(language.openings))
    text.words(chance.choice(language.middles))
    text.words(chance.choice(language.closings))


def short_link(chance: random.Random) -> str:
    """A link as X shortens it, 23 characters."""
    return "https://t.co/" + "".join(chance.choices(LINK_LETTERS, k=LINK_LENGTH))


def some_path(chance: random.Random) -> str:
    """The path of an invented page."""
    return f"{chance.choice(MORE_WORDS)}/{chance.randrange(1000)}"


def tags_in(text: str) -> list[dict[str, object]]:
    """The hashtags of a text that somebody else composed, as entities."""
    return [{"start": found.start(), "end": found.end(), "tag": found[1]} for found in _TAG.finditer(text)]
