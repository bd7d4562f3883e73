# -*- test-case-name: tests.unit.test_sources_feed_document -*-
"""A feed's bytes → its root element, however ill-formed they are; or why there is none.

Feeds lie about their encoding, hold control characters, bare ampersands and HTML's entities, and are cut short; a
reader who refuses those refuses one in ten. libxml2 mends the rest (https://www.w3.org/TR/xml/ allows no mending).
What declares entities of its own is refused: that is how a kilobyte becomes a gigabyte, or a file of ours. It is
refused unread where the declaration is seen, and else after libxml2 saw it, which bounds what it makes of them.
No DTD and nothing else outside of the bytes is ever read. Nothing here takes more time than in proportion to the size.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html.entities import html5
from typing import Any
from urllib.parse import urljoin

from lxml import etree  # type: ignore[import-untyped]

from streamer.sources import feed_address, markup

FEED_TYPES = ("application/atom+xml", "application/rss+xml", "application/rdf+xml")
ROOTS = frozenset({"feed", "rss", "rdf", "channel", "entry"})
DECLARES = "its DTD declares entities, which no feed needs and attackers use; refused"
MENDS = 250_000  # signs of one page that are mended: libxml2 has to make what it can of those beyond
HEAD_LIMIT = 100_000  # code points of a page in which links to feeds are looked for

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0?\0", "utf-16-le"),
    (b"\0<\0?", "utf-16-be"),
)
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9._:-]{1,40})""", re.IGNORECASE)
# Python knows codecs that are none of text, or run for long; and of what feeds are written in these are all.
_KNOWN = re.compile(
    r"utf-?(8|16|16-?[lb]e|32)|us-ascii|iso-8859-\d+|(windows|cp)-?(125\d|874|1251)|koi8-[ru]|shift[_-]jis"
    r"|euc-(jp|kr)|gb2312|gbk|gb18030|big5|iso-2022-jp|macintosh"
)
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "windows-1252", "us-ascii": "windows-1252"}
_ILLEGAL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_DECLARATION = re.compile(r"<\?xml\b[^>]{0,400}\?>")
_REFERENCE = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|&{2,}(?=&)|<{2,}(?=<)"
    r"|&(?!(?:amp|lt|gt|quot|apos);)(#\d{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{1,30};)?"
    r"|<(?![A-Za-z_:/!?])",
    re.DOTALL,
)
_UNQUOTED = re.compile(r"=([^\s\"'<>=&]{1,200})(?=[\s>])")


class NoFeed(Exception):
    """These bytes are no feed; the text says what they are, for an operator."""


def root_of(body: bytes, content_type: str, url: str) -> Any:
    """The root element; addresses in it are relative to `url` unless it says otherwise.

    The query of `url` is no part of that, for it may hold a token: https://www.rfc-editor.org/rfc/rfc3986#section-5.2.2
    has a reference such as "#x" keep it.

    Raises:
        NoFeed: nothing can be made of it, or nobody should try.
    """
    text, url = _text(body, content_type), feed_address.bare(url)
    start = text.find("<")
    if start < 0 or not text.strip():
        kind = f"of the type {content_type[:80]!r}" if content_type else "of no type"
        raise NoFeed(f"the answer is no XML: {len(body)} bytes {kind}" if text.strip() else "the answer is empty")
    text = _DECLARATION.sub("", text[start : start + 1000], count=1) + text[start + 1000 :]
    _check_doctype(text)
    text = _REFERENCE.sub(_mended, text, count=MENDS)
    root = _parsed(text, url)
    if (root is None or not len(root)) and ("<item" in text or "<entry" in text):  # libxml2 gives up on the first tag
        root = _parsed(_UNQUOTED.sub(r'="\1"', text[:HEAD_LIMIT]) + text[HEAD_LIMIT:], url)
    name = "" if root is None else local_name(root)
    if name in ROOTS:
        return root
    if name == "html" or text[:1000].lstrip().lower().startswith(("<!doctype html", "<html", "<head", "<body")):
        raise NoFeed(_about_page(text, url))
    raise NoFeed(f"the answer is XML, but no feed: its root is <{name[:40]}>" if name else "the answer is no XML")


