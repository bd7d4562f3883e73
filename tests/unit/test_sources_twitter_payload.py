"""What the items of a v1.1 stream say."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.activity import Activity, Author, Facet, Media, Place
from streamer.errors import DecodeError
from streamer.hydrators.geo import GeoHydrator
from streamer.message import Item
from streamer.sources.twitter_payload import decode, posted

JACK = {"id": 12, "id_str": "12", "screen_name": "jack", "name": "Jack"}
RING = [[-84.19397, 35.831436], [-84.19397, 36.133505], [-83.733713, 36.133505], [-83.733713, 35.831436]]


def item(body: Any, kind: str = "post", id_: str = "1519") -> Item:
    """An item as the source would make it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Item(source="tw", kind=kind, id=id_, received=1_700_000_000_000, body=raw)


def post(text: str = "just setting up", **fields: Any) -> Activity:
    """Decode a post with these fields."""
    return decode(item({"id": 1519, "id_str": "1519", "text": text, "user": JACK, **fields}))


def place(ring: Any = RING, **fields: Any) -> dict[str, Any]:
    """A place with this bounding box."""
    return {"bounding_box": {"type": "Polygon", "coordinates": [ring]}, "country_code": "US", **fields}


def written(activity: Activity) -> list[tuple[str, str, str]]:
    """Each facet's kind, value and text."""
    text = activity.text or ""
    return [(one.kind, one.value, text[one.start : one.end]) for one in activity.facets or ()]


class PostTests(SynchronousTestCase):
    """The fields of a post."""

    def test_whole(self) -> None:
        """Every field of the activity is filled from where v1.1 keeps it."""
        medium = {"type": "photo", "media_url_https": "https://pbs.example/1.jpg", "ext_alt_text": "A bird"}
        activity = post(
            timestamp_ms="1617292351123",
            created_at="Thu Apr 01 15:52:31 +0000 2021",
            lang="in",
            possibly_sensitive=True,
            in_reply_to_status_id=1501,
            in_reply_to_status_id_str="1501",
            extended_entities={"media": [medium, {**medium, "type": "hologram"}]},
            entities={"user_mentions": [{"id": 13, "id_str": "13", "screen_name": "biz", "name": "Biz"}]},
        )
        self.assertEqual(("post", "1519"), (activity.kind, activity.id))
        self.assertEqual("https://x.com/jack/status/1519", activity.url)
        self.assertEqual(Author("12", "jack", "Jack", "https://x.com/jack"), activity.author)
        self.assertEqual(["jack", "biz"], [person.handle for person in activity.people])
        self.assertEqual(("just setting up", "id"), (activity.text, activity.lang))
        self.assertEqual(1_617_292_351_123, activity.created)
        self.assertEqual(("1501", "1501"), (activity.reply_to, activity.thread))
        self.assertEqual((Media("photo", "https://pbs.example/1.jpg", "A bird"),), activity.media)
        self.assertIs(activity.sensitive, True)

    def test_least(self) -> None:
        """Id and text are enough; all else is missing, never made up. A post that answers none begins its thread."""
        activity = decode(item({"id": 1519, "text": ""}))
        self.assertEqual(("https://x.com/i/status/1519", "", None), (activity.url, activity.text, activity.author))
        self.assertEqual((None, None, (), None), (activity.facets, activity.created, activity.places, activity.lang))
        self.assertEqual((None, "1519"), (activity.reply_to, activity.thread))

    def test_created_at(self) -> None:
        """Without milliseconds the date serves, in any zone; a date that is none costs the date."""
        for said, ms in (
            ("Tue Feb 09 22:48:55 +0000 2021", 1_612_910_935_000),
            ("Wed Feb 10 00:48:55 +0200 2021", 1_612_910_935_000),
            ("Tue Feb 09 22:48:60 +0000 2021", None),
            ("Tue Foo 09 22:48:55 +0000 2021", None),
            ("Sat Jan 01 00:00:00 +2359 0001", None),
            ("2021-02-09T22:48:55Z", None),
        ):
            self.assertEqual(ms, post(created_at=said).created, said)
        self.assertEqual(5, post(timestamp_ms=5, created_at="Tue Feb 09 22:48:55 +0000 2021").created)

    def test_hostile_handle(self) -> None:
        """A handle that is none does not get into an address."""
        activity = post(user={"id": 12, "screen_name": "../evil?x="})
        self.assertEqual("https://x.com/i/status/1519", activity.url)
        self.assertEqual("https://x.com/i/user/12", activity.author.url if activity.author else None)

    def test_people_once(self) -> None:
        """Nobody is named twice, and C3: a post without `retweeted_status` misses nothing."""
        mention = {"id_str": "12", "screen_name": "jack"}
        self.assertEqual(["12"], [person.id for person in post(entities={"user_mentions": [mention] * 2}).people])

    def test_posted(self) -> None:
        """The id says when, to the millisecond; ids from before that scheme leave it to the post."""
        self.assertEqual(1_520_690_595_660, posted(item({}, id_="972472958596866048")))
        self.assertEqual(7, posted(item({"timestamp_ms": "7"}, id_="20")))
        self.assertIsNone(posted(item(b"{", id_="20")))
        self.assertIsNone(posted(item({"delete": {}}, "delete", "delete:972472958596866048")))


