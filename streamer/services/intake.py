# -*- test-case-name: tests.unit.test_services_intake -*-
"""Items of one source → the bus, never more than its window at a time.

When the window is full the connection is told to pause, so that the upstream's bytes wait in the sockets instead
of in our memory; it reads on when half of the window is confirmed.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer import metrics as m
from streamer.errors import BusStopped, MessageRefused
from streamer.interfaces import IBus
from streamer.message import Item
from streamer.metrics import Metrics
from streamer.policy.checkpoint import Checkpoint, Ticket
from streamer.policy.dedupe import Recent


def _nothing() -> None:
    """No connection is open, so there is nothing to pause."""


@attrs.define
class Intake:
    """Hands the items of one source to the bus.

    Args:
        source: the configured name.
    """

    source: str
    bus: IBus
    metrics: Metrics
    pause: Callable[[], None] = _nothing
    resume: Callable[[], None] = _nothing
    checkpoint: Checkpoint[int] = attrs.field(factory=Checkpoint)  # of the times items were received, ms
    _recent: Recent = attrs.field(factory=Recent)
    paused: bool = False
    _quiet: list[Deferred[None]] = attrs.field(factory=list)

    log = Logger()

    def take(self, item: Item) -> bool:
        """Publish an item, unless its id has just been seen; says whether it was new."""
        if self._recent.seen(item.id):
            self.metrics.add(m.REPEATED_ITEMS, self.source)
            return False
        self.metrics.add(m.ITEMS, self.source, item.kind)
        ticket = self.checkpoint.begin(item.received)
        published = self.bus.publish(item.message())
        published.addCallbacks(lambda _: self._done(ticket), self._failed, errbackArgs=(item, ticket))
        published.addErrback(lambda failure: self.log.failure("while handing {id} over", failure, id=item.id))
        if not self.paused and len(self.checkpoint) >= self.bus.window:
            self.paused = True
            self.metrics.add(m.PAUSES, self.source)
            self.pause()
        self.metrics.set(m.UNCONFIRMED, self.source, to=len(self.checkpoint))
        return True

    def drained(self) -> Deferred[None]:
        """Fires when the bus has answered for everything that was taken."""
        if not self.checkpoint:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._quiet.append(waiting)
        return waiting

    def attach(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """A new connection reads for us; it starts as the window stands."""
        self.pause, self.resume = pause, resume
        if self.paused:
            pause()

    def detach(self) -> None:
        """The connection is gone."""
        self.pause = self.resume = _nothing

    def _failed(self, failure: Failure, item: Item, ticket: Ticket[int]) -> None:
        if failure.check(MessageRefused):
            self.log.error(
                "{source} dropped {id}: {reason}", source=self.source, id=item.id, reason=str(failure.value)
            )
            self._done(ticket)
            return
        failure.trap(BusStopped)  # not taken: the checkpoint stays before it, so that it comes again
        self._recent.forget(item.id)
        self.log.warn("{source} had not handed over {id} when the bus stopped.", source=self.source, id=item.id)

    def _done(self, ticket: Ticket[int]) -> None:
        self.checkpoint.done(ticket)
        unconfirmed = len(self.checkpoint)
        self.metrics.set(m.UNCONFIRMED, self.source, to=unconfirmed)
        if self.paused and unconfirmed <= self.bus.window // 2:
            self.paused = False
            self.resume()
        if not unconfirmed:
            quiet, self._quiet = self._quiet, []
            for waiting in quiet:
                waiting.callback(None)
