# -*- test-case-name: tests.unit.test_bus_watch -*-
"""Looks at queues every few seconds: how much waits in them, and how many consume.

It asks on a channel of its own, beside the one that matters: where a queue is missing, or we may not look, the broker
closes that one only. What nobody wanted (`streamer.unrouted`) or could do (`streamer.dead`) is told as it grows: in a
house that is well both are empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.bus import deadline
from streamer.bus.driver import NOT_FOUND, ChannelRefused, Depth, IChannel, IConnection
from streamer.bus.topology import DEAD, DEAD_LIMIT, UNROUTED, UNROUTED_LIMIT
from streamer.errors import BusError
from streamer.message import ABSENT
from streamer.metrics import BUS_QUEUE_CONSUMERS, BUS_QUEUE_MESSAGES, BUS_UNROUTED, Metrics

LOOK_AFTER = 1.0  # seconds from the connection's beginning to the first look
LOOK_EVERY = 15.0  # seconds
TELL_EVERY = 300.0  # seconds between two words about one queue at least
FRESH = 60.0  # seconds that messages which found no queue count as present trouble
FULL = 0.9  # of a queue's limit; whatever it drops from there on cannot be seen by its length
ALARMING = {
    UNROUTED: "no binding wants them; compare the bindings with `streamer topology check`",
    DEAD: "no worker could do them; see `streamer dead list`",
}
ALARM_AT = {UNROUTED: UNROUTED_LIMIT, DEAD: DEAD_LIMIT}

T = TypeVar("T")


@attrs.define
class Seen:
    """What was last seen of a queue: how many messages; and when it was told of how many, or it had grown."""

    messages: int = 0
    told: int = 0
    said: float = -math.inf
    grew: float = -math.inf
    missing: bool = False


@attrs.define(eq=False)
class Watch:
    """Looks at some queues as long as a connection lives.

    Args:
        queues: their names; those that are not ours to look at are left out.
        told: called with what each look at one of them showed, beside the metrics.
        missed: called with the name of a queue that is not there, when that is found out.
    """

    _log = Logger()

    _queues: Sequence[str]
    _clock: IReactorTime
    _metrics: Metrics
    _told: Callable[[Depth], None] = lambda depth: None
    _missed: Callable[[str], None] = lambda queue: None
    _looking: Deferred[None] | None = None
    _seen: dict[str, Seen] = attrs.field(factory=dict)

    def missing(self, needed: Collection[str]) -> str:
        """Which of the queues that whoever publishes needs are not there, as a sentence; empty where all are."""
        missing = [queue for queue, seen in self._seen.items() if seen.missing and queue in needed]
        return f"there is no queue {', '.join(missing)}: what is meant for it finds none" if missing else ""

    @property
    def unrouted(self) -> str:
        """What finds no queue, whoever publishes it, as a sentence; empty where nothing does."""
        unrouted = self._seen.get(UNROUTED, Seen())
        if self._clock.seconds() - unrouted.grew <= FRESH:
            return f"messages find no queue; {unrouted.messages} wait in {UNROUTED}"
        if unrouted.messages >= FULL * UNROUTED_LIMIT:
            return f"{UNROUTED} is full, and what finds no queue is lost; see `streamer dead list --queue unrouted`"
        return ""

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
                try:
                    if aside is None:
                        aside = await self._within(Deferred.fromCoroutine(connection.aside()))
                    depth = await self._within(aside.depth(queue))
                except ChannelRefused as refused:
                    aside = None  # the broker has closed it
                    self._refused(queue, refused.code)
                except TimeoutError:
                    if aside is not None:
                        aside.close()  # a queue without a leader does not answer
                        aside = None
                else:
                    self._saw(queue, depth)
            await deferLater(self._clock, LOOK_EVERY)

    def _within(self, waiting: Deferred[T]) -> Deferred[T]:
        return deadline.within(self._clock, deadline.SETUP, waiting, "look at a queue")

    def _refused(self, queue: str, code: int) -> None:
        seen = self._seen.setdefault(queue, Seen())
        if code == NOT_FOUND and not seen.missing:
            seen.missing = True
            self._log.error("there is no queue {queue}: what is meant for it finds none", queue=queue)
            self._missed(queue)

    def _saw(self, queue: str, depth: Depth) -> None:
        self._metrics.set(BUS_QUEUE_MESSAGES, queue, to=depth.messages)
        self._metrics.set(BUS_QUEUE_CONSUMERS, queue, to=depth.consumers)
        self._told(depth)
        now, first = self._clock.seconds(), queue not in self._seen
        seen = self._seen.setdefault(queue, Seen())
        more, seen.messages, seen.missing = depth.messages - seen.messages, depth.messages, False
        if queue == UNROUTED and more > 0 and not first:
            seen.grew = now
            self._metrics.add(BUS_UNROUTED, ABSENT, by=more)
        seen.told = min(seen.told, depth.messages)
        if not depth.messages:
            seen.said = seen.grew = -math.inf
        telling = depth.messages > seen.told or depth.messages >= FULL * ALARM_AT.get(queue, math.inf)
        if queue in ALARMING and telling and now - seen.said >= TELL_EVERY:
            seen.told, seen.said = depth.messages, now
            self._log.error(
                "{count} messages wait in {queue}: {why}", count=depth.messages, queue=queue, why=ALARMING[queue]
            )


def _over(failure: Failure) -> None:
    """The connection is gone, or we are to look no more."""
    failure.trap(CancelledError, BusError)
