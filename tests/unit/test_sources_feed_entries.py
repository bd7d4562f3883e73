"""Feeds of all forms → entries."""

from __future__ import annotations

import calendar
import io
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from streamer.sources import feed_dates
from streamer.sources.feed_document import root_of
from streamer.sources.feed_entries import PAGE_LIMIT, Read, read
from streamer.sources.feed_objects import HTML, PLAIN, Enclosure, Person, Text
from tests.unit import wild_feeds as wild

URL = "https://site.example/feed.xml"


def page(body: bytes, content_type: str = "application/xml") -> Read:
    """What a feed says."""
    return read(root_of(body, content_type, URL))


def item(inside: str) -> Any:
    """The one entry of an RSS feed."""
    (entry,) = page(f"<rss><channel><item>{inside}</item></channel></rss>".encode()).entries
    return entry


class FormTests(SynchronousTestCase):
    """Each form."""

    maxDiff = None

    def test_atom_10(self) -> None:
        """Atom 1.0: markup of every kind, addresses relative to a base, languages that are inherited."""
        found = page(wild.ATOM_10)
        self.assertEqual(("Notes & queries", "https://blog.example/"), (found.info.title, found.info.link))
        self.assertEqual(
            [("alternate", "https://blog.example/"), ("self", "https://blog.example/atom.xml"),
             ("hub", "https://hub.example/")],
            list(found.links),
        )  # fmt: skip
        (entry,) = found.entries
        self.assertEqual("tag:blog.example,2003:3.2397", entry.identity)
        self.assertEqual(Text("<div>Less <em>is</em> more</div>", HTML), entry.title)
        self.assertEqual("https://blog.example/2005/04/02/atom", entry.link)
        self.assertEqual(Person("Amber Badger", "https://blog.example/about"), entry.author)
        self.assertEqual((1071318569000, 1122812969000), (entry.published, entry.updated))
        self.assertEqual(("xml", "Feeds"), entry.tags)
        self.assertEqual((Enclosure("https://blog.example/a.mp3", "audio/mpeg"),), entry.enclosures)
        assert entry.content is not None
        self.assertIn("<p>Erster <b>Satz</b>.</p>", entry.content.value)
        self.assertEqual("en-GB", page(wild.ATOM_10.replace(b' xml:lang="de"', b"")).entries[0].lang)
        self.assertEqual("de", entry.lang)

    def test_atom_03(self) -> None:
        """Atom 0.3, with its modes and its names of dates."""
        (entry,) = page(wild.ATOM_03).entries
        self.assertEqual(Text("Was <b>bold</b>", HTML), entry.title)
        self.assertEqual(Text("a < b", PLAIN), entry.content)
        self.assertEqual(Person("Dusty Otter", "http://old.example/dusty"), entry.author)
        self.assertEqual((1072865695000, 1072915200000), (entry.published, entry.updated))

    def test_rss_20(self) -> None:
        """RSS 2.0 with the usual modules."""
        found = page(wild.RSS_20)
        self.assertEqual(3600.0, found.pace)
        self.assertIn(("self", "https://news.example/rss"), found.links)
        first, second = found.entries
        self.assertEqual(("https://news.example/?p=1", "https://news.example/1"), (first.identity, first.link))
        self.assertEqual(Text("Tom &amp; Jerry", HTML), first.title)
        self.assertEqual((Person("Jolly Kite"), ("Arts & Crafts",), "fr"), (first.author, first.tags, first.lang))
        self.assertEqual(1033563600000, first.published)
        assert first.summary is not None
        assert first.content is not None
        self.assertIn("Short", first.summary.value)
        self.assertIn("Long one", first.content.value)
        self.assertEqual("https://news.example/2", second.link)
        self.assertEqual(Person("Lunar Pebble"), second.author)
        self.assertEqual(1033495200000, second.published)

    def test_rss_10(self) -> None:
        """RSS 1.0, whose items stand beside the channel, in Latin-1."""
        found = page(wild.RSS_10)
        self.assertEqual("Café", found.info.title)
        (entry,) = found.entries
        self.assertEqual(("http://rdf.example/1", Text("Un café")), (entry.identity, entry.title))
        self.assertEqual((1054339200000, ("boissons",)), (entry.published, entry.tags))

    def test_rss_09(self) -> None:
        """The oldest forms, with a DTD that nobody has any more, and entities of HTML."""
        (entry,) = page(wild.RSS_091).entries
        self.assertEqual("http://ancient.example/a?b=1&c=2", entry.link)
        self.assertEqual(Text("It’s été."), entry.summary)
        (entry,) = page(wild.RSS_090).entries
        self.assertEqual("http://oldest.example/1", entry.identity)

    def test_podcast(self) -> None:
        """Enclosures, some with nonsense for a length."""
        (entry,) = page(wild.PODCAST).entries
        self.assertEqual(
            (
                Enclosure("https://cdn.example/1.mp3?a=1&b=2", "audio/mpeg", 5650889),
                Enclosure("https://cdn.example/1.mp4", "video/mp4"),
            ),
            entry.enclosures,
        )
        self.assertEqual((Text("What was said."), Person("Plain Finch")), (entry.summary, entry.author))

    def test_flickr(self) -> None:
        """Pictures as media and as enclosures."""
        (entry,) = page(wild.FLICKR).entries
        self.assertEqual(
            (
                Enclosure("https://live.example/1_h.jpg", "image", title="A heron"),
                Enclosure("https://live.example/1_b.jpg", "image/jpeg"),
            ),
            entry.enclosures,
        )
        self.assertEqual(Text("Heron"), entry.title)

    def test_bitbucket(self) -> None:
        """A title with angle brackets that is no HTML, a date that never was, an address without a name of its own."""
        (entry,) = page(wild.BITBUCKET).entries
        self.assertEqual(Text("Fix <none> in list<T>"), entry.title)
        self.assertEqual((None, Person("Kind Jetty")), (entry.published, entry.author))
        self.assertEqual(HTML, entry.summary.type if entry.summary else None)

    def test_bozo(self) -> None:
        """What is no XML at all is read as far as it goes."""
        found = page(wild.BOZO, "text/html")
        self.assertEqual("R&D", found.info.title)
        first, second, third = found.entries
        assert first.title is not None
        assert first.summary is not None
        self.assertIn("AT&T & <b>co</b>", first.title.value)
        self.assertEqual("https://site.example/relative?x=1&y=2", first.link)
        self.assertEqual(first.link, first.identity)
        self.assertEqual("image", first.enclosures[0].type)
        self.assertEqual(32, len(second.identity))
        self.assertNotEqual(second.identity, third.identity)

    def test_oracle(self) -> None:
        """Where feedparser reads the same thing, it agrees."""
        try:
            import feedparser  # type: ignore[import-untyped]
        except ImportError as error:
            raise SkipTest("feedparser is not installed") from error
        for name, body in wild.EVERY.items():
            if name == "BOZO":
                continue
            theirs = feedparser.parse(io.BytesIO(body), response_headers={"content-type": "application/xml"})
            for entry, other in zip(page(body).entries, theirs.entries, strict=True):
                self.assertEqual(
                    (other.get("id") or other.get("link"), other.get("link")), (entry.identity, entry.link), name
                )
                told = other.get("published_parsed")
                if told is not None and entry.published is not None:
                    self.assertEqual(calendar.timegm(told) * 1000, entry.published, name)


