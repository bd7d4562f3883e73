"""What the in-process bus holds at most."""

from __future__ import annotations

import gc
import tracemalloc

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import memory_bounds, topology
from streamer.bus.memory import MemoryBus
from streamer.bus.memory_bounds import (
    ASIDE_BYTES,
    ASIDE_MESSAGES,
    OVERHEAD,
    QUEUE_BYTES,
    QUEUE_MESSAGES,
    RING_AGE,
    bounds,
    seconds,
    weight,
)
from streamer.message import Decision, Delivery, Topic
from streamer.metrics import BUS_DROPPED, BUS_PENDING, Metrics
from tests.bus_contract import Notes, event, raw

NOW = 1_795_000_000.0  # seconds since the epoch


class BoundsTests(SynchronousTestCase):
    """The numbers."""

    def test_ages(self) -> None:
        """A stream's age is read as RabbitMQ reads it, and the log keeps to the topology's."""
        for age, expected in (("90s", 90), ("5m", 300), ("6h", 21_600), ("2D", 172_800), ("1M", 2_592_000)):
            self.assertEqual(seconds(age), expected)
        self.assertEqual(RING_AGE, seconds(topology.LOG_MAX_AGE))

    def test_queues(self) -> None:
        """Queues of items share one bound, however many shards there are; those for people are small."""
        for shards in (0, 1, 7, 64):
            layout = topology.layout(shards)
            items = [bounds(queue, layout) for queue in layout.queues.values() if queue.rejects]
            self.assertEqual(len(items), shards + 1)
            for total, most in (
                (sum(row[0] for row in items), QUEUE_MESSAGES),
                (sum(row[1] for row in items), QUEUE_BYTES),
            ):
                self.assertLessEqual(total, most)
                self.assertGreater(total, most - shards - 1)
            self.assertEqual(bounds(layout.queues[topology.DEAD], layout), (ASIDE_MESSAGES, ASIDE_BYTES))
            self.assertEqual(bounds(layout.queues[topology.TRENDS], layout), (QUEUE_MESSAGES, QUEUE_BYTES))

    def test_weight(self) -> None:
        """Bodies and texts of headers weigh; numbers do not."""
        self.assertEqual(weight(raw(1, b"12345")), 5)
        self.assertEqual(weight(raw(1, b"12345", headers={"cursor": "abc", "received": 10**15})), 8)


class GrowthTests(SynchronousTestCase):
    """Ten times as much as there is room for goes through, and nothing grows past its bound."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.metrics = Metrics()
        self.bus = MemoryBus(self.clock, self.metrics, delay=lambda attempt: 0.0)
        self.bus.startService()
        self.broker = self.bus._broker

    def test_nothing_grows(self) -> None:
        """Each queue and the log keep within a tenth of what is published, in messages and in bytes."""
        self.bus.work(topology.TRENDS, Notes(), 1).stop()
        self.broker.log.ring.max_entries, self.broker.log.ring.max_bytes = 100, 5_000
        for queue in self.broker.queues.values():
            queue.places.max_messages, queue.places.max_bytes = 100, 5_000

        async def reject(delivery: Delivery) -> Decision:
            return Decision.REJECT

        self.bus.work(topology.ENRICH, reject, 5)
        for number in range(1000):
            self.bus.publish(raw(number, b"x" * (number % 97)))
            self.bus.publish(event(number, body=b"x" * (number % 97)))
            self.bus.publish(raw(number, b"x" * (number % 97), topic=Topic(f"other.t{number}")))
            if not number % 10:
                self.clock.advance(0)
            for name in (topology.DEAD, topology.UNROUTED, topology.TRENDS):
                queue = self.broker.queues[name]
                self.assertTrue(len(queue) <= 100 and queue.places.size <= 5_000, name)
            ring = self.broker.log.ring
            self.assertTrue(ring.next - ring.first <= 100 and ring._bytes <= 5_000)
        self.clock.advance(0)
        for name in (topology.DEAD, topology.UNROUTED, topology.TRENDS):
            places = self.broker.queues[name].places
            self.assertEqual(len(places) + self.metrics.value(BUS_DROPPED, name), 1000, name)
            self.assertEqual(places.size, sum(row[2] for row in places._fresh))

    def test_publishers_that_wait(self) -> None:
        """Beyond the bound of a queue of items there is just what publishers did not wait with: a window each."""
        queue = self.broker.queues[topology.ENRICH]
        queue.places.max_messages = 50
        waiting: list[list[Deferred[None]]] = [[], [], []]  # of three publishers that keep to a window of 20
        published = 0
        for _ in range(500):
            for window in waiting:
                window[:] = [answer for answer in window if not answer.called]
                if len(window) < 20:
                    published += 1
                    window.append(self.bus.publish(raw(published)))
            self.clock.advance(0)
            self.assertLessEqual(len(queue), 50 + 3 * 20)
        self.assertEqual((len(queue), len(queue.publishers)), (50 + 3 * 20, 3 * 20))
        self.assertEqual(self.metrics.value(BUS_PENDING), 60)
        self.assertIn("streamer.enrich is full, 60 publishes wait", self.bus.status)
        self.assertEqual(self.metrics.value(BUS_DROPPED, topology.ENRICH), 0)
        self.bus.work(topology.ENRICH, Notes(), 1)
        self.clock.advance(0)
        self.assertEqual(self.metrics.value(BUS_PENDING), 0)
        self.assertTrue(all(answer.called for window in waiting for answer in window))

    def test_memory(self) -> None:
        """What Python needs for each message beside its body is about what is said, and is given back."""
        count, size = 300, 200
        self.broker.log.ring.max_entries = count
        bus = self.bus
        for number in range(200):  # what is made once
            bus.publish(event(number, topic=Topic(f"post.birds.en.author{number % 100}")))
        self.clock.advance(0)
        gc.collect()
        tracemalloc.start()
        try:
            for number in range(10 * count):
                headers = {
                    "received": number + 10**12,
                    "cursor": f"cursor-{number}",
                    "partitionkey": f"author-{number}",
                }
                topic = Topic(f"post.birds.en.author{number % 100}")
                bus.publish(event(number, body=bytes(size), headers=headers, topic=topic))
                if not number % 100:
                    self.clock.advance(0)
            self.clock.advance(0)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        self.assertLess(grown, count * (size + OVERHEAD))
        self.assertGreater(grown, count * (size + OVERHEAD // 3))

    def test_routes_are_forgotten(self) -> None:
        """Topics without number do not fill the memory of where they lead."""
        self.broker.log.ring.max_entries = 10
        for number in range(10_000):
            self.bus.publish(event(number, topic=Topic(f"post.t{number}")))
        self.assertLessEqual(len(self.broker._routes), 8192)

    def test_table(self) -> None:
        """The module's docstring, which is for people, names every bound."""
        names = [name for name in vars(memory_bounds) if name.isupper() and not name.startswith("_")]
        for name in names:
            self.assertIn(f"`{name}`", str(memory_bounds.__doc__), name)
