"""Which tweets match what was asked for; the cases of track are those of its documentation."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.twitter_predicates import Box, Predicates, facets_of
from streamer.testing.twitter_query import Asked, read_asked
from streamer.testing.twitter_tweets import TweetGenerator
from tests.unit.test_testing_x import NOW

NOW_MS = int(NOW * 1000)


def tweet(text: str = "", **fields: Any) -> dict[str, Any]:
    """A tweet with what is looked at."""
    entities: dict[str, Any] = {"hashtags": [], "urls": [], "user_mentions": []}
    entities.update(fields.pop("entities", {}))
    return {
        "text": text,
        "user": {"id": 1},
        "entities": entities,
        "lang": "en",
        "filter_level": "low",
        "in_reply_to_user_id": None,
        **fields,
    }


def asked(**parameters: str) -> Predicates:
    """Predicates, as a client gives them."""
    found = read_asked([(name.encode(), value.encode()) for name, value in parameters.items()])
    assert isinstance(found, Asked), found
    return found.predicates


class TrackTests(SynchronousTestCase):
    """Terms."""

    def check(self, term: str, matching: tuple[str, ...], others: tuple[str, ...]) -> None:
        """Texts that match the term, and some that do not."""
        predicates = asked(track=term)
        for text, expected in [(text, True) for text in matching] + [(text, False) for text in others]:
            self.assertEqual(expected, predicates.match(facets_of(tweet(text))), (term, text))

    def test_word(self) -> None:
        """A word, in any case, with punctuation about it, but not a part of one."""
        self.check(
            "Twitter",
            ("TWITTER", "twitter", '"Twitter"', "twitter.", "#twitter", "@twitter", "x http://twitter.com y"),
            ("TwitterTracker", "#newtwitter", ""),
        )

    def test_punctuation_in_the_term(self) -> None:
        """Punctuation within a term counts."""
        self.check("Twitter's", ("I like Twitter's new design",), ("I like Twitters new design", "twitter"))
        self.check("#kea", ("a #kea!",), ("a kea", "@kea"))

    def test_and_or(self) -> None:
        """Blanks mean and, in any order; commas mean or."""
        self.check(
            "twitter api,twitter streaming",
            ("The Twitter API is awesome", "streaming service: twitter", "Twitter has a streaming API"),
            ("I'm new to Twitter", "an API for streaming"),
        )

    def test_links(self) -> None:
        """A host and path as shown, or their words."""
        self.check("example.com", ("see example.com today",), ("there is no example.com/foobarbaz",))
        self.check("example.com/foobarbaz", ("example.com/foobarbaz",), ("example.com",))
        self.check("example com", ("example.com", "foo.example.com/bar", "example of a dot com boom!"), ("example",))

    def test_entities(self) -> None:
        """Links' full addresses, tags and names are looked at, whatever the text shows."""
        link = {"expanded_url": "https://www.Birds.example/kea", "display_url": "birds.example/ke…"}
        entities = {"urls": [link], "hashtags": [{"text": "Tūī"}], "user_mentions": [{"screen_name": "Weka"}]}
        facets = facets_of(tweet("https://t.co/x", entities=entities))
        for term in ("birds.example/kea", "www.birds.example/kea", "birds kea", "tūī", "WEKA"):
            self.assertTrue(asked(track=term).match(facets), term)
        for term in ("tui", "bird"):
            self.assertFalse(asked(track=term).match(facets), term)

    def test_long_and_repeated(self) -> None:
        """All of a long text counts, and what a retweet repeats."""
        long = tweet("half…", extended_tweet={"full_text": "half whole", "entities": tweet()["entities"]})
        self.assertTrue(asked(track="whole").match(facets_of(long)))
        self.assertTrue(asked(track="whole").match(facets_of(tweet("RT half…", retweeted_status=long))))

    @given(st.text(max_size=60), st.text(max_size=12))
    def test_any_text(self, text: str, term: str) -> None:
        """Any text can be looked at, and a text of words of letters matches each of them."""
        predicates = Predicates(track=((term.lower(),),))
        self.assertIn(predicates.match(facets_of(tweet(text))), (True, False))
        for word in text.split():
            self.assertTrue(Predicates(track=((word.lower(),),)).match(facets_of(tweet(text))), word)


