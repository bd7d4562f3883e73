"""The JSON Feed, in memory."""

import json
from typing import Any

from streamer.metrics import HANDSHAKES
from streamer.net.feed_json import KEPT, LAST, VERSION, feed_item
from tests.unit.facing import ORIGIN, FacesTestCase, Facing, Keys

POST = {
    "id": "1",
    "url": "https://x.example/jack/1",
    "author": {"id": "7", "handle": "jack", "name": "Jack", "url": "https://x.example/jack"},
    "text": "<b>a kakapo</b> & more",
    "facets": [],
    "lang": "en",
    "created": "2026-11-21T04:00:00.000Z",
    "tags": ["birds"],
}


def event(type_: str, data: Any, **more: Any) -> bytes:
    """A CloudEvent as a publisher might write it."""
    return json.dumps({"id": "1", "source": "/sources/x", "type": type_, "topic": "t", "data": data, **more}).encode()


class ItemTests(FacesTestCase):
    """`feed_item`."""

    def test_post(self) -> None:
        """A post is an item whose text is text."""
        self.assertEqual(
            {
                "id": "/sources/x#1",
                "url": POST["url"],
                "content_text": "<b>a kakapo</b> & more",
                "date_published": POST["created"],
                "authors": [{"name": "Jack", "url": "https://x.example/jack"}],
                "tags": ["birds"],
                "language": "en",
                "_streamer": {"type": "streamer.post", "topic": "t"},
            },
            feed_item(event("streamer.post", POST)),
        )

    def test_change(self) -> None:
        """So is a change, with its title."""
        change = {"title": "Kakapo", "url": "http://wiki.example/k", "actor": "Ann", "summary": "spelling"}
        item = feed_item(event("streamer.change", change, time="2026-11-21T04:00:00Z"))
        assert item is not None
        self.assertEqual(
            ("Kakapo", "spelling", [{"name": "Ann"}], "2026-11-21T04:00:00Z"),
            tuple(item[key] for key in ("title", "content_text", "authors", "date_published")),
        )

    def test_others(self) -> None:
        """Nothing else is."""
        for type_ in ("streamer.geo", "streamer.delete", "streamer.notice", "streamer.gap"):
            self.assertIsNone(feed_item(event(type_, POST)))

    def test_anything(self) -> None:
        """Whatever a publisher put there, an item has the members that it must have, and links only to the web."""
        for data in (None, 7, "x", [], {}, {"text": 7, "author": 7, "tags": 7, "url": 7}, {"tags": [7, {}, ""]}):
            with self.subTest(data=data):
                self.assertEqual(
                    {"id": "/sources/x#1", "content_text": "", "_streamer": {"type": "streamer.post", "topic": "t"}},
                    feed_item(event("streamer.post", data)),
                )
        for url in ("javascript:alert(1)", "data:text/html,x", "//x", "https://a b", " https://x"):
            item = feed_item(event("streamer.post", {"url": url, "author": {"name": "x", "url": url}}))
            with self.subTest(url=url):
                self.assertEqual((None, [{"name": "x"}]), (item.get("url"), item["authors"]))

    def test_times(self) -> None:
        """A time is as RFC 3339 has it: the post's, else the event's own, else none."""
        own = "2026-11-21T04:00:00Z"
        for given in (POST["created"], "2026-02-28T23:59:59+05:30", "2026-11-21T04:00:00.123456789Z"):
            with self.subTest(given=given):
                item = feed_item(event("streamer.post", {"created": given}, time=own))
                self.assertEqual(given, item["date_published"])
        for given in (
            "yesterday",
            "2026-13-99T99",
            "2026-02-30T00:00:00Z",
            "2026-11-21",
            "2026-11-21 04:00:00Z",
            "2026-11-21T04:00:00",
            "2026-11-21T04:00:00+99:00",
            "2026-W47-6T04:00:00Z",
            "٢٠٢٦-11-21T04:00:00Z",
            "2026-11-21T04:00:00Z\n",
            7,
        ):
            with self.subTest(given=given):
                item = feed_item(event("streamer.post", {"created": given}, time=own))
                self.assertEqual(own, item["date_published"])
                self.assertNotIn("date_published", feed_item(event("streamer.post", {"created": given}, time="now")))

    def test_languages(self) -> None:
        """A language is given where it looks like a tag."""
        for given in ("en", "und", "zh-Hant-TW", "sl-rozaj-biske-1994", "x-klingon"):
            self.assertEqual(given, feed_item(event("streamer.post", {"lang": given}))["language"])
        for given in ("", "e", "en_US", "en-", "english language", "en\n", "é", "en" + "-abcd" * 9, 7):
            with self.subTest(given=given):
                self.assertNotIn("language", feed_item(event("streamer.post", {"lang": given})))

    def test_control_characters(self) -> None:
        """None comes through; a text keeps its lines, a title, name or tag has one."""
        post = {
            "text": "a\u0000b\n\tc\u009f\ufffe\U0010ffff",
            "title": "t\u0000\r\n u\u001b",
            "author": "x\u0007\ny",
            "tags": ["\u0000", "k\u0001"],
            "url": "https://x\u0001",
        }
        item = feed_item(event("streamer.post", post))
        self.assertEqual(
            ("ab\n\tc", "t u", [{"name": "x y"}], ["k"], None),
            (item["content_text"], item["title"], item["authors"], item["tags"], item.get("url")),
        )


