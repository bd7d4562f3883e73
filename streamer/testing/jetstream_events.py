# -*- test-case-name: tests.unit.test_testing_jetstream -*-
"""Invented events of a Jetstream: posts in Bluesky's form, and what people do with them.

https://github.com/bluesky-social/jetstream#consuming-jetstream and the lexicons `app.bsky.*`; same seed and times,
same bytes.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import attrs
import msgspec

from streamer.testing.jetstream_names import Tids, cid, did
from streamer.testing.jetstream_options import About
from streamer.testing.jetstream_records import POST, Records
from streamer.testing.profiles import Profile, population
from streamer.testing.snowflakes import rfc3339
from streamer.testing.texts import Text
from streamer.testing.threads import Threads, Written

LIKE = "app.bsky.feed.like"
REPOST = "app.bsky.feed.repost"
FOLLOW = "app.bsky.graph.follow"
SKEW = 3_000  # microseconds by which an event's time may be off: they do not come in the order of their times

# What happens besides posts, and how often for each that happens ten times.
OTHERS = ((LIKE, 10), (REPOST, 3), (FOLLOW, 3), ("unlike", 2), ("identity", 1), ("account", 1))

_encode = msgspec.json.Encoder().encode


class Event(NamedTuple):
    """A line, and what it is; `id` is that of the item a source makes of it."""

    id: str
    line: bytes
    about: About


@attrs.define
class EventGenerator:
    """Makes one event after the other; times are ms since the epoch."""

    seed: int = 0
    _chance: random.Random = attrs.field(init=False)
    _people: tuple[Profile, ...] = attrs.field(init=False)
    _threads: Threads = attrs.field(init=False)
    _tids: Tids = attrs.field(init=False)
    _sequence: int = 30_000_000_000  # of the relay
    _records: Records = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._people = population(self._chance)
        self._threads = Threads(self._chance)
        self._tids = Tids(self.seed)
        self._records = Records(self._chance)

    def post(self, now_ms: int) -> Event:
        """Somebody posts."""
        found = self._threads.to_answer()
        author, language = self._chance.choice(self._people), self._records.language()
        text = self._records.text(language, None if found is None else found[0])
        record = self._records.record(text, language.code, now_ms)
        if found is not None:
            answered = found[0]
            record["reply"] = {"root": _reference(answered.conversation_id), "parent": _reference(answered.id)}
        if self._chance.random() < 0.1:
            record["embed"] = self._records.picture()
        left = None if found is None else found[1] - 1
        return self._create(author, record, now_ms, left, None if found is None else found[0].conversation_id)

    def inject(self, now_ms: int, text: str, **fields: Any) -> Event:
        """A post with a given text, however hostile; `fields` of its record, None leaves one out."""
        author = self._chance.choice(self._people)
        record = {"$type": POST, "createdAt": rfc3339(now_ms), "langs": ["en"], "text": text, **fields}
        return self._create(author, {key: value for key, value in record.items() if value is not None}, now_ms, 0)

    def edit(self, now_ms: int) -> Event | None:
        """Somebody changes an earlier post; None before there is one."""
        post = self._threads.recent()
        if post is None:
            return None
        text = Text()
        text.words(f"{post.text} (edited)")
        return self._commit(
            post.author, "update", *_parts(post.id), now_ms, self._records.record(text, post.lang, now_ms)
        )

    def delete(self, now_ms: int) -> tuple[Event, str] | None:
        """An earlier post is deleted, with its address; None before there is one."""
        post = self._threads.recent()
        if post is None:
            return None
        self._threads.forget(post)
        return self._commit(post.author, "delete", *_parts(post.id), now_ms), post.id

    def other(self, now_ms: int) -> Event:
        """Something that is no post."""
        what = self._chance.choices([name for name, _ in OTHERS], [weight for _, weight in OTHERS])[0]
        who = self._chance.choice(self._people)
        if what in ("identity", "account"):
            return self._told(what, who, now_ms)
        post, key = self._threads.recent(), self._tids.next(now_ms)
        if what == "unlike":
            return self._commit(who, "delete", LIKE, key, now_ms)
        record: dict[str, Any] = {"$type": what, "createdAt": rfc3339(now_ms)}
        if what == FOLLOW or post is None:
            record["subject"] = did(self._chance.choice(self._people).id)
            what = record["$type"] = FOLLOW
        else:
            record["subject"] = _reference(post.id)
        return self._commit(who, "create", what, key, now_ms, record)

    def _create(
        self, author: Profile, record: dict[str, Any], now_ms: int, left: int | None, thread: str | None = None
    ) -> Event:
        key = self._tids.next(now_ms)
        uri = f"at://{did(author.id)}/{POST}/{key}"
        lang = (record.get("langs") or ["en"])[0]
        self._threads.wrote(Written(uri, thread or uri, author, str(record.get("text")), "", str(lang)), left)
        return self._commit(author, "create", POST, key, now_ms, record)

    def _commit(
        self, author: Profile, operation: str, collection: str, key: str, now_ms: int, record: Any = None
    ) -> Event:
        who, rev = did(author.id), self._tids.next(now_ms)
        commit = {"rev": rev, "operation": operation, "collection": collection, "rkey": key}
        if record is not None:
            commit |= {"record": record, "cid": cid(rev)}
        id_ = f"at://{who}/{collection}/{key}#{rev}"
        return self._event(id_, who, collection, "commit", commit, now_ms)

    def _told(self, kind: str, person: Profile, now_ms: int) -> Event:
        self._sequence += self._chance.randrange(1, 40)
        who = did(person.id)
        told: dict[str, Any] = {"did": who, "seq": self._sequence, "time": rfc3339(now_ms)}
        if kind == "account":
            told["active"] = True
        elif self._chance.random() < 0.3:
            told["handle"] = f"{person.handle.replace('_', '-')}.example"
        return self._event(f"{kind}:{who}:{self._sequence}", who, "", kind, told, now_ms)

    def _event(self, id_: str, who: str, collection: str, kind: str, body: dict[str, Any], now_ms: int) -> Event:
        time_us = now_ms * 1000 + self._chance.randrange(-SKEW, SKEW)
        line = _encode({"did": who, "time_us": time_us, "kind": kind, kind: body})
        return Event(id_, line, About(who, collection, time_us))


def _reference(uri: str) -> dict[str, str]:
    return {"cid": cid(uri), "uri": uri}


def _parts(uri: str) -> tuple[str, str]:
    """Collection and key of an address."""
    collection, key = uri.split("/")[-2:]
    return collection, key
