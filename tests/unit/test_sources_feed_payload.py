"""What an entry says."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.activity import Activity, Author, Media
from streamer.errors import DecodeError
from streamer.events.change import change
from streamer.message import Item
from streamer.sources.feed_objects import HTML, Enclosure, FeedEntry, FeedInfo, Person, Text
from streamer.sources.feed_payload import SUMMARY_LIMIT, TITLE_LIMIT, decode, item_of

NOW = 1_700_000_000_000  # ms since the epoch
INFO = FeedInfo("A feed")


def entry(**fields: Any) -> FeedEntry:
    """An entry."""
    return FeedEntry(**{"item": "x", "identity": "x", "feed": INFO, **fields})


def activity(**fields: Any) -> Activity:
    """What it says."""
    return decode(item_of("birds", msgspec.json.encode(entry(**fields)), NOW), "feeds.example")


class DecodeTests(SynchronousTestCase):
    """Field by field."""

    def test_whole(self) -> None:
        """All of it."""
        found = activity(
            title=Text("Less <em>is</em> more &amp; more", HTML),
            link="https://feeds.example/1",
            author=Person("Amber", "https://feeds.example/amber"),
            published=NOW - 5000,
            updated=NOW - 1000,
            summary=Text("<p>One.</p><p>Two.</p>", HTML),
            content=Text("<p>Longer.</p>", HTML),
            tags=("#tea", "tea", " green  tea ", "#"),
            enclosures=(
                Enclosure("https://x.example/1.jpg", "image/jpeg", title="A heron"),
                Enclosure("https://x.example/1.mp4", "video"),
                Enclosure("https://x.example/1.mp3", "audio/mpeg"),
                Enclosure("https://x.example/1"),
            ),
            lang="en-GB",
        )
        self.assertEqual(("entry", "entry", "x", "feeds.example"), (found.kind, found.action, found.id, found.scope))
        self.assertEqual(("Less is more & more", "One.\n\nTwo."), (found.title, found.text))
        self.assertEqual(("https://feeds.example/1", NOW - 5000), (found.url, found.created))
        self.assertEqual(Author("Amber", name="Amber", url="https://feeds.example/amber"), found.author)
        self.assertEqual((("tea", "green tea"), "en"), (found.tags, found.lang))
        self.assertEqual(
            (Media("photo", "https://x.example/1.jpg", "A heron"), Media("video", "https://x.example/1.mp4")),
            found.media,
        )

    def test_nothing(self) -> None:
        """What is not there is not made up."""
        found = activity()
        self.assertEqual(
            (None, None, None, None, None), (found.title, found.text, found.author, found.url, found.lang)
        )
        self.assertIsNone(found.created)
        assert change.derive(found, NOW) is not None

    def test_summary(self) -> None:
        """The content where there is no summary that says something."""
        self.assertEqual("all", activity(summary=Text("<img src=x>", HTML), content=Text("<p>all", HTML)).text)
        self.assertEqual("short", activity(summary=Text(" short\n"), content=Text("all")).text)

    def test_limits(self) -> None:
        """Long texts end with an ellipsis."""
        found = activity(title=Text("t" * 5000), summary=Text("s" * 5000))
        assert found.title is not None
        assert found.text is not None
        self.assertEqual((TITLE_LIMIT, SUMMARY_LIMIT), (len(found.title), len(found.text)))
        self.assertTrue(found.title.endswith("…") and found.text.endswith("…"))

    def test_dates(self) -> None:
        """Absurd dates are left out; the next one counts."""
        for published, updated, created in (
            (NOW + 7 * 86_400_000, NOW, NOW),
            (0, None, None),
            (-5, None, None),
            (253_402_300_799_000, None, None),
            (NOW + 3_600_000, None, NOW + 3_600_000),
        ):
            self.assertEqual(created, activity(published=published, updated=updated).created)

    def test_links(self) -> None:
        """What was written down by somebody else is not trusted."""
        self.assertIsNone(activity(link="javascript:alert(1)").url)

    def test_partition(self) -> None:
        """An entry and its updates stay in order."""
        first = item_of("birds", msgspec.json.encode(entry(item="x")), NOW)
        second = item_of("birds", msgspec.json.encode(entry(item="x#1", action="update")), NOW)
        self.assertEqual((first.partition, "update"), (second.partition, decode(second, "s").action))

    @given(st.text(max_size=100), st.text(max_size=100), st.text(max_size=40), st.integers(-(10**15), 10**15))
    def test_any(self, title: str, text: str, author: str, ms: int) -> None:
        """Any texts make an event that can be written."""
        clean = [value.encode("utf-8", "replace").decode() for value in (title, text, author)]
        found = activity(
            title=Text(clean[0], HTML), summary=Text(clean[1]), author=Person(clean[2]), published=ms, tags=(clean[2],)
        )
        event = change.derive(found, NOW)
        assert event is not None
        event.message()

    def test_bad(self) -> None:
        """What is no entry cannot be read."""
        for body in (b"", b"{}", b"[]", b'{"identity":"x"}', b"\xff"):
            item = Item(source="birds", kind="entry", id="x", received=NOW, body=body)
            self.assertRaises(DecodeError, decode, item, "x")
        self.assertRaises(DecodeError, item_of, "birds", msgspec.json.encode(entry(item="")), NOW)
