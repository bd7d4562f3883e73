# -*- test-case-name: tests.unit.test_bus_watch -*-
"""Looks at queues every few seconds: how much waits in them, and how many consume.

It asks on a channel of its own, beside the one that matters: where a queue is missing, or we may not look, the broker
closes that one only. What nobody wanted (`streamer.unrouted`) or could do (`streamer.dead`) is told as it grows: in a
house that is well both are empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.bus.driver import ChannelRefused, Depth, IChannel, IConnection
from streamer.bus.topology import DEAD, UNROUTED
from streamer.errors import BusError
from streamer.metrics import BUS_QUEUE_CONSUMERS, BUS_QUEUE_MESSAGES, Metrics

LOOK_AFTER = 1.0  # seconds from the connection's beginning to the first look
LOOK_EVERY = 15.0  # seconds
TELL_EVERY = 300.0  # seconds between two words about one queue at least
ALARMING = {
    UNROUTED: "no binding wants them; compare the bindings with `streamer topology check`",
    DEAD: "no worker could do them; see `streamer dead list`",
}


@attrs.define(eq=False)
class Watch:
    """Looks at some queues as long as a connection lives.

    Args:
        queues: their names; those that are not there, or not ours to look at, are left out.
        told: called with what each look at one of them showed, beside the metrics.
    """

    _log = Logger()

    _queues: Sequence[str]
    _clock: IReactorTime
    _metrics: Metrics
    _told: Callable[[Depth], None] = lambda depth: None
    _looking: Deferred[None] | None = None
    _said: dict[str, tuple[int, float]] = attrs.field(factory=dict)  # how many waited, and when that was told

    def begin(self, connection: IConnection) -> None:
        """Look, from now on, until `end` or the connection's end."""
        self.end()
        self._looking = Deferred.fromCoroutine(self._look(connection)).addErrback(_over)

    def end(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _look(self, connection: IConnection) -> None:
        aside: IChannel | None = None
        await deferLater(self._clock, LOOK_AFTER)
        while True:
            for queue in self._queues:
                aside = aside or await connection.aside()
                try:
                    depth = await aside.depth(queue)
                except ChannelRefused:
                    aside = None  # the broker has closed it
                else:
                    self._saw(queue, depth)
            await deferLater(self._clock, LOOK_EVERY)

    def _saw(self, queue: str, depth: Depth) -> None:
        self._metrics.set(BUS_QUEUE_MESSAGES, queue, to=depth.messages)
        self._metrics.set(BUS_QUEUE_CONSUMERS, queue, to=depth.consumers)
        self._told(depth)
        before, at = self._said.get(queue, (0, -math.inf))
        now = self._clock.seconds()
        if queue in ALARMING and depth.messages > before and now - at >= TELL_EVERY:
            self._log.error(
                "{count} messages wait in {queue}: {why}", count=depth.messages, queue=queue, why=ALARMING[queue]
            )
            self._said[queue] = depth.messages, now
        elif depth.messages < before:
            self._said[queue] = depth.messages, at


def _over(failure: Failure) -> None:
    """The connection is gone, or we are to look no more."""
    failure.trap(CancelledError, BusError)
