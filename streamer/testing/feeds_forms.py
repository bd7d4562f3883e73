# -*- test-case-name: tests.unit.test_testing_feeds -*-
"""One feed in its forms: Atom 1.0, RSS 2.0 and RSS 1.0.

https://www.rfc-editor.org/rfc/rfc4287, https://www.rssboard.org/rss-specification, https://web.resource.org/rss/1.0/spec
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape, quoteattr

import attrs

FORMS = {
    "atom": "application/atom+xml; charset=utf-8",
    "rss": "application/rss+xml; charset=utf-8",
    "rdf": "application/rdf+xml",
}
TITLE = "Small things & great ones"


@attrs.frozen
class Entry:
    """An entry; `title` and `summary` are plain, `content` is HTML; times are ms since the epoch."""

    id: str
    title: str
    link: str
    author: str
    published_ms: int
    updated_ms: int
    summary: str
    content: str
    tags: tuple[str, ...] = ()
    picture: str | None = None
    lang: str = "en"


def http_date(ms: int) -> str:
    """As HTTP writes it, and RSS nearly so."""
    return format_datetime(_time(ms), usegmt=True)


def page(
    form: str, entries: Sequence[Entry], host: str, changed_ms: int, ttl: int, links: Sequence[tuple[str, str]]
) -> bytes:
    """The document.

    Args:
        ttl: minutes; 0 says nothing.
        links: (rel, address) of the feed itself.
    """
    make = {"atom": _atom, "rss": _rss, "rdf": _rdf}[form]
    return f'<?xml version="1.0" encoding="utf-8"?>\n{make(entries, host, changed_ms, ttl, links)}\n'.encode()


def _atom(entries: Sequence[Entry], host: str, changed_ms: int, ttl: int, links: Sequence[tuple[str, str]]) -> str:
    rows = [
        f'<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://{host}/">',
        f"<id>tag:{host},2026:feed</id><title>{escape(TITLE)}</title><updated>{_rfc3339(changed_ms)}</updated>",
        f'<link rel="alternate" type="text/html" href="/"/>{_links(links, "")}',
    ]
    for entry in entries:
        tags = "".join(f"<category term={quoteattr(tag)}/>" for tag in entry.tags)
        picture = (
            ""
            if entry.picture is None
            else f'<link rel="enclosure" type="image/jpeg" href={quoteattr(entry.picture)}/>'
        )
        rows.append(
            f'<entry xml:lang="{entry.lang}"><id>{escape(entry.id)}</id><title>{escape(entry.title)}</title>'
            f'<link rel="alternate" href={quoteattr(entry.link)}/>{picture}'
            f"<author><name>{escape(entry.author)}</name></author>"
            f"<published>{_rfc3339(entry.published_ms)}</published><updated>{_rfc3339(entry.updated_ms)}</updated>"
            f'<summary>{escape(entry.summary)}</summary><content type="html">{escape(entry.content)}</content>'
            f"{tags}</entry>"
        )
    return "\n".join([*rows, "</feed>"])


def _rss(entries: Sequence[Entry], host: str, changed_ms: int, ttl: int, links: Sequence[tuple[str, str]]) -> str:
    rows = [
        '<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:atom="http://www.w3.org/2005/Atom"><channel>',
        f"<title>{escape(TITLE)}</title><link>https://{host}/</link><description>Now and then</description>",
        f"<lastBuildDate>{http_date(changed_ms)}</lastBuildDate>{f'<ttl>{ttl}</ttl>' if ttl else ''}",
        _links(links, "atom:"),
    ]
    for entry in entries:
        tags = "".join(f"<category>{escape(tag)}</category>" for tag in entry.tags)
        picture = (
            ""
            if entry.picture is None
            else f'<enclosure url={quoteattr(entry.picture)} length="1" type="image/jpeg"/>'
        )
        rows.append(
            f"<item><title>{escape(entry.title)}</title><link>{escape(entry.link)}</link>"
            f'<guid isPermaLink="false">{escape(entry.id)}</guid><dc:creator>{escape(entry.author)}</dc:creator>'
            f"<pubDate>{http_date(entry.published_ms)}</pubDate><description>{escape(entry.summary)}</description>"
            f"<content:encoded><![CDATA[{entry.content}]]></content:encoded>{tags}{picture}</item>"
        )
    return "\n".join([*rows, "</channel></rss>"])


def _rdf(entries: Sequence[Entry], host: str, changed_ms: int, ttl: int, links: Sequence[tuple[str, str]]) -> str:
    sequence = "".join(f"<rdf:li resource={quoteattr(entry.link)}/>" for entry in entries)
    rows = [
        '<rdf:RDF xmlns="http://purl.org/rss/1.0/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content="http://purl.org/rss/1.0/modules/content/">',
        f'<channel rdf:about="https://{host}/rdf.xml"><title>{escape(TITLE)}</title><link>https://{host}/</link>'
        f"<description>Now and then</description><items><rdf:Seq>{sequence}</rdf:Seq></items></channel>",
    ]
    rows.extend(
        f"<item rdf:about={quoteattr(entry.id)}><title>{escape(entry.title)}</title><link>{escape(entry.link)}</link>"
        f"<dc:creator>{escape(entry.author)}</dc:creator><dc:date>{_rfc3339(entry.published_ms)}</dc:date>"
        f"<description>{escape(entry.summary)}</description>"
        f"<content:encoded><![CDATA[{entry.content}]]></content:encoded></item>"
        for entry in entries
    )
    return "\n".join([*rows, "</rdf:RDF>"])


def _links(links: Sequence[tuple[str, str]], prefix: str) -> str:
    return "".join(f"<{prefix}link rel={quoteattr(rel)} href={quoteattr(href)}/>" for rel, href in links)


def _rfc3339(ms: int) -> str:
    return _time(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
