"""What RabbitMQ's versions do differently."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.versions import (
    DIFFERENCES,
    OLDEST,
    TESTED,
    Difference,
    Version,
    in_force,
    passive_needs,
    refusal,
)

NUMBERS = st.integers(0, 99)


class VersionsTests(SynchronousTestCase):
    """The table, and what reads it."""

    def test_parse(self) -> None:
        """As brokers say it: RabbitMQ's versions, and those of others, of which nothing is known."""
        for server, version in (
            ("RabbitMQ 3.10.8", Version(3, 10, 8)),
            ("RabbitMQ 4.3.0-rc.1", Version(4, 3, 0)),
            ("RabbitMQ 3.13", Version(3, 13)),
            ("RabbitMQ 4.1.2+beta", Version(4, 1, 2)),
            ("RabbitMQ", None),
            ("LavinMQ 2.1.0", None),
            ("a broker of an unknown version", None),
        ):
            with self.subTest(server=server):
                self.assertEqual(Version.parse(server), version)

    @settings(max_examples=50, deadline=None)
    @given(NUMBERS, NUMBERS, NUMBERS)
    def test_round(self, major: int, minor: int, patch: int) -> None:
        """A version is read as it is written, and is in the order of its numbers."""
        version = Version(major, minor, patch)
        self.assertEqual(Version.parse(f"RabbitMQ {version}"), version)
        self.assertEqual(version < Version(3, 10, 8), (major, minor, patch) < (3, 10, 8))

    def test_refused(self) -> None:
        """What is older than streams under policies is refused, and only that."""
        self.assertIn("RabbitMQ 3.9.27 is too old", refusal("RabbitMQ 3.9.27") or "")
        for server in (f"RabbitMQ {OLDEST}", f"RabbitMQ {TESTED}", "RabbitMQ 5.0.0", "LavinMQ 1.0"):
            self.assertIsNone(refusal(server))

    def test_in_force(self) -> None:
        """Each difference holds from its first version on, and no more at its last."""
        one = Difference(since=Version(4, 3), until=Version(4, 3, 1), what="", ours="")
        holds = [one.holds(version) for version in (Version(4, 2, 9), Version(4, 3, 0), Version(4, 3, 1))]
        self.assertEqual(holds, [False, True, False])
        self.assertEqual(one.span, "from 4.3.0, before 4.3.1")
        said = {
            version: " ".join(found.what for found in in_force(version))
            for version in (Version(3, 10, 8), Version(4, 3, 1))
        }
        self.assertIn("counts as a failed delivery", said[Version(3, 10, 8)])
        self.assertNotIn("counts as a failed delivery", said[Version(4, 3, 1)])
        self.assertIn("have one of 20", said[Version(4, 3, 1)])

    def test_complete(self) -> None:
        """Each has a span, and says what we do about it; none claims to be tested elsewhere than where it was."""
        for difference in DIFFERENCES:
            self.assertTrue(difference.since or difference.until, difference.what)
            self.assertTrue(difference.ours)
            self.assertNotIn("tested", difference.ours)

    def test_passive(self) -> None:
        """Why a look was refused depends on the version."""
        self.assertIn("right to configure", passive_needs(Version(4, 3, 0)))
        self.assertNotIn("configure", passive_needs(Version(4, 3, 1)))
        self.assertNotIn("configure", passive_needs(None))