class FollowTests(SynchronousTestCase):
    """People."""

    def test_follow(self) -> None:
        """Tweets and retweets by them, replies to them, retweets of them; not mentions of them."""
        theirs, other = tweet(user={"id": 7}), tweet(user={"id": 8})
        predicates = asked(follow="7,9")
        for document, expected in (
            (theirs, True),
            (other, False),
            (tweet(user={"id": 7}, retweeted_status=other), True),
            (tweet(retweeted_status=theirs), True),
            (tweet(in_reply_to_user_id=9), True),
            (tweet("@seven hello", entities={"user_mentions": [{"screen_name": "seven", "id": 7}]}), False),
        ):
            self.assertEqual(expected, predicates.match(facets_of(document)), document)


class LocationTests(SynchronousTestCase):
    """Boxes."""

    def place(self, west: float, south: float, east: float, north: float) -> dict[str, Any]:
        """A place object with that box."""
        ring = [[west, south], [west, north], [east, north], [east, south]]
        return {"bounding_box": {"coordinates": [ring]}}

    def test_point_before_place(self) -> None:
        """The point decides where there is one, else the place; edges count."""
        predicates = asked(locations="-10,-10,0,0")
        inside, outside = self.place(-5, -5, -4, -4), self.place(1, 1, 2, 2)
        for point, place, expected in (
            ([-5.0, -5.0], outside, True),
            ([5.0, 5.0], inside, False),
            ([0.0, 0.0], None, True),
            ([-10.0, -10.0], None, True),
            (None, inside, True),
            (None, outside, False),
            (None, self.place(-20, -20, 20, 20), True),
            (None, self.place(0, 0, 1, 1), True),
            (None, None, False),
        ):
            coordinates = None if point is None else {"type": "Point", "coordinates": point}
            document = tweet(coordinates=coordinates, place=place)
            self.assertEqual(expected, predicates.match(facets_of(document)), (point, place))

    def test_antimeridian(self) -> None:
        """A place that spans it overlaps with boxes on either side, and with nothing between."""
        facets = facets_of(tweet(place=self.place(179.9, -17, -179.9, -16)))
        for box, expected in (("179,-20,180,-10", True), ("-180,-20,-179,-10", True), ("-10,-20,10,-10", False)):
            self.assertEqual(expected, asked(locations=box).match(facets), box)

    def test_retweet(self) -> None:
        """A retweet is nowhere, even where it has coordinates."""
        here = tweet(coordinates={"coordinates": [0.0, 0.0]}, place=self.place(-1, -1, 1, 1))
        self.assertFalse(asked(locations="-1,-1,1,1").match(facets_of({**here, "retweeted_status": here})))

    @given(st.tuples(*[st.floats(-180, 180), st.floats(-90, 90)] * 2), st.floats(-180, 180), st.floats(-90, 90))
    def test_overlap_and_points(self, sides: tuple[float, ...], lon: float, lat: float) -> None:
        """A box overlaps with the point-sized box at a point just where it holds the point, either way round."""
        west, south, east, north = sides
        box, point = Box(west, min(south, north), east, max(south, north)), Box(lon, lat, lon, lat)
        self.assertEqual(box.holds(lon, lat), box.overlaps(point))
        self.assertEqual(box.holds(lon, lat), point.overlaps(box))


class TogetherTests(SynchronousTestCase):
    """All at once."""

    def test_or_then_and(self) -> None:
        """Track, follow and locations add; language and filter level take away."""
        predicates = asked(track="kea", follow="7", language="en,mi", filter_level="low")
        for document, expected in (
            (tweet("kea"), True),
            (tweet("x", user={"id": 7}), True),
            (tweet("x"), False),
            (tweet("kea", lang="de"), False),
            (tweet("kea", lang="mi", filter_level="medium"), True),
            (tweet("kea", filter_level="none"), False),
        ):
            self.assertEqual(expected, predicates.match(facets_of(document)), document)

    def test_generated(self) -> None:
        """Generated tweets are found by each of their own words, people and places."""
        generator = TweetGenerator(3)
        placed = 0
        for _ in range(200):
            facets = generator.tweet(NOW_MS).facets
            for word in facets.words:
                self.assertTrue(Predicates(track=((word,),)).match(facets))
            for id_ in facets.people:
                self.assertTrue(Predicates(follow=frozenset({id_})).match(facets))
            if facets.point is not None:
                placed += 1
                self.assertTrue(Predicates(locations=(Box(-180, -90, 180, 90),)).match(facets))
        self.assertTrue(placed > 5)
