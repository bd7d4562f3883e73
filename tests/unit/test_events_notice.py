# -*- test-case-name: tests.unit.test_events_notice -*-
"""Tests for `streamer.events.notice`."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from streamer import registry
from streamer.activity import Activity, Author
from streamer.events.notice import notice
from streamer.interfaces import IEventKind
from streamer.message import Item

ITEM = Item(source="birds", kind="post", id="1519", received=1_700_000_000_000, body=b"{}")


class NoticeTests(SynchronousTestCase):
    """The notice of a post."""

    def test_plugin(self) -> None:
        """It is found by name."""
        self.assertIs(registry.find(IEventKind, "notice"), notice)

    def test_ids_only(self) -> None:
        """It tells that there is a post, by whom, and nothing of what it says."""
        activity = Activity(item=ITEM, kind="post", id="1519", text="secret", author=Author("1", "Jack"), tags=("t",))
        event = notice.derive(activity, 5)
        assert event is not None
        body = event.message().body
        self.assertNotIn(b"secret", body)
        found = json.loads(body)
        self.assertEqual(found["data"], {"id": "1519"})
        self.assertEqual((found["id"], found["topic"]), ("notice:1519", "notice.birds.jack"))

    def test_without_author(self) -> None:
        """The author's word is `-` then."""
        event = notice.derive(Activity(item=ITEM, kind="post", id="1"), 5)
        assert event is not None
        self.assertEqual(event.topic, "notice.birds.-")

    def test_other_kinds(self) -> None:
        """Edits and deletions are not news."""
        for kind in ("edit", "delete", "limit"):
            self.assertIsNone(notice.derive(Activity(item=ITEM, kind=kind, id="1", text="a"), 5), kind)
