# -*- test-case-name: tests.unit.test_services_source -*-
"""All there is of one source: its connections, its files, its predicates, and what an operator may do to it."""

from __future__ import annotations

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from streamer import metrics as m
from streamer.errors import StreamerError
from streamer.interfaces import ISource
from streamer.metrics import Metrics
from streamer.policy.course import State
from streamer.policy.rate import Rate
from streamer.policy.stall import Staleness
from streamer.services.alignment import Alignment
from streamer.services.fatal import Fatal
from streamer.services.follower import Follower
from streamer.services.keeping import Keeping
from streamer.services.progress import Progress
from streamer.services.recovery import Recovery
from streamer.services.tenure import Tenure
from streamer.services.wanted import Wanted
from streamer.upstream import Ending

DRAIN = 10.0  # seconds that a stop waits for the bus to confirm what was read
TICK = 1.0  # seconds between two looks at files and clocks


@attrs.define(eq=False)
class SourceService(Service):
    """Follows one source from start to stop.

    Args:
        keeping: None where nothing is kept.
        fatal: told where the source cannot be followed, or must not be any more.
        tenure: sees to it that nobody else follows it.
    """

    wanted: Wanted
    follower: Follower
    progress: Progress
    recovery: Recovery
    alignment: Alignment
    keeping: Keeping | None
    clock: IReactorTime
    metrics: Metrics
    staleness: Staleness
    fatal: Fatal
    tenure: Tenure
    following: bool = True  # what the operator wants
    open: bool = False  # what was kept has been read
    rate: Rate = attrs.field(factory=Rate)  # of items
    _beginning: Deferred[None] = attrs.field(factory=lambda: succeed(None))
    _tick: IDelayedCall | None = None
    _good: ISource | None = None  # what was live before a change that was refused
    _damaged: int = 0  # items that the spool lost, already counted

    log = Logger()

    def startService(self) -> None:
        """Begin to follow."""
        Service.startService(self)
        self._beginning = Deferred.fromCoroutine(self._begin())

    def stopService(self) -> Deferred[None]:
        """Hang up at once, whatever is under way; fires when the bus, or the disk, has what was read."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._end())

    def follow(self, *, asked: bool = False) -> None:
        """Follow, unless that is under way; `asked` brings what is wanted into force."""
        self.following = True
        if not self.open:
            return
        if asked:
            self.look()
            pending = self.pending
            self.follower.drive(lambda now: self.follower.course.update(now, pending, asked=self.renews))
        self.follower.drive(self.follower.course.start)
        self.alignment.begin()

    def hang_up(self) -> None:
        """Let every connection go and stay away."""
        self.following = False
        self.alignment.stop()
        self.recovery.cancel()
        self.follower.drive(lambda now: self.follower.course.stop())
        self.progress.cause = "stopped"
        self.progress.safe.release("recovery")  # the point stays where it is until the next connection
        self.follower.said, self.follower.live = "", None  # somebody may change it meanwhile

    def want(self, source: ISource) -> None:
        """Want other predicates, and bring them into force when that may be."""
        self.wanted.source = self.follower.wanted = source
        self.wanted.problem = None
        if self.open and self.following:
            pending = self.pending
            if self.renews or self.follower.course.state in (State.FAILED, State.WAITING):
                self.follower.drive(lambda now: self.follower.course.update(now, pending, asked=False))
            self.alignment.begin()
        self.measure()

    def look(self) -> None:
        """See whether the file asks for something else."""
        found = self.wanted.look()
        if found is not None and found.changes(self.wanted.source):
            self.log.info("{source} is asked for other predicates by its file.", source=found.name)
            self.want(found)

    def refused(self, ending: Ending) -> bool:
        """The upstream will not have what is wanted: go back to what it had. Says whether there was such a thing."""
        live = self.follower.live or self._good
        reverts = live is not None and self.wanted.source.changes(live) > 0
        if live is not None and reverts:
            refused = self.wanted.source.predicates
            self.wanted.source = self.follower.wanted = live
            if refused == self.wanted.written:  # by an operator's wish, which is not to outlive its refusal
                self.wanted.keep()
            self.wanted.problem = f"the upstream refused other predicates: {ending.detail}"
            self.log.error("{source} stays as it was: {why}.", source=live.name, why=self.wanted.problem)
            if live.live_predicates:  # half of the change may have been made: have it undone
                self._good, self.follower.live = live, None
            self.measure()
        return reverts

    @property
    def renews(self) -> bool:
        """Other predicates need another connection."""
        return self.wanted.kind.predicates is None or not self.wanted.source.live_predicates

    @property
    def pending(self) -> int:
        """How many predicates wait for another connection."""
        newest = self.follower.newest
        return 0 if newest is None or not self.renews else self.wanted.source.changes(newest)

    async def _begin(self) -> None:
        try:
            if not await self.tenure.begin():
                return
            if self.keeping is not None:
                self.progress.restore(await self.keeping.open(), self.keeping.spool)
            self.open = True
            if self.running:
                self.look()
                if self.following:
                    self.follow()
                self._on_tick()
        except StreamerError as error:
            self.follower.said = str(error)
            self.fatal(str(error))
        except Exception as error:
            self.log.failure("while starting {source}; this is a defect", source=self.wanted.source.name)
            self.fatal(f"The source {self.wanted.source.name} cannot start: {error!r}")

    async def _end(self) -> None:
        self.tenure.leave()
        await self._beginning
        following = self.following
        self.hang_up()
        self.following = following
        if not self.open:
            await self.tenure.end()
            return
        self.open = False
        if self._tick is not None and self._tick.active():
            self._tick.cancel()
        for gap in self.progress.losses.due(0, all_of_them=True):
            self.progress.announce(gap)
        await self.progress.intake.outflow.close(DRAIN)
        try:
            if self.keeping is not None:
                await self.keeping.close(self.progress.cursor)
        finally:
            await self.tenure.end()

    def _on_tick(self) -> None:
        self._tick = self.clock.callLater(TICK, self._on_tick)
        now = self.clock.seconds()
        self.rate.look(now, self.progress.intake.items)
        self.look()
        for gap in self.progress.losses.due(int(now * 1000)):
            self.progress.announce(gap)
        quiet = now - self.progress.last_item
        if self.staleness.look(quiet, connected=self.follower.connected):
            self.metrics.set(m.SOURCE_STALE, self.wanted.source.name, to=int(self.staleness.stale))
            if self.staleness.stale:
                self.log.warn(
                    "{source} is open, but has sent no item for {quiet:.0f} s.",
                    source=self.wanted.source.name,
                    quiet=quiet,
                )
        if self.keeping is not None:
            self.keeping.write(self.progress.cursor)
            damaged = 0 if self.keeping.spool is None else self.keeping.spool.damaged_items
            if damaged > self._damaged:
                self.progress.lost("spool", damaged - self._damaged)
                self._damaged = damaged

    def measure(self) -> None:
        """Say how much of what is wanted is not live."""
        live = self.follower.live
        changes = 0 if live is None else self.wanted.source.changes(live)
        self.metrics.set(m.PENDING_PREDICATES, self.wanted.source.name, to=changes)
