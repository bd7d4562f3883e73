# -*- test-case-name: tests.unit.test_testing_posts -*-
"""Posts written beforehand, in which only ids and times are changed: for rates at which composing costs too much."""

from __future__ import annotations

import random
from typing import NamedTuple

import attrs
import msgspec

from streamer.testing.composer import Composer
from streamer.testing.threads import Written

GENERAL = 2048  # posts about anything
ANSWERING = 512  # posts that answer another
TOPICAL = 96  # posts for each tag that bursts

_ID = "~id~"  # stands for the post's id; no text holds a tilde
_AT = "~at~"  # for when it was written
_PARENT = "~parent~"  # for the id of what it answers
_ROOT = "~root~"  # for the conversation

_encode = msgspec.json.Encoder().encode


class Template(NamedTuple):
    """A post with marks where something is to be filled in."""

    body: bytes
    written: Written


@attrs.define
class Templates:
    """The written posts: `general`, `answering`, and by tag."""

    chance: random.Random
    general: list[Template]
    answering: list[Template]
    topical: dict[str, list[Template]]

    @classmethod
    def write(cls, composer: Composer, tags: tuple[str, ...]) -> Templates:
        """Write them all."""

        def some(number: int, tag: str | None = None, *, answer: bool = False) -> list[Template]:
            return [_template(composer, tag, answer) for _ in range(number)]

        return cls(
            composer.chance, some(GENERAL), some(ANSWERING, answer=True), {tag: some(TOPICAL, tag) for tag in tags}
        )

    def fill(self, id_: str, created_at: str, answered: Written | None, topic: str | None) -> tuple[bytes, Written]:
        """A post as `Composer.compose` makes it, encoded. An answer is never on the burst's topic here."""
        pool = self.general if topic is None else self.topical[topic]
        pool = pool if answered is None else self.answering
        body, written = pool[int(self.chance.random() * len(pool))]
        body = body.replace(b"~id~", id_.encode()).replace(b"~at~", created_at.encode())
        root = id_
        if answered is not None:
            root = answered.conversation_id
            body = body.replace(b"~parent~", answered.id.encode()).replace(b"~root~", root.encode())
        return body, Written(id_, root, written.author, written.text, created_at, written.lang)


def _template(composer: Composer, tag: str | None, answer: bool) -> Template:
    person = composer.chance.choice(composer.people)
    answered = Written(_PARENT, _ROOT, person, "", _AT, "en") if answer else None
    document, written = composer.compose(_ID, _AT, answered, None, tag)
    if answer:
        del document["includes"]["tweets"]  # what is answered differs from time to time
    return Template(_encode(document), written)
