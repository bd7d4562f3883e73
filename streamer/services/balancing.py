# -*- test-case-name: tests.unit.test_services_balancing -*-
"""Gives up shards that are more than this process's share; see `policy.balance`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from streamer.bus.topology import ENRICH
from streamer.interfaces import IWork
from streamer.metrics import SHARDS_GIVEN_UP, Metrics
from streamer.policy.balance import surplus

BALANCE_EVERY = 30.0  # seconds; a worker learns every 15 s how many there are


@attrs.define(eq=False)
class Balancing:
    """Looks at the works of one process every now and then.

    Args:
        works: by queue, the common one among them; the same mapping for ever, as it changes.
        take: begins to work a queue again, at the end of the line, and puts that into `works`.
    """

    _log = Logger()

    _works: Mapping[str, IWork]
    _take: Callable[[str], None]
    _clock: IReactorTime
    _metrics: Metrics
    _loop: LoopingCall | None = None
    _giving_up: Deferred[None] | None = None
    passing: str = ""  # the queue that is being handed on

    def start(self) -> None:
        """Begin."""
        self._loop = LoopingCall(self._look)
        self._loop.clock = self._clock
        self._loop.start(BALANCE_EVERY, now=False)

    def stop(self) -> Deferred[None]:
        """End; fires when nothing is being given up any more."""
        if self._loop is not None and self._loop.running:
            self._loop.stop()
        self._loop = None
        if self._giving_up is None:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._giving_up.addBoth(done.callback)
        return done

    def _look(self) -> Deferred[None]:
        self._giving_up = Deferred.fromCoroutine(self._give_up())
        return self._giving_up.addBoth(self._given_up)

    async def _give_up(self) -> None:
        shards = {queue: work for queue, work in self._works.items() if queue != ENRICH}
        active = [queue for queue, work in shards.items() if work.active]
        # Of a queue with a single active consumer the broker counts only that one; all work the common queue.
        workers = self._works[ENRICH].workers
        for queue in active[: surplus(len(active), len(shards), workers)]:
            if self._loop is None:
                return
            self._log.info(
                "{queue} is handed to another enricher: {workers} share {shards} shards",
                queue=queue,
                workers=workers,
                shards=len(shards),
            )
            self.passing = queue
            await shards[queue].stop()
            if self._loop is not None:
                self._metrics.add(SHARDS_GIVEN_UP)
                self._take(queue)

    def _given_up(self, result: None) -> None:
        self._giving_up, self.passing = None, ""
        return result
