"""Invented tweets, held against the form of recorded ones."""

from __future__ import annotations

import functools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.twitter_forms import SHORT, encode, time_of
from streamer.testing.twitter_tweets import TweetGenerator
from tests.unit.test_testing_x import NOW

NOW_MS = int(NOW * 1000)


@functools.cache
def tweets(number: int = 400, seed: int = 1) -> list[dict[str, Any]]:
    """Some tweets, decoded."""
    generator = TweetGenerator(seed)
    return [json.loads(generator.tweet(NOW_MS + 50 * count).line) for count in range(number)]


class FormTests(SynchronousTestCase):
    """What they look like."""

    def setUp(self) -> None:
        self.tweets = tweets()

    def test_wire(self) -> None:
        """ASCII, slashes escaped, astral characters as two; one line."""
        generator = TweetGenerator(1)
        lines = [generator.tweet(NOW_MS).line for _ in range(200)]
        for line in lines:
            self.assertTrue(line.isascii())
            self.assertNotIn(b"/", line.replace(b"\\/", b""))
            self.assertNotIn(b"\n", line)
        self.assertIn(b"\\ud83e\\udd8a", b"".join(lines))

    def test_keys(self) -> None:
        """What every recorded tweet has, with types that hold."""
        for tweet in self.tweets:
            self.assertEqual(str(tweet["id"]), tweet["id_str"])
            self.assertEqual(str(tweet["user"]["id"]), tweet["user"]["id_str"])
            self.assertIsInstance(tweet["timestamp_ms"], str)
            self.assertIn(tweet["filter_level"], ("none", "low", "medium"))
            self.assertEqual({"hashtags", "urls", "user_mentions", "symbols"}, set(tweet["entities"]) - {"media"})
            for name in ("geo", "coordinates", "place", "contributors", "in_reply_to_status_id", "source", "lang"):
                self.assertIn(name, tweet)
        self.assertEqual("Sat Nov 21 04:00:00 +0000 2026", self.tweets[0]["created_at"])

    def test_entities(self) -> None:
        """Each entity's offsets cut out what it says, in whichever text it belongs to."""
        seen = set()
        for tweet in self.tweets:
            for part in (tweet, *(tweet.get(key) for key in ("extended_tweet", "retweeted_status", "quoted_status"))):
                if part is None:
                    continue
                text = part.get("full_text", part.get("text"))
                for kind, rows in part["entities"].items():
                    for entity in rows:
                        start, end = entity["indices"]
                        expected = {
                            "hashtags": lambda row: "#" + row["text"],
                            "symbols": lambda row: "$" + row["text"],
                            "user_mentions": lambda row: "@" + row["screen_name"],
                            "urls": lambda row: row["url"],
                            "media": lambda row: row["url"],
                        }[kind](entity)
                        self.assertEqual(expected, text[start:end])
                        seen.add(kind)
        self.assertEqual({"hashtags", "symbols", "user_mentions", "urls", "media"}, seen)

    def test_long(self) -> None:
        """A long text is cut to 140 with a link to the whole, which is in extended_tweet with all its entities."""
        long = [tweet for tweet in self.tweets if tweet["truncated"]]
        self.assertTrue(len(long) > 40)
        for tweet in long:
            whole = tweet["extended_tweet"]
            self.assertEqual(SHORT, len(tweet["text"]))
            self.assertTrue(len(whole["full_text"]) > SHORT)
            link = tweet["entities"]["urls"][-1]
            self.assertEqual(f"https://twitter.com/i/web/status/{tweet['id_str']}", link["expanded_url"])
            self.assertTrue(whole["full_text"].startswith(tweet["text"].partition("… https://t.co/")[0]))
            start, end = whole["display_text_range"]
            self.assertTrue(0 <= start < end <= len(whole["full_text"]))
        for tweet in self.tweets:
            self.assertEqual(tweet["truncated"], "extended_tweet" in tweet)
            self.assertTrue(len(tweet["text"]) <= SHORT)

    def test_retweets(self) -> None:
        """A retweet carries what it repeats, whole, and repeats its text after the name; it is nowhere."""
        retweets = [tweet for tweet in self.tweets if "retweeted_status" in tweet]
        self.assertTrue(len(retweets) > 30)
        known = {tweet["id"]: tweet for tweet in self.tweets}
        for tweet in retweets:
            repeated = tweet["retweeted_status"]
            self.assertEqual(known[repeated["id"]]["text"], repeated["text"])
            self.assertNotIn("timestamp_ms", repeated)
            self.assertNotIn("retweeted_status", repeated)
            before = f"RT @{repeated['user']['screen_name']}: "
            self.assertTrue(tweet["text"].startswith(before + repeated["text"][:20]))
            self.assertIsNone(tweet["place"])
            self.assertIsNone(tweet["in_reply_to_status_id"])

    def test_quotes(self) -> None:
        """A quote carries what it quotes, and its text ends with a link to it, outside of what is shown."""
        quotes = [tweet for tweet in self.tweets if tweet["is_quote_status"] and "retweeted_status" not in tweet]
        self.assertTrue(quotes)
        for tweet in quotes:
            quoted, whole = tweet["quoted_status"], tweet.get("extended_tweet", tweet)
            self.assertEqual(tweet["quoted_status_id_str"], quoted["id_str"])
            link = whole["entities"]["urls"][-1]
            self.assertTrue(link["expanded_url"].endswith(f"/status/{quoted['id_str']}"))
            self.assertEqual(whole["display_text_range"][1] + 1, link["indices"][0])

    def test_places(self) -> None:
        """A place's ring goes from the south-west by the north-west; `geo` has latitude first."""
        self.assertTrue(any(tweet["coordinates"] for tweet in self.tweets))
        for tweet in self.tweets:
            if tweet["place"] is not None:
                (west, south), (west2, north), (east, north2), (east2, south2) = tweet["place"]["bounding_box"][
                    "coordinates"
                ][0]
                self.assertEqual((west, north, east, south), (west2, north2, east2, south2))
                self.assertTrue(south < north)
            if tweet["coordinates"] is not None:
                self.assertEqual(tweet["coordinates"]["coordinates"], tweet["geo"]["coordinates"][::-1])

    def test_replies(self) -> None:
        """A reply names whom it answers; the name that begins it is not shown."""
        replies = [tweet for tweet in self.tweets if tweet["in_reply_to_status_id"]]
        self.assertTrue(replies)
        for tweet in replies:
            name = tweet["in_reply_to_screen_name"]
            self.assertTrue(tweet["text"].startswith(f"@{name} "))
            shown = tweet.get("extended_tweet", tweet)["display_text_range"]
            self.assertEqual(len(name) + 2, shown[0])


