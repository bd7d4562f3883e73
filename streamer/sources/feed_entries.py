# -*- test-case-name: tests.unit.test_sources_feed_entries -*-
"""The elements of a feed → its entries: RSS 0.9x, 1.0 and 2.0, Atom 0.3 and 1.0, in whatever mixture.

https://www.rssboard.org/rss-specification, https://web.resource.org/rss/1.0/spec, https://www.rfc-editor.org/rfc/rfc4287
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import attrs

from streamer.sources import feed_dates, markup
from streamer.sources.feed_document import local_name
from streamer.sources.feed_fields import TEXT_LIMIT, identity_of, person, place, plain, text
from streamer.sources.feed_objects import Enclosure, FeedEntry, FeedInfo, Person, Text

PAGE_LIMIT = 1_000  # entries of one page that are looked at, the newest
SCAN_LIMIT = 20_000  # elements that may be entries; those beyond are not even counted
SAME = 50  # elements of one name in one entry that are looked at until there is something in one
LINKS = 20  # of one entry or feed that are looked at
TAGS, ENCLOSURES = 30, 30  # of one entry that are kept
TITLE_LIMIT = 2_000  # code points
WORD_LIMIT = 200  # code points of a name, a tag or a type

PREFIXES = {
    "http://www.w3.org/2005/Atom": "",
    "http://purl.org/atom/ns#": "",
    "http://purl.org/rss/1.0/": "",
    "http://purl.org/net/rss1.1#": "",
    "http://my.netscape.com/rdf/simple/0.9/": "",
    "http://channel.netscape.com/rdf/simple/0.9/": "",
    "http://backend.userland.com/rss2": "",
    "http://purl.org/dc/elements/1.1/": "dc:",
    "http://purl.org/dc/terms/": "dcterms:",
    "http://purl.org/rss/1.0/modules/content/": "content:",
    "http://purl.org/rss/1.0/modules/syndication/": "sy:",
    "http://search.yahoo.com/mrss/": "media:",
    "http://search.yahoo.com/mrss": "media:",
    "http://www.itunes.com/dtds/podcast-1.0.dtd": "itunes:",
    "http://www.w3.org/1999/xhtml": "xhtml:",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf:",
}
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
ABOUT = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"
PERIODS = {"hourly": 3600.0, "daily": 86400.0, "weekly": 604800.0, "monthly": 2592000.0, "yearly": 31536000.0}

Fields = dict[str, list[Any]]


@attrs.frozen
class Read:
    """A page of a feed.

    Args:
        entries: the newest first.
        pace: seconds that the feed itself asks to leave between two polls; 0 where it does not.
        links: (rel, address) of the feed itself, for WebSub.
        more: entries beyond `PAGE_LIMIT` that were not looked at.
    """

    info: FeedInfo
    entries: tuple[FeedEntry, ...]
    pace: float
    links: tuple[tuple[str, str], ...]
    more: int = 0


def read(root: Any) -> Read:
    """What a feed says."""
    elements = _newest(root)
    fields = _feed_fields(root)
    title = _first(fields, text, "title", "dc:title")
    info = FeedInfo(
        None if title is None else markup.text_of(title.value, WORD_LIMIT).text or None,
        _link(fields),
    )
    author, lang = _author(fields), _lang(root, fields)
    found = [_entry(element, info, author, lang) for element in elements[:PAGE_LIMIT]]
    links = tuple((rel, href) for rel, href, _ in _links(fields))
    return Read(info, tuple(found), _pace(fields), links, len(elements) - len(found))


def _name(element: Any) -> str:
    """As `prefix:name`, by the usual prefix of its namespace, whatever the feed calls it."""
    tag = element.tag
    if not isinstance(tag, str):
        return ""
    space, brace, name = tag[1:].partition("}") if tag[:1] == "{" else ("", "", tag)
    if not brace:
        return name.lower()  # may have a prefix that was never declared
    return PREFIXES.get(space, "?:") + name.lower()


def _fields(element: Any, found: Fields | None = None) -> Fields:
    fields: Fields = {} if found is None else found
    for child in element:
        fields.setdefault(_name(child), []).append(child)
    return fields


def _feed_fields(root: Any) -> Fields:
    fields: Fields = {}
    for channel in root:
        if local_name(channel) == "channel":
            _fields(channel, fields)
    return fields or _fields(root)


def _newest(root: Any) -> list[Any]:
    """The elements of the newest entries, the newest first as far as their order or their dates tell."""
    if local_name(root) == "entry":
        return [root]
    every = islice(root.iter("{*}item", "{*}entry"), SCAN_LIMIT)
    found = [element for element in every if local_name(element.getparent()) != "source"]
    _untangle(found)
    if len(found) > 1:
        first, last = (_dates(_fields(found[at]))[0] for at in (0, -1))
        if first is not None and last is not None and first < last:
            found.reverse()
    return found


def _untangle(found: list[Any]) -> None:
    """Take entries out of other entries: one that was never closed holds all that follow, and each text is read once.

    The innermost first, for each move takes time by what is in it.
    """
    nested = [element for element in found if next(element.iterancestors("{*}item", "{*}entry"), None) is not None]
    for element in reversed(nested):
        element.getparent().remove(element)


def _entry(element: Any, info: FeedInfo, author: Person | None, lang: str | None) -> FeedEntry:
    fields = _fields(element)
    for group in fields.get("media:group", ()):
        _fields(group, fields)
    title = _first(fields, text, "title", "dc:title", "media:title")
    content = _first(fields, text, "content:encoded", "content", "xhtml:body")
    summary = _first(fields, text, "description", "summary", "itunes:summary", "dc:description", "media:description")
    if content is None and "description" in fields and "summary" in fields:
        content = summary
    published, updated = _dates(fields)
    link = _link(fields)
    given = _first(fields, plain, "id", "guid") or (element.get(ABOUT) or "").strip()
    return FeedEntry(
        identity=identity_of(given, link, title, summary, content),
        feed=info,
        title=_cut(title, TITLE_LIMIT),
        link=link,
        author=_author(fields) or author,
        published=published,
        updated=updated,
        summary=_cut(summary, TEXT_LIMIT),
        content=_cut(content, TEXT_LIMIT),
        tags=_tags(fields),
        enclosures=_enclosures(fields),
        lang=_lang(element, fields) or lang,
    )


def _first(fields: Fields, make: Callable[[Any], Any], *names: str) -> Any:
    """What is made of the first of these elements that has something in it."""
    for name in names:
        for element in fields.get(name, [])[:SAME]:
            made = make(element)
            if made:
                return made
    return None


def _cut(found: Text | None, limit: int) -> Text | None:
    return found if found is None or len(found.value) <= limit else Text(found.value[:limit], found.type)


def _dates(fields: Fields) -> tuple[int | None, int | None]:
    def date(element: Any) -> int | None:
        return feed_dates.milliseconds(plain(element))

    return (
        _first(fields, date, "pubdate", "published", "issued", "dc:date", "dcterms:created", "dcterms:issued", "date"),
        _first(fields, date, "updated", "modified", "dcterms:modified"),
    )


def _links(fields: Fields) -> Iterator[tuple[str, str, str]]:
    """(rel, address, type) of those that have attributes, as Atom's do."""
    every = fields.get("link", []) + fields.get("atom:link", []) + fields.get("atom10:link", [])
    for element in every[:LINKS]:
        href = place(element, element.get("href"))
        if href is not None:
            yield (element.get("rel") or "alternate").strip().lower(), href, (element.get("type") or "").lower()


