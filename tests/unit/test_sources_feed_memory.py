"""What is remembered of a feed, and which entries are news."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.sources import feed_memory
from streamer.sources.feed_entries import PAGE_LIMIT, Read
from streamer.sources.feed_memory import SEEN_LIMIT, Memory, News
from streamer.sources.feed_objects import FeedEntry, FeedInfo, Text

URL = "https://feeds.example/atom.xml"
INFO = FeedInfo()


def entry(identity: str, title: str = "a title", link: str | None = None) -> FeedEntry:
    """An entry."""
    return FeedEntry(identity=identity, feed=INFO, title=Text(title), link=link)


def page(*entries: FeedEntry) -> Read:
    """A page, the newest entry first."""
    return Read(INFO, entries, 0.0, ())


class NewsTests(SynchronousTestCase):
    """One page after the other."""

    def setUp(self) -> None:
        """Nothing was seen."""
        self.memory, known = feed_memory.begun(URL, None)
        self.assertFalse(known)

    def take(self, *entries: FeedEntry, backlog: int | None = None, **options: Any) -> News:
        """The next page."""
        found = feed_memory.news(page(*entries), self.memory, backlog, **options)
        self.memory = found.memory
        return found

    def items(self, *entries: FeedEntry, **options: Any) -> list[str]:
        """The items of the next page."""
        return [one.item for one in self.take(*entries, **options).entries]

    def test_backlog(self) -> None:
        """Of the first page so many, the oldest first; the others are known all the same."""
        rows = [entry(name) for name in "dcba"]
        self.assertEqual(["c", "d"], self.items(*rows, backlog=2))
        self.assertEqual([], self.items(*rows))

    def test_no_backlog(self) -> None:
        """None at all, where none is wanted."""
        self.assertEqual([], self.items(entry("a"), backlog=0))
        self.assertEqual(["b"], self.items(entry("b"), entry("a")))

    def test_edits(self) -> None:
        """A change of text is an update; each has its own id, so that a text that comes back is another one."""
        self.take(entry("a"), backlog=9)
        (changed,) = self.take(entry("a", "other")).entries
        self.assertEqual("update", changed.action)
        self.assertRegex(changed.item, "^a#[0-9a-f]{8}$")
        (back,) = self.take(entry("a")).entries
        (again,) = self.take(entry("a", "other")).entries
        self.assertEqual([f"{changed.item}.3"], [again.item])
        self.assertRegex(back.item, r"^a#[0-9a-f]{8}\.2$")
        self.assertEqual([], self.items(entry("a", "other")))

    def test_what_looks_like_an_update(self) -> None:
        """An identity that ends as the ids of updates do is another item than the update."""
        self.take(entry("a"), backlog=9)
        (changed,) = self.take(entry("a", "other")).entries
        for end in ("", ".2"):
            (found,) = self.items(entry(changed.item + end), entry("a", "other"))
            self.assertRegex(found, "^sha256:")

    def test_pinned(self) -> None:
        """A pinned entry says nothing of what is below it."""
        for pins in (["p"], ["p", "q", "r"]):
            self.setUp()
            self.take(*map(entry, [*pins, *"edcba"]), backlog=20)
            self.assertFalse(self.take(*map(entry, [*pins, *"gfedc"])).broken)
            self.assertFalse(self.take(*map(entry, [*pins, *"gfedc"])).broken)
            self.assertTrue(self.take(*map(entry, [*pins, *"onmlk"])).broken)

    def test_newest_last(self) -> None:
        """A feed whose newest entries come last has lost nothing as long as one before them is known."""
        self.take(*map(entry, "abc"), backlog=20)
        self.assertFalse(self.take(*map(entry, "abcd")).broken)
        self.assertFalse(self.take(*map(entry, "bcde")).broken)
        self.assertFalse(self.take(*map(entry, "efgh")).broken)
        self.assertTrue(self.take(*map(entry, "wxyz")).broken)

    def test_a_long_page(self) -> None:
        """What is new at the end of a long page is seen, and only once."""
        rows = [entry(f"{number}") for number in range(300)]
        self.take(*rows, backlog=5)
        self.assertEqual(["new"], self.items(*rows, entry("new")))
        self.assertEqual([], self.items(*rows, entry("new")))

    def test_same_identity_once(self) -> None:
        """An entry that was told apart from another one is no news when that other one is gone."""
        self.take(entry("same", "x"), entry("same", "y"), backlog=9)
        self.assertEqual([], self.items(entry("same", "y")))
        self.assertEqual(1, len(self.items(entry("same", "z"), entry("same", "y"))))

    def test_what_is_no_edit(self) -> None:
        """Links and dates change by themselves."""
        self.take(entry("a"), backlog=9)
        other = msgspec.structs.replace(entry("a", link="https://x.example/?session=5"), updated=5, tags=("x",))
        self.assertEqual([], self.items(other))

    def test_gone_and_back(self) -> None:
        """An entry that left the page and comes back is known."""
        self.take(entry("b"), entry("a"), backlog=9)
        self.assertEqual([], self.items(entry("b")))
        self.assertEqual([], self.items(entry("b"), entry("a")))

    def test_broken(self) -> None:
        """A page of which nothing is known may have lost its neighbours."""
        self.assertFalse(self.take(entry("a"), backlog=9).broken)
        self.assertFalse(self.take(entry("b"), entry("a")).broken)
        self.assertFalse(self.take().broken)
        self.assertFalse(self.take(entry("x"), part=True).broken)
        self.assertTrue(self.take(entry("c"), entry("d")).broken)
        self.assertFalse(self.take(entry("c", "edited")).broken)

    def test_broken_after_an_empty_page(self) -> None:
        """A page that was empty and has many entries now may have had more; one with a few has not."""
        self.assertFalse(self.take(backlog=9).broken)
        self.assertFalse(self.take(*map(entry, "abcdefghi")).broken)
        self.memory = msgspec.structs.replace(self.memory, seen=())
        self.assertTrue(self.take(*map(entry, "abcdefghij")).broken)

    def test_same_identity(self) -> None:
        """Entries that share a guid are told apart by what they say; those that say the same are one."""
        first = [entry("same", "x"), entry("same", "y"), entry("same", "y")]
        found = self.items(*first, backlog=9)
        self.assertEqual(2, len(set(found)))
        self.assertEqual([], self.items(*first))
        self.assertEqual(1, len(self.items(entry("same", "z"), *first)))

    def test_ids(self) -> None:
        """An item's id fits where ids go."""
        for identity in ("x" * 1000, "ümlaut", "a\nb", "\ud800", "日本"):
            (found,) = self.items(entry(identity), backlog=9)
            self.assertRegex(found, "^sha256:[0-9a-f]{32}$")
            self.setUp()

    def test_size(self) -> None:
        """It stays small, whatever the feed does."""
        for start in range(0, 3000, 750):
            self.take(*[entry(f"{n}") for n in range(start, start + PAGE_LIMIT)])
        self.assertEqual(SEEN_LIMIT, len(self.memory.seen))
        self.memory = self.memory.with_validators("e" * 1000, "m" * 1000)
        self.assertLess(len(feed_memory.written(msgspec.structs.replace(self.memory, url="u" * 2000))), 35_000)

    def test_validators(self) -> None:
        """Those that cannot be sent back to the letter are not kept."""
        for bad in ("x" * 1001, "ü", "a\tb", ""):
            kept = self.memory.with_validators(bad, bad)
            self.assertEqual((None, None), (kept.etag, kept.modified))
        kept = self.memory.with_validators('W/"a b"', "any text")
        self.assertEqual(('W/"a b"', "any text"), (kept.etag, kept.modified))

    @given(st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xy")), max_size=6), max_size=8))
    def test_any(self, pages: list[list[tuple[str, str]]]) -> None:
        """Whatever comes after whatever: no item twice within a page, and nothing new of a page that was just seen."""
        self.setUp()
        for rows in pages:
            entries = [entry(who, what) for who, what in rows]
            found = self.items(*entries)
            self.assertEqual(len(set(found)), len(found))
            self.assertEqual([], self.items(*entries))


class BegunTests(SynchronousTestCase):
    """What an earlier process left."""

    def test_round(self) -> None:
        """Written and read again."""
        memory = Memory(feed_memory.begun(URL, None)[0].of, "https://new.example/", '"e"', "m", ("w",), {"path": "p"})
        self.assertEqual((memory, True), feed_memory.begun(URL, feed_memory.written(memory)))

    def test_of_another(self) -> None:
        """Another address, or nonsense: begin anew."""
        other = feed_memory.written(feed_memory.begun("https://other.example/", None)[0])
        for cursor in (None, "", "null", "[]", "{}", '{"of":5}', other, "\ud800"):
            self.assertEqual((URL, False), (feed_memory.begun(URL, cursor)[0].url, feed_memory.begun(URL, cursor)[1]))

    @given(st.text(max_size=60))
    def test_any(self, cursor: str) -> None:
        """Anything may stand there."""
        self.assertFalse(feed_memory.begun(URL, cursor)[1])
