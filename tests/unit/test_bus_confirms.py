"""Confirm tracking by delivery tag."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.confirms import Confirms, UnknownTag


def filled(count: int) -> Confirms[int]:
    """Tags 1 to `count`, each carrying its own number, sent a second apart."""
    confirms: Confirms[int] = Confirms()
    for number in range(1, count + 1):
        confirms.sent([number], float(number))
    return confirms


class ConfirmsTests(SynchronousTestCase):
    """Tags to publishes."""

    def test_single(self) -> None:
        """One tag settles one publish, in whatever order they come."""
        confirms = filled(3)
        self.assertEqual([confirms.settle(tag, False) for tag in (2, 3, 1)], [[2], [3], [1]])
        self.assertIsNone(confirms.head())

    def test_multiple(self) -> None:
        """A multiple confirm settles all up to its tag; 0 is no tag."""
        confirms = filled(5)
        confirms.settle(2, False)
        self.assertEqual(confirms.settle(3, True), [1, 3])
        with self.assertRaises(UnknownTag):
            confirms.settle(0, True)
        self.assertEqual(confirms.settle(5, True), [4, 5])

    def test_head(self) -> None:
        """The head is the oldest publish that waits."""
        confirms = filled(3)
        confirms.settle(1, False)
        self.assertEqual(confirms.head(), 2.0)

    def test_batches(self) -> None:
        """What was sent together has one time, which stands until the last of it is settled."""
        confirms: Confirms[str] = Confirms()
        self.assertEqual(confirms.sent("abc", 1.0), 3)
        self.assertEqual(confirms.sent("", 2.0), 3)
        self.assertEqual(confirms.sent("de", 3.0), 5)
        self.assertEqual((confirms.settle(2, True), confirms.head(), len(confirms)), (["a", "b"], 1.0, 3))
        self.assertEqual((confirms.settle(4, False), confirms.head()), (["d"], 1.0))
        self.assertEqual((confirms.settle(3, False), confirms.head()), (["c"], 3.0))
        self.assertEqual((confirms.settle(5, True), confirms.head(), len(confirms)), (["e"], None, 0))

    def test_unknown(self) -> None:
        """A tag that was not sent, or was confirmed already, is a surprise."""
        for tag, multiple in ((1, False), (4, False), (4, True), (1, True), (0, False)):
            confirms = filled(3)
            confirms.settle(1, False)
            with self.assertRaises(UnknownTag):
                confirms.settle(tag, multiple)
            self.assertEqual(len(confirms), 2)

    def test_clear(self) -> None:
        """What waits when the channel goes comes back in the order of publishing."""
        confirms = filled(4)
        confirms.settle(2, False)
        self.assertEqual(confirms.clear(), [1, 3, 4])
        self.assertEqual(len(confirms), 0)

    @given(st.lists(st.tuples(st.sampled_from(["send", "one", "many"]), st.integers(0, 30)), max_size=80))
    def test_each_settles_once(self, steps: list[tuple[str, int]]) -> None:
        """Whatever the broker says, each publish is settled at most once, and never another one in its place."""
        confirms: Confirms[int] = Confirms()
        sent, settled = 0, []
        for what, tag in steps:
            if what == "send":
                sent = confirms.sent(range(sent + 1, sent + 1 + tag), 0.0)
                continue
            try:
                found = confirms.settle(tag, what == "many")
            except UnknownTag:
                continue
            self.assertEqual(found, sorted(found))
            self.assertTrue(found == [tag] or what == "many")
            settled += found
            self.assertEqual(len(confirms), sent - len(settled))
            self.assertEqual(confirms.head() is None, len(confirms) == 0)
        self.assertEqual(sorted(settled + confirms.clear()), list(range(1, sent + 1)))
