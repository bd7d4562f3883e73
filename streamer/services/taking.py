# -*- test-case-name: tests.unit.test_services_taking -*-
"""For those who owe somebody an answer: may items be brought now, and when does the bus have them?"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from streamer import metrics as m
from streamer.errors import MessageRefused
from streamer.services.intake import Intake


@attrs.frozen
class Taking:
    """An intake as `net.stream.Taker` has it."""

    intake: Intake

    @property
    def unwilling(self) -> str:
        """See `stream.Taker`."""
        if not self.intake.outflow.bus.ready:
            return "the bus cannot take anything at the moment"
        return self.intake.trouble

    def sent_away(self) -> None:
        """See `stream.Taker`."""
        self.intake.metrics.add(m.SENT_AWAY, self.intake.source)
        self.intake.lost("sent-away", 1)

    @property
    def taken(self) -> int:
        """See `stream.Taker`."""
        return self.intake.outflow.number

    def settled(self, since: int) -> Deferred[None]:
        """See `stream.Taker`."""
        outflow = self.intake.outflow
        if not outflow.empty:
            return outflow.settling.wait(outflow.number, since)
        refusal = outflow.settling.refusal(outflow.number, since)
        return fail(MessageRefused(refusal)) if refusal else succeed(None)
