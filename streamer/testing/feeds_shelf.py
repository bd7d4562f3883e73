# -*- test-case-name: tests.unit.test_testing_feeds -*-
"""The entries of a simulated feed that are on its page, and the answers that show them."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from streamer.testing.answering import Whole
from streamer.testing.feeds_forms import FORMS, Entry, http_date, page
from streamer.testing.feeds_texts import Writer
from streamer.testing.ledger import Ledger

HOST = "feeds.example"  # in what feeds say of themselves
EDITS = 10_000  # ids of edits that are remembered


@attrs.frozen
class Wishes:
    """What a feed says of how it wants to be read; see `feeds.SimulatedFeed`."""

    ttl: int
    max_age: int
    packed: bool
    hub: str | None
    topic: str


@attrs.define
class Shelf:
    """The page.

    Args:
        edited: share of entries after which an earlier one is changed.
        edits: ids of the items of changed entries, without the number that each change after the first adds.
        twice, swaps: how many answers show an entry twice, or two in each other's place.
    """

    clock: IReactorTime
    ledger: Ledger
    wishes: Wishes
    writer: Writer
    chance: random.Random
    entries: deque[Entry]
    edited: float
    edits: deque[str] = attrs.field(factory=lambda: deque(maxlen=EDITS))
    twice: int = 0
    swaps: int = 0
    changed_ms: int = attrs.field(
        init=False, default=attrs.Factory(lambda self: int(self.clock.seconds() * 1000), takes_self=True)
    )

    def make(self, number: int) -> int:
        """Publish so many entries, and change some."""
        for _ in range(number):
            self.publish()
            if self.chance.random() < self.edited:
                self.edit(self.chance.choice(self.entries).id, self.writer.title())
        return number

    def publish(self, title: str | None = None, **fields: Any) -> str:
        """Publish an entry; returns its id."""
        self._changed()
        entry = self.writer.entry(self.changed_ms, title, **fields)
        self.entries.append(entry)
        self.ledger.posted(entry.id, self.changed_ms)
        return entry.id

    def edit(self, id_: str, title: str) -> str:
        """Change the title of an entry; returns the id of the item that should come of it."""
        self._changed()
        place = next(place for place, entry in enumerate(self.entries) if entry.id == id_)
        self.entries[place] = changed = self.writer.changed(self.entries[place], self.changed_ms, title)
        self.edits.append(f"{id_}#{told(changed)}")
        return self.edits[-1]

    def page(self, form: str, entries: Sequence[Entry]) -> bytes:
        """A document of one form with these entries, the newest first."""
        wishes = self.wishes
        links = [] if wishes.hub is None else [("hub", wishes.hub), ("self", wishes.topic)]
        return page(form, entries, HOST, self.changed_ms, wishes.ttl, links)

    def answer(self, request: Request, form: str) -> Whole:
        """The answer to a poll: the page, or that it is what the client has."""
        wishes, entries = self.wishes, self._shown()
        body = self.page(form, entries)
        headers = {"Content-Type": FORMS[form], "Date": http_date(int(self.clock.seconds() * 1000))}
        if wishes.hub is not None:
            headers["Link"] = f'<{wishes.hub}>; rel="hub", <{wishes.topic}>; rel="self"'
        if wishes.max_age:
            headers["Cache-Control"] = f"public, max-age={wishes.max_age}"
        etag, changed = f'W/"{hashlib.sha256(body).hexdigest()[:16]}-gzip"', http_date(self.changed_ms)
        if form == "atom":
            headers["ETag"] = etag
        elif form == "rss":
            headers["Last-Modified"] = changed
        same = {"atom": ("if-none-match", etag), "rss": ("if-modified-since", changed)}.get(form)
        if same is not None and request.getHeader(same[0]) == same[1]:
            return Whole(304, headers)
        if wishes.packed and b"gzip" in (request.getHeader(b"accept-encoding") or b""):
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return Whole(200, headers, body, [entry.id for entry in reversed(entries)])

    def _shown(self) -> list[Entry]:
        entries = list(reversed(self.entries))
        if self.twice and entries:
            self.twice -= 1
            entries.insert(0, entries[0])
        if self.swaps and len(entries) > 1:
            self.swaps -= 1
            entries[0], entries[1] = entries[1], entries[0]
        return entries

    def _changed(self) -> None:
        self.changed_ms = int(self.clock.seconds() * 1000)


def told(entry: Entry) -> str:
    """What tells an entry's text, as the source has it: a hash of title, summary and content."""
    return hashlib.sha256("\0".join((entry.title, entry.summary, entry.content)).encode()).hexdigest()[:8]
