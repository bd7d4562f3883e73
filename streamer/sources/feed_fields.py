# -*- test-case-name: tests.unit.test_sources_feed_entries -*-
"""Single elements of a feed: texts in their markup, people, addresses."""

from __future__ import annotations

import hashlib
import re
from itertools import islice
from typing import Any
from urllib.parse import urljoin

from lxml import etree  # type: ignore[import-untyped]

from streamer.sources import markup
from streamer.sources.feed_document import local_name
from streamer.sources.feed_objects import HTML, PLAIN, Person, Text

NAME_LIMIT = 200  # code points
TEXT_LIMIT = 100_000  # code points of a summary or a content
ELEMENTS = TEXT_LIMIT // 4  # of one text: each takes four code points at the least, as "<br>" does
IDENTITY_LIMIT = 2_000  # code points

_MARKED = re.compile(r"</[A-Za-z]|<(?:br|p|img|hr|b|i|a|em|div)\b|&(?:#\d|#x|[A-Za-z]{2,8};)")
_SPACES = re.compile(r"^(<[\w.-]+)(?:\s+xmlns(?::[\w.-]+)?=\"[^\"]*\")+")
_EMAIL = re.compile(r"\S{1,100}@\S{1,100}")


def plain(element: Any) -> str:
    """All text in it."""
    if not len(element):
        return (element.text or "").strip()
    return "".join(element.itertext()).strip()


def text(element: Any) -> Text | None:
    """A text with its type; None where it is empty.

    Atom says what it is. RSS does not: descriptions are HTML, titles are where they look like it.
    """
    said, mode = (element.get("type") or "").strip().lower(), (element.get("mode") or "").strip().lower()
    if said == "xhtml" or said == "application/xhtml+xml" or (mode == "xml" and len(element)):
        return _made(_inner(element), HTML)
    if said in ("html", "text/html") or mode == "escaped":
        return _made(plain(element), HTML)
    if said in ("text", "text/plain"):
        return _made(plain(element), PLAIN)
    if said and said not in ("text/xml", "application/xml") and "/" in said:
        return None  # a picture, or whatever else stands in the place of a text; often in base64
    value = _inner(element) if len(element) else plain(element)
    marked = bool(len(element)) or _MARKED.search(value) is not None
    return _made(value, HTML if marked or local_name(element) == "encoded" else PLAIN)


def person(element: Any) -> Person | None:
    """Atom's with its parts, or RSS's line, `address (name)` or `name <address>`."""
    parts = {local_name(child): child for child in element}
    if "name" in parts or "uri" in parts or "url" in parts:
        name = plain(parts["name"])[:NAME_LIMIT] if "name" in parts else ""
        where = parts.get("uri", parts.get("url"))
        url = None if where is None else place(where, plain(where))
        return Person(_nameless(name), url) if _nameless(name) or url else None
    only = _nameless(plain(element)[: 2 * NAME_LIMIT])
    return None if only is None else Person(only[:NAME_LIMIT])


def place(element: Any, href: str | None) -> str | None:
    """An absolute http(s) address, by the base that holds for this element; None where it only says "here"."""
    written = (href or "").strip()
    if not written or len(written) > markup.LINK_LIMIT:
        return None
    if not written.lower().startswith(("http:", "https:")):
        try:
            written = urljoin(element.base or "", written)
        except ValueError:
            return None
        if written == element.getroottree().docinfo.URL:
            return None
    return markup.address(written)


def identity_of(given: str | None, link: str | None, *texts: Text | None) -> str:
    """What an entry is known by."""
    if given or link:
        return (given or link or "")[:IDENTITY_LIMIT]
    return digest(*(one.value for one in texts if one is not None))


def digest(*values: str) -> str:
    """A hash of texts, 32 hexadecimal digits."""
    return hashlib.sha256("\0".join(values).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _made(value: str, kind: str) -> Text | None:
    stripped = value.strip()
    return Text(stripped, kind) if stripped else None


def _inner(element: Any) -> str:
    """What is in it, as HTML; of more than `TEXT_LIMIT` the beginning, at the least."""
    parts = [element.text or ""]
    size = len(parts[0])
    for child in element:
        if size > TEXT_LIMIT:
            break
        for inside in islice(child.iter(etree.Element), ELEMENTS):
            if not (inside.tag.isalnum() and inside.tag.islower()):  # to set it takes longer than all the rest
                inside.tag = local_name(inside) or "span"
        etree.cleanup_namespaces(child)
        parts.append(_SPACES.sub(r"\1", etree.tostring(child, encoding="unicode", method="html")))
        size += len(parts[-1])
    return "".join(parts)


def _nameless(written: str) -> str | None:
    """The name that stands beside an address of e-mail; None where there is nothing else."""
    name = written.strip()
    if "@" in name and (bare := _EMAIL.sub(" ", name)) != name:
        name = bare.strip(" \t\r\n()<>\"',")
    return name or None
