"""Which shard a message goes to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.shards import SHARDS_LIMIT, routed, shard, word
from streamer.message import PARTITION_KEY
from tests.bus_contract import event, raw


class ShardsTests(SynchronousTestCase):
    """Publishers of any version must agree."""

    def test_never_changes(self) -> None:
        """The shard of a key is written down here, and stays."""
        keys = ("12", "jack", "did:plc:abc", "ā", "", "\ud800")
        self.assertEqual([shard(key, 7) for key in keys[:3]], [1, 6, 4])
        self.assertTrue(all(shard(key, 1) == 0 for key in keys))

    @given(st.text(max_size=30), st.integers(1, SHARDS_LIMIT))
    def test_in_range(self, key: str, shards: int) -> None:
        """Every key has a shard, whose word has no more than three letters."""
        self.assertIn(shard(key, shards), range(shards))
        self.assertEqual(len(word(shard(key, shards))), 3)

    def test_routed(self) -> None:
        """Items with a partition key get one more word; others, events, and all without shards stay as they are."""
        keyed = raw(1, headers={PARTITION_KEY: "jack"})
        self.assertEqual(routed(keyed, 7).topic, "raw.birds.post.s06")
        self.assertEqual(routed(keyed, 7).headers, keyed.headers)
        for message, shards in ((keyed, 0), (raw(1), 7), (event(1, headers={PARTITION_KEY: "jack"}), 7)):
            self.assertIs(routed(message, shards), message)
