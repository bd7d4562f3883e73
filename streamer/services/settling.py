# -*- test-case-name: tests.unit.test_services_taking -*-
"""Who waits for the bus to have everything up to a batch."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred


@attrs.define(eq=False)
class Settling:
    """Those who wait, each for the batch of a number and all before it."""

    _waiting: list[tuple[int, Deferred[None]]] = attrs.field(factory=list)

    def wait(self, number: int) -> Deferred[None]:
        """Fires when the bus has that batch and all before it; may be cancelled."""

        def forget(_: object) -> None:
            self._waiting = [row for row in self._waiting if row[1] is not waiting]

        waiting: Deferred[None] = Deferred(forget)
        self._waiting.append((number, waiting))
        return waiting

    def reached(self, number: int, *, empty: bool) -> None:
        """The bus has everything up to this batch; `empty` where nothing at all is under way."""
        due = [row for row in self._waiting if empty or row[0] <= number]
        self._waiting = [row for row in self._waiting if row not in due]
        for _, waiting in due:
            waiting.callback(None)
