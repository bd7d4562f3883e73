"""Whether an entry of the log was read before."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.recall import Recall, Seen


class RecallTests(SynchronousTestCase):
    """The same log, and another one. Entries are made one millisecond after the other, from 1000 on."""

    def setUp(self) -> None:
        self.recall = Recall(limit=5)
        self.see(range(10, 14))

    def see(self, offsets: Iterable[int], name: str = "id", later: int = 0) -> list[Seen]:
        return [self.recall.see(offset, f"{name}{offset}", 1000 + later + offset) for offset in offsets]

    def test_same_log(self) -> None:
        """After a reconnect the start of the chunk is dropped, also what came before the first entry read."""
        self.recall.reconnected(False)
        self.assertEqual(self.see(range(8, 16)), [Seen.REPEATED] * 6 + [Seen.NEW] * 2)
        self.assertEqual(self.recall.last, 15)

    def test_another_log(self) -> None:
        """Another message at a known offset raises doubt, which changes nothing; in doubt it begins another log."""
        self.recall.reconnected(False)
        self.assertEqual(self.see([13], "other"), [Seen.DOUBTFUL])
        self.assertEqual(self.recall.last, 13)
        self.recall.reconnected(True)
        self.assertEqual(self.see(range(0, 3), "other", later=100), [Seen.OTHER, Seen.NEW, Seen.NEW])
        self.assertEqual(self.recall.last, 2)

    def test_lost_tail(self) -> None:
        """In doubt, what is known is still dropped: a log may be the same up to some entry."""
        self.recall.reconnected(True)
        self.assertEqual([*self.see([11, 12]), *self.see([13], "new")], [Seen.REPEATED, Seen.REPEATED, Seen.OTHER])

    def test_older_than_all_known(self) -> None:
        """In doubt, the same log read from further back than ever is still the same: nothing comes twice."""
        self.recall.reconnected(True)
        self.assertEqual(self.see(range(8, 15)), [Seen.REPEATED] * 6 + [Seen.NEW])

    def test_more_than_a_chunk(self) -> None:
        """With a whole chunk remembered, an unknown lower offset cannot be of the same log."""
        self.see([14])
        self.recall.reconnected(False)
        self.assertEqual(self.see([2]), [Seen.DOUBTFUL])
