# -*- test-case-name: tests.unit.test_services_taking -*-
"""Who waits for the bus to have everything up to a batch."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from streamer.errors import MessageRefused


@attrs.define(eq=False)
class _Row:
    """One who waits; his own are the batches after `since` up to `number`, or, where there are none, that one."""

    since: int
    number: int
    waiting: Deferred[None]
    refusal: str = ""

    def owns(self, number: int) -> bool:
        return self.since < number <= self.number or number == self.number


@attrs.define(eq=False)
class Settling:
    """Those who wait, each for the batch of a number and all before it."""

    _rows: list[_Row] = attrs.field(factory=list)
    _refused: tuple[int, str] = (0, "")  # the last batch of which the bus refused an item, and why

    def wait(self, number: int, since: int) -> Deferred[None]:
        """Fires when the bus has that batch and all before it; may be cancelled.

        Fails with `MessageRefused` once it has answered for them where it refused an item of theirs for ever.

        Args:
            since: the last batch before theirs.
        """

        def forget(_: object) -> None:
            self._rows = [other for other in self._rows if other is not row]

        waiting: Deferred[None] = Deferred(forget)
        row = _Row(since, number, waiting, self.refusal(number, since))
        self._rows.append(row)
        return waiting

    def refusal(self, number: int, since: int) -> str:
        """Why an item of the batches after `since` was refused; empty where none was."""
        refused, why = self._refused
        return why if since < refused <= number else ""

    def refused(self, number: int, why: str) -> None:
        """The bus refused an item of this batch for ever."""
        self._refused = (number, why)
        for row in self._rows:
            if row.owns(number):
                row.refusal = row.refusal or why

    def reached(self, number: int, *, empty: bool) -> None:
        """The bus has answered for everything up to this batch; `empty` where nothing at all is under way."""
        due = [row for row in self._rows if empty or row.number <= number]
        self._rows = [row for row in self._rows if row not in due]
        for row in due:
            if row.refusal:
                row.waiting.errback(MessageRefused(row.refusal))
            else:
                row.waiting.callback(None)