def _link(fields: Fields) -> str | None:
    alternates = [(kind != "text/html", href) for rel, href, kind in _links(fields) if rel == "alternate"]
    for element in fields.get("link", [])[:LINKS]:
        if not element.get("href") and (written := place(element, plain(element))):
            return written
    if alternates:
        return min(alternates, key=lambda one: one[0])[1]
    for element in fields.get("guid", [])[:LINKS]:
        if (element.get("isPermaLink") or "true").strip().lower() != "false":
            return markup.address(plain(element))
    return None


def _author(fields: Fields) -> Person | None:
    found: Person | None = _first(fields, person, "author", "dc:creator", "itunes:author", "creator")
    return found


def _tags(fields: Fields) -> tuple[str, ...]:
    elements = [element for name in ("category", "dc:subject", "subject") for element in fields.get(name, ())]
    words = [(e.get("label") or e.get("term") or plain(e)).strip()[:WORD_LIMIT] for e in elements[: 2 * TAGS]]
    return tuple(dict.fromkeys(word for word in words if word))[:TAGS]


def _enclosures(fields: Fields) -> tuple[Enclosure, ...]:
    found: dict[str, Enclosure] = {}
    every = fields.get("enclosure", []) + fields.get("media:content", []) + fields.get("media:thumbnail", [])
    for element in every[: 2 * ENCLOSURES]:
        medium = element.get("medium") or ("image" if _name(element) == "media:thumbnail" else "")
        kind = (element.get("type") or medium).strip().lower()[:WORD_LIMIT]
        size = element.get("length") or element.get("fileSize") or ""
        length = int(size) if size.isascii() and size.isdecimal() and len(size) < 16 else None
        href = place(element, element.get("url") or element.get("href"))
        if href is not None:
            titles = [plain(child)[:TITLE_LIMIT] for child in element if local_name(child) == "title"]
            found.setdefault(href, Enclosure(href, kind or None, length, next(iter(titles), None)))
    for rel, href, kind in _links(fields):
        if rel == "enclosure":
            found.setdefault(href, Enclosure(href, kind[:WORD_LIMIT] or None))
    return tuple(found.values())[:ENCLOSURES]


def _lang(element: Any, fields: Fields) -> str | None:
    said = element.get(LANG) or _first(fields, plain, "language", "dc:language")
    if said is None:
        texts = [text for name in ("content", "summary", "title") for text in fields.get(name, ())]
        said = next((one.get(LANG) for one in texts if one.get(LANG)), "")
    word = said.strip()[:35]
    return word if word.replace("-", "").isalnum() and word.isascii() else None


def _pace(fields: Fields) -> float:
    """https://www.rssboard.org/rss-specification#ltttlgtSubelementOfLtchannelgt and RSS 1.0's syndication module."""
    written = _first(fields, plain, "ttl") or ""
    minutes = float(written) if written.isascii() and written.isdecimal() and len(written) < 9 else 0.0
    period = PERIODS.get((_first(fields, plain, "sy:updateperiod") or "").lower(), 0.0)
    often = _first(fields, plain, "sy:updatefrequency") or "1"
    times = float(often) if often.isascii() and often.isdecimal() and len(often) < 6 else 1.0
    return max(minutes * 60, period / max(times, 1.0))
