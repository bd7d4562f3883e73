"""Frames that come whole."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.interfaces import IFramer
from streamer.upstream import Mark
from streamer.wire.whole import Whole


class WholeTests(SynchronousTestCase):
    """They pass as they are."""

    def test_is_a_framer(self) -> None:
        """It is taken for one, and never holds anything."""
        framer = Whole()
        self.assertTrue(verifyObject(IFramer, framer))
        self.assertEqual((False, b""), (framer.pending, framer.finish()))

    def test_passes(self) -> None:
        """Frames pass in order, and nothing is made of nothing."""
        self.assertEqual([b"a", b"", b"c"], Whole().feed((b"a", b"", b"c")))
        self.assertEqual([], Whole().feed(()))

    def test_limit(self) -> None:
        """What is longer than the limit is skipped and counted; the others pass."""
        framer = Whole(limit=3)
        self.assertEqual([b"abc", b"x"], framer.feed([b"abc", b"abcd", b"x", b"y" * 9]))
        self.assertEqual(2, framer.skipped)

    def test_words(self) -> None:
        """A word between frames passes whatever its length."""
        self.assertEqual([Mark("long")], Whole(limit=1).feed([Mark("long")]))