class DetailTests(SynchronousTestCase):
    """Single fields."""

    def test_identity(self) -> None:
        """The guid, else the link, else the text."""
        self.assertEqual("x", item("<guid>x</guid><link>https://a.example/</link>").identity)
        self.assertEqual("https://a.example/", item("<guid> </guid><link>https://a.example/</link>").identity)
        by_text = item("<title>a</title><description>b</description>").identity
        self.assertEqual(by_text, item("<description>b</description><title>a</title>").identity)
        self.assertNotEqual(by_text, item("<title>a</title><description>c</description>").identity)

    def test_links(self) -> None:
        """Nothing but web addresses."""
        for link in ("javascript:alert(1)", "ftp://x.example/", "https://", "mailto:a@b.example", "data:text/html,x"):
            self.assertIsNone(item(f"<title>a</title><link>{link}</link>").link)
        self.assertIsNone(item('<guid isPermaLink="false">https://a.example/</guid>').link)

    def test_titles(self) -> None:
        """RSS's titles are HTML where they look like it."""
        for written, kind in (
            ("a &lt; b", PLAIN),
            ("x&lt;y&gt;z", PLAIN),
            ("&lt;b&gt;x&lt;/b&gt;", HTML),
            ("a&lt;br&gt;b", HTML),
            ("AT&amp;amp;T", HTML),
            ("AT&amp;T", PLAIN),
            ("a <b>real</b> tag", HTML),
        ):
            self.assertEqual(kind, item(f"<title>{written}</title>").title.type, written)

    def test_authors(self) -> None:
        """Names; addresses of e-mail are nobody's business."""
        for written, name in (
            ("Kind Jetty (she/her)", "Kind Jetty (she/her)"),
            ("a@b.example (Kind Jetty)", "Kind Jetty"),
            ("Kind Jetty &lt;a@b.example&gt;", "Kind Jetty"),
            ("a@b.example", None),
            (" ", None),
            ("@kind", "@kind"),
        ):
            author = item(f"<author>{written}</author>").author
            self.assertEqual(name, author and author.name, written)

    def test_order(self) -> None:
        """The newest first, whichever way the feed has it."""
        rows = [f"<item><guid>{n}</guid><pubDate>{n:02} Jan 2020 00:00:00 GMT</pubDate></item>" for n in range(1, 10)]
        for ordered in (rows, rows[::-1]):
            body = f"<rss><channel>{''.join(ordered)}</channel></rss>".encode()
            self.assertEqual(list("987654321"), [entry.identity for entry in page(body).entries])

    def test_limits(self) -> None:
        """No more entries than a page has, no text without end."""
        rows = "".join(f"<item><guid>{n}</guid></item>" for n in range(1200))
        found = page(f"<rss><channel>{rows}</channel></rss>".encode())
        self.assertEqual((PAGE_LIMIT, 200), (len(found.entries), found.more))
        entry = item("<title>" + "t" * 9_000 + "</title><description>" + "d" * 500_000 + "</description>")
        self.assertEqual((2_000, 100_000), (len(entry.title.value), len(entry.summary.value)))
        entry = item("".join(f'<category>{n}</category><enclosure url="https://x.example/{n}"/>' for n in range(200)))
        self.assertEqual((30, 30), (len(entry.tags), len(entry.enclosures)))

    def test_never_closed(self) -> None:
        """Where an entry is never closed, those that follow are entries all the same, and no part of its text."""
        rows = "".join(f"<item><guid>{n}</guid><description>{n}<br>" for n in range(3))
        found = page(f"<rss><channel>{rows}</channel></rss>".encode()).entries
        self.assertEqual(["0", "1", "2"], [entry.identity for entry in found])
        self.assertEqual(["0<br>", "1<br>", "2<br>"], [entry.summary and entry.summary.value for entry in found])

    def test_token(self) -> None:
        """The query that a feed is asked for with is in no address of it, and its own address is no link."""
        for link in ("#x", "", "?", "#", "?#", "//site.example/feed.xml"):
            body = f"<rss><channel><link>{link}</link><item><title>x</title><link>{link}</link></item></channel></rss>"
            found = read(root_of(body.encode(), "", URL + "?token=SECRET"))
            self.assertNotIn("SECRET", repr(found), link)
            expected = URL + "#x" if link == "#x" else None
            self.assertEqual((expected, expected), (found.info.link, found.entries[0].link), link)
        body = f'<feed xmlns="http://www.w3.org/2005/Atom"><link rel="self" href="{URL}"/></feed>'
        self.assertEqual((("self", URL),), read(root_of(body.encode(), "", URL + "?token=SECRET")).links)

    def test_pace(self) -> None:
        """What the feed asks for; nonsense asks for nothing."""
        for written, seconds in (
            ("<ttl>5</ttl>", 300.0),
            ("<ttl>soon</ttl>", 0.0),
            ("<ttl>-5</ttl>", 0.0),
            ("<sy:updatePeriod>daily</sy:updatePeriod>", 86400.0),
            ("<sy:updatePeriod>daily</sy:updatePeriod><sy:updateFrequency>4</sy:updateFrequency>", 21600.0),
            ("<sy:updatePeriod>daily</sy:updatePeriod><sy:updateFrequency>0</sy:updateFrequency>", 86400.0),
            ("<sy:updatePeriod>never</sy:updatePeriod>", 0.0),
        ):
            self.assertEqual(seconds, page(f"<rss><channel>{written}</channel></rss>".encode()).pace, written)

    def test_base64(self) -> None:
        """A picture in the place of a text is none."""
        body = b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>a</id><content type="image/png">iVBO</content>'
        self.assertIsNone(page(body).entries[0].content)