class TextTests(SynchronousTestCase):
    """The text and what is marked in it."""

    def test_facets(self) -> None:
        """Links show where they go; each kind of entity is a facet in code points."""
        activity = post(
            "🐦 @biz #Bird $TWTR https://t.co/a https://t.co/b",
            entities={
                "hashtags": [{"text": "Bird", "indices": [7, 12]}],
                "symbols": [{"text": "TWTR", "indices": [13, 18]}],
                "user_mentions": [{"screen_name": "biz", "id": 13, "indices": [2, 6]}],
                "urls": [{"url": "https://t.co/a", "expanded_url": "https://example.com/a", "indices": [19, 33]}],
                "media": [{"url": "https://t.co/b", "expanded_url": "https://x.com/p/1", "indices": [34, 48]}] * 2,
            },
        )
        self.assertEqual(
            [
                ("mention", "biz", "@biz"),
                ("tag", "Bird", "#Bird"),
                ("cashtag", "TWTR", "$TWTR"),
                ("link", "https://example.com/a", "https://t.co/a"),
                ("link", "https://x.com/p/1", "https://t.co/b"),
            ],
            written(activity),
        )

    def test_escapes(self) -> None:
        """`&amp;` is undone, and the facets move along (P9)."""
        activity = post("a &amp; b &lt;3 #x", entities={"hashtags": [{"text": "x", "indices": [16, 18]}]})
        self.assertEqual("a & b <3 #x", activity.text)
        self.assertEqual((Facet(9, 11, "tag", "x"),), activity.facets)

    def test_extended(self) -> None:
        """The whole text of a long post, with the entities and media that belong to it."""
        medium = {"type": "photo", "media_url_https": "https://pbs.example/1.jpg"}
        activity = post(
            "short… https://t.co/x",
            truncated=True,
            entities={"urls": [{"url": "https://t.co/x", "expanded_url": "https://x.com/i/1", "indices": [7, 21]}]},
            extended_tweet={
                "full_text": "the whole of it #long",
                "entities": {"hashtags": [{"text": "long", "indices": [16, 21]}]},
                "extended_entities": {"media": [medium]},
            },
        )
        self.assertEqual("the whole of it #long", activity.text)
        self.assertEqual([("tag", "long", "#long")], written(activity))
        self.assertEqual(1, len(activity.media))

    def test_retweet(self) -> None:
        """A repost is cut at its end; its text is put together from the whole original."""
        activity = post(
            "RT @biz: a long &amp; wi…",
            entities={"user_mentions": [{"screen_name": "biz", "id": 13, "indices": [3, 7]}]},
            retweeted_status={
                "id": 7,
                "text": "a long &amp; wi…",
                "user": {"id": 13, "screen_name": "biz"},
                "extended_tweet": {
                    "full_text": "a long &amp; winding #road",
                    "entities": {"hashtags": [{"text": "road", "indices": [21, 26]}]},
                },
            },
        )
        self.assertEqual("RT @biz: a long & winding #road", activity.text)
        self.assertEqual([("mention", "biz", "@biz"), ("tag", "road", "#road")], written(activity))
        self.assertEqual(["12", "13"], [person.id for person in activity.people])

    def test_odd_retweets(self) -> None:
        """Where the texts do not belong together, or the original has none, the post's own stands."""
        for original in (
            {"text": "other", "user": {"screen_name": "ann"}},
            {"user": {"screen_name": "biz"}},
            {},
            None,
        ):
            self.assertEqual("RT @biz: hm…", post("RT @biz: hm…", retweeted_status=original).text)

    def test_facets_that_do_not_fit(self) -> None:
        """Entities that point elsewhere are left out, and the text stays."""
        for indices in ([0, 99], [5, 2], [-3, 2], [0, 4]):
            activity = post("hi #x", entities={"hashtags": [{"text": "x", "indices": indices}]})
            self.assertEqual(("hi #x", ()), (activity.text, activity.facets))

    def test_lenient(self) -> None:
        """One wrong field costs that field, not the post."""
        for wrong in (
            {"entities": []},
            {"entities": {"hashtags": [{"text": "x", "indices": ["a", 3]}]}},
            {"entities": {"hashtags": [{"text": "x", "indices": [1]}, 5]}},
            {"place": "x"},
            {"coordinates": [1, 2]},
            {"lang": 7},
            {"retweeted_status": 5},
            {"extended_tweet": {"full_text": 5}},
            {"possibly_sensitive": "maybe"},
        ):
            activity = post("hi", **wrong)
            self.assertEqual(("hi", "jack"), (activity.text, activity.author.handle if activity.author else None))
        self.assertEqual("\ufffd x", decode(item(rb'{"id":1,"text":"\ud800 x"}')).text)

    @given(
        st.text(st.sampled_from("a& #é🐦;<ampltg"), max_size=20),
        st.lists(st.tuples(st.integers(-2, 24), st.integers(-2, 24))),
    )
    def test_any_offsets(self, text: str, spans: list[tuple[int, int]]) -> None:
        """Whatever X says about places in the text: facets are in order, apart, and inside of it."""
        links = [{"url": None, "expanded_url": "https://e.com", "indices": span} for span in spans]
        activity = post(text, entities={"urls": links})
        reached = 0
        for facet in activity.facets or ():
            self.assertLessEqual(reached, facet.start)
            self.assertLessEqual(facet.start, facet.end)
            reached = facet.end
        self.assertLessEqual(reached, len(activity.text or ""))


