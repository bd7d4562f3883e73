# -*- test-case-name: tests.unit.test_services_outflow -*-
"""Chunks that the bus has → off the disk, asked for again where the disk refuses."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.bus.spool import Spool


@attrs.define(eq=False)
class Erasing:
    """Erases chunks of one spool.

    Args:
        changed: called when there is more room.
    """

    spool: Spool
    changed: Callable[[], None]
    failures: int = 0  # of the disk, so far
    closed: bool = False  # chunks stay, and come again as repeats
    _refused: list[int] = attrs.field(factory=list)

    log = Logger()

    def erase(self, number: int) -> None:
        """The chunk is no longer needed."""
        if self.closed:
            return

        def refused(failure: Failure) -> None:
            self.log.error("The spool forgets nothing: {error}", error=failure.getErrorMessage())
            self._refused.append(number)
            self.failures += 1

        self.spool.delete(number).addCallbacks(lambda _: self.changed(), refused)

    def again(self) -> None:
        """Ask once more for what the disk refused."""
        refused, self._refused = self._refused, []
        for number in refused:
            self.erase(number)
