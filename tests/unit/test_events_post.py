# -*- test-case-name: tests.unit.test_events_post -*-
"""Tests for `streamer.events.post`."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer import registry
from streamer.activity import Activity, Author, Facet, Geo, Media
from streamer.events.post import post
from streamer.interfaces import IEventKind
from streamer.message import EVENTS, Item

ITEM = Item(source="birds", kind="post", id="1519/2", received=1_700_000_000_000, body=b"{}")


def encoded(activity: Activity) -> dict[str, Any]:
    """The JSON object that clients get."""
    event = post.derive(activity, 1_700_000_000_123)
    assert event is not None
    message = event.message()
    assert message.exchange == EVENTS
    found: dict[str, Any] = json.loads(message.body)
    return found


class PostTests(SynchronousTestCase):
    """The event of a post."""

    def test_plugin(self) -> None:
        """It is found by name."""
        self.assertIs(registry.find(IEventKind, "post"), post)

    def test_whole(self) -> None:
        """Everything known is in the data, under the design's names."""
        activity = Activity(
            item=ITEM,
            kind="post",
            id="1519",
            url="https://x.com/jack/status/1519",
            author=Author("12", "jack", "Jack", "https://x.com/jack"),
            text="hi #bird",
            facets=(Facet(3, 8, "tag", "bird"),),
            lang="en",
            created=1_600_000_000_123,
            reply_to="1500",
            thread="1400",
            tags=("bird",),
            media=(Media("photo", "https://pbs.example/1.jpg", "A bird"),),
            geo=Geo(1.5, 2.5, "point", 0.0, "NZ", "There"),
            sensitive=False,
        )
        self.assertEqual(
            encoded(activity),
            {
                "specversion": "1.0",
                "id": "post:1519",
                "source": "/sources/birds",
                "type": "streamer.post",
                "time": "2020-09-13T12:26:40.123Z",
                "subject": "@jack",
                "topic": "post.birds.en.jack.bird",
                "received": "2023-11-14T22:13:20.000Z",
                "enriched": "2023-11-14T22:13:20.123Z",
                "datacontenttype": "application/json",
                "data": {
                    "id": "1519",
                    "url": "https://x.com/jack/status/1519",
                    "author": {"id": "12", "handle": "jack", "name": "Jack", "url": "https://x.com/jack"},
                    "text": "hi #bird",
                    "facets": [{"start": 3, "end": 8, "kind": "tag", "value": "bird"}],
                    "lang": "en",
                    "created": "2020-09-13T12:26:40.123Z",
                    "reply_to": "1500",
                    "thread": "1400",
                    "tags": ["bird"],
                    "media": [{"kind": "photo", "url": "https://pbs.example/1.jpg", "alt": "A bird"}],
                    "geo": {
                        "lat": 1.5,
                        "lon": 2.5,
                        "precision": "point",
                        "radius_km": 0.0,
                        "country": "NZ",
                        "name": "There",
                    },
                    "sensitive": False,
                },
            },
        )

    def test_least(self) -> None:
        """What is not known is left out, not empty; the three lists are always there."""
        event = encoded(Activity(item=ITEM, kind="post", id="1519", text=""))
        self.assertEqual(event["data"], {"id": "1519", "text": "", "facets": [], "tags": [], "media": []})
        self.assertEqual((event["topic"], event["time"]), ("post.birds.-.-", event["received"]))
        self.assertNotIn("subject", event)

    def test_p5_no_empty_post(self) -> None:
        """PT P5: without a text there is no event, rather than one with an empty text."""
        self.assertIsNone(post.derive(Activity(item=ITEM, kind="post", id="1"), 0))

    def test_other_kinds(self) -> None:
        """Only posts and edits are posts."""
        for kind in ("delete", "limit", "like", "repost", "change"):
            self.assertIsNone(post.derive(Activity(item=ITEM, kind=kind, id="1", text="a"), 0), kind)

    def test_author_without_handle(self) -> None:
        """The author's word in the topic is the id then."""
        event = encoded(Activity(item=ITEM, kind="post", id="1", text="a", author=Author("12")))
        self.assertEqual(event["topic"], "post.birds.-.12")
        self.assertEqual(event["data"]["author"], {"id": "12"})
        self.assertNotIn("subject", event)

    def test_edit(self) -> None:
        """An edit that keeps the post's id is another event, so that nobody takes it for a repeat."""
        event = encoded(Activity(item=ITEM, kind="edit", id="1519", text="b"))
        self.assertEqual((event["id"], event["data"]["id"]), ("post:1519/2", "1519"))

    def test_many_tags(self) -> None:
        """Tags leave the topic from its end when it gets too long; the data has them all."""
        tags = tuple(f"tag{index:03}" for index in range(100))
        event = encoded(Activity(item=ITEM, kind="post", id="1", text="a", tags=tags))
        self.assertLessEqual(len(event["topic"]), 255)
        self.assertTrue(event["topic"].startswith("post.birds.-.-.tag000.tag001."))
        self.assertEqual(len(event["data"]["tags"]), 100)

    def test_p6_json_once(self) -> None:
        """PT P6: data is an object in the event, not JSON inside JSON."""
        event = encoded(Activity(item=ITEM, kind="post", id="1", text='{"a":1}'))
        self.assertIsInstance(event["data"], dict)
        self.assertEqual(event["data"]["text"], '{"a":1}')
