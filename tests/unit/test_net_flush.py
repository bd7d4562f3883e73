"""The one timer."""

import itertools
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.metrics import FANOUT_CPU, Metrics
from streamer.net import flush
from streamer.net.flush import CREDIT, TICK, Flusher


class FlusherTests(SynchronousTestCase):
    """`Flusher`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.calls: list[float] = []
        self.due = 1
        self.left = 0
        self.ticks = 0
        self.behind = 0
        self.metrics = Metrics()
        self.cpu = itertools.count()
        self.flusher = Flusher(self.clock, self.flush, self.metrics, lambda: float(next(self.cpu)))

    def flush(self, budget: int, now: float, late: Callable[[], bool], tick: bool) -> bool:
        """Write to so many clients of those that are due."""
        self.ticks += tick
        self.left = self.left or (self.due if tick else 0)
        served = min(budget, self.left)
        self.calls += [now] * served
        self.left -= served
        if self.behind:
            self.behind -= 1
            self.flusher.go_on()
        return self.left > 0

    def test_idle(self) -> None:
        """At once after a pause, and no timer afterwards."""
        self.flusher.soon()
        self.flusher.soon()
        self.clock.advance(0)
        self.assertEqual((len(self.calls), self.clock.getDelayedCalls()), (1, []))
        self.assertEqual(1, self.metrics.value(FANOUT_CPU))

    def test_load(self) -> None:
        """Under load once a tick; after quiet ticks a few at once."""
        for _ in range(100):
            self.flusher.soon()
            self.clock.advance(TICK / 10)
        self.assertIn(len(self.calls), (CREDIT + 8, CREDIT + 9))
        gaps = [later - earlier for earlier, later in itertools.pairwise(self.calls[CREDIT:])]
        self.assertTrue(all(abs(gap - TICK) < TICK / 5 for gap in gaps), gaps)

    def test_company(self) -> None:
        """Events that come a tick apart, more or less, each go out at once: waiting would bring no company."""
        for moment in (0.0, 1.1, 1.9, 3.2, 4.0, 5.1, 5.8):
            self.clock.advance(moment * TICK - self.clock.seconds())
            self.flusher.soon()
            self.clock.advance(0)
            self.assertEqual(self.calls[-1], self.clock.seconds())

    def test_many(self) -> None:
        """A great many clients are written to in several turns, each once, and others get theirs in between."""
        self.due = flush.TURN_LIMIT * 2 + 1
        self.flusher.soon()
        done: list[int] = []
        self.clock.callLater(0, lambda: done.append(len(self.calls)))
        self.clock.advance(0)
        self.assertEqual((done, len(self.calls)), ([flush.TURN_LIMIT], self.due))

    def test_catching_up(self) -> None:
        """While somebody catches up, turn by turn, the others still get one frame a tick."""
        self.flusher.soon()
        self.clock.advance(0)
        self.behind = 200
        self.flusher.go_on()
        for _ in range(100):
            self.flusher.soon()
            self.clock.advance(TICK / 10)
        self.assertEqual(0, self.behind)
        self.assertLessEqual(self.ticks, CREDIT + 11)

    def test_clock_set_back(self) -> None:
        """A clock that was set back does not stop the flushing."""
        self.flusher.soon()
        self.clock.advance(0)
        self.clock.rightNow = -3600.0
        self.flusher.soon()
        self.assertEqual(self.clock.getDelayedCalls()[0].getTime(), -3600.0)

    def test_stop(self) -> None:
        """Nothing is left."""
        self.flusher.soon()
        self.flusher.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
