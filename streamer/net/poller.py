# -*- test-case-name: tests.unit.test_net_poller -*-
"""Polls as a stream: carries out what a `asks.Poll` asks for, one step after the other.

Its frames go to whoever reads, as the bytes of a stream do; he may pause it, and it takes its next step only when he
reads on. Only a page says that all up to now is there. What a request fails with is thrown into the steps; whatever
they do not catch ends them, as a lost connection ends a stream: how long to wait then is the back-off's matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from streamer.asks import Page, Poll, Polling, Wait
from streamer.net.client import Opened, UpstreamClient
from streamer.net.failures import Over
from streamer.net.hooks import Hooks, Opening
from streamer.net.turnstile import Turnstile
from streamer.policy import backoff
from streamer.upstream import Ending, Request, Response


@attrs.define(eq=False)
class Poller:
    """The way of a `Poll`; see `client.Way`. All polls of a process go through one, and take turns at each host.

    Args:
        jitter: between 0 and 1.
        hooks: those of the process; None where no poll has one. Where they cannot listen, polls go on without.
    """

    clock: IReactorTime
    jitter: Callable[[], float]
    hooks: Hooks | None = None
    turnstile: Turnstile = attrs.field(
        init=False, default=attrs.Factory(lambda self: Turnstile(self.clock), takes_self=True)
    )

    log = Logger()

    async def open(self, ask: Poll, client: UpstreamClient) -> Opened:
        """Poll until the first answer is understood.

        Raises:
            Over: it was no good.
            Exception: whatever `UpstreamClient.fetch` raises.
        """
        hook = None
        if ask.hook is not None:
            if self.hooks is None:
                raise Over(Ending(cause=backoff.UNEXPECTED, detail="a poll has a hook, and this process has none"))
            try:
                hook = await self.hooks.mount(ask.hook)
            except Over as over:  # the next connection tries again
                self.log.warn("Polls go on without their hook: {why}", why=str(over))
        running = Running(ask.steps(), client, self.clock, self.jitter, self.turnstile, hook)
        await running.begin()
        return Opened(running, [running])


@attrs.define(eq=False)
class Running:
    """Polls under way. It is their answer, as `client.Answer` has it, and their transport."""

    steps: Polling
    client: UpstreamClient
    clock: IReactorTime
    jitter: Callable[[], float]
    turnstile: Turnstile
    hook: Opening | None = None  # what others call while the polls go on
    code: int = 200
    headers: Headers = attrs.field(factory=Headers)
    _next: Request | Wait | Page | None = None  # to be done next
    _body: Any = None  # the protocol that gets the frames
    _awaited: Deferred[Any] | None = None  # what the loop waits for, if it does
    _paused: Deferred[None] | None = None
    _over: bool = False

    async def begin(self) -> None:
        """Do all up to the first page or pause."""
        try:
            step = self._step(None)
            while isinstance(step, Request):
                answer: Response | Exception
                try:
                    answer = await self.turnstile.fetch(self.client, step)
                except CancelledError:
                    raise
                except Exception as error:
                    answer = error
                step = self._step(answer)
            self._next = step
        except BaseException:
            self._close()
            raise

    def deliverBody(self, protocol: Any) -> None:
        """Go on, for this protocol."""
        self._body = protocol
        protocol.makeConnection(self)
        if self.hook is not None:
            self.hook.attach(protocol)
            self.hook.woken = self.wake
        Deferred.fromCoroutine(self._run()).addErrback(self._ended)

    def pauseProducing(self) -> None:
        """Take no further step."""
        if self._paused is None:
            self._paused = Deferred()
            if self.hook is not None:
                self.hook.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        paused, self._paused = self._paused, None
        if paused is not None:
            if self.hook is not None:
                self.hook.resumeProducing()
            paused.callback(None)

    def stopProducing(self) -> None:
        """Stop for good."""
        self.abortConnection()

    def abortConnection(self) -> None:
        """Stop for good; whatever is under way is dropped."""
        if self._over:
            return
        self._over = True
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            awaited.cancel()
        self._close()

    def wake(self) -> None:
        """Let a pause of the steps be over now; a reader who has paused goes on by himself."""
        if isinstance(self._next, Wait) and self._awaited is not None and self._awaited is not self._paused:
            self._awaited.cancel()

    async def _run(self) -> None:
        while not self._over:
            answer = await self._do()
            if self._paused is not None and not self._over:
                await self._wait_for(self._paused)
            if not self._over:
                self._next = self._step(answer)

    async def _do(self) -> Response | Exception | None:
        """Do what is next; returns what the steps are to be sent."""
        match self._next:
            case Page(frames=frames):
                self._body.dataReceived(frames)
            case Wait(seconds=seconds, spread=spread):
                try:
                    await self._wait_for(deferLater(self.clock, seconds * (1 + spread * self.jitter())))
                except CancelledError:
                    if self._over:
                        raise
            case Request() as request:
                try:
                    answer: Response = await self._wait_for(
                        Deferred.fromCoroutine(self.turnstile.fetch(self.client, request))
                    )
                except Exception as error:
                    if self._over:
                        raise
                    return error
                return answer
        return None

    async def _wait_for(self, waiting: Deferred[Any]) -> Any:
        self._awaited = waiting
        try:
            return await waiting
        finally:
            self._awaited = None

    def _step(self, answer: Response | Exception | None) -> Request | Wait | Page:
        """What the steps want next; where they do not catch what a request failed with, they are over by that."""
        try:
            if isinstance(answer, Exception):
                return self.steps.throw(answer)
            return next(self.steps) if answer is None else self.steps.send(answer)
        except StopIteration as done:
            ending: Ending = done.value
            raise Over(ending) from None

    def _ended(self, failure: Failure) -> None:
        if not self._over:
            self._over = True
            self._close()
            self._body.connectionLost(failure)

    def _close(self) -> None:
        self.steps.close()
        if self.hook is not None:
            self.hook.close()
