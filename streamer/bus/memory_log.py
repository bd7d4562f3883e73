# -*- test-case-name: tests.unit.test_bus_memory -*-
"""The log of the in-process bus: a ring, and the readers that follow it."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from streamer.bus.ring import Ring
from streamer.bus.topology import LOG
from streamer.interfaces import LAST, ILog, Offset, Receiver
from streamer.message import Death, Message
from streamer.metrics import BUS_DROPPED, LOG_SKIPPED, Metrics


@implementer(ILog)
@attrs.define(eq=False)
class MemoryReader:
    """One reader; `next` is the offset it has not seen yet."""

    _reports = Logger()

    _log: MemoryLog
    _receive: Receiver
    next: int
    _goal: int
    caught_up: Deferred[None] = attrs.field(factory=Deferred)
    _paused: bool = False
    _stopped: bool = False

    @property
    def ready(self) -> bool:
        """Whether it is being read to."""
        return self._log.reading and not self._stopped

    def stop(self) -> Deferred[None]:
        """See ISubscription."""
        self._stopped = True
        if self in self._log.readers:
            self._log.readers.remove(self)
        return succeed(None)

    def pause(self) -> None:
        """See ILog."""
        self._paused = True

    def resume(self) -> None:
        """See ILog."""
        self._paused = False
        self._log.wake()

    def follow(self, ring: Ring, most: int, metrics: Metrics) -> bool:
        """Read up to so many entries. Returns whether there are more to be read now."""
        if self._paused or self._stopped:
            return False
        if self.next < ring.first:
            metrics.add(LOG_SKIPPED, by=ring.first - self.next)
            self.next = ring.first
        for entry in ring.read(self.next, most):
            self.next = entry.offset + 1
            try:
                self._receive(entry)
            except Exception:
                self._reports.failure("a reader of the log failed at entry {offset}", offset=entry.offset)
            if self._paused or self._stopped:
                return False
        if self.next >= self._goal and not self.caught_up.called:
            self.caught_up.callback(None)
        return self.next < ring.next


@attrs.define(eq=False)
class MemoryLog:
    """What a queue is to workers, this is to readers."""

    _clock: IReactorTime
    _metrics: Metrics
    wake: Callable[[], None]
    ring: Ring = attrs.field(factory=Ring)
    readers: list[MemoryReader] = attrs.field(factory=list)
    reading: bool = False

    def put(self, message: Message, death: Death | None = None) -> Deferred[None] | None:
        """Add an entry; it stays whether anybody reads or not. Nobody has to wait for it, nothing dies into it."""
        first = self.ring.first
        self.ring.append(message, self._clock.seconds())
        self._count(first)
        if self.readers:
            self.wake()
        return None

    def reader(self, start: float | Offset, receive: Receiver) -> ILog:
        """See IBus.log."""
        now, end = self._clock.seconds(), self.ring.next
        first = self.ring.first
        self.ring.expire(now)
        self._count(first)
        if isinstance(start, Offset):
            first = max(end - 1 if start is LAST else start.number, self.ring.first)
        else:
            first = self.ring.since(now - start) if start > 0 else end
        reader = MemoryReader(self, receive, first, end)
        self.readers.append(reader)
        self.wake()
        return ILog(reader)

    def hand_out(self, most: int) -> bool:
        """Read to each reader up to so many entries. Returns whether there are more."""
        more = False
        for reader in tuple(self.readers):
            more |= reader.follow(self.ring, most, self._metrics)
        return more

    def _count(self, first: int) -> None:
        if self.ring.first != first:
            self._metrics.add(BUS_DROPPED, LOG, by=self.ring.first - first)
