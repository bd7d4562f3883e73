"""The half of a source that is followed as a whole."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer.sources.fixed import Fixed
from streamer.upstream import Prepared
from tests.unit.following import table_of


class FixedTests(SynchronousTestCase):
    """No predicates, nothing to prepare, nothing to repeat."""

    def test_no_predicates(self) -> None:
        """It has none, takes none, and never differs from itself."""
        fixed: Any = Fixed()
        self.assertEqual((None, False, 0), (fixed.predicates, fixed.live_predicates, fixed.changes(fixed)))
        with self.assertRaises(ValueError) as caught:
            fixed.with_predicates({})
        self.assertIn("takes no predicates", str(caught.exception))

    def test_nothing_to_do(self) -> None:
        """It asks for nothing before its stream, and for nothing beside it."""
        steps = Fixed().prepare(dry_run=False)
        with self.assertRaises(StopIteration) as done:
            next(steps)
        self.assertEqual(Prepared(), done.exception.value)
        self.assertIsNone(Fixed().recovery(0, 1))

    def test_own_words(self) -> None:
        """A source may know better what it can do."""
        self.assertIsNone(table_of("x-sample").source.predicates)
