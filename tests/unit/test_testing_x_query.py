"""What clients may ask of the filtered stream, and what they get."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.posts import PostGenerator
from streamer.testing.problems import Problem
from streamer.testing.x_query import FIELDS, Query, read_query

NOW = 1_795_233_600_000  # ms since the epoch


class ReadQueryTests(SynchronousTestCase):
    """Parameters are checked as X checks them."""

    def test_good(self) -> None:
        """Known parameters are understood; times are UTC."""
        query = read_query(
            {
                b"backfill_minutes": [b"5"],
                b"start_time": [b"2026-11-21T04:00:00Z"],
                b"tweet.fields": [b"lang,geo"],
                b"expansions": [b"author_id"],
            }
        )
        assert isinstance(query, Query)
        self.assertEqual((5, NOW, None), (query.backfill, query.start_ms, query.end_ms))
        self.assertEqual(
            {"id", "text", "edit_history_tweet_ids", "lang", "geo", "author_id"}, query.asked["tweet.fields"]
        )

    def test_bad(self) -> None:
        """Unknown, repeated and wrong parameters are 400 invalid-request problems that name the parameter."""
        for args in (
            {b"backfill_minutes": [b"6"]},
            {b"backfill_minutes": [b"-1"]},
            {b"backfill_minutes": [b""]},
            {b"backfill_minutes": ["٣".encode()]},
            {b"backfillMinutes": [b"1"]},
            {b"tweet.fields": [b"lang", b"geo"]},
            {b"tweet.fields": [b"lang, geo"]},
            {b"tweet.fields": [b""]},
            {b"expansions": [b"author"]},
            {b"place.fields": [b"lat"]},
            {b"start_time": [b"2026-11-21T04:00:00.000Z"]},
            {b"end_time": [b"2026-13-21T04:00:00Z"]},
        ):
            problem = read_query(args)
            assert isinstance(problem, Problem), args
            self.assertEqual((400, "Invalid Request"), (problem.status, problem.body["title"]))
            self.assertEqual([name.decode() for name in args], list(problem.body["errors"][0]["parameters"]))
            self.assertTrue(problem.body["type"].endswith("/invalid-request"))

    @given(st.dictionaries(st.binary(max_size=20), st.lists(st.binary(max_size=20), min_size=1, max_size=2)))
    def test_anything(self, args: dict[bytes, list[bytes]]) -> None:
        """Whatever is asked, it is understood or refused."""
        self.assertIsInstance(read_query(args), Query | Problem)


class SelectTests(SynchronousTestCase):
    """Clients get what they asked for and no more."""

    def select(self, seed: int = 1, **asked: str) -> list[dict]:
        query = read_query({name.replace("_f", ".f").encode(): [value.encode()] for name, value in asked.items()})
        assert isinstance(query, Query)
        generator = PostGenerator(seed)
        lines = [generator.post(NOW + number, b'[{"id":"1","tag":""}]').line for number in range(300)]
        return [json.loads(query.select(line)) for line in lines]

    def test_default(self) -> None:
        """Without parameters a post is its id, text and edit history, and its matching rules."""
        for post in self.select():
            self.assertEqual({"data", "matching_rules"}, set(post))
            self.assertEqual({"id", "text", "edit_history_tweet_ids"}, set(post["data"]))

    def test_author(self) -> None:
        """The expansion of the author brings author_id and one user, with the default fields only."""
        for post in self.select(expansions="author_id"):
            (user,) = post["includes"]["users"]
            self.assertEqual({"id", "name", "username"}, set(user))
            self.assertEqual(post["data"]["author_id"], user["id"])

    def test_places(self) -> None:
        """Places come with their expansion, with a box only where `geo` is asked for."""
        plain = self.select(expansions="geo.place_id")
        full = self.select(expansions="geo.place_id", place_fields="geo,country_code")
        places = [post["includes"]["places"][0] for post in plain if "includes" in post]
        self.assertTrue(len(places) > 60)
        self.assertEqual({"id", "full_name"}, set(places[0]))
        self.assertEqual(
            {"id", "full_name", "geo", "country_code"},
            set(next(post["includes"]["places"][0] for post in full if "includes" in post)),
        )

    def test_geo_without_expansion(self) -> None:
        """The field alone brings the place's id, not the place."""
        posts = self.select(tweet_fields="geo")
        self.assertTrue(any("place_id" in post["data"].get("geo", {}) for post in posts))
        self.assertFalse(any("includes" in post for post in posts))

    def test_mentions_media_and_references(self) -> None:
        """Each expansion brings its own includes."""
        posts = self.select(
            expansions="entities.mentions.username,attachments.media_keys,referenced_tweets.id,in_reply_to_user_id,"
            "referenced_tweets.id.author_id"
        )
        kinds = {kind for post in posts for kind in post.get("includes", {})}
        self.assertEqual({"users", "media", "tweets"}, kinds)
        for post in posts:
            ids = {user["id"] for user in post.get("includes", {}).get("users", ())}
            for mention in post["data"].get("entities", {}).get("mentions", ()):
                self.assertIn(mention["id"], ids)

    def test_everything(self) -> None:
        """Who asks for everything gets the post as it was generated."""
        query = read_query({name.encode(): [",".join(names).encode()] for name, names in FIELDS.items()})
        assert isinstance(query, Query)
        generator = PostGenerator(3)
        for number in range(100):
            line = generator.post(NOW + number).line
            self.assertEqual(json.loads(line), json.loads(query.select(line)))

    def test_other_lines(self) -> None:
        """Lines that are not posts are left as they are."""
        query = read_query({})
        assert isinstance(query, Query)
        self.assertEqual(b'{"delete": {}}', query.select(b'{"delete": {}}'))
