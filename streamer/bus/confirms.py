# -*- test-case-name: tests.unit.test_bus_confirms -*-
"""Which publishes the broker has not confirmed yet, by delivery tag."""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

T = TypeVar("T")


class UnknownTag(LookupError):
    """The broker confirmed what was not published, or confirmed it twice; drop the connection."""


@attrs.define
class Confirms(Generic[T]):
    """The publishes of one channel; tags start from 1 and rise by one, in the order of publishing."""

    _last: int = 0
    _waiting: dict[int, tuple[T, float]] = attrs.field(factory=dict)  # rising tags: dicts keep their order

    def __len__(self) -> int:
        return len(self._waiting)

    def sent(self, item: T, now: float) -> int:
        """Note a publish; returns its tag."""
        self._last += 1
        self._waiting[self._last] = (item, now)
        return self._last

    def settle(self, tag: int, multiple: bool) -> list[T]:
        """The broker acked or nacked a tag, or all up to it (0 for all there are).

        Returns:
            What they carried, in the order of publishing.

        Raises:
            UnknownTag: nothing waits under that tag.
        """
        if not multiple:
            found = self._waiting.pop(tag, None)
            if found is None:
                raise UnknownTag(f"the broker confirmed tag {tag}, which is not waiting (last sent is {self._last})")
            return [found[0]]
        settled = []
        for waiting in self._waiting:
            if tag and waiting > tag:
                break
            settled.append(waiting)
        if tag > self._last or not settled:
            raise UnknownTag(f"the broker confirmed all tags up to {tag}, none of which is waiting")
        return [self._waiting.pop(waiting)[0] for waiting in settled]

    def head(self) -> float | None:
        """When the oldest one was sent; None where nothing waits."""
        for _, sent in self._waiting.values():
            return sent
        return None

    def clear(self) -> list[T]:
        """The channel is gone: everything that waits, in the order of publishing."""
        items = [item for item, _ in self._waiting.values()]
        self._waiting.clear()
        return items
