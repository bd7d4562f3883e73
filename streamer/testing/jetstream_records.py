# -*- test-case-name: tests.unit.test_testing_jetstream -*-
"""What invented posts of Bluesky say: their texts, and the records that hold them.

https://docs.bsky.app/docs/advanced-guides/posts
"""

from __future__ import annotations

import html
import random
from typing import Any

import attrs
import msgspec

from streamer.testing.corpus import EMOJI, LANGUAGES, Language
from streamer.testing.jetstream_names import cid, did
from streamer.testing.snowflakes import rfc3339
from streamer.testing.texts import Text, sentence, some_path
from streamer.testing.threads import Written

POST = "app.bsky.feed.post"


def _plain(language: Language) -> Language:
    """Without X's escapes."""
    parts = {name: tuple(map(html.unescape, getattr(language, name))) for name in ("openings", "middles", "closings")}
    return msgspec.structs.replace(language, **parts)


@attrs.define
class Records:
    """Writes them; everything random comes from `chance`."""

    chance: random.Random
    _languages: tuple[Language, ...] = tuple(map(_plain, LANGUAGES))

    def language(self) -> Language:
        """That of a post."""
        return self.chance.choices(self._languages, [language.weight for language in self._languages])[0]

    def text(self, language: Language, answered: Written | None) -> Text:
        """What a post says."""
        text, chance = Text(), self.chance
        if answered is not None and chance.random() < 0.2:
            text.mention(answered.author)
        sentence(text, language, chance)
        if chance.random() < 0.4:
            text.words(chance.choice(EMOJI))
        if chance.random() < 0.5:
            text.tag(chance.choice(language.tags))
        if chance.random() < 0.15:
            path = some_path(chance)
            text.link(f"pages.example/{path}", "pages.example", path)
        return text

    def record(self, text: Text, lang: str, now_ms: int) -> dict[str, Any]:
        """A post's record, with the spans of its text in bytes."""
        written = str(text)
        record: dict[str, Any] = {"$type": POST, "createdAt": rfc3339(now_ms), "langs": [lang], "text": written}

        def place(offset: Any) -> int:
            return len(written[:offset].encode())

        facets = [
            {
                "index": {"byteStart": place(one["start"]), "byteEnd": place(one["end"])},
                "features": [_feature(kind, one)],
            }
            for kind, found in text.entities.items()
            for one in found
        ]
        if facets:
            record["facets"] = facets
        return record

    def picture(self) -> dict[str, Any]:
        """A picture of a post."""
        blob = {
            "$type": "blob",
            "ref": {"$link": cid(str(self.chance.random()))},
            "mimeType": "image/jpeg",
            "size": self.chance.randrange(10_000, 900_000),
        }
        return {"$type": "app.bsky.embed.images", "images": [{"alt": "A drawing of the weather.", "image": blob}]}


def _feature(kind: str, entity: Any) -> dict[str, str]:
    if kind == "hashtags":
        return {"$type": "app.bsky.richtext.facet#tag", "tag": entity["tag"]}
    if kind == "mentions":
        return {"$type": "app.bsky.richtext.facet#mention", "did": did(entity["id"])}
    return {"$type": "app.bsky.richtext.facet#link", "uri": entity["expanded_url"]}
