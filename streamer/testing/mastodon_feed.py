# -*- test-case-name: tests.unit.test_testing_mastodon -*-
"""From invented statuses to what the streams send and the timelines keep."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, NamedTuple

import attrs
import msgspec

from streamer.testing.history import Line
from streamer.testing.ledger import Ledger
from streamer.testing.mastodon_channels import channels_of
from streamer.testing.mastodon_statuses import Document, StatusGenerator, edited
from streamer.testing.recorder import Recorder

KEPT = 20_000  # statuses in the timelines

_encode = msgspec.json.Encoder().encode


class About(NamedTuple):
    """Of a line: which event it is, and which channels it goes to."""

    event: str
    channels: frozenset[str]


@attrs.define
class Timelines:
    """The statuses that are there, by id."""

    _ids: list[int] = attrs.field(factory=list)  # rising
    _statuses: dict[int, tuple[Document, frozenset[str]]] = attrs.field(factory=dict)

    def add(self, status: Document, channels: frozenset[str]) -> None:
        """A status was made; one that is there already was changed."""
        id_ = int(status["id"])
        if id_ not in self._statuses:
            self._ids.insert(bisect_left(self._ids, id_), id_)
        self._statuses[id_] = (status, channels)
        for old in self._ids[: max(0, len(self._ids) - KEPT)]:
            self.remove(str(old))

    def remove(self, id_: str) -> frozenset[str]:
        """A status was deleted; returns the channels it was in."""
        number = int(id_)
        if number not in self._statuses:
            return frozenset()
        del self._ids[bisect_left(self._ids, number)]
        return self._statuses.pop(number)[1]

    def last(self, place: int) -> Document | None:
        """One of the last statuses that are no reposts."""
        found = [self._statuses[id_][0] for id_ in self._ids[-100:]]
        own = [status for status in found if status["reblog"] is None]
        return own[place % len(own)] if own else None

    def page(self, channel: str, limit: int, *, newer: int | None, since: int, older: int | None) -> list[Document]:
        """Some statuses of a channel, the newest first.

        Args:
            newer: those that follow this id at once (`min_id`).
            since: none older than this id, the newest first (`since_id`).
            older: none newer than this id (`max_id`).
        """
        end = len(self._ids) if older is None else bisect_left(self._ids, older)
        start = bisect_left(self._ids, (since if newer is None else newer) + 1)
        found: list[Document] = []
        for id_ in self._order(start, end, forward=newer is not None):
            status, channels = self._statuses[id_]
            if channel in channels:
                found.append(status)
                if len(found) == limit:
                    break
        return found[::-1] if newer is not None else found

    def _order(self, start: int, end: int, *, forward: bool) -> Iterator[int]:
        places = range(start, end) if forward else range(end - 1, start - 1, -1)
        return (self._ids[place] for place in places)


@attrs.define
class MastodonFeed:
    """Makes events, and puts them where connections and timelines read.

    Args:
        deleted, changed, passed_on, notified: shares of statuses after which an earlier one is deleted, edited or
            reposted, or a notification is sent.
    """

    generator: StatusGenerator
    timelines: Timelines
    ledger: Ledger
    recorder: Recorder
    deleted: float
    changed: float
    passed_on: float
    notified: float

    def make(self, number: int) -> int:
        """Make that many statuses. Returns how many."""
        now_ms, chance = self.recorder.now_ms, self.generator.chance
        for _ in range(number):
            self._put(self.generator.status(now_ms), now_ms)
            if chance.random() < self.deleted:
                self.delete()
            if chance.random() < self.changed:
                self._edit(now_ms)
            if chance.random() < self.passed_on:
                self._pass_on(now_ms)
            if chance.random() < self.notified:
                self._notify(now_ms)
        return number

    def inject(self, text: str, **fields: Any) -> str:
        """Make one status with this text; see `StatusGenerator.inject`. Returns its id."""
        now_ms = self.recorder.now_ms
        status = self.generator.inject(now_ms, text, **fields)
        self._put(status, now_ms)
        return str(status["id"])

    def say(self, event: str, payload: bytes, channels: frozenset[str]) -> None:
        """Send anything."""
        self.recorder.put([Line(payload, about=About(event, channels))])

    def delete(self, id_: str | None = None) -> None:
        """Delete a status, any of the last where none is named."""
        gone = self.generator.gone() if id_ is None else id_
        if gone is not None:
            channels = self.timelines.remove(gone)
            self.ledger.deleted(gone)
            self.say("delete", gone.encode(), channels)

    def _put(self, status: Document, now_ms: int) -> None:
        channels = channels_of(status)
        id_ = str(status["id"])
        self.timelines.add(status, channels)
        self.ledger.posted(id_, now_ms)
        self.recorder.put([Line(_encode(status), id_, About("update", channels))])

    def _edit(self, now_ms: int) -> None:
        status = self.timelines.last(self.generator.chance.randrange(100))
        if status is not None:
            changed = edited(status, now_ms)
            channels = channels_of(changed)
            self.timelines.add(changed, channels)
            self.say("status.update", _encode(changed), channels)

    def _pass_on(self, now_ms: int) -> None:
        original = self.timelines.last(self.generator.chance.randrange(100))
        if original is not None:
            status = self.generator.repost(now_ms, original)
            channels = channels_of(status)
            self.timelines.add(status, channels)
            self.say("update", _encode(status), channels)

    def _notify(self, now_ms: int) -> None:
        status = self.timelines.last(self.generator.chance.randrange(100))
        if status is not None:
            said = _encode(self.generator.notification(now_ms, status))
            self.say("notification", said, frozenset({"user", "user:notification"}))
