# -*- test-case-name: tests.unit.test_services_intake -*-
"""Services that start in order and stop in reverse, each after the one before is quiet.

A plain MultiService stops all its children at once; then a worker that is finishing a message would find its bus
gone. Here the upstream side stops first and the bus last, so what was begun is finished.
"""

from __future__ import annotations

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger


class Staged(MultiService):
    """A MultiService with an order."""

    log = Logger()

    def stopService(self) -> Deferred[None]:
        """Stop the children, last first; fires when the first one is quiet."""
        self.running = 0
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for service in reversed(self.services):
            try:
                await maybeDeferred(service.stopService)
            except Exception:  # the others are to stop all the same
                self.log.failure("while stopping {service}", service=type(service).__name__)
