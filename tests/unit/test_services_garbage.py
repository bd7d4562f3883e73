"""The collector's settings, for as long as a service runs."""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from streamer.services.garbage import THRESHOLDS, Garbage


class GarbageTests(SynchronousTestCase):
    """One process."""

    def test_while_it_runs(self) -> None:
        """Collections are rarer while it runs, and as before afterwards; cycles are still found."""
        before = gc.get_threshold()
        service = Garbage()
        service.startService()
        self.addCleanup(gc.set_threshold, *before)
        self.assertEqual(THRESHOLDS, gc.get_threshold())
        self.assertGreater(gc.get_freeze_count(), 0)
        for _ in range(THRESHOLDS[0]):
            cycle: list[object] = []
            cycle.append(cycle)
        self.assertGreater(gc.collect(), 0)
        service.stopService()
        self.assertEqual((before, 0), (gc.get_threshold(), gc.get_freeze_count()))
