"""How long to wait before a process's successor."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.respawn import FIRST, LONGEST, STEADY, Respawn


class RespawnTests(SynchronousTestCase):
    """`Respawn`."""

    def test_young_deaths(self) -> None:
        """Each death in youth doubles the wait, up to a limit that holds for ever."""
        respawn = Respawn()
        waits = [respawn.died(0.1) for _ in range(40)]
        self.assertEqual([FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST], waits[:4])
        self.assertEqual({LONGEST}, set(waits[10:]))

    def test_steady_life(self) -> None:
        """One that had run well is replaced soon, whatever was before; the next death counts from there."""
        respawn = Respawn()
        for _ in range(9):
            respawn.died(0.0)
        self.assertEqual([FIRST, 2 * FIRST], [respawn.died(STEADY), respawn.died(1.0)])
