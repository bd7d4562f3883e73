# -*- test-case-name: tests.unit.test_testing_posts -*-
"""Writes one post as the X API v2 delivers it, `data` and `includes`, every field and expansion asked for.

Shapes: https://docs.x.com/x-api/fundamentals/data-dictionary, held against recorded streams.
"""

from __future__ import annotations

import random
from typing import Any

import attrs

from streamer.testing.cities import CITIES
from streamer.testing.corpus import CASHTAGS, EMOJI, LANGUAGES
from streamer.testing.profiles import Profile, population
from streamer.testing.texts import Text, sentence, short_link, some_path
from streamer.testing.threads import Written

PLACED = 0.34  # share of posts with a place
POINTED = 0.5  # share of those with a point as well
TAGGED = 0.55  # share with a hashtag of their language
EMOTED = 0.4  # share with an emoji
LINKED = 0.15  # share with a link
CASHED = 0.03  # share with a cashtag
PICTURED = 0.1  # share with a photo
MENTIONED = 0.1  # share that call somebody, besides the answers
SENSITIVE = 0.02  # share marked as such

Document = dict[str, Any]


@attrs.define
class Composer:
    """Chooses what a post says. Everything random comes from `chance`."""

    chance: random.Random
    people: tuple[Profile, ...] = ()
    _weights: list[int] = attrs.field(factory=lambda: [language.weight for language in LANGUAGES])

    def __attrs_post_init__(self) -> None:
        self.people = population(self.chance)

    def compose(
        self, id_: str, created_at: str, answered: Written | None, quoted: Written | None, topic: str | None
    ) -> tuple[Document, Written]:
        """Write a post.

        Args:
            answered: what it answers, for which it is in that language and conversation.
            quoted: what it quotes.
            topic: a hashtag that it must carry.

        Returns:
            The document, and what is to be remembered of it.
        """
        chance = self.chance
        author = chance.choice(self.people)
        language = chance.choices(LANGUAGES, self._weights)[0]
        text = Text()
        users = {author.id: author.user}
        if answered is not None:
            text.mention(answered.author)
            users[answered.author.id] = answered.author.user
        sentence(text, language, chance)
        if chance.random() < EMOTED:
            text.words(chance.choice(EMOJI))
        if chance.random() < MENTIONED:
            called = chance.choice(self.people)
            text.mention(called)
            users[called.id] = called.user
        for tag in self._tags(language.tags, topic):
            text.tag(tag)
        if chance.random() < CASHED:
            text.cashtag(chance.choice(CASHTAGS))
        if chance.random() < LINKED:
            text.link(short_link(chance), "pages.example", some_path(chance))
        conversation = id_ if answered is None else answered.conversation_id
        data: Document = {
            "id": id_,
            "author_id": author.id,
            "created_at": created_at,
            "conversation_id": conversation,
            "edit_history_tweet_ids": [id_],
            "lang": language.code,
            "possibly_sensitive": chance.random() < SENSITIVE,
            "reply_settings": "everyone",
            "public_metrics": {"retweet_count": 0, "reply_count": 0, "like_count": 0, "quote_count": 0},
        }
        includes: Document = {}
        self._refer(data, includes, answered, quoted)
        if chance.random() < PICTURED:
            self._picture(data, includes, text)
        if chance.random() < PLACED:
            self._place(data, includes)
        data["text"] = str(text)
        if text.entities:
            data["entities"] = text.entities
        includes["users"] = list(users.values())
        return (
            {"data": data, "includes": includes},
            Written(id_, conversation, author, data["text"], created_at, language.code),
        )

    def _tags(self, tags: tuple[str, ...], topic: str | None) -> list[str]:
        chosen = [] if topic is None else [topic]
        if self.chance.random() < TAGGED:
            chosen.extend(self.chance.sample(tags, self.chance.choice((1, 1, 2))))
        return chosen

    def _refer(self, data: Document, includes: Document, answered: Written | None, quoted: Written | None) -> None:
        found = [("replied_to", answered), ("quoted", quoted)]
        references = [(kind, post) for kind, post in found if post is not None]
        if answered is not None:
            data["in_reply_to_user_id"] = answered.author.id
        if references:
            data["referenced_tweets"] = [{"type": kind, "id": post.id} for kind, post in references]
            includes["tweets"] = [_brief(post) for _, post in references]

    def _picture(self, data: Document, includes: Document, text: Text) -> None:
        key = f"3_{self.chance.randrange(10**18)}"
        text.link(short_link(self.chance), "photos.example", key)
        data["attachments"] = {"media_keys": [key]}
        includes["media"] = [
            {
                "media_key": key,
                "type": "photo",
                "url": f"https://images.example/{key}.jpg",
                "alt_text": "A drawing of the weather.",
                "width": 1200,
                "height": 800,
            }
        ]

    def _place(self, data: Document, includes: Document) -> None:
        city = self.chance.choice(CITIES)
        data["geo"] = {"place_id": city.id}
        if self.chance.random() < POINTED:
            data["geo"]["coordinates"] = {"type": "Point", "coordinates": list(city.point(self.chance))}
        includes["places"] = [city.place()]


def _brief(post: Written) -> Document:
    return {
        "id": post.id,
        "author_id": post.author.id,
        "created_at": post.created_at,
        "conversation_id": post.conversation_id,
        "edit_history_tweet_ids": [post.id],
        "lang": post.lang,
        "text": post.text,
    }
