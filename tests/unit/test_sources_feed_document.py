"""A feed's bytes → its root, or why there is none."""

from __future__ import annotations

import codecs
import gc
import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.sources.feed_document import NoFeed, local_name, root_of
from streamer.sources.feed_entries import PAGE_LIMIT, read

URL = "https://site.example/feed.xml"
FEED = "<rss><channel><title>{}</title></channel></rss>"
BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
<!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]><rss><channel><title>&lol3;</title></channel></rss>"""
FILE = """<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss><channel><title>&x;</title></channel></rss>"""
PARAMETER = """<!DOCTYPE rss [<!ENTITY % p SYSTEM "http://127.0.0.1/evil.dtd"> %p;]><rss><channel/></rss>"""

MARKUP = "<rss> <item> <title > </ <!DOCTYPE [ ] <!-- --> <? ?> <![CDATA[ ]]> & ; <!ENTITY x=\" ' a".split()  # noqa: SIM905 - pieces, to be read as such
BEFORE = (
    "<rss><channel><item><title>",
    "<rss><channel><item><author>",
    "<rss><channel><item><pubDate>",
    "<feed><entry><content type='xhtml'>",
    "<!DOCTYPE html>",
)
MOST_EFFORT = 100.0  # times; 8 to 24 now, some 300 and 1,900 where entries were read again and again


class EncodingTests(SynchronousTestCase):
    """How it is written."""

    def title(self, body: bytes, content_type: str = "") -> str:
        """The title that is read."""
        return str(root_of(body, content_type, URL).findtext("channel/title"))

    def test_encodings(self) -> None:
        """What its first bytes show, else what it says, else what the server says, else what fits."""
        text = FEED.format("Käse €")
        for body, content_type in (
            (text.encode(), ""),
            (codecs.BOM_UTF8 + text.encode(), "text/xml; charset=iso-8859-1"),
            (text.encode("utf-16"), ""),
            (codecs.BOM_UTF16_BE + text.encode("utf-16-be"), ""),
            (text.encode("utf-32"), ""),
            (f'<?xml version="1.0" encoding="UTF-16"?>{text}'.encode("utf-16-le"), ""),
            (f'<?xml version="1.0" encoding="windows-1252"?>{text}'.encode("cp1252"), "text/xml"),
            (f'<?xml version="1.0" encoding="iso-8859-1"?>{text}'.encode("cp1252"), "text/xml; charset=utf-8"),
            (text.encode("cp1252"), "application/xml; charset=windows-1252"),
            (text.encode("cp1252"), "application/xml; charset=utf-8"),
            (f"<?xml version='1.0' encoding='nonsense'?>{text}".encode(), "text/xml; charset=unicode_escape"),
        ):
            self.assertEqual("Käse €", self.title(body, content_type), body[:60])
        self.assertEqual("日本", self.title(FEED.format("日本").encode("shift_jis"), "text/xml; charset=Shift_JIS"))
        self.assertEqual("Привет", self.title(FEED.format("Привет").encode("koi8-r"), "x; charset=KOI8-R"))

    def test_mended(self) -> None:
        """Bare ampersands, HTML's entities, control characters, junk before it."""
        for written, title in (
            ("R&D", "R&D"),
            ("a & b", "a & b"),
            ("caf&eacute;&nbsp;x", "café\xa0x"),
            ("&lt;&amp;&gt;", "<&>"),
            ("&unknown;", "&unknown;"),
            ("a\x00\x0b\x1fb", "ab"),
            ("&#233;&#xe9;", "éé"),
            ("&LT;b", "&LT;b"),
            ("<![CDATA[a&eacute;&]]>", "a&eacute;&"),
            ("5 < 6 <3", "5 < 6 <3"),
        ):
            self.assertEqual(title, self.title(f"\r\n junk {FEED.format(written)}".encode()), written)

    def test_lone_surrogates(self) -> None:
        """Half a pair is left out."""
        self.assertEqual("ab", self.title(FEED.format("a&#xD800;b").encode()).replace("\ufffd", ""))


