"""Whether an entry of the log was read before."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.recall import Recall, Seen


class RecallTests(SynchronousTestCase):
    """The same log, and another one."""

    def setUp(self) -> None:
        self.recall = Recall(limit=5)
        for offset in range(10, 14):
            self.recall.see(offset, f"id{offset}")

    def test_same_log(self) -> None:
        """After a reconnect the start of the chunk is dropped, also what came before the first entry read."""
        self.recall.reconnected(False)
        seen = [self.recall.see(offset, f"id{offset}") for offset in range(8, 16)]
        self.assertEqual(seen, [Seen.REPEATED] * 6 + [Seen.NEW] * 2)
        self.assertEqual(self.recall.last, 15)

    def test_another_log(self) -> None:
        """Another message at a known offset raises doubt, which changes nothing; in doubt it begins another log."""
        self.recall.reconnected(False)
        self.assertIs(self.recall.see(13, "other"), Seen.DOUBTFUL)
        self.assertEqual(self.recall.last, 13)
        self.recall.reconnected(True)
        seen = [self.recall.see(offset, f"other{offset}") for offset in range(0, 3)]
        self.assertEqual(seen, [Seen.OTHER, Seen.NEW, Seen.NEW])
        self.assertEqual(self.recall.last, 2)

    def test_lost_tail(self) -> None:
        """In doubt, what is known is still dropped: a log may be the same up to some entry."""
        self.recall.reconnected(True)
        seen = [self.recall.see(11, "id11"), self.recall.see(12, "id12"), self.recall.see(13, "new13")]
        self.assertEqual(seen, [Seen.REPEATED, Seen.REPEATED, Seen.OTHER])

    def test_more_than_a_chunk(self) -> None:
        """With a whole chunk remembered, an unknown lower offset cannot be of the same log."""
        self.recall.see(14, "id14")
        self.recall.reconnected(False)
        self.assertIs(self.recall.see(2, "id2"), Seen.DOUBTFUL)
