# -*- test-case-name: tests.unit.test_services_cold -*-
"""Older events, read from the log again for clients that come back late.

Whoever names a position below the journal's floor waits here, by way of `Journal.older`. One stretch of the log is
read at a time, from the lowest position that is waited for: it serves all those above as well. Everything is bounded:
how many positions may wait, how long, how many bytes are read and how often in vain. Who meets a bound is begun with
what there is, and told.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.errors import BusStopped
from streamer.fanout.bucket import Bucket
from streamer.fanout.hub import Hub
from streamer.fanout.position import Mark
from streamer.fanout.stretch import Outcome, Stretch, refill
from streamer.interfaces import IBus, Offset
from streamer.message import Entry
from streamer.metrics import COLD_READS
from streamer.services.cold_waiting import Waiting

SETTLE = 1.0  # seconds in which the journal has read what was read here
READ_LIMIT = 10.0  # seconds that one stretch may take
VAIN_RATE, VAIN_BURST = 1.0, 20.0  # reads a second, and at once, that may come to nothing


@attrs.define(eq=False)
class ColdReads:
    """Of one relay.

    Args:
        bus: running while this is.
    """

    log = Logger()

    _hub: Hub
    _bus: IBus
    _clock: IReactorTime
    _waiting: Waiting = attrs.field(factory=Waiting)
    _vain: Bucket = attrs.field(init=False)
    _started: bool = False
    _running: Deferred[None] | None = None

    def __attrs_post_init__(self) -> None:
        self._vain = Bucket(VAIN_RATE, VAIN_BURST, self._clock.seconds())

    def start(self) -> None:
        """Read for the journal from now on, unless it may hold nothing older."""
        self._started = self._hub.journal.cold_limit > 0
        self._hub.journal.older = self.want if self._started else None

    def stop(self) -> Deferred[None]:
        """Read no more; fires when all is quiet."""
        return Deferred.fromCoroutine(self._stop())

    def want(self, mark: Mark) -> bool:
        """Whether a position that is not to be found is being read, or will be: wait, and ask again."""
        now = self._clock.seconds()
        if not self._started:
            return False
        if not self._waiting.take(mark, now):
            if self._waiting.full:
                self._hub.metrics.add(COLD_READS, Outcome.LIMIT.value)
            return False
        if self._running is None:
            running = self._running = Deferred.fromCoroutine(self._run())
            running.addErrback(self._broken)
        return True

    async def _stop(self) -> None:
        self._started, self._hub.journal.older = False, None
        running = self._running
        if running is not None:
            running.cancel()
            await running

    async def _run(self) -> None:
        try:
            await deferLater(self._clock, 0)  # those who come in one turn are served together
            while (mark := self._waiting.lowest(self._clock.seconds())) is not None:
                while not self._vain.take(self._clock.seconds()):
                    await deferLater(self._clock, 1 / VAIN_RATE)
                journal = self._hub.journal
                stretch = Stretch(mark, max(0, journal.cold_limit - journal.held.cold_bytes), journal)
                outcome = await self._read(stretch)
                if outcome is Outcome.READ:
                    self._vain.charge(-1)
                self._settle(stretch, outcome)
        finally:
            self._running = None

    async def _read(self, stretch: Stretch) -> Outcome:
        """Read until it joins the journal, or will not."""
        journal, done, settling = self._hub.journal, Deferred[Outcome](), list[IDelayedCall]()

        def over(outcome: Outcome) -> None:
            if not done.called:
                reader.pause()
                done.callback(outcome)

        def receive(entry: Entry) -> None:
            if done.called:
                return
            outcome = stretch.take(entry)
            if outcome is None and not self._waiting.reaches(stretch.reach):
                outcome = Outcome.LIMIT
            if outcome is not None:
                over(outcome)

        def caught_up(_: object) -> None:
            if journal.edge is None:  # there is nothing to join, unless the newest entries are on their way there
                reader.pause()
                settling.append(self._clock.callLater(SETTLE, settled))

        def settled() -> None:
            outcome = Outcome.READ if journal.edge is None else stretch.meet()
            if outcome is None:
                reader.resume()
            else:
                over(outcome)

        try:
            reader = self._bus.log(Offset(stretch.mark.offset), receive)
        except BusStopped:
            return Outcome.FAILED
        reader.caught_up.addCallback(caught_up)
        late: IDelayedCall = self._clock.callLater(
            READ_LIMIT, lambda: over(Outcome.FAILED if stretch.oldest is None else Outcome.LIMIT)
        )
        try:
            outcome = await done
            return await self._refill(stretch) if outcome is Outcome.READ else outcome
        finally:
            for call in (late, *settling):
                if call.active():
                    call.cancel()
            await reader.stop()

    async def _refill(self, stretch: Stretch) -> Outcome:
        """Put what was read before the journal, a piece in a turn; the first at once, before its floor can move."""
        outcome = Outcome.FAILED
        for base, piece in stretch.pieces():
            if outcome is Outcome.LIMIT:
                await deferLater(self._clock, 0)
            if not refill(self._hub, base, piece):
                return outcome  # from the second on only because the journal holds no more of what is older
            outcome = Outcome.LIMIT
        return Outcome.READ

    def _settle(self, stretch: Stretch, outcome: Outcome) -> None:
        """Let go whoever need not wait any more."""
        self._hub.metrics.add(COLD_READS, outcome.value)
        journal, mark, now = self._hub.journal, stretch.mark, self._clock.seconds()
        if stretch.disproved:
            journal.sights.disprove(mark)
        if outcome is Outcome.EXPIRED and stretch.oldest is not None:
            self._waiting.refuse_below(stretch.oldest, now)
        elif outcome is Outcome.LIMIT or (outcome is Outcome.READ and stretch.reach > mark.offset):
            self._waiting.refuse_below(max(stretch.reach, mark.offset + 1), now)
        self._waiting.settle(mark, journal, now)
        self.log.info(
            "Older events were asked for from offset {offset}: {outcome}; the journal begins at {floor} now",
            offset=mark.offset,
            outcome=outcome.value,
            floor=journal.position(journal.floor),
        )

    def _broken(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("while older events were read; this is a defect", failure=failure)
