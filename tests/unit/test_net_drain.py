"""Clients are sent away one by one."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.drain import LATE, LINGER, Drain


@attrs.define(eq=False)
class Guest:
    """Somebody who is told when to leave."""

    told: list[int] = attrs.field(factory=list)

    def announce(self, in_ms: int) -> None:
        self.told.append(in_ms)


class DrainTests(SynchronousTestCase):
    """`Drain`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.left: list[tuple[float, Guest]] = []

    def drain(self, over: float, *jitters: float) -> tuple[Drain[Guest], list[Guest]]:
        """A drain, and a guest for each number."""
        numbers = iter(jitters)
        drain = Drain[Guest](self.clock, over, lambda: next(numbers), self._leave)
        guests = [Guest() for _ in jitters]
        for guest in guests:
            drain.add(guest)
        return drain, guests

    def _leave(self, guest: Guest) -> None:
        self.left.append((self.clock.seconds() - 1_000_000, guest))

    def test_at_once(self) -> None:
        """Without time all are gone in the same turn, told when to come back, and no timer is left."""
        _, guests = self.drain(0.0, 0.9, 0.1)
        self.assertEqual([(0.0, guest) for guest in guests], self.left)
        self.assertEqual([[4500], [500]], [guest.told for guest in guests])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_moments(self) -> None:
        """Each is told its own moment and closed a little after it, in whatever order they were told."""
        _, guests = self.drain(5.0, 0.5, 0.0, 1.0)
        self.assertEqual([[2000], [0], [4000]], [guest.told for guest in guests])
        self.clock.pump([0.5] * 10)
        self.assertEqual([(1.0, guests[1]), (3.0, guests[0]), (5.0, guests[2])], self.left)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_late(self) -> None:
        """One that slips in is told nothing and soon sent away, also when the time is over."""
        drain, _ = self.drain(5.0, 1.0)
        for _ in range(2):
            late = Guest()
            drain.late(late)
            self.clock.advance(LATE)
            self.assertEqual(([], late), (late.told, self.left[-1][1]))
            self.clock.advance(5)

    def test_stop(self) -> None:
        """When all have left of themselves nothing is waited for."""
        drain, _ = self.drain(5.0, 0.3, 0.6)
        drain.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        drain.stop()
        self.assertEqual([], self.left)

    def test_leaving_ends_the_drain(self) -> None:
        """Stopping it from within, when the last one goes, leaves no timer."""
        drain, _ = self.drain(1.0, 0.0, 1.0)
        drain.leave = lambda guest: drain.stop()
        self.clock.advance(1.0)
        self.assertEqual([], self.clock.getDelayedCalls())

    @given(st.floats(0.001, 100), st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.01, 7))
    def test_everybody_leaves_in_time(self, over: float, jitters: list[float], step: float) -> None:
        """However the numbers fall: all leave, each after what it was told, and none after the end."""
        self.left.clear()
        began = self.clock.seconds()
        _, guests = self.drain(over, *jitters)
        while self.clock.seconds() < began + over:
            self.clock.advance(min(step, over / 3))
        self.clock.advance(0.001)
        self.assertEqual({id(guest) for guest in guests}, {id(guest) for _, guest in self.left})
        late = over - min(LINGER, over / 2)
        self.assertTrue(all(0 <= guest.told[0] <= late * 1000 + 1 for guest in guests))
        self.assertEqual([], self.clock.getDelayedCalls())