def local_name(element: Any) -> str:
    """In lower case, without its namespace."""
    tag = element.tag
    return tag.rpartition("}")[2].rpartition(":")[2].lower() if isinstance(tag, str) else ""


def _text(body: bytes, content_type: str) -> str:
    for encoding in _encodings(body, content_type):
        try:
            text = body.decode(encoding)
        except (UnicodeError, LookupError):
            continue
        break
    else:
        text = body.decode("windows-1252", "replace")
    return _ILLEGAL.sub("", text.removeprefix("\ufeff"))


def _encodings(body: bytes, content_type: str) -> Iterator[str]:
    """Those it may be in, the likeliest first: what the bytes show, what the document says, what the server says."""
    yield from (encoding for mark, encoding in _BOMS if body.startswith(mark))
    declared, charset = _DECLARED.match(body[:400]), _CHARSET.search(content_type[:400])
    for name in (declared[1].decode("ascii") if declared else "", charset[1] if charset else "", "utf-8"):
        known = name.lower()
        if _KNOWN.fullmatch(known):
            yield _WIDER.get(known, known)


def _check_doctype(text: str) -> None:
    """Refuse a DTD that declares entities; others are harmless, since none is read."""
    at = 0
    while (at := text.find("<", at)) >= 0:
        if text.startswith("<!--", at):
            at = text.find("-->", at + 4)
        elif text.startswith("<?", at):
            at = text.find("?>", at)
        elif text[at : at + 9].upper() == "<!DOCTYPE":
            if text.find("<!ENTITY", at) >= 0:
                raise NoFeed(DECLARES)
            return
        elif not text.startswith("<!", at):
            return
        if at < 0:
            return
        at += 1


def _mended(match: re.Match[str]) -> str:
    """HTML's entities as what they stand for, bare signs as such, nothing for what no XML may hold."""
    name = match[1]
    if match[0][:2] in ("<", "<<"):
        return "&lt;" * len(match[0])
    if match[0][:2] == "&&":
        return "&amp;" * len(match[0])
    if match[0][0] == "<":
        return match[0]
    if name is None:
        return "&amp;"
    if name[0] == "#":
        code = int(name[2:-1], 16) if name[1] in "xX" else int(name[1:-1])
        return match[0] if code <= 0x10FFFF and not _ILLEGAL.match(chr(code)) else ""
    known = html5.get(name)
    return "&amp;" + name if known is None or known in "<>&'\"" else known


def _parsed(text: str, url: str) -> Any:
    parser = etree.XMLParser(
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
        encoding="utf-8",
    )
    try:
        root = etree.fromstring(text.encode(), parser, base_url=url)
    except (etree.LxmlError, ValueError):
        return None
    dtd = None if root is None else root.getroottree().docinfo.internalDTD
    if dtd is not None and next(dtd.iterentities(), None) is not None:
        raise NoFeed(DECLARES)
    return root


def _about_page(text: str, url: str) -> str:
    """What to say of a web page: with the feeds that it names, for it is one of them that was meant."""
    found = []
    try:
        page = etree.fromstring(text[:HEAD_LIMIT].encode(), etree.HTMLParser(encoding="utf-8", huge_tree=False))
    except (etree.LxmlError, ValueError):
        page = None
    for link in () if page is None else page.iter("link"):
        wanted = "alternate" in (link.get("rel") or "").lower().split()
        if wanted and (link.get("type") or "").strip().lower() in FEED_TYPES:
            try:
                found.append(markup.address(urljoin(url, link.get("href") or "")))
            except ValueError:
                continue
    named = [feed_address.shown(address) for address in found if address][:3]
    if not named:
        return "the answer is a web page, not a feed"
    return f"the answer is a web page, not a feed; it names {' and '.join(named)}: use that as the url"
