# -*- test-case-name: tests.unit.test_events_change -*-
"""Tests for `streamer.events.change`."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer import registry
from streamer.activity import Activity, Author
from streamer.events.change import change
from streamer.interfaces import IEventKind
from streamer.message import TOPIC_LIMIT, Event, Item

ITEM = Item(source="wikis", kind="change", id="ab-12", received=1_700_000_000_500, body=b"{}")


def activity(**fields: Any) -> Activity:
    """An edit of a page, with other fields where a test wants them."""
    usual: dict[str, Any] = {
        "action": "edit",
        "scope": "dewiki",
        "title": "Kakapo",
        "url": "https://de.wikipedia.org/wiki/Kakapo",
        "author": Author("Jack", "Jack"),
        "text": "a comma",
        "created": 1_700_000_000_000,
        "tags": ("birds",),
    }
    return Activity(item=ITEM, kind="change", id="12", **{**usual, **fields})


def derived(made: Activity, now_ms: int = 1_700_000_001_000) -> Event:
    """Its event, which must be there."""
    event = change.derive(made, now_ms)
    assert event is not None
    return event


class ChangeTests(SynchronousTestCase):
    """The event of what is no post."""

    def test_plugin(self) -> None:
        """It is found by name."""
        self.assertIs(registry.find(IEventKind, "change"), change)

    def test_whole(self) -> None:
        """Everything that the activity says is in the event, in the words of DESIGN §3."""
        event = derived(activity())
        written = json.loads(event.message().body)
        self.assertEqual(
            written["data"],
            {
                "id": "12",
                "action": "edit",
                "scope": "dewiki",
                "title": "Kakapo",
                "url": "https://de.wikipedia.org/wiki/Kakapo",
                "actor": {"id": "Jack", "handle": "Jack"},
                "summary": "a comma",
                "created": "2023-11-14T22:13:20.000Z",
                "tags": ["birds"],
            },
        )
        self.assertEqual(("streamer.change", "/sources/wikis"), (written["type"], written["source"]))
        self.assertEqual("Kakapo", written["subject"])

    def test_times(self) -> None:
        """It happened when the upstream says so, else when we heard of it."""
        event = derived(activity(), 5)
        self.assertEqual((1_700_000_000_000, ITEM.received, 5), (event.time, event.received, event.enriched))
        event = derived(activity(created=None))
        self.assertEqual(ITEM.received, event.time)
        self.assertNotIn("created", json.loads(event.message().body)["data"])

    def test_no_action(self) -> None:
        """A post, a like or whatever else names no action is no change."""
        self.assertIsNone(change.derive(activity(action=None), 5))

    def test_named_after_the_item(self) -> None:
        """Ten edits of one page are ten events: the id is the item's, not the page's."""
        self.assertEqual("change:ab-12", derived(activity()).id)
        self.assertEqual("/sources/wikis#change:ab-12", derived(activity()).message().message_id)

    def test_topic(self) -> None:
        """Source, action, scope and actor, then the tags; what is not known is `-`."""
        self.assertEqual("change.wikis.edit.dewiki.jack.birds", derived(activity()).topic)
        bare = activity(scope=None, author=None, tags=())
        self.assertEqual("change.wikis.edit.-.-", derived(bare).topic)
        self.assertEqual("change.wikis.edit.dewiki.42", derived(activity(author=Author("42"), tags=())).topic)

    def test_topic_words_are_escaped(self) -> None:
        """What a stranger is called cannot forge a word of a topic."""
        made = activity(scope="twisted/twisted.web", author=Author("1", "a.*.#"), tags=("x y",))
        self.assertEqual("change.wikis.edit.twisted/twisted%2Eweb.a%2E%2A%2E%23.x%20y", derived(made).topic)

    def test_topic_limit(self) -> None:
        """Long words are cut and tags dropped from the end, so that AMQP can carry the key."""
        made = activity(scope="s" * 999, author=Author("a" * 999), tags=tuple(f"tag{n}" for n in range(99)))
        self.assertLessEqual(len(derived(made).topic.encode()), TOPIC_LIMIT)

    def test_little_is_known(self) -> None:
        """An action alone makes an event, with nothing invented."""
        bare = Activity(item=ITEM, kind="push", id="7", action="push")
        written = json.loads(derived(bare).message().body)
        self.assertEqual({"id": "7", "action": "push"}, written["data"])
        self.assertNotIn("subject", written)
