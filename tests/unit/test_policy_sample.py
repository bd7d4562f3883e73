# -*- test-case-name: tests.unit.test_policy_sample -*-
"""Tests for `streamer.policy.sample`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.sample import KEYS, Sample


class SampleTests(SynchronousTestCase):
    """Which incidents are logged."""

    def test_first_few(self) -> None:
        """The first of a period are taken, the rest are not."""
        sample = Sample(per_period=2, period=60.0)
        self.assertEqual([sample.take("a", 10.0 + index) for index in range(4)], [0, 0, None, None])

    def test_next_period(self) -> None:
        """The next period begins with how many were left out."""
        sample = Sample(per_period=2, period=60.0)
        for _ in range(5):
            sample.take("a", 0.0)
        self.assertEqual([sample.take("a", 60.0), sample.take("a", 61.0), sample.take("a", 62.0)], [3, 0, None])

    def test_keys_apart(self) -> None:
        """One noisy key does not silence another."""
        sample = Sample(per_period=1)
        self.assertEqual([sample.take("a", 0.0), sample.take("a", 0.0), sample.take("b", 0.0)], [0, None, 0])

    def test_clock_set_back(self) -> None:
        """A clock that is set back begins a new period instead of silencing the key."""
        sample = Sample(per_period=1)
        sample.take("a", 1000.0)
        self.assertEqual(sample.take("a", 0.0), 0)

    def test_bounded(self) -> None:
        """The keys remembered are bounded."""
        sample = Sample(per_period=1)
        for index in range(KEYS * 2 + 1):
            sample.take(str(index), 0.0)
        self.assertEqual(sample.take(str(KEYS * 2), 0.0), None)
        self.assertEqual(sample.take("0", 0.0), 0)