class FeedTests(FacesTestCase):
    """`GET /feed.json`."""

    def test_feed(self) -> None:
        """The latest posts, the newest first, and where the feed and its page are."""
        for topic in ("post.x", "geo.x", "post.y"):
            self.relay.publish(topic, kind=topic.partition(".")[0], **POST)
        self.relay.publish("post.x", kind="post", id_="post:9", **POST)
        answer = self.relay.get("/feed.json?topics=post.x")
        self.assertEqual("application/feed+json", answer.headers["content-type"])
        self.assertEqual(f"public, max-age={KEPT}", answer.headers["cache-control"])
        items = answer.json["items"]
        self.assertEqual(["/sources/x#post:9", "/sources/x#post:1"], [item["id"] for item in items])
        self.assertEqual(
            (VERSION, "Birds", f"{ORIGIN}/", f"{ORIGIN}/feed.json?topics=post.x&last={LAST}"),
            tuple(answer.json[key] for key in ("version", "title", "home_page_url", "feed_url")),
        )
        self.assertEqual(1, self.relay.metrics.value(HANDSHAKES, "feed", "accepted"))
        self.assert_quiet("feed")

    def test_last(self) -> None:
        """So many as are asked for; without topics, of all posts and changes."""
        for number in range(30):
            self.relay.publish("post.x" if number % 2 else "change.x", kind="post" if number % 2 else "change")
        self.assertEqual(LAST, len(self.relay.get("/feed.json").json["items"]))
        self.assertEqual(3, len(self.relay.get("/feed.json?last=3").json["items"]))
        self.assertEqual(0, len(self.relay.get("/feed.json?last=0").json["items"]))

    def test_deleted(self) -> None:
        """What was deleted is not in it."""
        self.relay.publish("post.x", kind="post", id="1", **{key: POST[key] for key in ("text", "url")})
        self.assertEqual(1, len(self.relay.get("/feed.json").json["items"]))
        self.relay.publish("delete.x", kind="delete", id="1")
        self.assertEqual([], self.relay.get("/feed.json").json["items"])

    def test_unchanged(self) -> None:
        """What a reader has already is not sent again."""
        self.relay.publish("post.x")
        tag = self.relay.get("/feed.json").headers["etag"]
        answer = self.relay.get("/feed.json", If_None_Match=tag)
        self.assertEqual((304, b""), (answer.code, answer.body))
        self.assertNotIn("content-length", answer.headers)  # RFC 9110, section 8.6: none but that of the 200
        self.assertNotIn("transfer-encoding", answer.headers)
        self.relay.publish("post.x")
        self.assertEqual(200, self.relay.get("/feed.json", If_None_Match=tag).code)

    def test_head(self) -> None:
        """HEAD says what GET would."""
        got, head = self.relay.get("/feed.json"), self.relay.get("/feed.json", "HEAD")
        self.assertEqual((200, b"", str(len(got.body))), (head.code, head.body, head.headers["content-length"]))

    def test_refused(self) -> None:
        """What makes no sense, or was not granted, is refused."""
        self.assertEqual(400, self.relay.get("/feed.json?topics=a..b").code)
        self.assertEqual(400, self.relay.get("/feed.json?since=v1.-.0").code)
        self.assertEqual(403, self.relay.get("/feed.json", Origin="https://evil.example").code)
        self.relay = Facing(authority=Keys())
        self.assertEqual(401, self.relay.get("/feed.json").code)
        answer = self.relay.get("/feed.json?topics=post.%23", Authorization="Bearer soon")
        self.assertEqual((200, f"private, max-age={KEPT}"), (answer.code, answer.headers["cache-control"]))
        self.assert_quiet("feed")

    def test_work(self) -> None:
        """Making feeds is work, and an address may make only so many in a while."""
        codes = [self.relay.get("/feed.json").code for _ in range(60)]
        self.assertEqual([200] * 50 + [429] * 10, codes)
        self.assertEqual(200, self.relay.get("/feed.json", host="192.0.2.2").code)
        self.assertEqual([], self.relay.clock.getDelayedCalls())
