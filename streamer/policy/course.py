# -*- test-case-name: tests.unit.test_policy_course -*-
"""What an upstream does, what an operator wants and what time it is → which connections to open and to close.

Several parties drive one source, so this is a table of states. It knows nothing of bytes: it is told what happened
and answers with commands. There is never more than one connection, but for the overlap of a renewal: then the newer
one takes over as soon as the two streams have met, and where the upstream admits no second one the older goes first.

| state      | connections                        | waits for                                     |
|------------|------------------------------------|-----------------------------------------------|
| stopped    | none                               | start                                         |
| connecting | one, not answered                  | its answer                                    |
| streaming  | one                                | its end, or the time of a planned renewal     |
| renewing   | a retiring one and its successor   | their meeting, or the end of the overlap      |
| waiting    | none                               | the time of the next attempt                  |
| failed     | none                               | another configuration                         |
"""

from __future__ import annotations

import enum

import attrs

from streamer.policy import backoff
from streamer.policy.backoff import Backoff
from streamer.policy.legs import Legs
from streamer.policy.overlap import OVERLAP_LIMIT
from streamer.policy.penalty import Penalty
from streamer.policy.restart import Plan
from streamer.upstream import Ending


class State(enum.Enum):
    """See the module's table."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    STREAMING = "streaming"
    RENEWING = "renewing"
    WAITING = "waiting"
    FAILED = "failed"


# What another configuration mends: waiting on would only make the operator wait.
MENDABLE = frozenset({backoff.NO_RULES})
# How an upstream that admits one connection refuses a second one: some call it a rate limit.
SECOND_REFUSED = frozenset({backoff.CONNECTION_LIMIT, backoff.RATE_LIMIT})
# How an upstream that admits one connection lets the older one go when a newer one comes.
REPLACED = frozenset({backoff.CONNECTION_LIMIT, backoff.DISCONNECT, backoff.HTTP})


@attrs.define
class Course:
    """The course of one source. After each call, `wake_at` says when to call `wake`.

    Args:
        legs: its connections; where the commands come from.
        penalty: shared with all sources of the same credential.
        overlap: make before break; turned off for good once the upstream shows that it admits one connection.
    """

    delays: Backoff
    penalty: Penalty
    legs: Legs
    overlap: bool
    state: State = State.STOPPED
    plan: Plan = attrs.field(factory=Plan)
    _alarm: float | None = None
    _cause: str = ""  # of the last ending

    @property
    def wake_at(self) -> float | None:
        """Seconds since the epoch; None for never."""
        return self.plan.due if self.state is State.STREAMING else self._alarm

    def start(self, now: float) -> None:
        """Follow, unless that is under way."""
        if self.state in (State.STOPPED, State.FAILED):
            self._connect(now)

    def stop(self) -> None:
        """Let go of everything."""
        self.legs.close()
        self.plan.drop()
        self.state, self._alarm = State.STOPPED, None

    def update(self, now: float, pending: int, *, asked: bool) -> None:
        """What is wanted has changed, or somebody asks for it to be brought into force.

        Args:
            pending: how many predicates differ from those of the newest connection and need another one.
            asked: by an operator, who wants a renewal though nothing differs, and a start of what is stopped.
        """
        if self.state is State.FAILED or (asked and self.state is State.STOPPED):
            self._connect(now)
        elif self.state is State.WAITING and self._cause in MENDABLE:
            self._connect(now, again=True)
        elif self.state is State.STREAMING:
            self.plan.change(now, pending, asked=asked)
        elif self.state in (State.CONNECTING, State.RENEWING):  # a wish without a change is being served already
            self.plan.change(now, pending, asked=False)

    def connected(self, leg: int) -> None:
        """The upstream accepted."""
        if leg != self.legs.successor:
            return
        self.legs.answered = True
        if self.state is State.CONNECTING:
            self.legs.promote()
            self.state = State.STREAMING

    def delivering(self, leg: int, now: float) -> None:
        """A connection sent its first bytes; from here on an overlap is bounded."""
        if self.state is State.RENEWING and leg == self.legs.successor:
            self._alarm = now + OVERLAP_LIMIT

    def met(self) -> None:
        """An item came on both connections: the retiring one is no longer needed."""
        if self.state is State.RENEWING and self.legs.answered:
            self.legs.promote()
            self.state = State.STREAMING

    def ended(self, leg: int, ending: Ending, healthy: bool, now: float) -> float | None:
        """A connection is over, or was refused.

        Returns:
            Seconds until the next attempt; 0 where another connection streams on, None where nothing is tried.
        """
        if leg not in self.legs:
            return 0.0
        renewing, retiring = self.state is State.RENEWING, leg == self.legs.current
        self.legs.forget(leg)
        if renewing and retiring:
            self.overlap = self.overlap and ending.cause not in REPLACED
            self.state = State.CONNECTING
            if self.legs.answered and self.legs.successor is not None:
                self.connected(self.legs.successor)
            return 0.0
        self._cause = ending.cause
        delay = self.delays.after(ending.cause, healthy=healthy, retry_after=ending.retry_after)
        if delay is not None and ending.cause == backoff.RATE_LIMIT:
            self.penalty.extend(now + delay)
        if renewing and ending.cause in SECOND_REFUSED:
            self.overlap = False
        if renewing and ending.cause != backoff.CONNECTION_LIMIT:
            self.state = State.STREAMING  # the retiring one stays
            self.plan.retry(now, delay)
            return delay
        if renewing:
            self.legs.close_current()
        self.plan.drop()  # the next connection takes its changes along
        self.state = State.FAILED if delay is None else State.WAITING
        self._alarm = None if delay is None else now + delay
        return delay

    def wake(self, now: float) -> None:
        """It is `wake_at`."""
        if self.state is State.WAITING:
            self._connect(now, again=True)
        elif self.state is State.RENEWING:
            self.legs.promote()
            self.state = State.STREAMING
        elif self.state is State.STREAMING and (left := self.penalty.left(now)):
            self.plan.retry(now, left)
        elif self.state is State.STREAMING and self.overlap:
            self.plan.began(now)
            self.state, self._alarm = State.RENEWING, None
            self.legs.open()
        elif self.state is State.STREAMING:
            self.legs.close_current()
            self._connect(now, again=True)

    def _connect(self, now: float, *, again: bool = False) -> None:
        left = self.penalty.left(now)
        if left:
            self.state, self._alarm = State.WAITING, now + left
            return
        self.plan.drop()
        if again:
            self.plan.began(now)
        self.state, self._alarm = State.CONNECTING, None
        self.legs.open()
