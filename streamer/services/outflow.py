# -*- test-case-name: tests.unit.test_services_outflow -*-
"""Items of one source → the bus, in order, by way of the disk while the bus is away or behind.

    direct     → the bus, while it is ready and little is under way
    spooling   → the disk → the bus; direct again once that is empty

Memory is bounded in both: what is under way by number and bytes, what waits for the disk by bytes. `crowded` and
`roomy` say when reading has to pause and may go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from streamer.bus.spool import Spool
from streamer.interfaces import IBus
from streamer.message import Item
from streamer.services.settling import Settling
from streamer.services.spooling import Spooling
from streamer.services.under_way import Batch, UnderWay
from streamer.upstream import Resume

DIRECT_ITEMS = 4_000  # under way, beyond which the bus counts as slow
DIRECT_BYTES = 16_000_000
WAITING_BYTES = 16_000_000  # handed to the disk and not yet on it; then the disk is too slow, and reading pauses


@attrs.define(eq=False)
class Outflow:
    """The way of one source's items.

    Args:
        changed: called when `crowded`, `roomy` or `stored` may have changed.
        forget: told the id of each item that the bus refused for ever.
    """

    bus: IBus
    clock: IReactorTime
    changed: Callable[[], None]
    forget: Callable[[str], None] = lambda id_: None
    spooling: Spooling | None = None
    under_way: UnderWay = attrs.field(init=False)
    settling: Settling = attrs.field(factory=Settling)
    _number: int = 0

    log = Logger()

    def __attrs_post_init__(self) -> None:
        def refused(batch: Batch, item: Item, reason: str) -> None:
            self.forget(item.id)  # it is not there, whoever sends it again
            self.settling.refused(batch.number, reason)

        self.under_way = UnderWay(self.bus, self._confirmed, refused)

    def use(self, spool: Spool, number: int, spooled: Resume | None) -> Spooling:
        """Use this disk from now on; what is on it goes first.

        Args:
            number: of the newest chunk on it.
            spooled: the mark that it stands for.
        """
        spooling = Spooling(spool, self.under_way, self.clock, self._room, self.changed, number)
        self.spooling = spooling
        spooling.storing.spooled, spooling.storing.number = spooled, number
        if spool.items:
            spooling.begin()
        return spooling

    def put(self, items: Sequence[Item], mark: Resume | None) -> None:
        """Take items that were read together; `mark` is where the source got to with them."""
        spooling, under_way = self.spooling, self.under_way
        if spooling is None:
            self._number += 1
            under_way.publish(Batch(self._number, items, mark, stored=False))
            return
        if not spooling.active:
            crowd = under_way.items >= DIRECT_ITEMS or under_way.bytes >= DIRECT_BYTES
            if not crowd and self.bus.ready:
                spooling.number += 1
                under_way.publish(Batch(spooling.number, items, mark, stored=False))
                return
            spooling.begin()
        spooling.put(items, mark)

    @property
    def crowded(self) -> bool:
        """No more can be taken at the moment without growing."""
        if self.spooling is None:
            return self.under_way.items >= self.bus.window or self.under_way.bytes >= DIRECT_BYTES
        return bool(self.spooling.storing.stuck) or self.spooling.spool.waiting >= WAITING_BYTES

    @property
    def roomy(self) -> bool:
        """Half of the room is free again."""
        if self.spooling is None:
            return self.under_way.items <= self.bus.window // 2 and self.under_way.bytes <= DIRECT_BYTES // 2
        return not self.spooling.storing.stuck and self.spooling.spool.waiting <= WAITING_BYTES // 2

    @property
    def stored(self) -> int:
        """Bytes on disk, and on their way there."""
        return 0 if self.spooling is None else self.spooling.spool.bytes + self.spooling.pending_bytes

    @property
    def number(self) -> int:
        """No batch that was taken so far has a higher one."""
        return self._number if self.spooling is None else self.spooling.number + bool(self.spooling.pending)

    @property
    def spooled(self) -> tuple[Resume | None, int]:
        """The mark of what is on disk or beyond it, None while nothing is there; and the number it is from."""
        if self.spooling is None or self.spooling.storing.spooled is None:
            return None, 0
        return self.spooling.storing.spooled, self.spooling.storing.number

    @property
    def empty(self) -> bool:
        """Nothing waits anywhere."""
        spooling = self.spooling
        return not self.under_way.items and (spooling is None or not (spooling.active or spooling.lost))

    async def close(self, patience: float) -> None:
        """Take no more, wait for the bus, and put on disk what it has not confirmed by then.

        Args:
            patience: seconds to wait at most; where there is a disk, not at all for a bus that is away.
        """
        if self.spooling is not None:
            self.spooling.active = False
        if self.spooling is None or self.bus.ready:
            try:
                await self.under_way.quiet().addTimeout(patience, self.clock)
            except TimedOut:
                self.log.warn("{count} items are not confirmed by the bus.", count=self.under_way.items)
        if self.spooling is not None:
            await self.spooling.close(self.under_way.left)

    def _room(self) -> bool:
        under_way = self.under_way
        few = under_way.items < DIRECT_ITEMS // 2 and under_way.bytes < DIRECT_BYTES // 2
        return few and self.bus.ready

    def _confirmed(self, batch: Batch) -> None:
        if self.spooling is not None:
            self.spooling.confirmed(batch)
            self.spooling.pump()
        self.settling.reached(self.under_way.number, empty=self.empty)
        self.changed()
