# -*- test-case-name: tests.unit.test_policy_small -*-
"""Confirmations in any order → the contiguous prefix that is safe to resume after.

An item's place in the upstream may be trusted only once that item *and all before it* are the broker's: storing
the newest confirmed one would lose whatever was still under way when the process died.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")


@attrs.define(eq=False)
class Ticket(Generic[T]):
    value: T
    done: bool = False


@attrs.define
class Checkpoint(Generic[T]):
    """The values of items under way, in order.

    Bounded by its owner, who stops reading at the bus's window.
    """

    reached: T | None = None  # value of the last item of the contiguous prefix
    _under_way: deque[Ticket[T]] = attrs.field(factory=deque)

    def begin(self, value: T) -> Ticket[T]:
        """An item with this value was handed to the bus."""
        ticket = Ticket(value)
        self._under_way.append(ticket)
        return ticket

    def done(self, ticket: Ticket[T]) -> None:
        """The bus took responsibility for it (or refused it for good)."""
        ticket.done = True
        while self._under_way and self._under_way[0].done:
            self.reached = self._under_way.popleft().value

    def __len__(self) -> int:
        """How many are not part of the prefix yet."""
        return len(self._under_way)
