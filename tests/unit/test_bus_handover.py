"""The first moment of a new worker of an ordered queue."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.handover import SETTLE, Handover
from streamer.message import Delivery
from tests.bus_contract import raw


class HandoverTests(SynchronousTestCase):
    """Held, handled, handed back."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[tuple[str, int]] = []
        self.handover = Handover(
            self.clock,
            lambda tag, delivery: self.told.append(("handle", tag)),
            lambda tag: self.told.append(("hand back", tag)),
        )

    def hold(self, *tags: int, new: bool) -> None:
        for tag in tags:
            self.handover.take(tag, Delivery(raw(tag)), new=new)

    def test_old_before_new(self) -> None:
        """What somebody had in hand before is handled; what is new goes behind whatever else he had."""
        self.hold(1, 2, new=True)
        self.clock.advance(SETTLE / 2)
        self.hold(3, new=False)
        self.hold(4, new=True)
        self.hold(5, new=False)
        self.assertEqual((self.told, self.handover.over), ([], False))
        self.clock.advance(SETTLE / 2)
        backs = [("hand back", tag) for tag in (1, 2, 4)]
        self.assertEqual(self.told, [*backs, ("handle", 3), ("handle", 5)])
        self.assertTrue(self.handover.over)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_clean(self) -> None:
        """From the first delivery on it is not clean, until something new comes after all that was handed back."""
        self.assertTrue(self.handover.clean)
        self.hold(1, new=True)
        self.clock.advance(SETTLE)
        self.hold(2, new=False)
        self.assertFalse(self.handover.clean)
        self.hold(3, new=True)
        self.assertTrue(self.handover.clean)
        self.hold(4, new=False)
        self.assertTrue(self.handover.clean)
        self.assertEqual(self.told, [("hand back", 1), ("handle", 2), ("handle", 3), ("handle", 4)])

    def test_end(self) -> None:
        """When the connection goes, or the worker stops, nothing of it is handled or handed back any more."""
        self.hold(1, new=True)
        self.handover.end()
        self.clock.advance(SETTLE)
        self.assertEqual((self.told, self.handover.over), ([], True))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.handover.end()
