# -*- test-case-name: tests.unit.test_testing_x_query -*-
"""The query parameters of X's streams, and what of a post they ask for.

Without parameters X delivers id, text and edit_history_tweet_ids only; whoever forgets to ask for more gets no more.
https://docs.x.com/x-api/fundamentals/fields, https://docs.x.com/x-api/fundamentals/expansions
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from streamer.testing.problems import Problem
from streamer.testing.x_problems import invalid

MOST_BACKFILL = 5  # minutes


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


FIELDS: Mapping[str, frozenset[str]] = {
    "tweet.fields": _names(
        """article attachments author_id card_uri community_id context_annotations conversation_id created_at
        display_text_range edit_controls edit_history_tweet_ids entities geo id in_reply_to_user_id lang
        matched_media_notes media_metadata non_public_metrics note_request_suggestions note_tweet organic_metrics
        paid_partnership possibly_sensitive promoted_metrics public_metrics referenced_tweets reply_settings scopes
        source suggested_source_links suggested_source_links_with_counts text withheld"""
    ),
    "expansions": _names(
        """article.cover_media article.media_entities attachments.media_keys attachments.media_source_tweet
        attachments.poll_ids author_id edit_history_tweet_ids entities.mentions.username geo.place_id
        in_reply_to_user_id entities.note.mentions.username referenced_tweets.id
        referenced_tweets.id.attachments.media_keys referenced_tweets.id.author_id"""
    ),
    "user.fields": _names(
        """affiliation confirmed_email connection_status created_at description entities id is_identity_verified
        location most_recent_tweet_id name parody pinned_tweet_id profile_banner_url profile_image_url protected
        public_metrics receives_your_dm subscription subscription_type url username verified verified_followers_count
        verified_type withheld"""
    ),
    "place.fields": _names("contained_within country country_code full_name geo id name place_type"),
    "media.fields": _names(
        """alt_text duration_ms height media_key non_public_metrics organic_metrics preview_image_url promoted_metrics
        public_metrics type url variants width"""
    ),
    "poll.fields": _names("duration_minutes end_datetime id options voting_status"),
}
DEFAULTS: Mapping[str, frozenset[str]] = {
    "tweet.fields": frozenset({"id", "text", "edit_history_tweet_ids"}),
    "user.fields": frozenset({"id", "name", "username"}),
    "place.fields": frozenset({"id", "full_name"}),
    "media.fields": frozenset({"media_key", "type"}),
}
IMPLIED = {  # an expansion brings the field that it expands
    "author_id": "author_id",
    "geo.place_id": "geo",
    "in_reply_to_user_id": "in_reply_to_user_id",
    "attachments.media_keys": "attachments",
    "entities.mentions.username": "entities",
    "referenced_tweets.id": "referenced_tweets",
    "referenced_tweets.id.author_id": "referenced_tweets",
}
TIMES = ("start_time", "end_time")

_WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Query(msgspec.Struct, frozen=True):
    """A request for the stream, understood.

    Args:
        backfill: minutes to replay first.
        start_ms, end_ms: what span to replay, for recovery; the stream ends with it where there is an end.
        asked: by parameter, the field names that the client gets.
        partition: which share of the stream it gets, from 1 on; None where the stream has no partitions.
    """

    backfill: int
    start_ms: int | None
    end_ms: int | None
    asked: Mapping[str, frozenset[str]]
    partition: int | None = None

    def select(self, line: bytes) -> bytes:
        """The line with what was asked for, and no more; lines that are not posts as they are."""
        document = _decode(line)
        if "data" not in document:
            return line
        data, includes, expansions = document["data"], document.get("includes", {}), self.asked["expansions"]
        wanted = self._people(data, includes, expansions)
        people = [user for user in includes.get("users", ()) if user["id"] in wanted]
        tweets = includes.get("tweets", ()) if expansions & {"referenced_tweets.id"} else ()
        kept = {
            "users": self._only("user.fields", people),
            "places": self._only("place.fields", includes.get("places", ()) if "geo.place_id" in expansions else ()),
            "media": self._only(
                "media.fields", includes.get("media", ()) if "attachments.media_keys" in expansions else ()
            ),
            "tweets": self._only("tweet.fields", tweets),
        }
        document["data"] = self._only("tweet.fields", [data])[0]
        document["includes"] = {name: rows for name, rows in kept.items() if rows}
        if not document["includes"]:
            del document["includes"]
        return _encode(document)

    def _only(self, parameter: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        names = self.asked[parameter]
        return [{name: value for name, value in row.items() if name in names} for row in rows]

    @staticmethod
    def _people(data: Any, includes: Any, expansions: frozenset[str]) -> set[str]:
        wanted: set[str] = set()
        if "author_id" in expansions:
            wanted.add(data.get("author_id"))
        if "in_reply_to_user_id" in expansions:
            wanted.add(data.get("in_reply_to_user_id"))
        if "entities.mentions.username" in expansions:
            wanted.update(mention.get("id") for mention in data.get("entities", {}).get("mentions", ()))
        if "referenced_tweets.id.author_id" in expansions:
            wanted.update(post.get("author_id") for post in includes.get("tweets", ()))
        return wanted


def read_query(
    args: Mapping[bytes, list[bytes]], *, partitions: int | None = None, recovery: bool = True
) -> Query | Problem:
    """Understand the parameters as twisted.web gives them; a Problem where X would refuse them.

    Args:
        partitions: of how many the client must name one.
        recovery: whether a span of time can be asked for.
    """
    known_here = {*FIELDS, "backfill_minutes", *(TIMES if recovery else ()), *(("partition",) if partitions else ())}
    given: dict[str, str] = {}
    for name, values in ((key.decode("utf-8", "replace"), found) for key, found in args.items()):
        shown = [value.decode("utf-8", "replace") for value in values]
        if name not in known_here:
            return invalid({name: shown}, f"The query parameter [{name}] is not one of those of this endpoint")
        if len(shown) > 1:
            return invalid({name: shown}, f"The query parameter [{name}] is given more than once")
        given[name] = shown[0]
    minutes = given.get("backfill_minutes", "0")
    if not (minutes.isascii() and minutes.isdigit() and int(minutes) <= MOST_BACKFILL):
        message = f"The `backfill_minutes` query parameter value [{minutes}] is not between 0 and {MOST_BACKFILL}"
        return invalid({"backfill_minutes": [minutes]}, message)
    partition = given.get("partition", "")
    if partitions and not (partition.isascii() and partition.isdigit() and 1 <= int(partition) <= partitions):
        message = f"The `partition` query parameter value [{partition}] is not between 1 and {partitions}"
        return invalid({"partition": [partition]}, message)
    span: dict[str, int | None] = {}
    for name in TIMES:
        try:
            span[name] = _milliseconds(given.get(name))
        except ValueError:
            message = f"The `{name}` query parameter value [{given[name]}] is not a time like 2026-11-21T04:00:00Z"
            return invalid({name: [given[name]]}, message)
    asked: dict[str, frozenset[str]] = {}
    for name, known in FIELDS.items():
        names = frozenset(given[name].split(",")) if name in given else frozenset()
        if names - known:
            wrong = ",".join(sorted(names - known))
            return invalid({name: [given[name]]}, f"The `{name}` query parameter value [{wrong}] is not known")
        asked[name] = names | DEFAULTS.get(name, frozenset())
    implied = {IMPLIED[name] for name in asked["expansions"] if name in IMPLIED}
    asked["tweet.fields"] |= implied
    return Query(int(minutes), span["start_time"], span["end_time"], asked, int(partition) if partitions else None)


def _milliseconds(when: str | None) -> int | None:
    if when is None:
        return None
    if not _WHEN.fullmatch(when):
        raise ValueError(when)
    return int(datetime.strptime(when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() * 1000)