class PlaceTests(SynchronousTestCase):
    """Where it happened."""

    def located(self, **fields: Any) -> tuple[float, float, str] | None:
        """Latitude, longitude and precision, after the hydrator."""
        geo = GeoHydrator().hydrate(post(**fields)).geo
        return None if geo is None else (geo.lat, geo.lon, geo.precision)

    def test_point_before_place(self) -> None:
        """The point is (longitude, latitude), and comes first; both have the country."""
        activity = post(
            coordinates={"type": "Point", "coordinates": [-72.8, 41.3]}, place=place(full_name="Knoxville, TN")
        )
        box = (-84.19397, 35.831436, -83.733713, 36.133505)
        self.assertEqual(
            (
                Place(point=(-72.8, 41.3), country="US", name="Knoxville, TN"),
                Place(box=box, country="US", name="Knoxville, TN"),
            ),
            activity.places,
        )

    def test_p1_p2_box(self) -> None:
        """The box is (longitude, latitude) too, and its middle counts, not a corner (P1, P2)."""
        self.assertEqual((35.98247, -83.963842, "place"), self.located(place=place()))
        turned = [RING[0], RING[3], RING[2], RING[1]]  # older places go round the other way
        self.assertEqual(self.located(place=place()), self.located(place=place(turned)))

    def test_p3_equator_and_greenwich(self) -> None:
        """Zero is a number like any other (P3)."""
        self.assertEqual((0.0, 9.5, "point"), self.located(coordinates={"type": "Point", "coordinates": [9.5, 0]}))
        self.assertEqual((51.5, 0.0, "point"), self.located(coordinates={"type": "Point", "coordinates": [0, 51.5]}))

    def test_p4_type(self) -> None:
        """The type may be missing; where it is no point, the place serves (P4)."""
        self.assertEqual((1.0, 2.0, "point"), self.located(coordinates={"coordinates": [2, 1]}))
        self.assertEqual("place", (self.located(coordinates={"type": "Line"}, place=place()) or "???")[2])

    def test_older_geo(self) -> None:
        """`geo` has the latitude first, and serves where there is no `coordinates`."""
        self.assertEqual((41.3, -72.8, "point"), self.located(geo={"type": "Point", "coordinates": [41.3, -72.8]}))

    def test_p5_nothing(self) -> None:
        """Without a place there is none, not (0, 0) (P5)."""
        for fields in ({}, {"place": None}, {"place": {"country_code": "US"}}, {"coordinates": None}):
            self.assertEqual((), post(**fields).places)

    def test_malformed(self) -> None:
        """Boxes and points that are none become NaN, which the hydrator counts."""
        for ring in ([], [[1]], "x", None, [[None, 1]], [["1", 2]]):
            box = post(place=place(ring)).places[0].box
            assert box is not None
            self.assertTrue(all(map(math.isnan, box)), ring)
        for bad in (["1", "2"], [1], [1, 2, 3], None, "x"):
            point = post(coordinates={"type": "Point", "coordinates": bad}).places[0].point
            assert point is not None
            self.assertTrue(all(map(math.isnan, point)), bad)


