# -*- test-case-name: tests.unit.test_services_cold -*-
"""Every second: has the journal of a relay let go what is too old or no longer needed, and measures what it holds."""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from streamer.fanout.hub import Hub
from streamer.metrics import COLD_ENTRIES, JOURNAL_BYTES, JOURNAL_ENTRIES, JOURNAL_EVICTED, JOURNAL_FLOOR

BEAT = 1.0  # seconds


@attrs.define(eq=False)
class Upkeep:
    """Of one journal."""

    _hub: Hub
    _clock: IReactorTime
    _beating: LoopingCall = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._beating = LoopingCall(self._beat)
        self._beating.clock = self._clock

    def start(self) -> None:
        """Begin."""
        self._beating.start(BEAT, now=False)

    def stop(self) -> None:
        """Leave the journal as it is."""
        if self._beating.running:
            self._beating.stop()

    def _beat(self) -> None:
        journal, metrics = self._hub.journal, self._hub.metrics
        evicted = journal.expire(self._clock.seconds())
        if evicted:
            metrics.add(JOURNAL_EVICTED, by=evicted)
        metrics.set(COLD_ENTRIES, to=journal.held.warm - journal.floor)
        metrics.set(JOURNAL_ENTRIES, to=journal.head - journal.floor)
        metrics.set(JOURNAL_BYTES, to=journal.bytes)
        metrics.set(JOURNAL_FLOOR, to=journal.arrivals.oldest or 0.0)
