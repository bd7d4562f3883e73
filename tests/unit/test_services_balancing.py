"""A process that has more than its share of the shards."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from streamer.bus.topology import ENRICH, worked_for_items
from streamer.interfaces import IWork
from streamer.metrics import SHARDS_GIVEN_UP, Metrics
from streamer.services.balancing import BALANCE_EVERY, Balancing


@implementer(IWork)
@attrs.define(eq=False)
class Work:
    """As the bus would show it; stops when `slow` fires."""

    active: bool = True
    workers: int = 1
    ready: bool = True
    slow: Deferred[None] | None = None
    stopped: int = 0

    def stop(self) -> Deferred[None]:
        self.stopped += 1
        return self.slow or succeed(None)


class BalancingTests(SynchronousTestCase):
    """Looks, gives up, stops."""

    def setUp(self) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.works: dict[str, Work] = {queue: Work() for queue in worked_for_items(4)}
        self.taken: list[str] = []
        self.balancing = Balancing(self.works, self.take, self.clock, self.metrics)
        verifyObject(IWork, Work())

    def take(self, queue: str) -> None:
        self.taken.append(queue)
        self.works[queue] = Work(active=False, workers=self.works[queue].workers)

    def several(self, workers: int) -> None:
        self.works[ENRICH].workers = workers

    def test_alone(self) -> None:
        """The only worker keeps all."""
        self.balancing.start()
        self.clock.pump([BALANCE_EVERY] * 3)
        self.assertEqual(self.taken, [])
        self.successResultOf(self.balancing.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shares(self) -> None:
        """When a second worker is there half of the shards are given up, once; the common queue never is."""
        self.balancing.start()
        self.several(2)
        self.clock.pump([BALANCE_EVERY] * 3)
        self.assertEqual(len(self.taken), 2)
        self.assertNotIn(ENRICH, self.taken)
        self.assertEqual(self.metrics.value(SHARDS_GIVEN_UP), 2)
        self.successResultOf(self.balancing.stop())

    def test_stop_meanwhile(self) -> None:
        """A stop waits for what is being given up, and takes nothing again."""
        slow: Deferred[None] = Deferred()
        self.several(2)
        for work in self.works.values():
            work.slow = slow
        self.balancing.start()
        self.clock.advance(BALANCE_EVERY)
        stopping = self.balancing.stop()
        self.assertNoResult(stopping)
        slow.callback(None)
        self.successResultOf(stopping)
        self.assertEqual((self.taken, self.clock.getDelayedCalls()), ([], []))
        self.successResultOf(self.balancing.stop())
