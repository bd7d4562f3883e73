"""What went into a cluster under fire and what came out, and the judgement of it. Knows no bus and no clock."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

ITEM = "birds/"  # how an item's message id begins
SHOWN = 5  # examples in a complaint


def item_id(author: int | str, number: int) -> str:
    """Message id of an author's item."""
    return f"{ITEM}{author}:{number}"


def derived_id(item: str) -> str:
    """Message id of the event that a worker makes of an item."""
    return f"/sources/birds#post:{item.removeprefix(ITEM)}"


def event_id(author: int | str, number: int) -> str:
    """Message id of an event that the publisher itself makes."""
    return f"/sources/birds#note:{author}:{number}"


def author_of(message_id: str) -> tuple[str, int]:
    """An author (as this kind of message has it) and their number, out of a message id."""
    head, _, number = message_id.rpartition(":")
    return head, int(number)


@attrs.define
class Pauses:
    """The longest time between two of something: in the phase under way, and in all."""

    longest: float = 0.0
    phase: float = 0.0
    _last: float | None = None

    def note(self, now: float) -> None:
        """One came."""
        if self._last is not None:
            self.phase = max(self.phase, now - self._last)
            self.longest = max(self.longest, self.phase)
        self._last = now

    def turn(self, now: float) -> float:
        """A phase ends: its longest pause, one that still lasts included. It goes on into the next one."""
        lasting = now - self._last if self._last is not None else 0.0
        longest, self.phase = max(self.phase, lasting), 0.0
        return longest


@attrs.define
class Ledger:
    """Ids, in the order in which things happened to them.

    Attributes:
        confirmed: ids of messages that the bus said it has.
        handled: items in the order in which handlers were given them, those of all workers in one list.
        entries: for each reader, offset and id of each entry, in the order it got them.
    """

    published: int = 0
    confirmed: set[str] = attrs.field(factory=set)
    handled: list[str] = attrs.field(factory=list)
    entries: Sequence[list[tuple[int, str]]] = attrs.field(factory=lambda: ([], []))
    pauses: Mapping[str, Pauses] = attrs.field(
        factory=lambda: {what: Pauses() for what in ("confirms", "deliveries", "entries")}
    )

    def complaints(self, ordered: bool) -> list[str]:
        """Every broken promise, as a sentence; none where all is well.

        Args:
            ordered: whether the items of an author must have been handled in order.
        """
        items = {id_ for id_ in self.confirmed if id_.startswith(ITEM)}
        first, *others = self.entries
        logged = {id_ for _, id_ in first}
        expected = (self.confirmed - items) | {derived_id(item) for item in self.handled}
        notes = [id_ for id_ in logged_once(first) if "#note:" in id_]
        found = [
            *_some("items were confirmed and never handled", items - set(self.handled)),
            *_some("events were confirmed and are not in the log", expected - logged),
            *_some("events of an author are in the log out of order", disordered(notes)),
        ]
        if ordered:
            found += _some("items of an author were handled out of order", disordered(once(self.handled)))
            derived = [id_ for id_ in logged_once(first) if "#post:" in id_]
            found += _some("derived events are in the log out of order", disordered(derived))
        for number, entries in enumerate(self.entries):
            offsets = [offset for offset, _ in entries]
            wrong = [str(b) for a, b in itertools.pairwise(offsets) if b <= a]
            found += _some(f"entries came to reader {number} twice or out of order", wrong)
        for number, entries in enumerate(others, 1):
            if entries != first:
                differing = [f"{a} here, {b} there" for a, b in zip(first, entries, strict=False) if a != b]
                found += _some(f"entries differ between reader 0 and reader {number}", differing or ["at the end"])
        return found

    def numbers(self) -> dict[str, Any]:
        """What a report says of it."""
        items = sum(id_.startswith(ITEM) for id_ in self.confirmed)
        ids = [id_ for _, id_ in self.entries[0]]
        return {
            "published": self.published,
            "confirmed": {"items": items, "events": len(self.confirmed) - items},
            "handled": len(set(self.handled)),
            "handled_again": len(self.handled) - len(set(self.handled)),
            "entries": len(ids),
            "entries_again": len(ids) - len(set(ids)),
            "longest_pause": {what: round(pauses.longest, 2) for what, pauses in self.pauses.items()},
        }


def once(ids: Iterable[str]) -> list[str]:
    """The first occurrence of each, in order."""
    return list(dict.fromkeys(ids))


def logged_once(entries: Iterable[tuple[int, str]]) -> list[str]:
    """Ids of a log as who drops repeats sees them."""
    return once(id_ for _, id_ in entries)


def disordered(ids: Iterable[str]) -> list[str]:
    """Those that come after a later one of the same author."""
    last: Counter[str] = Counter()
    late = []
    for id_ in ids:
        author, number = author_of(id_)
        if number < last[author]:
            late.append(id_)
        last[author] = max(last[author], number)
    return late


def _some(what: str, examples: Iterable[str]) -> list[str]:
    listed = sorted(examples)
    return [f"{len(listed)} {what}, e.g. {', '.join(listed[:SHOWN])}"] if listed else []
