# -*- test-case-name: tests.unit.test_services_follower -*-
"""One source: connect, read, wait, again.

One party drives, so this is a loop and not a state machine; cancelling its Deferred stops it wherever it is.
Whatever ends a connection becomes an `Ending`, and `policy.backoff` alone decides what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer import metrics as m
from streamer.interfaces import ISource
from streamer.metrics import Metrics
from streamer.net import failures
from streamer.net.client import UpstreamClient
from streamer.policy import backoff
from streamer.policy.backoff import Backoff
from streamer.services.intake import Intake
from streamer.services.reading import Reading
from streamer.upstream import Ending

DRAIN = 10.0  # seconds that a stop waits for the bus to confirm what was read


@attrs.define(eq=False)
class Follower(Service):
    """Follows one source for as long as it runs.

    Args:
        jitter: between -1 and 1, for the back-off.
    """

    source: ISource
    client: UpstreamClient
    intake: Intake
    clock: IReactorTime
    metrics: Metrics
    jitter: Callable[[], float]
    state: str = "stopped"  # a sentence for the operator; nothing is decided by it
    connected: bool = False
    _loop: Deferred[None] = attrs.field(factory=lambda: succeed(None))

    log = Logger()

    def startService(self) -> None:
        """Begin to follow."""
        Service.startService(self)
        self._loop = Deferred.fromCoroutine(self._follow())

    def stopService(self) -> Deferred[None]:
        """Hang up at once, wherever the loop is; fires when the bus has answered for what was read."""
        Service.stopService(self)  # first, so that the loop knows what its cancellation means
        self._loop.cancel()
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        await self._loop
        try:
            await self.intake.drained().addTimeout(DRAIN, self.clock)
        except Exception:
            self.log.warn("{source} stops with items that the bus has not confirmed.", source=self.source.name)
        self.state = "stopped"

    async def _follow(self) -> None:
        try:
            delays = Backoff(backoff.PROFILES[self.source.profile], self.jitter)
            while True:
                ending, healthy = await self._connect()
                self._set_connected(False)
                self.metrics.add(m.ENDINGS, self.source.name, ending.cause)
                delay = delays.after(ending.cause, healthy=healthy, retry_after=ending.retry_after)
                self._tell(ending, delay)
                if delay is None:
                    await Deferred()  # until stopped; only another configuration can help
                else:
                    await deferLater(self.clock, delay)
        except CancelledError:
            self._set_connected(False)
        except Exception as error:
            self._set_connected(False)
            self.state = f"stopped by a defect of ours: {type(error).__name__}: {error}"
            self.log.failure("while following {source}; this is a defect", source=self.source.name)

    async def _connect(self) -> tuple[Ending, bool]:
        """One connection, from its first byte to its last; returns why it ended and whether it was healthy."""
        self.state = "connecting"
        try:
            ending = await self._prepare()
            if ending is not None:
                return ending, False
            now_ms = int(self.clock.seconds() * 1000)
            opened = await self.client.open(self.source.request(self.intake.checkpoint.reached, now_ms))
            if opened.answer.code != 200:
                return self.source.refusal(await self.client.read(opened)), False
        except Exception as error:
            if not self.running:  # our own stop; Agent wraps the cancellation in errors of its own
                raise CancelledError from error
            ending = failures.ending(Failure(), "while connecting")
            if ending.cause == backoff.UNEXPECTED:
                self.log.failure("while connecting {source}", source=self.source.name)
            return ending, False
        self._set_connected(True)
        self.state = "connected"
        self.log.info("{source} is connected.", source=self.source.name)
        return await Reading(self.source, self.intake, self.clock, self.metrics).run(opened)

    async def _prepare(self) -> Ending | None:
        steps = self.source.prepare()
        response: Any = None
        while True:
            try:
                request = steps.send(response)
            except StopIteration as done:
                result: Ending | None = done.value
                return result
            response = await self.client.fetch(request)

    def _set_connected(self, connected: bool) -> None:
        self.connected = connected
        self.metrics.set(m.SOURCE_CONNECTED, self.source.name, to=int(connected))

    def _tell(self, ending: Ending, delay: float | None) -> None:
        row = backoff.PROFILES[self.source.profile][ending.cause]
        what = "stopped until the configuration changes" if delay is None else f"next try in {delay:.2f} s"
        self.state = f"{ending.cause}: {ending.detail}; {what}"
        say = self.log.error if row.alarm else self.log.info
        say("{source} ended, {cause}: {detail}; {what}.", source=self.source.name, cause=ending.cause,
            detail=ending.detail, what=what)  # fmt: skip
