# -*- test-case-name: tests.unit.test_services_outflow -*-
"""What the bus was given and has not confirmed yet, in batches as they were read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.errors import BusStopped, MessageRefused
from streamer.interfaces import IBus
from streamer.message import Item
from streamer.upstream import Resume


@attrs.define(eq=False)
class Batch:
    """Items that came together.

    Args:
        number: their place in the order.
        mark: where the source had got to with them; None for those of an earlier process.
        stored: they are on disk as well.
    """

    number: int
    items: Sequence[Item]
    mark: Resume | None
    stored: bool
    bytes: int = attrs.field(init=False)
    left: int = attrs.field(init=False)  # not confirmed

    def __attrs_post_init__(self) -> None:
        self.left = len(self.items)
        self.bytes = sum([len(item.body) for item in self.items])


@attrs.define(eq=False)
class UnderWay:
    """Publishes batches and keeps them until they are confirmed.

    Args:
        done: called when a batch is confirmed, all before it perhaps not.
        refused: told of each item that the bus will never take, and why.
    """

    bus: IBus
    done: Callable[[Batch], None]
    refused: Callable[[Batch, Item, str], None] = lambda batch, item, reason: None
    items: int = 0
    bytes: int = 0
    reached: Resume | None = None  # the mark of the contiguous prefix that the bus has
    number: int = 0  # of the last batch of that prefix
    _batches: deque[Batch] = attrs.field(factory=deque)
    _quiet: list[Deferred[None]] = attrs.field(factory=list)

    log = Logger()

    def publish(self, batch: Batch) -> None:
        """Hand a batch to the bus."""
        self._batches.append(batch)
        self.items += batch.left
        self.bytes += batch.bytes
        publish = self.bus.publish

        def confirmed(_: object) -> None:
            self._settle(batch)

        for item in batch.items:
            publish(item.message()).addCallbacks(confirmed, self._failed, errbackArgs=(item, batch))

    def left(self) -> list[Batch]:
        """The batches that are not confirmed, in order."""
        return [batch for batch in self._batches if batch.left]

    def quiet(self) -> Deferred[None]:
        """Fires when the bus has answered for everything."""
        if not self.items:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._quiet.append(waiting)
        return waiting

    def _failed(self, failure: Failure, item: Item, batch: Batch) -> None:
        if failure.check(MessageRefused):
            self.log.error(
                "{source} dropped {id}: {reason}", source=item.source, id=item.id, reason=str(failure.value)
            )
            self.refused(batch, item, str(failure.value))
            self._settle(batch)
        elif failure.check(BusStopped):  # not taken: the mark stays before it
            self.log.warn("{source} had not handed over {id} when the bus stopped.", source=item.source, id=item.id)
        else:
            self.log.failure("while handing {id} over", failure, id=item.id)

    def _settle(self, batch: Batch) -> None:
        batch.left -= 1
        self.items -= 1
        if batch.left:
            return
        self.bytes -= batch.bytes
        while self._batches and not self._batches[0].left:
            first = self._batches.popleft()
            self.number, self.reached = first.number, first.mark or self.reached
        self.done(batch)
        if not self.items and self._quiet:
            quiet, self._quiet = self._quiet, []
            for waiting in quiet:
                waiting.callback(None)
