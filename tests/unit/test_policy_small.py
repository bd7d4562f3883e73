"""Vitals, Recent, Overlap, Penalty and Staleness."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.dedupe import Recent
from streamer.policy.overlap import Overlap
from streamer.policy.penalty import Penalty
from streamer.policy.stall import HEALTHY_AFTER, LEAST_SESSION, Staleness, Vitals


class VitalsTests(SynchronousTestCase):
    """Is it dead, was it healthy?"""

    def test_silence(self) -> None:
        """Death is judged by bytes of any kind."""
        vitals = Vitals(opened=100, stall_after=45)
        self.assertEqual(45, vitals.silence_left(100))
        vitals.heard(120)
        self.assertEqual(25, vitals.silence_left(140))
        self.assertLessEqual(vitals.silence_left(165), 0)

    def test_health_by_item(self) -> None:
        """An item proves a connection that lasts a little; one item and goodbye proves nothing."""
        vitals = Vitals(opened=0, stall_after=45)
        vitals.items += 1
        vitals.heard(LEAST_SESSION - 1)
        self.assertFalse(vitals.healthy)
        vitals.heard(LEAST_SESSION)
        self.assertTrue(vitals.healthy)

    def test_health_by_keep_alives(self) -> None:
        """So do thirty seconds of keep-alives, but not thirty seconds of silence."""
        vitals = Vitals(opened=0, stall_after=45)
        vitals.heard(HEALTHY_AFTER - 1)
        self.assertFalse(vitals.healthy)
        vitals.heard(HEALTHY_AFTER)
        self.assertTrue(vitals.healthy)


class RecentTests(SynchronousTestCase):
    """Seen lately?"""

    def test_bounded(self) -> None:
        """The oldest id is forgotten first."""
        recent = Recent(limit=2)
        self.assertEqual([False, False, True, False, False], [recent.seen(id_) for id_ in "abaca"])

    def test_forget(self) -> None:
        """What is forgotten is new again; what never came can be forgotten, too."""
        recent = Recent()
        recent.seen("a")
        recent.forget("a")
        recent.forget("b")
        self.assertEqual((False, True), (recent.seen("a"), recent.seen("a")))

    @given(st.lists(st.sampled_from("abcdef")), st.integers(1, 4))
    def test_model(self, ids: list[str], limit: int) -> None:
        """It answers as a list of the last distinct ids would."""
        recent, model = Recent(limit=limit), list[str]()
        for id_ in ids:
            self.assertEqual(id_ in model, recent.seen(id_))
            if id_ not in model:
                model = [*model, id_][-limit:]


class OverlapTests(SynchronousTestCase):
    """Two connections to one stream."""

    def test_met(self) -> None:
        """They have met when an item came on both, whichever was first; a repeat on one of them is no meeting."""
        overlap = Overlap()
        self.assertFalse(overlap.note("1", new=False))
        self.assertFalse(overlap.note("1", new=False))
        self.assertFalse(overlap.note("2", new=True))
        self.assertTrue(overlap.note("2", new=False))
        self.assertTrue(overlap.note("1", new=True))


class PenaltyTests(SynchronousTestCase):
    """A credential's rate limit."""

    def test_longest(self) -> None:
        """The longest wait counts, and is over when it is over."""
        penalty = Penalty()
        self.assertEqual(0.0, penalty.left(100.0))
        penalty.extend(160.0)
        penalty.extend(130.0)
        self.assertEqual(60.0, penalty.left(100.0))
        self.assertEqual(0.0, penalty.left(161.0))


class StalenessTests(SynchronousTestCase):
    """Open streams without items."""

    def test_alarm_once(self) -> None:
        """The judgement changes once when it turns stale and once when it recovers."""
        staleness = Staleness(60.0)
        self.assertEqual(
            [False, True, False, True],
            [staleness.look(quiet, connected=True) for quiet in (59.0, 60.0, 500.0, 0.0)],
        )
        self.assertFalse(staleness.stale)

    def test_only_open_streams(self) -> None:
        """A stream that is not open is not stale; it has other troubles. Without a limit none is."""
        self.assertFalse(Staleness(60.0).look(500.0, connected=False))
        self.assertFalse(Staleness(0.0).look(500.0, connected=True))
