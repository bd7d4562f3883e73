# -*- test-case-name: tests.unit.test_sources_markup -*-
"""HTML that strangers wrote → plain text and facets.

https://html.spec.whatwg.org/multipage/rendering.html: white space collapses, paragraphs and their like stand apart,
`<br>` begins a line. What a reader would not see is left out: scripts, styles, comments, and the spans within links
that Mastodon marks as invisible (https://docs.joinmastodon.org/spec/activitypub/#sanitization), in whose place stands
an ellipsis where it cut a link short.

The parser never builds a tree, so that depth costs nothing, and reads no further than it needs.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import attrs
import msgspec
from lxml import etree  # type: ignore[import-untyped]

from streamer.activity import Facet

TEXT_LIMIT = 20_000  # code points of a text; Mastodon's own limit is 500, other servers of its kind go to 10,000
HTML_LIMIT = 200_000  # code points of markup that are read
FACET_LIMIT = 1_000  # of one text
LINK_LIMIT = 2_048  # code points of an address
PORTION = 8_192  # code points read at once

_PARAGRAPHS = "p blockquote ul ol dl pre h1 h2 h3 h4 h5 h6 table figure hr"
_LINES = "div section article header footer aside nav li dt dd tr figcaption address main"
_CELLS = frozenset({"td", "th"})  # beside each other, in one line
_HIDDEN = "script style template iframe object svg math head title noscript select textarea"
_ROLES = {tag: role for role in (_PARAGRAPHS, _LINES, _HIDDEN) for tag in role.split()}
_BULLET = "• "
_BLANK = " \t\n\r\f"
_BLANKS = tuple(_BLANK)
_SPACES = {ord(blank): " " for blank in _BLANK}

Names = Mapping[str, str]  # address of a person → their handle


class Marked(msgspec.Struct, frozen=True):
    """A plain text; `facets` are in its order and do not overlap."""

    text: str
    facets: tuple[Facet, ...] = ()


def text_of(html: str, limit: int = TEXT_LIMIT, people: Names | None = None) -> Marked:
    """The text of a fragment as its reader sees it. Nothing makes it fail.

    Args:
        limit: code points; a longer text ends with an ellipsis instead.
        people: handles of those who may be mentioned; without, a handle is made of what is written and linked.
    """
    reader = _Reader(people or {})
    parser = etree.HTMLParser(target=reader, encoding="utf-8")
    try:
        for part in _portions(_clean(html[:HTML_LIMIT])):
            parser.feed(part)
            if reader.size > limit:
                break
        parser.close()
    except (etree.LxmlError, ValueError):  # what came before it counts; the parser recovers from nearly everything
        pass
    reader.finish()
    return _cut(reader, limit)


def _clean(html: str) -> str:
    """Without what no text may hold: halves of surrogate pairs and NULs."""
    return html.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "")


def _portions(html: str) -> Iterator[bytes]:
    letters = iter(html)
    while part := "".join(islice(letters, PORTION)):
        yield part.encode()


def _cut(reader: _Reader, limit: int) -> Marked:
    text, facets = "".join(reader.parts), reader.facets
    if len(text) > limit:
        text = text[: limit - 1].rstrip() + "…" if limit else ""
        facets = [facet for facet in facets if facet.end < len(text)]
    return Marked(text, tuple(facets))


@attrs.define
class _Link:
    """A link that is being read."""

    href: str | None
    classes: frozenset[str]
    tag: bool
    start: int | None = None  # where its first letter stands
    part: int = 0  # index of that letter's part


@attrs.define(eq=False)
class _Reader:
    """The parser's target: white space is written only when a letter follows it."""

    people: Names
    parts: list[str] = attrs.field(factory=list)
    facets: list[Facet] = attrs.field(factory=list)
    size: int = 0  # code points in `parts`
    _lines: int = 0  # line ends to write before the next letter
    _space: bool = False  # a space to write before the next letter, where no line ends
    _link: _Link | None = None
    _hidden: int = 0  # depth within what is not shown
    _exact: int = 0  # depth within <pre>
    _spans: list[str] = attrs.field(factory=list)  # of the open link: "invisible", "ellipsis" or ""

    def start(self, tag: Any, attributes: Mapping[str, str]) -> None:
        """See lxml's parser target interface."""
        if _ROLES.get(tag) is _HIDDEN:
            self._hidden += 1
        elif tag == "br":
            self._lines = min(self._lines + 1, 2)
        elif tag == "a":
            self._unlink()
            self._link = _link(attributes)
        elif tag == "span":
            if self._link is not None:
                self._spans.append(_role(attributes))
        else:
            self._block(tag)
            self._exact += tag == "pre"
            if tag == "li":
                self._write(_BULLET)

    def end(self, tag: Any) -> None:
        """See lxml's parser target interface."""
        if _ROLES.get(tag) is _HIDDEN:
            self._hidden -= 1
        elif tag == "a":
            self._unlink()
        elif tag == "span":
            if self._spans and self._spans.pop() == "ellipsis" and self._link is not None:
                self._write("…")
        else:
            self._block(tag)
            self._exact -= tag == "pre"

    def data(self, text: str) -> None:
        """See lxml's parser target interface."""
        if self._hidden or "invisible" in self._spans:
            return
        if self._exact:
            for number, row in enumerate(text.split("\n")):
                self._lines = min(self._lines + (number > 0), 2)
                if row.strip(_BLANK):
                    self._write(row.rstrip(_BLANK))
            return
        self._space = self._space or text.startswith(_BLANKS)
        words = _words(text)
        if words:
            self._write(" ".join(words))
            self._space = self._space or text.endswith(_BLANKS)

    def close(self) -> None:
        """See lxml's parser target interface."""

    def finish(self) -> None:
        """Nothing more comes."""
        self._unlink()

    def _block(self, tag: Any) -> None:
        if tag in _CELLS:
            self._space = True
        role = _ROLES.get(tag)
        if role is _PARAGRAPHS:
            self._lines = 2
        elif role is _LINES:
            self._lines = max(self._lines, 1)

    def _write(self, words: str) -> None:
        words = "".join(filter(_printable, words)) if not words.isprintable() else words
        if self._hidden or not words:
            return
        if self.parts:
            self._put("\n" * self._lines or " " * self._space)
        self._lines, self._space = 0, False
        link = self._link
        if link is not None and link.start is None:
            link.start, link.part = self.size, len(self.parts)
        self._put(words)

    def _put(self, text: str) -> None:
        self.parts.append(text)
        self.size += len(text)

    def _unlink(self) -> None:
        """Close the link that is open, where one is."""
        link, self._link = self._link, None
        self._spans.clear()
        if link is None or link.start is None or len(self.facets) >= FACET_LIMIT:
            return
        kind, value = _meaning(link, "".join(self.parts[link.part :]), self.people)
        if value:
            self.facets.append(Facet(link.start, self.size, kind, value))


