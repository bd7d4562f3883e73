# -*- test-case-name: tests.unit.test_testing_posts -*-
"""One invented post after the other, the same for the same seed and times; no network, nobody real.

`PostGenerator(fast=True)` writes a few thousand posts beforehand and from then on only changes their ids and times:
for benchmarks. Its answers then stand in real conversations but name another person than they answer.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import attrs
import msgspec

from streamer.testing.bursts import Bursts
from streamer.testing.composer import Composer
from streamer.testing.corpus import BURST_TAGS
from streamer.testing.snowflakes import Snowflakes, rfc3339
from streamer.testing.templates import Templates
from streamer.testing.texts import tags_in
from streamer.testing.threads import Threads, Written

QUOTES = 0.04  # share of posts that quote an earlier one

_encode = msgspec.json.Encoder().encode


class Made(NamedTuple):
    """A line of the stream without its line end, and of which post it is.

    Args:
        bare: bytes of the line before its matching_rules.
    """

    id: str
    line: bytes
    lang: str
    bare: int


@attrs.define
class PostGenerator:
    """Makes the lines of a filtered stream.

    Times are ms since the epoch and should not go back. `matched` is the JSON array for `matching_rules`; where it
    is empty the post has none.
    """

    seed: int = 0
    fast: bool = False
    _chance: random.Random = attrs.field(init=False)
    _composer: Composer = attrs.field(init=False)
    _threads: Threads = attrs.field(init=False)
    _ids: Snowflakes = attrs.field(init=False)
    _bursts: Bursts | None = None
    _templates: Templates | None = None

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._composer = Composer(self._chance)
        self._threads = Threads(self._chance)
        self._ids = Snowflakes(self.seed)
        if self.fast:
            self._templates = Templates.write(self._composer, BURST_TAGS)

    def post(self, now_ms: int, matched: bytes = b"") -> Made:
        """The next post, written now."""
        id_, created_at = self._ids.next(now_ms), rfc3339(now_ms)
        topic, found = self._topic(now_ms), self._threads.to_answer()
        answered, left = (None, None) if found is None else (found[0], found[1] - 1)
        if self._templates is not None:
            body, post = self._templates.fill(id_, created_at, answered, topic)
        else:
            quoted = self._threads.recent() if self._chance.random() < QUOTES else None
            document, post = self._composer.compose(id_, created_at, answered, quoted, topic)
            body = _encode(document)
        self._threads.wrote(post, left)
        return Made(id_, with_rules(body, matched), post.lang, len(body) - 1)

    def delete(self, now_ms: int) -> Made | None:
        """The news that an earlier post, not yet deleted, is gone; None before there is one.

        X's filtered stream has no such message; this is the form of the v1.1 streams.
        """
        post = self._threads.recent()
        if post is None:
            return None
        self._threads.forget(post)
        user = post.author.id
        status = {"id": int(post.id), "id_str": post.id, "user_id": int(user), "user_id_str": user}
        line = _encode({"delete": {"status": status, "timestamp_ms": str(now_ms)}})
        return Made(post.id, line, post.lang, len(line) - 1)

    def inject(self, now_ms: int, text: str, matched: bytes = b"", **fields: Any) -> Made:
        """A post with a given text, however hostile.

        Args:
            fields: of `data`, replacing what would be there; None leaves the field out. `includes` (a dict) is
                merged into the includes, and `user` (a dict) into the author's user object.
        """
        id_, created_at = str(fields.pop("id", None) or self._ids.next(now_ms)), rfc3339(now_ms)
        includes, user = fields.pop("includes", None) or {}, fields.pop("user", None) or {}
        author = self._chance.choice(self._composer.people)
        data: dict[str, Any] = {
            "id": id_,
            "author_id": author.id,
            "created_at": created_at,
            "conversation_id": id_,
            "edit_history_tweet_ids": [id_],
            "lang": "en",
            "possibly_sensitive": False,
            "reply_settings": "everyone",
            "text": text,
        }
        tags = tags_in(text)
        if tags:
            data["entities"] = {"hashtags": tags}
        data.update(fields)
        data = {name: value for name, value in data.items() if value is not None}
        person = {**author.user, "id": data.get("author_id"), **user}
        body = _encode({"data": data, "includes": {"users": [person], **includes}})
        lang = str(data.get("lang", "en"))
        self._threads.wrote(Written(id_, id_, author, text, created_at, lang), 0)
        return Made(id_, with_rules(body, matched), lang, len(body) - 1)

    def _topic(self, now_ms: int) -> str | None:
        if self._bursts is None:
            self._bursts = Bursts(BURST_TAGS, now_ms)
        tag, share = self._bursts.at(now_ms)
        return tag if self._chance.random() < share else None


def with_rules(body: bytes, matched: bytes) -> bytes:
    """The object with `matching_rules` added at its end."""
    return body[:-1] + b',"matching_rules":' + matched + b"}" if matched else body
