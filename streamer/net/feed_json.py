# -*- test-case-name: tests.unit.test_net_feed_json -*-
"""`GET /feed.json`: the latest posts and changes of some topics as a JSON Feed, for feed readers.

    /feed.json?topics=post.%23&last=20          https://www.jsonfeed.org/version/1.1/

Without `topics` it is about all posts and changes. `last` counts events of all types, as everywhere; those that are
neither a post nor a change make no item. Posts are hostile text: it is passed on as text, never as HTML, and links
only where they lead to the web.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from twisted.web.http import CACHED
from twisted.web.server import NOT_DONE_YET, Request

from streamer.errors import ClientError
from streamer.fanout.hub import Hub
from streamer.fanout.logged import Logged
from streamer.fanout.protocol import Wish
from streamer.fanout.topics import check_patterns
from streamer.metrics import HANDSHAKES
from streamer.net.assets import whole
from streamer.net.oneway import Entrance, Face

FACE = "feed"  # the metrics' label
VERSION = "https://jsonfeed.org/version/1.1"
TOPICS = ("post.#", "change.#")  # where none are asked for
LAST = 20  # events, where no number is asked for
BYTES_LIMIT = 1_000_000  # of events in one feed, or one event that is longer
KEPT = 5  # seconds that caches may answer with it
COST = 1.0  # units of work, see `Entrance.charging`: making a feed of 500 posts takes some milliseconds
_WEB = re.compile(r"https?://\S+", re.IGNORECASE)
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*|[xi](?:-[A-Za-z0-9]{1,8})+")
LANGUAGE_LIMIT = 35  # characters; https://www.rfc-editor.org/rfc/rfc5646#section-4.4.1
_NO_TEXT = dict.fromkeys(
    {*range(0x20), *range(0x7F, 0xA0), *range(0xFFFE, 0x110000, 0x10000), *range(0xFFFF, 0x110000, 0x10000)}
    - set(map(ord, "\t\n\r"))
)  # control characters but white space, and what Unicode keeps from ever being a character


class Feed(Face):
    """The page.

    Args:
        title: of the feed.
        home: the origin that the page is at, as https://relay.example; None where it has none.
    """

    def __init__(self, entrance: Entrance, title: str, home: str | None) -> None:
        Face.__init__(self, entrance)
        self._title = title
        self._home = home

    def render_GET(self, request: Request) -> int | bytes:
        """The feed as it is now."""
        entrance = self.entrance
        try:
            asked = entrance.ask(request, topics=TOPICS)
            if asked.wish.since is not None:
                raise ClientError("bad-request", "a feed is of the latest events; it takes `topics` and `last`")
        except ClientError as error:
            return entrance.refuse(request, FACE, error)
        entrance.clients.hub.metrics.add(HANDSHAKES, FACE, "accepted")
        with entrance.charging(asked.address, COST):
            events = latest(entrance.clients.hub, asked.wish)
        body = msgspec.json.encode(self._document(asked.wish, events)) + b"\n"
        request.setHeader(b"content-type", b"application/feed+json")
        # What is shown for a token is for its bearer; a shared cache would keep what is `public` in spite of that.
        scope = b"private" if request.requestHeaders.hasHeader(b"authorization") else b"public"
        request.setHeader(b"cache-control", b"%b, max-age=%d" % (scope, KEPT))
        request.responseHeaders.addRawHeader(b"vary", b"authorization")
        if request.setETag(b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()) is CACHED:
            request.finish()  # not by returning nothing, which would tell a length; RFC 9110, section 8.6
            return NOT_DONE_YET
        return whole(request, body)

    def _document(self, wish: Wish, events: Sequence[Logged]) -> dict[str, Any]:
        links = {}
        if self._home is not None:
            query = urlencode({"topics": ",".join(wish.topics), "last": _count(wish)})
            links = {"home_page_url": f"{self._home}/", "feed_url": f"{self._home}/feed.json?{query}"}
        items = [item for event in reversed(events) if (item := feed_item(event.event)) is not None]
        return {"version": VERSION, "title": self._title, **links, "items": items}


def latest(hub: Hub, wish: Wish) -> list[Logged]:
    """The last events that a wish's patterns match, oldest first; fewer where they are longer than `BYTES_LIMIT`."""
    cohort = hub.enter(check_patterns(wish.topics))
    try:
        first = cohort.last(_count(wish))
        found: list[Logged] = []
        room = BYTES_LIMIT
        for ordinal in reversed(range(first, cohort.end)):
            logged = hub.journal[cohort.place_of(ordinal)]
            room -= len(logged.event)
            if room < 0 and found:
                break
            found.append(logged)
        return found[::-1]
    finally:
        hub.leave(cohort)


def feed_item(event: bytes) -> dict[str, Any] | None:
    """What a feed says of an event; None of one that is neither a post nor a change. Whoever published it may have
    put anything into its data.
    """
    whole_event = _fields(msgspec.json.decode(event))
    type_, data = whole_event.get("type"), _fields(whole_event.get("data"))
    if type_ not in ("streamer.post", "streamer.change"):
        return None
    item: dict[str, Any] = {"id": f"{whole_event.get('source')}#{whole_event.get('id')}"}
    item["content_text"] = _text(data.get("text")) or _text(data.get("summary")) or _text(data.get("title")) or ""
    known = {
        "url": _link(data.get("url")),
        "title": _line(data.get("title")),
        "date_published": _moment(data.get("created")) or _moment(whole_event.get("time")),
        "authors": [author] if (author := _author(data.get("author") or data.get("actor"))) else None,
        "tags": [tag for given in _list(data.get("tags")) if (tag := _line(given))] or None,
        "language": _language(data.get("lang")),
    }
    item |= {key: value for key, value in known.items() if value is not None}
    item["_streamer"] = {"type": type_, "topic": whole_event.get("topic")}
    return item


def _author(given: Any) -> dict[str, str]:
    """Of a post an object, of a change perhaps a name alone."""
    if not isinstance(given, dict):
        return {"name": name} if (name := _line(given)) else {}
    found = {"name": _line(given.get("name")) or _line(given.get("handle")), "url": _link(given.get("url"))}
    return {key: value for key, value in found.items() if value is not None}


def _count(wish: Wish) -> int:
    return LAST if wish.last is None else wish.last


def _fields(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    """Perhaps of several lines."""
    return value.translate(_NO_TEXT) or None if isinstance(value, str) else None


def _line(value: Any) -> str | None:
    return " ".join((_text(value) or "").split()) or None


def _link(value: Any) -> str | None:
    return value if isinstance(value, str) and _WEB.fullmatch(value) and value.isprintable() else None


def _moment(value: Any) -> str | None:
    """A time as https://www.rfc-editor.org/rfc/rfc3339 has it; a feed with any other is invalid for everybody."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return None  # such as the 30th of February
    return value


def _language(value: Any) -> str | None:
    """A tag that looks as https://www.rfc-editor.org/rfc/rfc5646#section-2.1 has it."""
    return value if isinstance(value, str) and len(value) <= LANGUAGE_LIMIT and _LANGUAGE.fullmatch(value) else None
