# -*- test-case-name: tests.unit.test_bus_confirms -*-
"""Which publishes the broker has not confirmed yet, by delivery tag.

Tags rise by one, so what waits is a row of places: a confirm costs as much as it confirms, however many wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")


class UnknownTag(LookupError):
    """The broker confirmed what was not published, or confirmed it twice; drop the connection."""


@attrs.define
class Confirms(Generic[T]):
    """The publishes of one channel; tags start from 1 and rise by one, in the order of publishing."""

    _last: int = 0
    _count: int = 0  # of those that wait
    _row: deque[T | None] = attrs.field(factory=deque)  # the last of it has tag `_last`; None where confirmed
    _batches: deque[tuple[int, float]] = attrs.field(factory=deque)  # last tag, and when it was sent

    def __len__(self) -> int:
        return self._count

    def sent(self, items: Sequence[T], now: float) -> int:
        """Note what was published together; returns the last tag."""
        if items:
            self._last += len(items)
            self._count += len(items)
            self._row.extend(items)
            self._batches.append((self._last, now))
        return self._last

    def settle(self, tag: int, multiple: bool) -> list[T]:
        """The broker acked or nacked a tag, or all up to it. Zero is no tag: it would confirm what was not even read.

        Returns:
            What they carried, in the order of publishing.

        Raises:
            UnknownTag: nothing waits under that tag.
        """
        settled = self._up_to(tag) if multiple else self._one(tag)
        if not settled:
            which = f"all tags up to {tag}, none of which" if multiple else f"tag {tag}, which"
            raise UnknownTag(f"the broker confirmed {which} is waiting (last sent is {self._last})")
        self._count -= len(settled)
        while self._row and self._row[0] is None:
            self._row.popleft()
        first = self._last - len(self._row) + 1
        while self._batches and self._batches[0][0] < first:
            self._batches.popleft()
        return settled

    def head(self) -> float | None:
        """When the oldest one was sent; None where nothing waits."""
        return self._batches[0][1] if self._batches else None

    def clear(self) -> list[T]:
        """The channel is gone: everything that waits, in the order of publishing."""
        items = [item for item in self._row if item is not None]
        self._row.clear()
        self._batches.clear()
        self._count = 0
        return items

    def _one(self, tag: int) -> list[T]:
        place = tag - 1 - self._last  # from the end
        if not -len(self._row) <= place < 0:
            return []
        item, self._row[place] = self._row[place], None
        return [] if item is None else [item]

    def _up_to(self, tag: int) -> list[T]:
        if tag > self._last:
            return []
        take = self._row.popleft
        places = max(0, tag - self._last + len(self._row))
        return [item for _ in range(places) if (item := take()) is not None]
