"""The generator of invented posts."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.bursts import HALF_LIFE, PEAK, PERIOD, RISE, Bursts, share
from streamer.testing.cities import CITIES, wrap
from streamer.testing.posts import PostGenerator
from streamer.testing.profiles import population
from streamer.testing.snowflakes import Snowflakes, rfc3339

NOW = 1_795_233_600_000  # ms since the epoch
RULES = b'[{"id":"1400000000000000001","tag":"birds"}]'


def made(generator: PostGenerator, number: int, step: int = 50) -> list[dict]:
    return [json.loads(generator.post(NOW + step * index, RULES).line) for index in range(number)]


def script(character: str) -> str:
    return unicodedata.name(character, "?").split()[0]


class EntityTests(SynchronousTestCase):
    """Entities say where in the text they are."""

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32), fast=st.just(False))
    def test_offsets(self, seed: int, fast: bool) -> None:
        """Each entity's offsets cut exactly its own text out of the post, counted in code points."""
        for post in made(PostGenerator(seed, fast), 20):
            data = post["data"]
            text, entities = data["text"], data.get("entities", {})
            for sign, kind, key in (("#", "hashtags", "tag"), ("$", "cashtags", "tag"), ("@", "mentions", "username")):
                for entity in entities.get(kind, ()):
                    self.assertEqual(sign + entity[key], text[entity["start"] : entity["end"]])
            for entity in entities.get("urls", ()):
                self.assertEqual(entity["url"], text[entity["start"] : entity["end"]])
            self.assertEqual(text.count("https://"), len(entities.get("urls", ())))

    def test_fast_posts_have_the_same_offsets(self) -> None:
        """Posts written beforehand are as exact as the others."""
        for post in made(PostGenerator(5, fast=True), 400):
            text = post["data"]["text"]
            for entity in post["data"].get("entities", {}).get("hashtags", ()):
                self.assertEqual("#" + entity["tag"], text[entity["start"] : entity["end"]])

    def test_mentioned_people_are_included(self) -> None:
        """The author and everybody mentioned is among the users, with the handle that the text names."""
        for post in made(PostGenerator(6), 200):
            users = {user["id"]: user["username"] for user in post["includes"]["users"]}
            self.assertIn(post["data"]["author_id"], users)
            for mention in post["data"].get("entities", {}).get("mentions", ()):
                self.assertEqual(mention["username"], users[mention["id"]])