class DateTests(SynchronousTestCase):
    """Dates as people write them."""

    def test_forms(self) -> None:
        """The usual ones, and some that are not."""
        for written, expected in (
            ("2003-12-31T10:14:55Z", 1072865695000),
            ("2003-12-31T10:14:55.250z", 1072865695250),
            ("2003-12-31T10:14:55,25Z", 1072865695250),
            ("2003-12-31T10:14:55 +01:00", 1072862095000),
            ("2003-12-31 10:14:55 UTC", 1072865695000),
            ("2003-12-31", 1072828800000),
            ("20031231", 1072828800000),
            ("2003-12", 1070236800000),
            ("2003", 1041379200000),
            ("2003-12-31T99:99:99Z", 1072828800000),
            ("Wed, 31 Dec 2003 10:14:55 GMT", 1072865695000),
            ("Mon, 31 Dec 03 10:14:55 EST", 1072883695000),
            ("31 Dec 2003 10:14 +0000", 1072865640000),
            ("Wed Dec 31 10:14:55 2003", 1072865695000),
            ("Wednesday, 31-Dec-03 10:14:55 GMT", 1072865695000),
        ):
            self.assertEqual(expected, feed_dates.milliseconds(written), written)
        for written in ("", "yesterday", "2003-99-99", "0000-01-01", "Mon, 31 Feb 2020 25:61:00 GMT", "9" * 5000):
            self.assertIsNone(feed_dates.milliseconds(written), written)

    @given(
        st.text(max_size=80) | st.from_regex(r"[0-9:TZ+ .-]{1,40}") | st.from_regex(r"[A-Z][a-z]{2}, [0-9 :+-]{30}")
    )
    def test_any(self, written: str) -> None:
        """Anything is a time that can be written, or None."""
        found = feed_dates.milliseconds(written)
        assert found is None or -62_135_596_800_000 <= found <= 253_402_300_800_000


class AnyTests(SynchronousTestCase):
    """Whatever comes, entries can be written down."""

    @given(st.sampled_from(sorted(wild.EVERY)), st.integers(0, 2000), st.binary(max_size=8), st.integers(0, 60))
    def test_damage(self, name: str, at: int, what: bytes, cut: int) -> None:
        """Damage anywhere costs what is damaged."""
        body = wild.EVERY[name]
        at %= len(body)
        try:
            found = page(body[:at] + what + body[at + cut :])
        except Exception as error:
            if type(error).__name__ != "NoFeed":
                raise
            return
        for entry in found.entries:
            msgspec.json.encode(entry)