class RefusalTests(SynchronousTestCase):
    """What is no feed."""

    def refused(self, body: str | bytes, content_type: str = "text/html") -> str:
        """Why not."""
        body = body.encode() if isinstance(body, str) else body
        return str(self.assertRaises(NoFeed, root_of, body, content_type, URL))

    def test_entities(self) -> None:
        """Entities of its own are refused unread, however they are written; references are never expanded."""
        for bomb in (BOMB, FILE, PARAMETER):
            self.assertIn("declares entities", self.refused(bomb))
            self.assertIn("declares entities", self.refused(bomb.encode("utf-16")))
            self.assertIn(
                "declares entities", self.refused(bomb.replace("<!DOCTYPE", "<!-- <rss> --><?x <rss> ?><!DOCTYPE"))
            )
        hidden = """<!DOCTYPE rss [<!ATTLIST rss a CDATA "<a"> <!ENTITY x "y">]><rss><channel/></rss>"""
        self.assertIn("declares entities", self.refused(hidden))
        self.assertIn("declares entities", self.refused("""<!DOCTYPE rss PUBLIC ">" [<!ENTITY x "y">]><rss/>"""))

    def test_hidden_entities(self) -> None:
        """Neither does a comment hide them that ends elsewhere than it seems to, nor one that seems to open CDATA."""
        body = """<!DOCTYPE r [<!ENTITY a "Z">]><rss><channel><item><enclosure url="http://h/&a;"/></item></channel></rss>"""
        for before in ("<!--> <a/> -->", "<!---> <a/> -->", "<!-- <![CDATA[ -->", "<!--> <a/> --><!-- <![CDATA[ -->"):
            self.assertIn("declares entities", self.refused(before + body), before)

    def test_talk_of_entities(self) -> None:
        """An entry about them is read."""
        body = FEED.format("<![CDATA[<!DOCTYPE x [<!ENTITY y 'z'>]>]]>").encode()
        self.assertIn("<!ENTITY", root_of(body, "", URL).findtext("channel/title"))

    def test_web_page(self) -> None:
        """A web page, with what it names."""
        page = (
            "<!DOCTYPE html><html><head><link rel='alternate stylesheet' type='application/rss+xml' href='/a'>"
            "<link rel=alternate type=text/html href=/no><link rel=alternate type='application/atom+xml' href='x y'>"
            "<link rel='ALTERNATE' type='application/ATOM+xml' href='b.xml'><body><p>unclosed<br>&nbsp;"
        )
        said = self.refused(page)
        self.assertIn("it names https://site.example/a and https://site.example/b.xml", said)
        page = "<html><link rel=alternate type='application/rss+xml' href='/f?token=SECRET'></html>"
        self.assertIn("https://site.example/f?…", self.refused(page))
        self.assertNotIn("SECRET", self.refused(page))
        for other in ("<html></html>", "<HTML><BODY>", "<!doctype html>x", "<head><title>x"):
            self.assertIn("web page, not a feed", self.refused(other))

    def test_others(self) -> None:
        """Nothing, no XML, and XML of other kinds."""
        self.assertIn("empty", self.refused(""))
        self.assertIn("empty", self.refused(" \n"))
        self.assertIn("no XML", self.refused('{"version": "https://jsonfeed.org/version/1"}'))
        self.assertIn("no XML", self.refused("<"))
        said = self.refused("KEY=secret", "text/plain")
        self.assertEqual("the answer is no XML: 10 bytes of the type 'text/plain'", said)
        self.assertIn("its root is <opml>", self.refused("<opml/>"))


def effort(body: bytes) -> float:
    """How much longer a page takes to be read than its bytes to be looped over, at the same moment; the best of three.

    The garbage of all tests before is left out of it, as in our processes what was there at the start is.
    """
    gc.collect()
    gc.freeze()
    try:
        return min(_effort(body) for _ in range(3))
    finally:
        gc.unfreeze()


def _effort(body: bytes) -> float:
    began = time.process_time()
    for _ in body:
        pass
    looped = time.process_time()
    read(root_of(body, "", URL))
    return (time.process_time() - looped) / (looped - began)


class HostileTests(SynchronousTestCase):
    """Nothing raises anything else, and nothing takes long."""

    @given(st.binary(max_size=300), st.text(max_size=40))
    def test_any_bytes(self, body: bytes, content_type: str) -> None:
        """Any bytes."""
        try:
            root_of(body, content_type, URL)
        except NoFeed:
            pass

    @given(st.lists(st.sampled_from(MARKUP), max_size=40))
    def test_any_markup(self, parts: list[str]) -> None:
        """Any markup, and what is read of it."""
        try:
            read(root_of("".join(parts).encode(), "", URL))
        except NoFeed:
            pass

    def test_time(self) -> None:
        """The worst takes no time to speak of, and makes no more entries than a page has."""
        for what in (*MARKUP, "<a b='c' ", "a.", "a@", "<a xmlns:b='c'>", " ", "&#1;", "&amp;", "<!DOCTYPE [", "<a>"):
            for before in ("", *BEFORE):
                body = (before + what * (80_000 // len(what))).encode()
                began = time.perf_counter()
                try:
                    found = read(root_of(body, "", URL))
                except NoFeed:
                    pass
                else:
                    self.assertLessEqual(len(found.entries), PAGE_LIMIT)
                self.assertLess(time.perf_counter() - began, 3.0, (before, what))

    def test_time_of_a_whole_page(self) -> None:
        """A page as long as pages may be is read with an effort that goes with its length, whatever it nests."""
        head, tail = "<rss><channel>", "</channel></rss>"
        for name, body in (
            ("title", head + "<item><title>" * 110 + "<b>x</b>" * 230_000 + "</title></item>" * 110 + tail),
            ("base", head + '<item xml:base="a">' * 200 + "<link>x</link>" * 100_000),
            ("links", head + ("<item>" + "<link>x</link>" * 500 + "</item>") * 200),
            ("enclosures", head + "<item>" + '<enclosure url="e"/>' * 90_000),
            ("ampersands", head + "&" * 1_900_000),
            ("signs", head + "<&" * 900_000),
            ("depth", head + "<a>" * 240 + "<item/>" * 270_000),
        ):
            self.assertLess(effort(body.encode()), MOST_EFFORT, name)

    def test_names(self) -> None:
        """Elements and comments have the names they have."""
        self.assertEqual("rss", local_name(root_of(b"<x:RSS><channel/></x:RSS>", "", URL)))
