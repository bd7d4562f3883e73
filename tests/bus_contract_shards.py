# -*- test-case-name: tests.unit.test_bus_memory -*-
"""Checks of the bus's contract: order at scale, with the items of one author in one shard."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import attrs
from twisted.internet.task import deferLater

from streamer.bus import topology
from streamer.bus.shards import shard
from streamer.message import PARTITION_KEY, Decision, Delivery, Message
from tests.bus_contract_kit import Kit, Notes, all_taken, raw

SHARDS = 3
AUTHORS = 12
EACH = 25  # items of each author
LOOSE = 20  # items of nobody


@attrs.define
class Desk:
    """Handlers of all queues: notes in which order each author's items were begun and ended, and where."""

    kit: Kit
    begun: dict[str, list[int]] = attrs.field(factory=lambda: defaultdict(list))
    ended: dict[str, list[int]] = attrs.field(factory=lambda: defaultdict(list))
    queues: dict[str, set[str]] = attrs.field(factory=lambda: defaultdict(set))
    busy: Counter[str] = attrs.field(factory=Counter)
    most: int = 0
    served: set[str] = attrs.field(factory=set)  # names of workers

    async def handle(self, queue: str, name: str, delivery: Delivery) -> Decision:
        """Handle one; some take longer than others."""
        number = int(delivery.message.message_id.partition("/")[2])
        author = str(delivery.message.headers.get(PARTITION_KEY, ""))
        self.begun[author].append(number)
        self.queues[author].add(queue)
        self.served.add(name)
        self.busy[author] += 1
        if author:
            self.most = max(self.most, self.busy[author])
        if number % 3:
            await deferLater(self.kit.clock, 0.002 * (number % 5))
        self.busy[author] -= 1
        self.ended[author].append(number)
        return Decision.ACK

    def worker(self, queue: str, name: str) -> object:
        """A handler for one queue."""

        async def handler(delivery: Delivery) -> Decision:
            return await self.handle(queue, name, delivery)

        return handler

    @property
    def count(self) -> int:
        """Items that are done."""
        return sum(map(len, self.ended.values()))


def items() -> Iterator[Message]:
    """Authors take turns; now and then comes an item of nobody."""
    for number in range(AUTHORS * EACH):
        yield raw(number, headers={PARTITION_KEY: f"author{number % AUTHORS}"})
    for number in range(AUTHORS * EACH, AUTHORS * EACH + LOOSE):
        yield raw(number)


async def shards_keep_order(kit: Kit) -> None:
    """With shards, each item reaches one queue and one worker, and an author's items are handled one by one, in order.

    Two buses have a worker on each queue; what has no author goes to the common queue.
    """
    desk, unrouted = Desk(kit), Notes()
    buses = [await kit.bus(shards=SHARDS), await kit.bus(shards=SHARDS)]
    for name, bus in zip("ab", buses, strict=True):
        for queue in topology.worked_for_items(SHARDS):
            await kit.working(bus, queue, desk.worker(queue, name), prefetch=8)
    await kit.working(buses[0], topology.UNROUTED, unrouted)
    await all_taken(buses[0], items())
    total = AUTHORS * EACH + LOOSE
    await kit.until(lambda: desk.count >= total, "all are handled")
    await kit.pause(0.1)
    assert desk.count == total
    for number in range(AUTHORS):
        author = f"author{number}"
        expected = list(range(number, AUTHORS * EACH, AUTHORS))
        assert desk.begun[author] == desk.ended[author] == expected
        assert desk.queues[author] == {topology.shard_queue(shard(author, SHARDS))}
    assert desk.most == 1
    assert sorted(desk.ended[""]) == list(range(AUTHORS * EACH, total))
    assert desk.queues[""] == {topology.ENRICH}
    assert unrouted.got == []


async def shards_keep_order_of_retries(kit: Kit) -> None:
    """An item that fails holds up its author's later ones, and nobody else's, until it is done."""
    bus, done = await kit.bus(shards=1), list[str]()

    async def handler(delivery: Delivery) -> Decision:
        if delivery.message.headers[PARTITION_KEY] == "poor" and delivery.attempt < 4:
            return Decision.RETRY
        done.append(delivery.message.message_id)
        return Decision.ACK

    await kit.working(bus, topology.shard_queue(0), handler, prefetch=8)
    authors = ("poor", "rich")
    await all_taken(bus, [raw(number, headers={PARTITION_KEY: authors[number % 2]}) for number in range(12)])
    await kit.until(lambda: len(done) >= 12, "all are done")
    for parity in (0, 1):
        assert [id_ for id_ in done if int(id_[6:]) % 2 == parity] == [f"birds/{n}" for n in range(parity, 12, 2)]


async def shards_hand_over(kit: Kit) -> None:
    """The worker of a shard stops, another one takes over: each item is done once, and each author's in order."""
    desk, total = Desk(kit), AUTHORS * EACH
    buses = [await kit.bus(shards=1), await kit.bus(shards=1)]
    queue = topology.shard_queue(0)
    work = await kit.working(buses[0], queue, desk.worker(queue, "a"), prefetch=8)
    await kit.working(buses[1], queue, desk.worker(queue, "b"), prefetch=8)
    await all_taken(buses[0], [message for message in items() if message.headers])
    await kit.until(lambda: desk.count >= 40, "the first one is at it")
    assert desk.served == {"a"}
    await work.stop()
    await kit.until(lambda: desk.count >= total, "the second one did the rest")
    assert desk.served == {"a", "b"}
    assert sorted(number for ended in desk.ended.values() for number in ended) == list(range(total))
    assert all(ended == sorted(ended) for ended in desk.ended.values()), desk.ended


CHECKS = (
    shards_keep_order,
    shards_keep_order_of_retries,
    shards_hand_over,
)
