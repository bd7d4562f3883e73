# -*- test-case-name: tests.unit.test_events_delete -*-
"""Tests for `streamer.events.delete`."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from streamer import registry
from streamer.activity import Activity
from streamer.events.delete import delete
from streamer.interfaces import IEventKind
from streamer.message import Item

ITEM = Item(source="birds", kind="delete", id="delete:1519", received=1_700_000_000_000, body=b"{}")


class DeleteTests(SynchronousTestCase):
    """The event of a deletion."""

    def test_plugin(self) -> None:
        """It is found by name."""
        self.assertIs(registry.find(IEventKind, "delete"), delete)

    def test_names_the_post(self) -> None:
        """It carries the id of the post, by which everybody finds what to remove."""
        event = delete.derive(Activity(item=ITEM, kind="delete", id="1519", created=1_600_000_000_000), 5)
        assert event is not None
        body = json.loads(event.message().body)
        self.assertEqual((body["id"], body["type"]), ("delete:1519", "streamer.delete"))
        self.assertEqual((body["topic"], body["data"]), ("delete.birds", {"id": "1519"}))
        self.assertEqual(body["time"], "2020-09-13T12:26:40.000Z")

    def test_other_kinds(self) -> None:
        """Nothing else deletes."""
        for kind in ("post", "edit", "scrub", "withheld"):
            self.assertIsNone(delete.derive(Activity(item=ITEM, kind=kind, id="1"), 5), kind)