class GeneratorTests(SynchronousTestCase):
    """One after the other."""

    def test_seed(self) -> None:
        """The same for the same seed, another for another; ids rise."""
        self.assertEqual(tweets(50), tweets.__wrapped__(50))
        self.assertNotEqual(tweets(50), tweets(50, seed=2))
        ids = [tweet["id"] for tweet in tweets(50)]
        self.assertEqual(sorted(set(ids)), ids)

    def test_forgotten(self) -> None:
        """A tweet that was deleted is not repeated or quoted from then on."""
        generator = TweetGenerator(1)
        self.assertIsNone(generator.earlier())
        gone = generator.tweet(NOW_MS).id
        self.assertEqual(gone, generator.earlier().id)
        generator.forget(gone)
        self.assertIsNone(generator.earlier())

    def test_injected_fields(self) -> None:
        """Fields replace those of the tweet, `user` is merged, the id can be chosen."""
        made = TweetGenerator(1).inject(
            NOW_MS, "x #Kea", id=5, lang="mi", user={"id": 9, "id_str": "9", "name": "<b>"}
        )
        tweet = json.loads(made.line)
        self.assertEqual((5, "mi", "<b>", "9"), (tweet["id"], tweet["lang"], tweet["user"]["name"], made.user_id))
        self.assertEqual([{"text": "Kea", "indices": [2, 6]}], tweet["entities"]["hashtags"])
        self.assertTrue({"kea", "#kea"} <= made.facets.words)

    @given(st.text(max_size=400))
    def test_hostile_text(self, text: str) -> None:
        """Any text goes over the wire and comes back, whole."""
        tweet = json.loads(GENERATOR.inject(NOW_MS, text).line)
        self.assertEqual(text, tweet.get("extended_tweet", {}).get("full_text", tweet["text"]))

    @given(st.text())
    def test_encode(self, text: str) -> None:
        """The encoding is JSON, whatever it holds."""
        self.assertEqual({"x": text}, json.loads(encode({"x": text})))

    def test_time(self) -> None:
        """Day and month names are English, the day has two digits."""
        self.assertEqual("Thu Jan 01 00:00:00 +0000 1970", time_of(999))


GENERATOR = TweetGenerator(1)