def _words(text: str) -> list[str]:
    """Split at HTML's white space only: a no-break space is a letter here."""
    return [word for word in text.translate(_SPACES).split(" ") if word]


def _printable(letter: str) -> bool:
    """Whether a letter may stand in a text: no control character, but tabs within <pre>."""
    return letter == "\t" or unicodedata.category(letter) != "Cc"


def _role(attributes: Mapping[str, str]) -> str:
    classes = attributes.get("class", "").split()
    return next((role for role in ("invisible", "ellipsis") if role in classes), "")


def _link(attributes: Mapping[str, str]) -> _Link:
    classes = frozenset(attributes.get("class", "").split())
    return _Link(
        address(attributes.get("href")), classes, "hashtag" in classes or "tag" in attributes.get("rel", "").split()
    )


def _meaning(link: _Link, text: str, people: Names) -> tuple[str, str | None]:
    """Kind and value of a link's facet."""
    if link.tag and text[:1] in ("#", "＃") and text[1:]:
        return "tag", text[1:]
    if "mention" in link.classes and text[:1] in ("@", "＠") and text[1:]:
        known = people.get(link.href or "")
        if known is not None:
            return "mention", known
        host = "" if link.href is None else urlsplit(link.href).netloc
        return "mention", text[1:] if not host or "@" in text[1:] else f"{text[1:]}@{host}"
    return "link", link.href


def address(href: str | None) -> str | None:
    """What may be linked to: an absolute http(s) address."""
    stripped = (href or "").strip(_BLANK)
    if len(stripped) > LINK_LIMIT or not stripped.lower().startswith(("http://", "https://")):
        return None
    try:
        host = urlsplit(stripped).hostname
    except ValueError:
        return None
    plain = stripped.isprintable() and not any(letter.isspace() for letter in stripped)
    return stripped if host and plain else None
