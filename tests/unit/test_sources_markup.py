"""HTML into plain text and facets."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.activity import Facet
from streamer.sources.markup import FACET_LIMIT, HTML_LIMIT, Marked, text_of

PATIENCE = 2.0  # seconds for the worst input, on a busy machine

PIECES = st.sampled_from(
    [
        "<p>",
        "</p>",
        "<br>",
        "<a href='https://a.example/x'>",
        "<a class='mention' href='https://a.example/@bob'>@",
        "<a rel='tag' href='https://a.example/tags/x'>#",
        "</a>",
        "<span class='invisible'>",
        "<span class='ellipsis'>",
        "</span>",
        "<pre>",
        "</pre>",
        "<ul><li>",
        "</ul>",
        "<script>",
        "</script>",
        "<!--",
        "-->",
        "&amp;",
        "&nbsp;",
        "&#0;",
        "\0",
        "\ud83d",
        "😀",
        " ",
        "\n\t ",
        "word",
        "é",
        "<",
        ">",
        "&",
        '"',
    ]
)


def text(html: str) -> str:
    """The text alone."""
    return text_of(html).text


class TextTests(SynchronousTestCase):
    """What a reader sees."""

    def test_paragraphs(self) -> None:
        """Paragraphs stand apart by an empty line, `<br>` begins a line, and nothing begins or ends the text."""
        self.assertEqual("one\n\ntwo\nthree\n\nfour", text("<p> one</p>\n<p>two<br>three</p><p></p><p>four</p><br>"))

    def test_lists_and_quotes(self) -> None:
        """Entries of a list are lines with a bullet; quotations and headings are paragraphs."""
        html = "<h2>T</h2>x<ul><li>a</li><li>b <b>c</b></li></ul>y<blockquote>q</blockquote>z"
        self.assertEqual("T\n\nx\n\n• a\n• b c\n\ny\n\nq\n\nz", text(html))

    def test_white_space(self) -> None:
        """White space is one space, wherever tags stand in it; a no-break space is kept."""
        self.assertEqual("a b cd\xa0e", text("\n a <b> b </b>\t c<i>d</i>&nbsp;e "))

    def test_preformatted(self) -> None:
        """Within `<pre>` lines and indentation are kept."""
        self.assertEqual("if x:\n    y\n\nz", text("<pre>if x:\n    y\n</pre>z"))

    def test_entities(self) -> None:
        """Entities are letters; those of no letter are dropped or replaced."""
        self.assertEqual("<b> & é 😀", text("&lt;b&gt; &amp; &eacute; &#x1F600;"))
        self.assertNotIn("\0", text("a&#0;b\0c&#xD800;&#1;&#x110000;"))

    def test_hidden(self) -> None:
        """Scripts, styles and comments are no text."""
        self.assertEqual("ab", text("a<script>alert('x')</script><style>p{}</style><!-- c --><template>t</template>b"))

    def test_plain(self) -> None:
        """Text without markup is itself."""
        self.assertEqual("3 < 4 & 5", text("3 < 4 & 5"))
        self.assertEqual(Marked(""), text_of(""))

    def test_limit(self) -> None:
        """A text that is too long is cut, and facets that are cut are dropped."""
        found = text_of("<a href='https://a.example'>ab</a> cd <a href='https://a.example'>efgh</a>", 8)
        self.assertEqual(Marked("ab cd e…", (Facet(0, 2, "link", "https://a.example"),)), found)


class FacetTests(SynchronousTestCase):
    """What is linked."""

    def test_link(self) -> None:
        """A link is where its letters are, without the white space around them."""
        found = text_of("<p>see <a href=' https://a.example/x '> this  page </a>.</p>")
        self.assertEqual(Marked("see this page .", (Facet(4, 13, "link", "https://a.example/x"),)), found)

    def test_shortened(self) -> None:
        """Of a link that Mastodon shortened, what its reader sees is the text, and the whole address the value."""
        found = text_of(
            '<a href="https://www.example.com/a/long/path"><span class="invisible">https://www.</span>'
            '<span class="ellipsis">example.com/a/lo</span><span class="invisible">ng/path</span></a>'
        )
        self.assertEqual("example.com/a/lo…", found.text)
        self.assertEqual((Facet(0, 17, "link", "https://www.example.com/a/long/path"),), found.facets)

    def test_invisible_elsewhere(self) -> None:
        """Nothing can be hidden outside of links."""
        self.assertEqual("seen", text('<span class="invisible">seen</span>'))

    def test_mention(self) -> None:
        """A person is named by handle and host, by what the caller knows of them, or as it is written."""
        html = '<a href="https://h.example/@bob" class="u-url mention">@<span>bob</span></a>'
        self.assertEqual(Marked("@bob", (Facet(0, 4, "mention", "bob@h.example"),)), text_of(html))
        known = text_of(html, people={"https://h.example/@bob": "bob@example"})
        self.assertEqual((Facet(0, 4, "mention", "bob@example"),), known.facets)
        self.assertEqual(
            (Facet(0, 9, "mention", "b@c.test"),), text_of("<a class=mention href='https://x/@b'>@b@c.test</a>").facets
        )

    def test_tag(self) -> None:
        """A hashtag is one by its class or its relation; what only says so is a link."""
        html = '<a href="https://h.example/tags/Cats" class="mention hashtag" rel="tag">#<span>Cats</span></a>'
        self.assertEqual(Marked("#Cats", (Facet(0, 5, "tag", "Cats"),)), text_of(html))
        self.assertEqual("link", text_of('<a href="https://h.example" rel="tag">Cats</a>').facets[0].kind)

    def test_offsets_count_code_points(self) -> None:
        """A face counts one."""
        found = text_of("<p>😀 é</p><p><a href='https://a.example'>x</a></p>")
        self.assertEqual((Facet(5, 6, "link", "https://a.example"),), found.facets)

    def test_no_such_links(self) -> None:
        """Only absolute http(s) addresses of a sane length and form are links; their text stays."""
        for href in (
            "javascript:alert(1)",
            "/path",
            "//host/x",
            "mailto:a@b.example",
            "https://",
            "http://[bad",
            "https://a.example/a b",
            "https://a.example/\u202ex",
            "https://a.example/" + "x" * 3000,
        ):
            self.assertEqual(Marked("x"), text_of(f"<a href='{href}'>x</a>"), href)
        self.assertEqual(1, len(text_of("<a href='HTTPS://A.example'>x</a>").facets))

    def test_nested(self) -> None:
        """A link within a link ends the first one."""
        found = text_of("<a href='https://a.example'>x<a href='https://b.example'>y</a>z</a>")
        self.assertEqual([(0, 1), (1, 2)], [(one.start, one.end) for one in found.facets])


class HostileTests(SynchronousTestCase):
    """Whatever comes, there is a text, soon."""

    def test_bombs(self) -> None:
        """Depth, length, attributes and unfinished markup cost little and raise nothing."""
        for html in (
            "<div>" * 100_000 + "x",
            "<b><i>" * 30_000 + "x" + "</i></b>" * 30_000,
            "<a href='https://a.example'>x" * 100_000,
            "<ul><li>" * 50_000,
            "<p " + "a='b' " * 100_000 + ">x",
            "&" * HTML_LIMIT,
            "&#" * HTML_LIMIT,
            "<" * HTML_LIMIT,
            "<!--" * HTML_LIMIT,
            "<svg>" * 50_000 + "</svg>",
            "x" * 1_000_000,
            "\ud800\udfff\udc00" * 50_000,
            "<pre>" + "\n" * HTML_LIMIT,
        ):
            began = time.perf_counter()
            found = text_of(html)
            self.assertLess(time.perf_counter() - began, PATIENCE, html[:40])
            self.assertLessEqual(len(found.facets), FACET_LIMIT)
            self.assertLessEqual(len(found.text), 20_000)

    def test_tables(self) -> None:
        """Cells stand beside each other in a line, with a space between them."""
        html = "<table><tr><th>Name</th><th>Size</th></tr><tr><td>a</td><td> b</td><td></td><td>c</td></tr></table>end"
        self.assertEqual("Name Size\na b c\n\nend", text_of(html).text)

    @settings(deadline=None, max_examples=300)
    @given(st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=200)), st.integers(0, 60))
    def test_anything(self, html: str, limit: int) -> None:
        """Facets lie in the text, in order and apart; the text is UTF-8, has no NUL and keeps to the limit."""
        found = text_of(html, limit)
        self.assertLessEqual(len(found.text), limit)
        self.assertNotIn("\0", found.text)
        found.text.encode()
        reached = 0
        for facet in found.facets:
            self.assertTrue(reached <= facet.start < facet.end <= len(found.text), found)
            self.assertFalse(found.text[facet.start].isspace() and found.text[facet.start] in " \n\t")
            reached = facet.end
            if facet.kind == "link":
                self.assertTrue(facet.value.startswith("https://"))
            else:
                self.assertIn(found.text[facet.start], "#@")
