# -*- test-case-name: tests.unit.test_events_scrub -*-
"""Tests for `streamer.events.scrub`."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from streamer import registry
from streamer.activity import Activity, Author
from streamer.events.scrub import scrub
from streamer.interfaces import IEventKind
from streamer.message import Item

ITEM = Item(source="birds", kind="scrub", id="scrub:7:1519", received=1_700_000_000_000, body=b"{}")


class ScrubTests(SynchronousTestCase):
    """The event of locations taken back."""

    def test_plugin(self) -> None:
        """It is found by name."""
        self.assertIs(registry.find(IEventKind, "scrub"), scrub)

    def test_names_author_and_post(self) -> None:
        """It says whose locations must go, and up to which post."""
        event = scrub.derive(Activity(item=ITEM, kind="scrub", id="1519", author=Author("7")), 5)
        assert event is not None
        body = json.loads(event.message().body)
        self.assertEqual((body["id"], body["type"]), ("scrub:7:1519", "streamer.scrub"))
        self.assertEqual((body["topic"], body["data"]), ("scrub.birds", {"author": "7", "up_to": "1519"}))
        self.assertEqual(body["time"], "2023-11-14T22:13:20.000Z")

    def test_time(self) -> None:
        """It happened when the upstream says that it did."""
        event = scrub.derive(Activity(item=ITEM, kind="scrub", id="1", author=Author("7"), created=0), 5)
        assert event is not None
        self.assertEqual(event.time, 0)

    def test_other_kinds(self) -> None:
        """Nothing else scrubs, and where nobody is named there is no event."""
        for kind in ("post", "edit", "delete", "withheld"):
            self.assertIsNone(scrub.derive(Activity(item=ITEM, kind=kind, id="1", author=Author("7")), 5), kind)
        self.assertIsNone(scrub.derive(Activity(item=ITEM, kind="scrub", id="1"), 5))