class PostTests(SynchronousTestCase):
    """What a stream of posts looks like."""

    def test_same_seed_same_posts(self) -> None:
        """The same seed and times give the same bytes; another seed gives others."""
        lines = [[PostGenerator(seed).post(NOW).line for _ in range(3)] for seed in (1, 1, 2)]
        self.assertEqual(lines[0], lines[1])
        self.assertNotEqual(lines[0], lines[2])

    def test_shape(self) -> None:
        """A post has the fields of a recorded one, ids as strings and times with milliseconds."""
        post = made(PostGenerator(1), 1)[0]
        self.assertEqual(["data", "includes", "matching_rules"], list(post))
        data = post["data"]
        self.assertIsInstance(data["id"], str)
        self.assertEqual([data["id"]], data["edit_history_tweet_ids"])
        self.assertEqual("2026-11-21T04:00:00.000Z", data["created_at"])
        self.assertEqual(json.loads(RULES), post["matching_rules"])

    def test_ids_rise(self) -> None:
        """Ids rise, also within a millisecond and where the clock goes back, and do not depend on a sane clock."""
        ids = Snowflakes(7)
        numbers = [int(ids.next(now)) for now in (0, 0, NOW, NOW, NOW + 1, NOW - 5000)]
        self.assertEqual(sorted(set(numbers)), numbers)

    def test_scripts(self) -> None:
        """Many scripts occur, both directions, and characters beyond the BMP."""
        text = "".join(post["data"]["text"] for post in made(PostGenerator(2), 600))
        scripts = {script(character) for character in set(text)}
        for wanted in ("LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "HIRAGANA", "HANGUL", "CJK"):
            self.assertIn(wanted, scripts)
        self.assertTrue(any(ord(character) > 0xFFFF for character in text))
        self.assertIn("&amp;", text)

    def test_places(self) -> None:
        """About a third has a place; a point lies in or near its box, which may cross the antimeridian."""
        posts = made(PostGenerator(3), 1500)
        placed = [post for post in posts if "geo" in post["data"]]
        self.assertTrue(0.25 < len(placed) / len(posts) < 0.45, len(placed))
        pointed = 0
        for post in placed:
            place = post["includes"]["places"][0]
            self.assertEqual(post["data"]["geo"]["place_id"], place["id"])
            west, south, east, north = place["geo"]["bbox"]
            self.assertTrue(-180 <= west <= 180 and -180 <= east <= 180 and south < north)
            point = post["data"]["geo"].get("coordinates")
            if point is not None:
                pointed += 1
                lon, lat = point["coordinates"]
                self.assertTrue(-180 <= lon <= 180 and -90 <= lat <= 90)
                self.assertTrue(abs(wrap(lon - wrap(west + 0.15))) < 0.5 and abs(lat - (south + north) / 2) < 0.5)
        self.assertTrue(pointed > 100, pointed)

    def test_edges_of_the_map(self) -> None:
        """Points exactly on the equator, on Greenwich's meridian, on the antimeridian occur, and a box across it."""
        posts = made(PostGenerator(4), 2500)
        points = [
            post["data"]["geo"]["coordinates"]["coordinates"]
            for post in posts
            if "coordinates" in post["data"].get("geo", {})
        ]
        self.assertTrue({0.0, 180.0, -180.0} <= {lon for lon, _ in points})
        self.assertIn(0.0, {lat for _, lat in points})
        boxes = [city.place()["geo"]["bbox"] for city in CITIES]
        self.assertTrue(any(west > east for west, _, east, _ in boxes))
        self.assertEqual(len(CITIES), len({city.id for city in CITIES}))

    def test_answers_continue_a_conversation(self) -> None:
        """Answers name an earlier post, its author and its conversation; conversations go on for several posts."""
        authors: dict[str, str] = {}
        conversations: Counter[str] = Counter()
        for post in made(PostGenerator(5), 800):
            data = post["data"]
            for reference in data.get("referenced_tweets", ()):
                self.assertIn(reference["id"], authors)
                if reference["type"] == "replied_to":
                    self.assertEqual(authors[reference["id"]], data["in_reply_to_user_id"])
                    self.assertTrue(data["text"].startswith("@"))
                    self.assertIn(reference["id"], {tweet["id"] for tweet in post["includes"]["tweets"]})
                    self.assertIn(data["conversation_id"], conversations)
            authors[data["id"]] = data["author_id"]
            conversations[data["conversation_id"]] += 1
        self.assertTrue(max(conversations.values()) >= 5)

    def test_fast_answers(self) -> None:
        """Posts written beforehand answer real posts too, with no mark left in any of them."""
        seen: set[str] = set()
        answers = 0
        generator = PostGenerator(5, fast=True)
        for index in range(2000):
            line = generator.post(NOW + index).line
            self.assertNotIn(b"~", line)
            data = json.loads(line)["data"]
            for reference in data.get("referenced_tweets", ()):
                answers += 1
                self.assertIn(reference["id"], seen)
                self.assertIn(data["conversation_id"], seen)
            seen.add(data["id"])
        self.assertTrue(answers > 100)

    def test_people(self) -> None:
        """Handles are X handles, each somebody's own."""
        people = population(PostGenerator(9)._chance)
        self.assertEqual(len(people), len({person.handle for person in people}))
        for person in people:
            self.assertRegex(person.handle, r"\A[a-z0-9_]{4,15}\Z")

    def test_times(self) -> None:
        """Times keep their milliseconds, leading zeros and all."""
        self.assertEqual("1970-01-01T00:00:01.007Z", rfc3339(1007))


class BurstTests(SynchronousTestCase):
    """Tags burst."""

    def test_share(self) -> None:
        """It rises to its peak, halves every half-life after, and the next tag follows."""
        self.assertEqual(0.0, share(0.0))
        self.assertEqual(PEAK, share(RISE))
        self.assertAlmostEqual(PEAK / 2, share(RISE + HALF_LIFE))
        bursts = Bursts(("one", "two"), NOW)
        tags = [bursts.at(NOW + int(PERIOD * 1000) * number)[0] for number in range(4)]
        self.assertEqual(["one", "two", "one", "two"], tags)

    def test_burst_dominates(self) -> None:
        """At its peak one tag is more frequent than all others; before, it hardly occurs."""
        for fast in (False, True):
            generator = PostGenerator(8, fast)
            counts: list[Counter[str]] = []
            for start in (0, 14_000):
                counts.append(Counter())
                for index in range(400):
                    data = json.loads(generator.post(NOW + start + index * 5).line)["data"]
                    counts[-1].update(tag["tag"] for tag in data.get("entities", {}).get("hashtags", ()))
            (burst, number), (_, second) = counts[1].most_common(2)
            self.assertTrue(number > 3 * second, counts[1])
            self.assertTrue(counts[0][burst] < number / 4, counts[0])


class DeleteTests(SynchronousTestCase):
    """News that a post is gone."""

    def test_refers_to_an_earlier_post(self) -> None:
        """A delete names an earlier post and its author; no post is deleted twice, nor answered afterwards."""
        generator = PostGenerator(1)
        self.assertIsNone(generator.delete(NOW))
        authors = {}
        for _ in range(50):
            data = json.loads(generator.post(NOW).line)["data"]
            authors[data["id"]] = data["author_id"]
        gone = set()
        for _ in range(20):
            id_, line, *_ = generator.delete(NOW)
            status = json.loads(line)["delete"]["status"]
            self.assertEqual((id_, int(id_)), (status["id_str"], status["id"]))
            self.assertEqual((authors[id_], int(authors[id_])), (status["user_id_str"], status["user_id"]))
            self.assertNotIn(id_, gone)
            gone.add(id_)
        for post in made(generator, 300):
            for reference in post["data"].get("referenced_tweets", ()):
                self.assertNotIn(reference["id"], gone)


class InjectTests(SynchronousTestCase):
    """Posts with a given text."""

    def test_hostile_text(self) -> None:
        """The text arrives as it is, and its hashtags are found."""
        text = '<script>alert("\u202e")</script> 𠮷 #ok "; DROP'
        id_, line, *_ = PostGenerator(1).inject(NOW, text, RULES)
        post = json.loads(line)
        self.assertEqual((id_, text), (post["data"]["id"], post["data"]["text"]))
        tag = post["data"]["entities"]["hashtags"][0]
        self.assertEqual("#ok", text[tag["start"] : tag["end"]])
        self.assertEqual(json.loads(RULES), post["matching_rules"])

    def test_fields(self) -> None:
        """Fields replace or remove what would be there; the user and the includes can be hostile too."""
        _, line, *_ = PostGenerator(1).inject(
            NOW, "x", lang=None, id="7", author_id="9", user={"name": "<b>"}, includes={"places": [{"id": "p"}]}
        )
        post = json.loads(line)
        self.assertEqual("7", post["data"]["id"])
        self.assertNotIn("lang", post["data"])
        self.assertNotIn("matching_rules", post)
        self.assertEqual(("9", "<b>"), (post["includes"]["users"][0]["id"], post["includes"]["users"][0]["name"]))
        self.assertEqual([{"id": "p"}], post["includes"]["places"])
