# -*- test-case-name: tests.unit.test_services_source -*-
"""Settings of one source → its service, with everything that belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
from twisted.internet.interfaces import IReactorTime

from streamer.bus.spool import Spool
from streamer.bus.state_lock import StateLock
from streamer.interfaces import IBus, ISource
from streamer.metrics import Metrics
from streamer.net.client import UpstreamClient
from streamer.policy import backoff
from streamer.policy.backoff import Backoff
from streamer.policy.course import Course
from streamer.policy.legs import Command, Legs
from streamer.policy.penalty import Penalty
from streamer.policy.stall import Staleness
from streamer.services.alignment import Alignment
from streamer.services.fatal import Fatal
from streamer.services.follower import Follower
from streamer.services.intake import Intake, Limits
from streamer.services.keeping import Keeping, Thread
from streamer.services.progress import Progress
from streamer.services.recovery import Recovery
from streamer.services.source import SourceService
from streamer.services.tenure import Tenure
from streamer.services.wanted import NOT_YET, Wanted
from streamer.tables import SourceSettings
from streamer.upstream import Prepared

Keeper = Callable[[str], Keeping | None]  # a source's name → its files


@attrs.frozen
class Sourcing:
    """What all sources of one process share.

    Args:
        jitter: between -1 and 1, for the back-off.
        keeper: makes a source's files.
    """

    bus: IBus
    client: UpstreamClient
    clock: IReactorTime
    metrics: Metrics
    jitter: Callable[[], float]
    fatal: Fatal
    keeper: Keeper = lambda name: None
    limits: Limits = attrs.field(factory=Limits)
    _penalties: dict[str, Penalty] = attrs.field(factory=dict)

    def service(self, name: str, table: SourceSettings) -> SourceService:
        """The service of one source; it starts nothing yet."""
        source, clock, metrics, client = table.source, self.clock, self.metrics, self.client

        def delays() -> Backoff:
            return Backoff(backoff.PROFILES[source.profile], self.jitter)

        def target() -> ISource | None:
            aligned = follower.live is wanted.source or not wanted.source.live_predicates
            return wanted.source if follower.connected and not aligned else None

        def applied(now_live: ISource, change: Prepared) -> None:
            follower.live = now_live
            for leg in follower.legs.values():  # those that come later say it by themselves
                leg.say(change.say)
            if wanted.problem is not None and wanted.problem.startswith(NOT_YET):
                wanted.problem = None
            service.measure()

        intake = Intake.of(name, self.bus, clock, metrics, self.limits)
        recovery = Recovery(
            client, intake, clock, metrics, delays(), lambda items: progress.take(items),
            lambda gap: progress.recovered(gap),
        )  # fmt: skip
        progress = Progress(
            name, intake, clock, metrics, lambda *span: recovery.begin(wanted.source, *span),
            ask_all=not self.bus.durable,
        )  # fmt: skip
        intake.lost = lambda cause, count: progress.lost(cause, count)
        legs = Legs(lambda command: carry_out(command))
        penalty = self._penalties.setdefault(source.credential, Penalty())
        course = Course(delays(), penalty, legs, table.common.overlap)
        follower = Follower(source, client, progress, course, clock, metrics)

        def carry_out(command: Command) -> None:
            follower.carry_out(command)

        path = table.common.predicates_file
        wanted = Wanted(table.kind, source, None if path is None else Path(path))
        alignment = Alignment(client, clock, delays, target, applied, lambda ending: service.refused(ending))
        keeping = self.keeper(name)
        tenure = Tenure(name, self.bus.locks, keeping, lambda sentence: taken(sentence))
        service = SourceService(
            wanted, follower, progress, recovery, alignment, keeping, clock, metrics,
            Staleness(table.common.stale_after), self.fatal, tenure,
        )  # fmt: skip

        def taken(sentence: str) -> None:
            service.hang_up()
            follower.said = sentence
            self.fatal(sentence)

        def connected_as(now_live: ISource) -> None:
            service.measure()
            alignment.begin()

        follower.connected_as = connected_as
        follower.refused = service.refused
        service.setName(name)
        return service


def kept_in(directory: str, reactor: object, thread: Thread, *, spool: bool, synchronous: str) -> Keeper:
    """Keeps each source's files in a directory.

    Args:
        thread: runs a function outside the reactor's thread.
        spool: whether items may wait on disk.
    """

    def keep(name: str) -> Keeping:
        folder = Path(directory)
        disk = Spool.at(folder / f"{name}.spool", reactor, synchronous) if spool else None  # type: ignore[arg-type]
        return Keeping(folder / f"{name}.cursor", StateLock(folder, name), disk, thread)

    return keep
