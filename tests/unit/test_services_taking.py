"""May items be brought now, and when does the bus have them?"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.message import Item
from streamer.services.settling import Settling
from streamer.services.taking import Taking
from tests.unit.following import Following


class SettlingTests(SynchronousTestCase):
    """Who waits for a batch."""

    def test_in_order(self) -> None:
        """Each is told when its batch, and all before it, are there; once."""
        settling = Settling()
        first, second, third = settling.wait(1), settling.wait(2), settling.wait(3)
        settling.reached(2, empty=False)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertNoResult(third)
        settling.reached(2, empty=True)
        self.successResultOf(third)

    def test_cancelled(self) -> None:
        """Who does not wait any more is not told."""
        settling = Settling()
        waiting = settling.wait(1)
        waiting.addErrback(lambda failure: None)
        waiting.cancel()
        settling.reached(1, empty=True)
        self.successResultOf(waiting)


class TakingTests(SynchronousTestCase):
    """An intake that owes somebody an answer."""

    def setUp(self) -> None:
        """A source that nobody sends anything."""
        self.made = Following(rate=0)
        self.addCleanup(lambda: self.assertEqual([], self.made.stop()))
        self.made.start()
        self.taking = Taking(self.made.intake)

    def take(self, id_: str) -> None:
        """An item comes."""
        self.made.intake.take([Item(source="birds", kind="post", id=id_, received=0, body=b"{}")], None)

    def test_nothing_under_way(self) -> None:
        """What is nowhere under way is settled."""
        self.successResultOf(self.taking.settled())

    def test_settled(self) -> None:
        """It fires with the bus's confirm of what was taken so far, not of what comes later."""
        self.made.bus.held = []
        self.take("1")
        settled = self.taking.settled()
        self.assertNoResult(settled)
        held = self.made.bus.held
        self.take("2")
        later = self.taking.settled()
        _, waiting = held.pop(0)
        waiting.callback(None)
        self.successResultOf(settled)
        self.assertNoResult(later)
        self.made.bus.release()
        self.successResultOf(later)

    def test_sent_away(self) -> None:
        """Who was sent away is counted, and within a minute it is announced that something may be missing."""
        self.taking.sent_away()
        self.taking.sent_away()
        self.assertEqual(2, self.made.metrics.value(m.SENT_AWAY, "birds"))
        self.made.advance(62, step=2)
        (gap,) = self.made.gaps()
        self.assertEqual(("sent-away", 2), (gap.cause, gap.missed))

    def test_unwilling(self) -> None:
        """It says why nothing should come while the bus is away, and nothing when all is well."""
        self.assertEqual("", self.taking.unwilling)
        self.made.bus.away = True
        self.assertIn("bus", self.taking.unwilling)
        self.made.bus.away = False
        self.assertEqual("", self.taking.unwilling)
