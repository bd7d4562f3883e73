"""When posts happen."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.production import CATCH_UP, Production


class ProductionTests(SynchronousTestCase):
    """A steady rate, by the clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.batches: list[int] = []
        self.willing = True
        self.ends = 0

    def production(self, rate: float, count: int | None = None) -> Production:
        def make(number: int) -> int:
            if not self.willing:
                return 0
            self.batches.append(number)
            return number

        def ended() -> None:
            self.ends += 1

        return Production(self.clock, rate, count, make, ended)

    def test_slow(self) -> None:
        """Few posts come one at a time, at their distance."""
        production = self.production(4.0)
        production.start()
        self.clock.pump([0.05] * 40)
        self.assertEqual([1] * 8, self.batches)
        production.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_fast(self) -> None:
        """Many posts come in batches of 20 ms, and the rate is kept."""
        production = self.production(20_000.0)
        production.start()
        self.clock.pump([0.01] * 100)
        self.assertEqual(20_000, sum(self.batches))
        self.assertTrue(49 <= len(self.batches) <= 51 and max(self.batches) <= 600, self.batches)
        production.stop()

    def test_late(self) -> None:
        """After a sleep it makes up for what was missed, but not for more than a bounded time."""
        production = self.production(10.0)
        production.start()
        self.clock.advance(2.0)
        self.assertEqual(20, sum(self.batches))
        self.clock.advance(1000.0)
        self.assertEqual(20 + 10 * CATCH_UP, sum(self.batches))
        self.clock.advance(1.0)
        self.assertEqual(30 + 10 * CATCH_UP, sum(self.batches))
        production.stop()

    def test_count(self) -> None:
        """It ends by itself after `count` posts, once, and does not begin again."""
        production = self.production(100.0, count=7)
        production.start()
        self.clock.pump([0.05] * 4)
        production.start()
        self.clock.pump([0.05] * 4)
        self.assertEqual((7, 7, 1), (sum(self.batches), production.made, self.ends))
        self.assertFalse(production.running)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_nothing_matches(self) -> None:
        """Posts that could not be made do not count, and are not made up for."""
        self.willing = False
        production = self.production(10.0, count=5)
        production.start()
        self.clock.pump([0.1] * 50)
        self.willing = True
        self.clock.pump([0.1] * 3)
        self.assertEqual([1, 1, 1], self.batches)
        production.stop()

    def test_no_rate(self) -> None:
        """A rate of 0 makes nothing and leaves no timer."""
        self.production(0.0).start()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_failure(self) -> None:
        """Where making fails it is logged and production ends, without a timer left."""

        def broken(number: int) -> int:
            raise RuntimeError("no ink")

        production = Production(self.clock, 10.0, None, broken, self.fail)
        production.start()
        self.clock.advance(0.1)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.assertFalse(production.running)
        self.assertEqual([], self.clock.getDelayedCalls())
