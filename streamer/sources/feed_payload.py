# -*- test-case-name: tests.unit.test_sources_feed_payload -*-
"""What an entry of a feed says."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streamer.activity import Activity, Author, Media
from streamer.errors import DecodeError
from streamer.message import Item
from streamer.sources import markup
from streamer.sources.feed_fields import digest
from streamer.sources.feed_objects import PLAIN, Enclosure, FeedEntry, Text

KIND = "entry"
TITLE_LIMIT = 300  # code points
SUMMARY_LIMIT = 1_000  # code points of the text that sums an entry up
TAG_LIMIT = 100  # code points
AHEAD = 86_400_000  # ms; what is dated later than a day after it came in is dated wrongly
EARLIEST = 0  # ms since the epoch; feeds are younger than 1970, which is what a missing date often becomes

_decode = msgspec.json.Decoder(FeedEntry).decode


def entry_of(body: bytes) -> FeedEntry:
    """Read an item's body.

    Raises:
        DecodeError: it is none.
    """
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise DecodeError(f"no entry of a feed: {error}") from error


def item_of(source: str, frame: bytes, received_ms: int) -> Item:
    """The item of an entry; entries of one identity are kept in order.

    Raises:
        DecodeError: it is none.
    """
    entry = entry_of(frame)
    if not entry.item:
        raise DecodeError("an entry of a feed without a name")
    partition = digest(entry.identity)
    return Item(source=source, kind=KIND, id=entry.item, received=received_ms, body=frame, partition=partition)


def decode(item: Item, scope: str) -> Activity:
    """The meaning of an item.

    Args:
        scope: host of the feed.

    Raises:
        DecodeError: it is no entry.
    """
    entry = entry_of(item.body)
    author = entry.author
    return Activity(
        item=item,
        kind=item.kind,
        id=entry.identity,
        action=entry.action,
        scope=scope,
        title=_plain(entry.title, TITLE_LIMIT) or None,
        url=markup.address(entry.link),
        author=None if author is None or not author.name else Author(author.name, name=author.name, url=author.url),
        text=_plain(entry.summary, SUMMARY_LIMIT) or _plain(entry.content, SUMMARY_LIMIT) or None,
        created=_sensible(entry.published, item.received) or _sensible(entry.updated, item.received),
        tags=_tags(entry.tags),
        media=tuple(_media(entry.enclosures)),
        lang=(entry.lang or "").partition("-")[0].lower() or None,
    )


def _plain(text: Text | None, limit: int) -> str:
    if text is None:
        return ""
    if text.type != PLAIN:
        return markup.text_of(text.value, limit).text
    words = " ".join(text.value.split())
    return words if len(words) <= limit else f"{words[: limit - 1].rstrip()}…"


def _sensible(ms: int | None, received: int) -> int | None:
    return ms if ms is not None and EARLIEST < ms <= received + AHEAD else None


def _tags(written: tuple[str, ...]) -> tuple[str, ...]:
    words = [" ".join(tag.split()).lstrip("#")[:TAG_LIMIT] for tag in written]
    return tuple(dict.fromkeys(word for word in words if word))


def _media(enclosures: tuple[Enclosure, ...]) -> Iterator[Media]:
    for one in enclosures:
        medium = (one.type or "").partition("/")[0]
        if medium in ("image", "video"):
            yield Media("photo" if medium == "image" else "video", one.url, one.title)