class OtherTests(SynchronousTestCase):
    """Items that are no posts."""

    def test_delete(self) -> None:
        """A deletion names the post and the moment."""
        body = {"delete": {"status": {"id": 1234, "user_id": 3}, "timestamp_ms": "1600000000123"}}
        activity = decode(item(body, "delete"))
        self.assertEqual(("delete", "1234", 1_600_000_000_123), (activity.kind, activity.id, activity.created))

    def test_scrub(self) -> None:
        """A scrub names the newest post and the user."""
        activity = decode(item({"scrub_geo": {"user_id": 14, "up_to_status_id_str": "232"}}, "scrub"))
        self.assertEqual(("scrub", "232", Author("14")), (activity.kind, activity.id, activity.author))

    def test_about_the_stream(self) -> None:
        """Everything else gives an activity with nothing in it."""
        for kind in ("limit", "warning", "disconnect", "withheld", "event", "friends"):
            activity = decode(item({kind: {}}, kind))
            self.assertEqual((kind, "1519", None, ()), (activity.kind, activity.id, activity.text, activity.places))

    def test_wrong(self) -> None:
        """What cannot be read is refused with a sentence that names the item."""
        deep = b'{"id":1,"text":"x","z":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
        for body in (b"", b"{", b"[]", b"null", {}, {"id": 1}, {"text": "x"}, {"id": "../1", "text": "x"}, deep):
            self.assertIn("1519 of tw", str(self.assertRaises(DecodeError, decode, item(body))))
        for kind in ("delete", "scrub"):
            for body in (b"", {}, {"delete": {"status": {}}}, {"scrub_geo": {"user_id": 1}}):
                self.assertIn("1519 of tw", str(self.assertRaises(DecodeError, decode, item(body, kind))))
