"""May items be brought now, and when does the bus have them?"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.errors import MessageRefused
from streamer.message import Item
from streamer.services.settling import Settling
from streamer.services.taking import Taking
from tests.unit.following import Following


class SettlingTests(SynchronousTestCase):
    """Who waits for a batch."""

    def test_in_order(self) -> None:
        """Each is told when its batch, and all before it, are there; once."""
        settling = Settling()
        first, second, third = settling.wait(1, 0), settling.wait(2, 1), settling.wait(3, 2)
        settling.reached(2, empty=False)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertNoResult(third)
        settling.reached(2, empty=True)
        self.successResultOf(third)

    def test_cancelled(self) -> None:
        """Who does not wait any more is not told."""
        settling = Settling()
        waiting = settling.wait(1, 0)
        waiting.addErrback(lambda failure: None)
        waiting.cancel()
        settling.reached(1, empty=True)
        self.successResultOf(waiting)

    def test_refused(self) -> None:
        """Whose item the bus refused for ever is told so, once all before it are answered for; nobody else is."""
        settling = Settling()
        first, second, third = settling.wait(1, 0), settling.wait(3, 1), settling.wait(4, 3)
        settling.refused(2, "too long")
        settling.reached(1, empty=False)
        self.successResultOf(first)
        self.assertNoResult(second)
        settling.reached(4, empty=False)
        self.assertEqual("too long", str(self.failureResultOf(second, MessageRefused).value))
        self.successResultOf(third)

    def test_refused_before(self) -> None:
        """Some are refused at once, before anybody waits; who brings something later has nothing to do with it."""
        settling = Settling()
        settling.refused(2, "too long")
        self.assertEqual(("too long", ""), (settling.refusal(2, 1), settling.refusal(2, 2)))
        own, other = settling.wait(2, 1), settling.wait(3, 2)
        settling.reached(3, empty=False)
        self.failureResultOf(own, MessageRefused)
        self.successResultOf(other)


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
        self.successResultOf(self.taking.settled(self.taking.taken))

    def test_settled(self) -> None:
        """It fires with the bus's confirm of what was taken so far, not of what comes later."""
        self.made.bus.held = []
        self.take("1")
        settled = self.taking.settled(self.taking.taken)
        self.assertNoResult(settled)
        held = self.made.bus.held
        self.take("2")
        later = self.taking.settled(self.taking.taken)
        _, waiting = held.pop(0)
        waiting.callback(None)
        self.successResultOf(settled)
        self.assertNoResult(later)
        self.made.bus.release()
        self.successResultOf(later)

    def test_refused(self) -> None:
        """What the bus refuses for ever is no success, when it comes again neither; later or at once."""
        for held in (True, False, True):
            self.made.bus.held = [] if held else None
            before, bus = self.taking.taken, self.made.bus
            self.take("1" if held else "k" * 300)
            settled = self.taking.settled(before)
            if bus.held:
                bus.held.pop()[1].errback(MessageRefused("too long"))
            self.failureResultOf(settled, MessageRefused)
        self.made.bus.held = None
        before = self.taking.taken
        self.take("2")
        self.successResultOf(self.taking.settled(before))

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
