# -*- test-case-name: tests.unit.test_services_progress -*-
"""Where one source got to, and what it is known to have missed.

Whatever interrupts a source, the next connection either repeats what was posted meanwhile, or a recovery fetches it,
or a gap says from when to when it is missing, and why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from streamer import metrics as m
from streamer.bus.spool import Spool
from streamer.gap import Gap
from streamer.message import Item
from streamer.metrics import Metrics
from streamer.policy.losses import Losses
from streamer.policy.safe import MARGIN_MS, Safe
from streamer.services.intake import Intake
from streamer.services.keeping import Cursor, Kept
from streamer.services.leg import Leg
from streamer.upstream import Resume

TOLD = 100  # losses announced and not known to be safe with the bus

# from, to (ms), cause, cursor of the last item before → whether a recovery fetches it
Recover = Callable[[int, int, str, str | None], bool]


@attrs.define(eq=False)
class Progress:
    """The progress of one source.

    Args:
        recover: begins a recovery where the source has one.
        ask_all: the first connection of this process asks for all that the upstream can repeat, because the bus
            forgot what an earlier process gave it.
    """

    source: str
    intake: Intake
    clock: IReactorTime
    metrics: Metrics
    recover: Recover
    ask_all: bool = False
    cause: str = "restart"  # of the interruption that the next connection ends
    safe: Safe = attrs.field(factory=Safe)
    losses: Losses = attrs.field(factory=Losses)
    last_item: float = 0.0  # seconds since the epoch
    _told: deque[tuple[int, Gap]] = attrs.field(factory=lambda: deque(maxlen=TOLD))  # by the batch they went with

    log = Logger()

    def restore(self, kept: Kept, spool: Spool | None) -> None:
        """Go on where an earlier process stopped, with the disk it used."""
        if kept.resume is not None:
            self.safe.reached, self.intake.cursor = kept.resume.received, kept.resume.cursor
        outflow = self.intake.outflow
        outflow.under_way.reached = kept.cursor.confirmed
        if kept.stored is not None and spool is not None:
            self.intake.remember(kept.stored.ids)
            spooling = outflow.use(spool, kept.stored.number, kept.resume if kept.stored.items else None)
            spooling.failures += kept.stored.moved is not None
        for gap in kept.cursor.losses:
            self.announce(gap)

    @property
    def resume(self) -> Resume | None:
        """Where the next connection is to begin."""
        if self.safe.reached is None or self.ask_all:
            return None
        return Resume(received=self.safe.reached, cursor=self.intake.cursor)

    @property
    def cursor(self) -> Cursor:
        """What may be kept on disk: with losses that were announced, until the bus has the announcement."""
        outflow = self.intake.outflow
        if outflow.empty and self.safe.reached is not None:
            resume = Resume(received=self.safe.reached, cursor=self.intake.cursor)
            return Cursor(confirmed=resume, losses=self.losses.open)
        losses = (*(gap for number, gap in self._told if number > outflow.under_way.number), *self.losses.open)
        spooled, number = outflow.spooled
        return Cursor(confirmed=outflow.under_way.reached, spooled=spooled, number=number, losses=losses)

    def begin(self, leg: Leg) -> None:
        """A connection is in charge after an interruption."""
        since = None if leg.request is None else leg.request.replays_from
        covered = leg.opened_ms if since is None else since
        under_way = self.intake.outflow.under_way
        if self.safe.reached is None:  # nothing was promised before
            self.safe.reached = covered
            under_way.reached = under_way.reached or Resume(received=covered)
        else:
            start = min(self.safe.reached, leg.opened_ms) - MARGIN_MS  # a clock that was set back lies before it
            if covered > start:
                self.missing(start, covered, self.cause)
        self.follow(leg)

    def follow(self, leg: Leg, behind: Leg | None = None) -> None:
        """A connection is in charge; as long as it repeats the past, nothing new is safe.

        Args:
            behind: the one before it, which was still bringing items when it had to go; what it had not brought yet
                of the time before this one is missing.
        """
        if behind is not None and leg.request is not None:
            reached, covered = behind.posted, leg.request.replays_from or leg.opened_ms
            if reached is not None and reached < covered:
                self.missing(reached, covered, "renewal")
        self.last_item = max(self.last_item, self.clock.seconds())
        self.heard(leg)

    def heard(self, leg: Leg) -> None:
        """The connection in charge brought bytes, and everything in them was taken."""
        if leg.catch_up is not None and leg.catch_up.over:
            self.safe.release("repetition")
            now_ms = _ms(self.clock)
            self.safe.heard(now_ms - leg.lag_ms, now_ms)
            self.ask_all = False
        else:
            self.safe.hold("repetition")

    def take(self, items: list[Item]) -> int:
        """Hand items on; returns how many were new."""
        self.last_item = self.clock.seconds()
        self.metrics.set(m.LAST_ITEM, self.source, to=self.last_item)
        return self.intake.take(items, self.safe.reached, moves=not self.safe.held("recovery"))

    def missing(self, start_ms: int, end_ms: int, cause: str) -> None:
        """A span of time was missed: fetch it, or say so."""
        busy = self.safe.held("recovery")  # another span is being fetched, and goes on
        self.safe.hold("recovery")
        if not self.recover(start_ms, end_ms, cause, self.intake.cursor):
            if not busy:
                self.safe.release("recovery")
            self.announce(Gap(start=start_ms, end=end_ms, cause=cause))

    def recovered(self, gap: Gap | None) -> None:
        """A recovery is over; a gap is what it could not fetch."""
        self.safe.release("recovery")
        if gap is not None:
            self.announce(gap)

    def lost(self, cause: str, count: int) -> None:
        """Single items were lost; they are announced together."""
        now_ms = _ms(self.clock)
        self.losses.note(cause, count, min(self.safe.reached or now_ms, now_ms) - MARGIN_MS, now_ms)

    def announce(self, gap: Gap) -> None:
        """Publish a gap."""
        self.metrics.add(m.GAPS, self.source, gap.cause)
        self.log.warn(
            "{source} missed what was posted in {seconds:.1f} s, because of {cause}.",
            source=self.source,
            seconds=(gap.end - gap.start) / 1000,
            cause=gap.cause,
        )
        self.intake.take([gap.item(self.source, _ms(self.clock))], self.safe.reached)
        if gap.missed is not None:
            self._told.append((self.intake.outflow.number, gap))


def _ms(clock: IReactorTime) -> int:
    return int(clock.seconds() * 1000)
