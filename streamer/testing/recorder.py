# -*- test-case-name: tests.unit.test_testing_x -*-
"""The way into the history, for whatever makes messages: faults disturb them, the clock dates them."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from twisted.internet.interfaces import IReactorTime

from streamer.testing.faults import Faults
from streamer.testing.history import History, Line


@attrs.define
class Recorder:
    """Writes lines to the history."""

    clock: IReactorTime
    history: History
    faults: Faults

    @property
    def now_ms(self) -> int:
        """The time, ms since the epoch."""
        return int(self.clock.seconds() * 1000)

    def put(self, lines: Iterable[Line]) -> None:
        """Add lines; faults may double, swap or hold back some."""
        self._append(self.faults.disturb(lines))

    def release(self) -> None:
        """No more lines come: let go of one that a fault held back."""
        self._append(self.faults.release())

    def _append(self, lines: Iterable[Line]) -> None:
        now_ms = self.now_ms
        for line in lines:
            self.history.append(now_ms, line)
