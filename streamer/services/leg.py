# -*- test-case-name: tests.unit.test_services_follower -*-
"""One connection to an upstream, from its first request to its last byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer import metrics as m
from streamer.asks import Ask
from streamer.interfaces import ISource
from streamer.message import Item
from streamer.metrics import Metrics
from streamer.net import failures
from streamer.net.client import Opened, UpstreamClient
from streamer.policy import backoff
from streamer.policy.safe import CatchUp
from streamer.policy.sample import Sample
from streamer.policy.undelivered import UndeliveredCounters
from streamer.services.intake import Intake
from streamer.services.reading import Reading, Word
from streamer.upstream import Ending, Mark, Missed, Prepared, Resume, Undelivered, Warned

LAG_LIMIT_MS = 15_000  # between a post's making and its coming; X's own figure for 99 of 100 is 7 s


class Owner(Protocol):
    """Who opened a connection."""

    def leg_connected(self, leg: Leg) -> None:
        """The upstream accepted."""

    def leg_took(self, leg: Leg, items: list[Item]) -> int:
        """Items came; returns how many were new."""

    def leg_heard(self, leg: Leg) -> None:
        """Bytes came, and all items in them have been taken."""

    def leg_said(self, word: Undelivered | Missed | Mark) -> None:
        """What the items so far come to; of what was not delivered only so many more than was said before."""


async def prepare(source: ISource, client: UpstreamClient, *, dry_run: bool = False) -> Prepared | Ending:
    """Make the short requests that a source needs before its stream; errors become an `Ending`."""
    steps = source.prepare(dry_run)
    response: Any = None
    try:
        while True:
            try:
                request = steps.send(response)
            except StopIteration as done:
                result: Prepared | Ending = done.value
                return result
            response = await client.fetch(request)
    except CancelledError:
        raise
    except Exception:
        return failures.ending(Failure(), "while preparing")


@attrs.define(eq=False)
class Leg:
    """One connection.

    Args:
        number: that the course knows it by.
        source: as it was wanted when the connection was asked for.
        resume: where to begin.
        prepared: what is wanted is live already; a reconnect that can do without the upstream's other endpoints is
            sooner back, also while those are down.
        request: the stream's, once it was made.
    """

    number: int
    source: ISource
    resume: Resume | None
    owner: Owner
    client: UpstreamClient
    intake: Intake
    clock: IReactorTime
    metrics: Metrics
    prepared: bool = False
    request: Ask | None = None
    catch_up: CatchUp | None = None  # None until the upstream accepted
    over: bool = False  # nothing more is to be heard of it
    opened_ms: int = 0  # when it was accepted
    lag_ms: int = 0  # how long ago the last item was posted when it came
    _pauses: int = attrs.field(init=False, default=attrs.Factory(lambda self: self.intake.pauses, takes_self=True))
    _last: Item | None = None  # of the bytes that are being read
    _newest: Item | None = None
    _warnings: Sample = attrs.field(factory=Sample)
    _shards: UndeliveredCounters = attrs.field(factory=UndeliveredCounters)
    _run: Deferred[tuple[Ending, bool]] | None = None
    _opened: Opened | None = None

    log = Logger()

    def run(self) -> Deferred[tuple[Ending, bool]]:
        """Connect and read to the end; fires with why it ended and whether it was healthy."""
        self._run = Deferred.fromCoroutine(self._follow())
        return self._run

    def close(self) -> None:
        """Hang up at once; `run`'s Deferred fails with CancelledError."""
        self.over = True
        if self._run is not None:
            self._run.cancel()

    @property
    def posted(self) -> int | None:
        """When the last item was posted, as far as the upstream tells; ms since the epoch."""
        return None if self._newest is None else self.source.posted(self._newest)

    def took(self, items: list[Item]) -> int:
        """See `reading.Sink`."""
        self._last = self._newest = items[-1]
        return self.owner.leg_took(self, items)

    def heard(self, *, idle: bool) -> None:
        """See `reading.Sink`."""
        last, self._last = self._last, None
        now = self.clock.seconds()
        posted = None if last is None else self.source.posted(last)
        if posted is not None:
            self.lag_ms = max(0, int(now * 1000) - posted)
        elif idle:  # a keep-alive: the upstream had nothing else to send
            self.lag_ms = min(self.lag_ms, LAG_LIMIT_MS)
        if self.catch_up is not None:
            if self.intake.pauses != self._pauses and not self.intake.paused:
                self._pauses = self.intake.pauses
                self.catch_up = CatchUp(now, False)  # what came while we did not read is still to be read
            self.catch_up.heard(now, posted, paused=self.intake.paused)
        if not self.over and (idle or posted is not None):
            self.owner.leg_heard(self)

    def said(self, word: Word) -> None:
        """See `reading.Sink`."""
        match word:
            case Undelivered():
                shard, more = self._shards.take(word.count)
                if more:
                    self.metrics.add(m.UNDELIVERED, self.source.name, str(shard), by=more)
                    self.owner.leg_said(Undelivered(more))
            case Missed() | Mark():
                self.owner.leg_said(word)
            case Warned():
                self._warned(word)

    def say(self, messages: Sequence[str]) -> None:
        """Send text messages, where the connection is a websocket that is open."""
        if self._opened is not None and self._opened.say is not None:
            for message in messages:
                self._opened.say(message)

    def _warned(self, word: Warned) -> None:
        if word.percent is not None:
            self.metrics.set(m.UPSTREAM_QUEUE, self.source.name, to=word.percent)
        if self._warnings.take("warning", self.clock.seconds()) is not None:
            self.log.warn("{source} is warned by its upstream: {detail}", source=self.source.name, detail=word.detail)

    async def _follow(self) -> tuple[Ending, bool]:
        try:
            if not self.prepared:
                prepared = await prepare(self.source, self.client)
                if isinstance(prepared, Ending):
                    return prepared, False
            request = self.source.request(self.resume, int(self.clock.seconds() * 1000))
            opened = await self.client.open(request)
            if opened.answer.code != 200:
                return self.source.refusal(await self.client.read(opened)), False
        except failures.Refused as refused:
            return self.source.refusal(refused.response), False
        except Exception as error:
            if self.over:  # our own doing; Agent wraps the cancellation in errors of its own
                raise CancelledError from error
            ending = failures.ending(Failure(), "while connecting")
            if ending.cause == backoff.UNEXPECTED:
                self.log.failure("while connecting {source}", source=self.source.name)
            return ending, False
        self.request, self._opened = request, opened
        self.opened_ms = int(self.clock.seconds() * 1000)
        self.catch_up = CatchUp(self.clock.seconds(), request.replays_from is None)
        self.owner.leg_connected(self)
        return await Reading(self.source, self, self.intake, self.clock, self.metrics).run(opened)
