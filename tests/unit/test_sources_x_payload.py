# -*- test-case-name: tests.unit.test_sources_x_payload -*-
"""Tests for `streamer.sources.x_payload`."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.activity import Activity, Author, Facet, Media, Place
from streamer.errors import DecodeError
from streamer.message import Item
from streamer.sources.x_payload import decode, posted
from streamer.sources.x_text import language, without_lone_surrogates

USERS = [{"id": "12", "username": "jack", "name": "Jack"}, {"id": "13", "username": "biz", "name": "Biz"}]


def item(body: bytes | dict[str, Any], kind: str = "post") -> Item:
    """An item as a source would make it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Item(source="birds", kind=kind, id="1519", received=1_700_000_000_000, body=raw)


def post(text: str = "just setting up", includes: dict[str, Any] | None = None, **fields: Any) -> Activity:
    """Decode a post with these fields of `data`."""
    data = {"id": "1519", "text": text, "author_id": "12", **fields}
    return decode(item({"data": data, "includes": {"users": USERS, **(includes or {})}}))


class PostTests(SynchronousTestCase):
    """The fields of a post."""

    def test_whole(self) -> None:
        """Every field of the activity is filled from where X keeps it."""
        media = {"media_key": "3_1", "type": "photo", "url": "https://pbs.example/1.jpg", "alt_text": "A bird"}
        activity = post(
            created_at="2021-04-01T15:52:31.123Z",
            conversation_id="1500",
            lang="en",
            possibly_sensitive=True,
            referenced_tweets=[{"type": "quoted", "id": "7"}, {"type": "replied_to", "id": "1501"}],
            attachments={"media_keys": ["3_1", "3_missing"]},
            includes={"media": [media]},
        )
        self.assertEqual(activity.kind, "post")
        self.assertEqual(activity.id, "1519")
        self.assertEqual(activity.url, "https://x.com/jack/status/1519")
        self.assertEqual(activity.author, Author("12", "jack", "Jack", "https://x.com/jack"))
        self.assertEqual([person.handle for person in activity.people], ["jack", "biz"])
        self.assertEqual(activity.text, "just setting up")
        self.assertEqual(activity.created, 1_617_292_351_123)
        self.assertEqual((activity.thread, activity.reply_to), ("1500", "1501"))
        self.assertEqual(activity.lang, "en")
        self.assertIs(activity.sensitive, True)
        self.assertEqual(activity.media, (Media("photo", "https://pbs.example/1.jpg", "A bird"),))

    def test_least(self) -> None:
        """Id and text are enough; everything else is None or empty, never a made-up default."""
        activity = decode(item({"data": {"id": "1519", "text": ""}}))
        self.assertEqual(activity.url, "https://x.com/i/status/1519")
        self.assertEqual((activity.text, activity.author, activity.facets), ("", None, None))
        self.assertEqual(
            (activity.created, activity.lang, activity.places, activity.sensitive), (None, None, (), None)
        )

    def test_author_not_included(self) -> None:
        """An author of whom X gives only the id has an address by id."""
        activity = post(author_id="99")
        self.assertEqual(activity.author, Author("99", None, None, "https://x.com/i/user/99"))
        self.assertEqual(activity.url, "https://x.com/i/status/1519")

    def test_hostile_handle(self) -> None:
        """A handle that is none does not get into an address."""
        users = [{"id": "12", "username": "../evil?x=", "name": "E"}]
        activity = post(includes={"users": users})
        self.assertEqual(activity.url, "https://x.com/i/status/1519")
        assert activity.author is not None
        self.assertEqual(activity.author.url, "https://x.com/i/user/12")

    def test_matching_rules(self) -> None:
        """Rule ids may be numbers or strings and tags may be null: the stream of 2021 and of today."""
        for rules in ([{"id": 1377, "tag": None}], [{"id": "1377", "tag": "birds"}], None):
            activity = decode(item({"data": {"id": "1", "text": "a"}, "matching_rules": rules, "errors": [{}]}))
            self.assertEqual(activity.text, "a")

    def test_nulls(self) -> None:
        """A null means the same as a missing field."""
        names = ["author_id", "created_at", "entities", "geo", "lang", "note_tweet", "attachments"]
        self.assertIsNone(post(**dict.fromkeys(names)).author)

    def test_retweet(self) -> None:
        """A repost is a post with the text as delivered, and no reply."""
        activity = post("RT @biz: hm…", referenced_tweets=[{"type": "retweeted", "id": "9"}])
        self.assertEqual((activity.kind, activity.text, activity.reply_to), ("post", "RT @biz: hm…", None))

    def test_edit(self) -> None:
        """The kind is the item's, whatever the edit history says."""
        body = {"data": {"id": "2", "text": "a", "edit_history_tweet_ids": ["1", "2"]}}
        self.assertEqual(decode(item(body)).kind, "post")
        self.assertEqual(decode(item(body, "edit")).kind, "edit")

    def test_media_kinds(self) -> None:
        """Videos have a preview, GIFs are animations, and unknown types are left out."""
        media = [
            {"media_key": "1", "type": "video", "preview_image_url": "https://pbs.example/v.jpg"},
            {"media_key": "2", "type": "animated_gif", "preview_image_url": "https://pbs.example/g.jpg"},
            {"media_key": "3", "type": "hologram"},
        ]
        activity = post(attachments={"media_keys": ["2", "1", "3"]}, includes={"media": media})
        self.assertEqual(
            activity.media,
            (Media("animation", "https://pbs.example/g.jpg"), Media("video", "https://pbs.example/v.jpg")),
        )

    def test_posted(self) -> None:
        """The id says when, to the millisecond; ids from before that scheme leave it to `created_at`."""
        body = {"data": {"id": "20", "created_at": "2006-03-21T20:50:14.000Z"}}
        for id_, raw, kind, ms in (
            ("972472958596866048", b"{}", "post", 1_520_690_595_660),
            ("20", json.dumps(body).encode(), "post", 1_142_974_214_000),
            ("20", b'{"data":{"id":"20"}}', "post", None),
            ("20", b"{", "post", None),
            ("99999999999999999999", b"{}", "post", 25_130_692_884_813),
            ("delete:972472958596866048", b"{}", "delete", None),
        ):
            one = Item(source="birds", kind=kind, id=id_, received=1, body=raw)
            self.assertEqual(ms, posted(one), id_)

    def test_created(self) -> None:
        """A time that is none costs the time and not the post."""
        for written in ("yesterday", "", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"):
            self.assertIsNone(post(created_at=written).created)
        self.assertEqual(post(created_at="1970-01-01T00:00:01").created, 1000)

    def test_language(self) -> None:
        """Only languages are languages, as primary BCP 47 subtags."""
        wanted = {"en": "en", "zh-TW": "zh", "PT": "pt", "in": "id", "iw": "he", "ckb": "ckb", "": None, None: None}
        for code, subtag in wanted.items():
            self.assertEqual(language(code), subtag)
        for code in ("und", "zxx", "qme", "qst", "qam", "qht", "art", "mul", "x", "english", "e1"):
            self.assertIsNone(language(code), code)
        self.assertEqual(language("qu"), "qu")

    def test_long_languages(self) -> None:
        """What strangers call a language is not kept beyond the length of a code, however many of them come."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for number in range(512):
            self.assertEqual("pt", language(f"pt-{number}-{'x' * 20_000}"))
            self.assertIsNone(language(f"{'x' * 20_000}{number}"))
        self.assertLess(tracemalloc.get_traced_memory()[0], 1_000_000)


class TextTests(SynchronousTestCase):
    """Texts, their escapes and the offsets into them."""

    def test_facets(self) -> None:
        """Links point behind the shortener; names are without their signs; order is that of the text."""
        activity = post(
            "@biz #Kākāpō $TWTR https://t.co/a https://t.co/b",
            entities={
                "urls": [
                    {"start": 34, "end": 48, "url": "https://t.co/b", "expanded_url": "https://b.example/"},
                    {
                        "start": 19,
                        "end": 33,
                        "url": "https://t.co/a",
                        "expanded_url": "https://bit.ly/a",
                        "unwound_url": "https://a.example/",
                    },
                ],
                "hashtags": [{"start": 5, "end": 12, "tag": "Kākāpō"}],
                "mentions": [{"start": 0, "end": 4, "username": "Biz", "id": "13"}],
                "cashtags": [{"start": 13, "end": 18, "tag": "TWTR"}],
            },
        )
        self.assertEqual(
            activity.facets,
            (
                Facet(0, 4, "mention", "Biz"),
                Facet(5, 12, "tag", "Kākāpō"),
                Facet(13, 18, "cashtag", "TWTR"),
                Facet(19, 33, "link", "https://a.example/"),
                Facet(34, 48, "link", "https://b.example/"),
            ),
        )

    def test_code_points(self) -> None:
        """Offsets count code points, so an emoji before a tag counts one."""
        activity = post("🦜🦜 #bird", entities={"hashtags": [{"start": 3, "end": 8, "tag": "bird"}]})
        self.assertEqual(activity.facets, (Facet(3, 8, "tag", "bird"),))

    def test_escapes(self) -> None:
        """`&amp;`, `&lt;` and `&gt;` are undone once, others are text, and offsets move along."""
        text = "R&amp;B &lt;3 #a &gt; &amp;lt; &eacute; #b"
        starts = [text.index("#a"), text.index("#b")]
        tags = [{"start": start, "end": start + 2, "tag": tag} for start, tag in zip(starts, "ab", strict=True)]
        activity = post(text, entities={"hashtags": tags})
        self.assertEqual(activity.text, "R&B <3 #a > &lt; &eacute; #b")
        assert activity.text is not None
        assert activity.facets is not None
        self.assertEqual([activity.text[one.start : one.end] for one in activity.facets], ["#a", "#b"])

    def test_p9_text_is_never_html(self) -> None:
        """PT P9: what is markup to a browser is text here, and the facets say what is a link."""
        activity = post("&lt;img src=x onerror=alert(1)&gt;", entities={})
        self.assertEqual((activity.text, activity.facets), ("<img src=x onerror=alert(1)>", ()))

    def test_facets_that_do_not_fit(self) -> None:
        """A facet outside the text, backwards, or beside what it names is dropped; the others stay."""
        bad = [(5, 9), (-1, 2), (2, 2), (2, 0), (1, 3), (0, 100)]
        tags = [{"start": start, "end": end, "tag": "a"} for start, end in [*bad, (0, 2)]]
        activity = post("#a b", entities={"hashtags": [*tags, {"tag": "a"}, {"start": 0, "end": 2}]})
        self.assertEqual(activity.facets, (Facet(0, 2, "tag", "a"),))

    def test_links_are_web_links(self) -> None:
        """Other schemes are text."""
        urls = [{"start": 0, "end": 3, "url": "a.b", "expanded_url": "javascript:alert(1)"}]
        self.assertEqual(post("a.b", entities={"urls": urls}).facets, ())

    def test_repeated_links(self) -> None:
        """A link that X repeats for each picture is there once."""
        link = {"start": 0, "end": 14, "url": "https://t.co/p", "expanded_url": "https://x.com/jack/status/1/photo/1"}
        activity = post("https://t.co/p", entities={"urls": [link, link, link]})
        self.assertEqual(len(activity.facets or ()), 1)

    def test_no_entities(self) -> None:
        """Without entities facets are unknown; with other entities there are none."""
        self.assertIsNone(post("#a").facets)
        self.assertEqual(post("#a", entities={"annotations": []}).facets, ())

    def test_note(self) -> None:
        """A long post has its whole text and the entities of that."""
        activity = post(
            "beginning… #x",
            entities={"hashtags": [{"start": 11, "end": 13, "tag": "x"}]},
            note_tweet={"text": "the whole #y", "entities": {"hashtags": [{"start": 10, "end": 12, "tag": "y"}]}},
        )
        self.assertEqual((activity.text, activity.facets), ("the whole #y", (Facet(10, 12, "tag", "y"),)))

    def test_note_without_entities(self) -> None:
        """The entities of the beginning are not those of the whole."""
        activity = post("a #x", entities={"hashtags": []}, note_tweet={"text": "b #y"})
        self.assertEqual((activity.text, activity.facets), ("b #y", None))

    def test_lone_surrogates(self) -> None:
        """Half an escaped pair becomes U+FFFD, and the post is kept."""
        body = rb'{"data":{"id":"1","text":"a\ud800b\udc00 \ud83e\udd9c \\ud800 \u00e9"}}'
        self.assertEqual(decode(item(body)).text, "a\ufffdb\ufffd 🦜 \\ud800 é")

    @given(st.text(st.characters(exclude_categories=(), exclude_characters="&")))
    def test_any_text(self, text: str) -> None:
        """Whatever JSON can carry comes through, except halves of pairs; each of those leaves one character."""
        paired = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        wanted = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in paired)
        self.assertEqual(post(text).text, wanted)

    @given(st.lists(st.sampled_from(["&amp;", "&lt;", "&gt;", "&", "amp;", "🦜", "é ", "#tag", " "]), max_size=12))
    def test_any_offsets(self, pieces: list[str]) -> None:
        """Wherever escapes stand, every facet still points at what it names."""
        text = "".join(pieces)
        spans = [at for at in range(len(text)) if text.startswith("#tag", at)]
        tags = [{"start": at, "end": at + 4, "tag": "tag"} for at in spans]
        activity = post(text, entities={"hashtags": tags})
        assert activity.text is not None
        assert activity.facets is not None
        self.assertEqual(len(activity.facets), len(spans))
        for facet in activity.facets:
            self.assertEqual(activity.text[facet.start : facet.end], "#tag")

    def test_mending_changes_nothing_else(self) -> None:
        """A body without halves comes back as it was."""
        body = rb'"\ud83e\udd9c \\ud800 \" \u00e9"'
        self.assertEqual(without_lone_surrogates(body), body)


class PlaceTests(SynchronousTestCase):
    """Candidates for a location, best first."""

    denver = {
        "id": "p1",
        "full_name": "Denver, CO",
        "country_code": "US",
        "geo": {"bbox": [-105.1, 39.6, -104.7, 39.8]},
    }

    def test_point_then_place(self) -> None:
        """PT P1: the point is (longitude, latitude); it comes first and shares the place's name and country."""
        geo = {"place_id": "p1", "coordinates": {"type": "Point", "coordinates": [-105, 39.7]}}
        self.assertEqual(
            post(geo=geo, includes={"places": [self.denver]}).places,
            (
                Place(point=(-105.0, 39.7), country="US", name="Denver, CO"),
                Place(box=(-105.1, 39.6, -104.7, 39.8), country="US", name="Denver, CO"),
            ),
        )

    def test_only_its_own_place(self) -> None:
        """A place that belongs to another post of the object is not this post's."""
        self.assertEqual(post(includes={"places": [self.denver]}).places, ())
        self.assertEqual(post(geo={"place_id": "p2"}, includes={"places": [self.denver]}).places, ())

    def test_p4_type_missing_or_other(self) -> None:
        """PT P4: a missing type is a point, another shape is left to the place."""
        places = {"places": [self.denver]}
        without = post(geo={"place_id": "p1", "coordinates": {"coordinates": [1, 2]}}, includes=places)
        self.assertEqual(without.places[0].point, (1.0, 2.0))
        shape = {"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, 2]]]}
        other = post(geo={"place_id": "p1", "coordinates": shape}, includes=places)
        self.assertEqual([place.box is not None for place in other.places], [True])

    def test_malformed(self) -> None:
        """Coordinates that are not numbers cost neither the post nor the count: they are NaN."""
        for bad in (["1", "2"], [1], [1, 2, 3], None, "x", {"a": 1}, [None, None]):
            activity = post(geo={"coordinates": {"type": "Point", "coordinates": bad}})
            point = activity.places[0].point
            assert point is not None
            self.assertTrue(all(math.isnan(number) for number in point), bad)
        huge = item(b'{"data":{"id":"1","text":"a","geo":{"coordinates":{"coordinates":[1e999,2]}}}}')
        self.assertEqual(decode(huge).text, "a")


class OtherTests(SynchronousTestCase):
    """Deletions, items without a post, and what is wrong."""

    def test_delete(self) -> None:
        """A deletion names the post and the moment."""
        body = {"delete": {"status": {"id": 1234, "id_str": "1234", "user_id": 3}, "timestamp_ms": "1600000000123"}}
        activity = decode(item(body, "delete"))
        self.assertEqual((activity.kind, activity.id, activity.created), ("delete", "1234", 1_600_000_000_123))
        self.assertIsNone(activity.text)

    def test_delete_without_string(self) -> None:
        """The number serves where there is no string, and an absurd time is none."""
        activity = decode(item({"delete": {"status": {"id": 1234}, "timestamp_ms": 10**19}}, "delete"))
        self.assertEqual((activity.id, activity.created), ("1234", None))

    def test_about_the_stream(self) -> None:
        """A control item gives an activity with nothing in it."""
        activity = decode(item({"limit": {"track": 3}}, "limit"))
        self.assertEqual((activity.kind, activity.id, activity.text), ("limit", "1519", None))

    def test_wrong(self) -> None:
        """Everything else is refused with a sentence that names the item."""
        bodies = [
            b"",
            b"{",
            b"[]",
            b"null",
            b'"text"',
            b"{}",
            b'{"data":null}',
            b'{"data":{"id":"1"}}',
            b'{"data":{"text":"a"}}',
            b'{"data":{"id":1,"text":"a"}}',
            b'{"data":{"id":"../1","text":"a"}}',
            b'{"data":{"id":"1","text":"\xff"}}',
            b'{"data":{"id":"1","text":"a\\ud8"}}',
            b'{"errors":[{"title":"operational-disconnect"}]}',
            b'{"delete":{"status":{}}}',
            b'{"delete":{}}',
        ]
        for body in bodies:
            with self.subTest(body=body):
                error = self.assertRaises(DecodeError, decode, item(body))
                self.assertIn("1519 of birds", str(error))

    @given(st.binary(max_size=60))
    def test_any_bytes(self, body: bytes) -> None:
        """Any bytes give an activity or a DecodeError."""
        try:
            decode(item(body))
        except DecodeError:
            pass


class LenientTests(SynchronousTestCase):
    """One wrong field costs that field, not the post."""

    def test_wrong_fields(self) -> None:
        """Whatever is not as declared is left out; the text, the author and the rest stay."""
        good = {
            "id": "1",
            "text": "hello #cat",
            "author_id": "9",
            "entities": {"hashtags": [{"start": 6, "end": 10, "tag": "cat"}]},
        }
        includes = {"users": [{"id": "9", "username": "ann"}]}
        for field, value in (
            ("entities", []),
            ("entities", {"hashtags": [{"start": "x", "end": 3, "tag": "y"}]}),
            ("geo", [1, 2]),
            ("geo", {"coordinates": "x"}),
            ("attachments", "x"),
            ("referenced_tweets", {"type": 5}),
            ("possibly_sensitive", "maybe"),
            ("lang", 7),
        ):
            with self.subTest(field=field, value=value):
                activity = decode(item({"data": {**good, field: value}, "includes": includes}))
                self.assertEqual("hello #cat", activity.text)
                self.assertEqual("ann", activity.author.handle if activity.author else None)

    def test_wrong_rows(self) -> None:
        """One bad row of a list costs that row; a missing `includes` costs the names in it."""
        data = {"id": "1", "text": "hello", "author_id": "9"}
        for includes in (None, [], {"users": [{"id": 5}, {"id": "9", "username": "ann"}]}, {"users": "x"}):
            with self.subTest(includes=includes):
                self.assertEqual("hello", decode(item({"data": data, "includes": includes})).text)

    def test_without_text(self) -> None:
        """What a post cannot do without is still asked for, by name."""
        with self.assertRaises(DecodeError) as caught:
            decode(item({"data": {"id": "1"}}))
        self.assertIn("text", str(caught.exception))

    def test_too_deep(self) -> None:
        """Nesting beyond all reason is refused, not a crash."""
        body = b'{"data":{"id":"1","text":"x","z":' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
        with self.assertRaises(DecodeError):
            decode(item(body))
