# -*- test-case-name: tests.unit.test_services_outflow -*-
"""Chunks that the bus has → off the disk, asked for again for as long as the disk refuses."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.bus.spool import Spool
from streamer.policy.sample import Sample

AGAIN = 0.25  # seconds


@attrs.define(eq=False)
class Erasing:
    """Erases chunks of one spool.

    Args:
        erased: told of each chunk that is gone.
    """

    spool: Spool
    clock: IReactorTime
    erased: Callable[[int], None]
    failures: int = 0  # of the disk, so far
    _closed: bool = False
    _refused: list[int] = attrs.field(factory=list)
    _call: IDelayedCall | None = None
    _complaints: Sample = attrs.field(factory=Sample)

    log = Logger()

    def erase(self, number: int) -> None:
        """The chunk is no longer needed."""
        if self._closed:
            return  # it comes again as a repeat

        def refused(failure: Failure) -> None:
            self.failures += 1
            if self._complaints.take("", self.clock.seconds()) is not None:
                self.log.error("The spool forgets nothing: {error}", error=failure.getErrorMessage())
            self._refused.append(number)
            if self._call is None and not self._closed:
                self._call = self.clock.callLater(AGAIN, self._again)

        self.spool.delete(number).addCallbacks(lambda _: self.erased(number), refused)

    def close(self) -> None:
        """Ask for nothing more."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _again(self) -> None:
        self._call = None
        refused, self._refused = self._refused, []
        for number in refused:
            self.erase(number)
