# -*- test-case-name: tests.unit.test_net_poller -*-
"""Makes requests wait for their turn, as `policy.turns` has it."""

from __future__ import annotations

from collections import deque
from urllib.parse import urlsplit

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from streamer.net.client import UpstreamClient
from streamer.policy.turns import Turns
from streamer.upstream import Request, Response


@attrs.define(eq=False)
class Turnstile:
    """That of one process."""

    clock: IReactorTime
    turns: Turns = attrs.field(factory=Turns)
    _waiting: dict[str, deque[Deferred[None]]] = attrs.field(factory=dict)

    async def fetch(self, client: UpstreamClient, request: Request) -> Response:
        """As `UpstreamClient.fetch`, in its turn."""
        host = urlsplit(request.url).netloc.lower()
        wait = self.turns.take(host, self.clock.seconds())
        while wait is None:
            await self._queue(host)
            wait = self.turns.take(host, self.clock.seconds())
        try:
            if wait > 0:
                await deferLater(self.clock, wait)
            return await client.fetch(request)
        finally:
            self.turns.done(host)
            self._next(host)

    def _queue(self, host: str) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._waiting.setdefault(host, deque()).append(waiting)
        return waiting

    def _next(self, host: str) -> None:
        queue = self._waiting.get(host, deque())
        while queue:
            first = queue.popleft()
            if not first.called:  # one that gave up was cancelled
                first.callback(None)
                break
        if not queue:
            self._waiting.pop(host, None)
