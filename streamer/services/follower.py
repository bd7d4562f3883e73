# -*- test-case-name: tests.unit.test_services_follower -*-
"""One source, followed: carries out the course's commands and tells it what happened.

Whatever ends a connection becomes an `Ending`, and `policy.course` alone decides what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer import metrics as m
from streamer.interfaces import ISource
from streamer.message import Item
from streamer.metrics import Metrics
from streamer.net.client import UpstreamClient
from streamer.policy import backoff
from streamer.policy.course import Course, State
from streamer.policy.legs import Command, Open
from streamer.policy.overlap import Overlap
from streamer.services.alarm import Alarm
from streamer.services.leg import Leg
from streamer.services.progress import Progress
from streamer.upstream import Ending, Mark, Missed, Undelivered

UP = frozenset({State.STREAMING, State.RENEWING})


@attrs.define(eq=False)
class Follower:
    """The connections of one source.

    Args:
        wanted: the source as it is wanted now; each new connection is made for that.
        connected_as: told as what a connection was accepted.
        refused: told when the upstream refuses what is wanted; says whether something else is wanted now.
    """

    wanted: ISource
    client: UpstreamClient
    progress: Progress
    course: Course
    clock: IReactorTime
    metrics: Metrics
    connected_as: Callable[[ISource], None] = lambda source: None
    refused: Callable[[Ending], bool] = lambda ending: False
    said: str = ""  # how the last connection ended, for the operator; nothing is decided by it
    live: ISource | None = None  # as the upstream knows it
    connections: int = 0  # that the upstream accepted
    legs: dict[int, Leg] = attrs.field(factory=dict)  # its connections, by number
    _asked: list[Leg] = attrs.field(factory=list)  # to be opened at the end of this step
    _overlap: Overlap | None = None
    _alarm: Alarm = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: Alarm(self.clock, lambda: self.drive(self.course.wake)), takes_self=True),
    )

    log = Logger()

    @property
    def connected(self) -> bool:
        """A stream is open."""
        return self.course.state in UP

    @property
    def newest(self) -> ISource | None:
        """The source as the newest connection was made for; None without any."""
        return self.legs[max(self.legs)].source if self.legs else None

    def drive(self, step: Callable[[float], Any], ended: int | None = None) -> None:
        """Let the course take a step, `step(now)`, and do what follows from it.

        Args:
            ended: the connection whose end the step is about.
        """
        before = self.course.legs.current
        retiring = None if before is None or before == ended else self.legs[before]
        step(self.clock.seconds())
        current = self.course.legs.current
        if current is not None and current != before:
            self._take_over(self.legs[current], retiring)
        if self.course.state is not State.RENEWING:
            self._overlap = None
        self._alarm.set(self.course.wake_at)
        self.metrics.set(m.SOURCE_CONNECTED, self.wanted.name, to=int(self.connected))
        asked, self._asked = self._asked, []
        for leg in asked:  # now, for they may end at once, which is another step
            self._run(leg)

    def carry_out(self, command: Command) -> None:
        """Open or close a connection, as the course says."""
        if not isinstance(command, Open):
            self.progress.cause = "renewal"
            self.legs.pop(command.leg).close()
            return
        source, progress = self.wanted, self.progress
        leg = Leg(
            command.leg, source, progress.resume, self, self.client, progress.intake, self.clock, self.metrics
        )  # fmt: skip
        leg.prepared = self.live is not None and source.live_predicates and not source.changes(self.live)
        if self.legs:
            self._overlap = Overlap()
            self.metrics.add(m.RENEWALS, source.name, "make-before-break")
        elif progress.cause == "renewal":
            self.metrics.add(m.RENEWALS, source.name, "break-before-make")
        self.legs[command.leg] = leg
        self._asked.append(leg)

    def leg_connected(self, leg: Leg) -> None:
        """See `leg.Owner`."""
        self.connections += 1
        self.log.info("{source} is connected.", source=leg.source.name)
        self.drive(lambda now: self.course.connected(leg.number))

    def leg_took(self, leg: Leg, items: list[Item]) -> int:
        """See `leg.Owner`."""
        new = self.progress.take(items)
        if self._overlap is not None:
            late = leg.number == self.course.legs.successor
            met = [self._overlap.note(item.id, new=late) for item in items]
            if any(met):
                self.drive(lambda now: self.course.met())
        return new

    def leg_heard(self, leg: Leg) -> None:
        """See `leg.Owner`."""
        if leg.number == self.course.legs.current:
            self.progress.heard(leg)
        elif self.course.state is State.RENEWING and self.course.wake_at is None:
            self.drive(lambda now: self.course.delivering(leg.number, now))

    def leg_said(self, word: Undelivered | Missed | Mark) -> None:
        """See `leg.Owner`."""
        match word:
            case Undelivered(count):
                self.progress.lost("limit", count)
            case Missed():
                self.progress.missing(word.start, word.end, word.cause)
            case Mark(cursor) if not self.progress.safe.held("recovery"):
                self.progress.intake.mark(cursor)

    def _take_over(self, leg: Leg, retiring: Leg | None) -> None:
        self.live, self.said = leg.source, ""
        if retiring is None:
            self.progress.begin(leg)
        else:
            unmet = self._overlap is not None and self._overlap.delivered and not self._overlap.met
            self.progress.follow(leg, behind=retiring if unmet else None)
        self.connected_as(leg.source)

    def _run(self, leg: Leg) -> None:
        name = leg.source.name

        def failed(failure: Failure) -> None:
            if leg.over and failure.check(CancelledError):
                return
            self.log.failure("while following {source}; this is a defect", failure, source=name)
            self._ended(leg, Ending(cause=backoff.UNEXPECTED, detail=repr(failure.value)), False)

        if not leg.over:
            running = leg.run()
            running.addCallbacks(lambda result: self._ended(leg, *result), failed)
            running.addErrback(lambda failure: self.log.failure("while following {source}", failure, source=name))

    def _ended(self, leg: Leg, ending: Ending, healthy: bool) -> None:
        leg.over = True
        self.legs.pop(leg.number, None)
        name = leg.source.name
        self.metrics.add(m.ENDINGS, name, ending.cause)
        self.progress.cause = ending.cause
        goes_back = ending.cause == backoff.REFUSED and self.refused(ending)
        if ending.cause == backoff.NO_RULES and leg.source.live_predicates:
            self.live = None  # somebody else has undone what we had made
        delays: list[float | None] = []
        self.drive(lambda now: delays.append(self.course.ended(leg.number, ending, healthy, now)), leg.number)
        if goes_back:  # to what the upstream took before
            self.drive(lambda now: self.course.update(now, 0, asked=False))
        delay = delays[0]
        if self.connected:
            what = "another connection goes on"
        else:
            what = "stopped until the configuration changes" if delay is None else f"next try in {delay:.2f} s"
        self.said = f"{ending.cause}: {ending.detail}; {what}"
        row = backoff.PROFILES[leg.source.profile][ending.cause]
        say = self.log.error if row.alarm else self.log.info
        say("{source} ended, {cause}: {detail}; {what}.", source=name, cause=ending.cause, detail=ending.detail,
            what=what)  # fmt: skip
