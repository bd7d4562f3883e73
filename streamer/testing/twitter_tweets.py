# -*- test-case-name: tests.unit.test_testing_twitter_tweets -*-
"""One invented tweet after the other, in the form of v1.1, the same for the same seed and times.

What they say comes from the composer that also writes for X; long texts, quotes and retweets are added here.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import attrs

from streamer.testing.bursts import Bursts
from streamer.testing.composer import Composer
from streamer.testing.corpus import BURST_TAGS, LANGUAGES
from streamer.testing.snowflakes import Snowflakes, rfc3339
from streamer.testing.texts import short_link, tags_in
from streamer.testing.threads import Threads, Written
from streamer.testing.twitter_forms import (
    SHORT,
    SOURCE,
    Document,
    encode,
    entities,
    person,
    place,
    shorten,
    time_of,
    within,
)
from streamer.testing.twitter_predicates import LEVELS, Facets, facets_of

LONG = 0.25  # share of tweets with a few sentences more
RETWEETS = 0.2  # share of tweets that only repeat an earlier one
QUOTES = 0.05  # share of the others that quote one
LEVEL_WEIGHTS = (1, 8, 1)  # of `LEVELS`
RECENT = 512  # tweets that may be repeated, quoted or deleted


@attrs.frozen
class Tweeted:
    """A tweet on the wire, without its line end, and what streams choose it by."""

    id: str
    user_id: str
    line: bytes
    facets: Facets


@attrs.define
class TweetGenerator:
    """Makes tweets. Times are ms since the epoch and should not go back."""

    seed: int = 0
    _chance: random.Random = attrs.field(init=False)
    _composer: Composer = attrs.field(init=False)
    _threads: Threads = attrs.field(init=False)
    _ids: Snowflakes = attrs.field(init=False)
    _names: dict[str, str] = attrs.field(init=False)
    _recent: deque[Document] = attrs.field(factory=lambda: deque(maxlen=RECENT))
    _bursts: Bursts | None = None

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._composer = Composer(self._chance)
        self._threads = Threads(self._chance)
        self._ids = Snowflakes(self.seed)
        self._names = {profile.id: str(profile.user["name"]) for profile in self._composer.people}

    def tweet(self, now_ms: int) -> Tweeted:
        """The next tweet, written now."""
        repeated = self._chance.choice(self._recent) if self._recent else None
        if repeated is not None and self._chance.random() < RETWEETS:
            return self._made(self._retweet(now_ms, repeated))
        quoted = repeated if self._chance.random() < QUOTES else None
        found = self._threads.to_answer()
        answered, left = (None, None) if found is None else (found[0], found[1] - 1)
        id_ = self._ids.next(now_ms)
        document, written = self._composer.compose(id_, rfc3339(now_ms), answered, None, self._topic(now_ms))
        self._threads.wrote(written, left)
        if self._chance.random() < LONG:
            self._go_on(document)
        tweet = self._write(now_ms, document, answered)
        if quoted is not None:
            self._quote(tweet, quoted)
        shorten(tweet, short_link(self._chance))
        self._recent.append(tweet)
        return self._made(tweet)

    def inject(self, now_ms: int, text: str, **fields: Any) -> Tweeted:
        """A tweet with a given text, however hostile.

        Args:
            fields: of the tweet, replacing what would be there; `user` (a dict) is merged into its user object.
        """
        id_ = str(fields.pop("id", None) or self._ids.next(now_ms))
        author, user = self._chance.choice(self._composer.people), fields.pop("user", None) or {}
        data: Document = {"id": id_, "author_id": author.id, "text": text, "lang": "en", "possibly_sensitive": False}
        data["entities"] = {"hashtags": tags_in(text)}
        tweet = self._write(now_ms, {"data": data, "includes": {"users": [author.user]}}, None)
        tweet["user"].update(user)
        tweet["filter_level"] = "low"
        shorten(tweet, short_link(self._chance))
        tweet.update(fields)
        self._recent.append(tweet)
        return self._made(tweet)

    def earlier(self) -> Tweeted | None:
        """Any of the last tweets, retweets left out; None before there is one."""
        return self._made(self._chance.choice(self._recent)) if self._recent else None

    def forget(self, id_: str) -> None:
        """It was deleted: nobody repeats or quotes it from now on."""
        self._recent = deque((tweet for tweet in self._recent if tweet["id_str"] != id_), maxlen=RECENT)

    def _made(self, tweet: Document) -> Tweeted:
        return Tweeted(tweet["id_str"], tweet["user"]["id_str"], encode(tweet), facets_of(tweet))

    def _write(self, now_ms: int, document: Document, answered: Written | None) -> Document:
        data, includes = document["data"], document["includes"]
        id_, text = data["id"], data["text"]
        author = next(user for user in includes["users"] if user["id"] == data["author_id"])
        found = entities(data.get("entities", {}), self._names, id_)
        point = data.get("geo", {}).get("coordinates")
        tweet = {
            "created_at": time_of(now_ms),
            "id": int(id_),
            "id_str": id_,
            "text": text,
            "display_text_range": [0 if answered is None else len(answered.author.handle) + 2, len(text)],
            "source": SOURCE,
            "truncated": False,
            "in_reply_to_status_id": None if answered is None else int(answered.id),
            "in_reply_to_status_id_str": None if answered is None else answered.id,
            "in_reply_to_user_id": None if answered is None else int(answered.author.id),
            "in_reply_to_user_id_str": None if answered is None else answered.author.id,
            "in_reply_to_screen_name": None if answered is None else answered.author.handle,
            "user": person(author),
            "geo": None if point is None else {"type": "Point", "coordinates": point["coordinates"][::-1]},
            "coordinates": point,
            "place": place(includes["places"][0]) if includes.get("places") else None,
            "contributors": None,
            "is_quote_status": False,
            "quote_count": 0,
            "reply_count": 0,
            "retweet_count": 0,
            "favorite_count": 0,
            "entities": found,
            "favorited": False,
            "retweeted": False,
            "filter_level": self._chance.choices(LEVELS, LEVEL_WEIGHTS)[0],
            "lang": data["lang"],
            "timestamp_ms": str(now_ms),
        }
        if "media" in found:
            tweet["extended_entities"] = {"media": found["media"]}
        if "media" in found or found["urls"]:
            tweet["possibly_sensitive"] = data["possibly_sensitive"]
        return tweet

    def _go_on(self, document: Document) -> None:
        """Make the text too long for 140 characters; what is appended holds no entities."""
        data = document["data"]
        language = next(language for language in LANGUAGES if language.code == data["lang"])
        while len(data["text"]) <= SHORT:
            data["text"] += f" {self._chance.choice(language.middles)} {self._chance.choice(language.closings)}"

    def _quote(self, tweet: Document, quoted: Document) -> None:
        """Quote a tweet: it comes along, and a link to it ends the text, outside of what is shown."""
        link, start = short_link(self._chance), len(tweet["text"]) + 1
        shown = f"twitter.com/{quoted['user']['screen_name']}/status/{quoted['id_str']}"
        tweet["text"] += f" {link}"
        tweet["entities"]["urls"].append(
            {
                "url": link,
                "expanded_url": f"https://{shown}",
                "display_url": f"{shown[:26]}…",
                "indices": [start, start + len(link)],
            }
        )
        tweet["is_quote_status"] = True
        tweet["quoted_status_id"], tweet["quoted_status_id_str"] = quoted["id"], quoted["id_str"]
        tweet["quoted_status"] = _bare(quoted)

    def _retweet(self, now_ms: int, repeated: Document) -> Document:
        """Repeat a tweet: its text after `RT @name: `, cut at 140, its entities moved by as much."""
        author, id_ = self._chance.choice(self._composer.people), self._ids.next(now_ms)
        name, whole = repeated["user"]["screen_name"], repeated.get("extended_tweet", repeated)
        before, text = f"RT @{name}: ", whole.get("full_text", repeated["text"])
        room = SHORT - len(before)
        text, end = (text, len(text)) if len(text) <= room else (text[: room - 1] + "…", room - 1)
        found = within(whole["entities"], end, len(before))
        mention = {"screen_name": name, "name": repeated["user"]["name"], "id": repeated["user"]["id"]}
        mention |= {"id_str": repeated["user"]["id_str"], "indices": [3, 4 + len(name)]}
        found["user_mentions"].insert(0, mention)
        nothing = {key: None for key in repeated if key.startswith("in_reply_to_")}
        own = {
            "created_at": time_of(now_ms),
            "id": int(id_),
            "id_str": id_,
            "text": before + text,
            "truncated": False,
            "user": person(author.user),
            "geo": None,
            "coordinates": None,
            "place": None,
            "entities": found,
            "timestamp_ms": str(now_ms),
            "retweeted_status": _bare(repeated),
        }
        dropped = ("extended_tweet", "extended_entities", "display_text_range")
        return {key: value for key, value in repeated.items() if key not in dropped} | nothing | own

    def _topic(self, now_ms: int) -> str | None:
        if self._bursts is None:
            self._bursts = Bursts(BURST_TAGS, now_ms)
        tag, share = self._bursts.at(now_ms)
        return tag if self._chance.random() < share else None


def _bare(tweet: Document) -> Document:
    """A tweet as it stands within another one: of what it quotes only the id is told."""
    return {key: value for key, value in tweet.items() if key not in ("timestamp_ms", "quoted_status")}
