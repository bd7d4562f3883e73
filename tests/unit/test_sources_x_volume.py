"""X's sample and volume streams: the sources without rules."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.interfaces import ISource, ISourceType
from streamer.message import Item
from streamer.policy import backoff
from streamer.secrets import Secret
from streamer.sources import x_sample, x_volume
from streamer.sources.x_unfiltered import XUnfiltered
from streamer.upstream import Prepared, Response

NOW = 1_700_000_000_000


def sample(**settings: Any) -> XUnfiltered:
    """A source of the 1 % sample."""
    return x_sample.x_sample.build("all", x_sample.Settings(token=Secret("t"), **settings))


def volume(**settings: Any) -> XUnfiltered:
    """A source of a partition."""
    settings = {"stream": "firehose", "partition": 1, **settings}
    return x_volume.x_volume.build("all", x_volume.Settings(token=Secret("t"), **settings))


class AddressTests(SynchronousTestCase):
    """Where they are, and what they need."""

    def test_interfaces(self) -> None:
        """They are sources, made by source types without predicates."""
        for kind, source in ((x_sample.x_sample, sample()), (x_volume.x_volume, volume())):
            verifyObject(ISourceType, kind)
            verifyObject(ISource, source)
            self.assertEqual((None, None), (kind.predicates, source.predicates))

    def test_paths(self) -> None:
        """Each stream has its address; partitions go into the query."""
        for source, path in (
            (sample(), "/2/tweets/sample/stream?"),
            (volume(stream="sample10", partition=2), "/2/tweets/sample10/stream?"),
            (volume(partition=20), "/2/tweets/firehose/stream?"),
            (volume(lang="ja"), "/2/tweets/firehose/stream/lang/ja?"),
        ):
            self.assertTrue(source.request(None, NOW).url.startswith(f"https://api.x.com{path}"), path)
        self.assertIn("&partition=20", volume(partition=20).request(None, NOW).url)
        self.assertNotIn("partition", sample().request(None, NOW).url)

    def test_partitions(self) -> None:
        """Two of sample10, twenty of the firehose, fewer of one language; each is a lane of its own."""
        for own, most in (
            ({"stream": "sample10"}, 2), ({}, 20), ({"lang": "en"}, 8),
            ({"lang": "ja"}, 2), ({"lang": "ko"}, 2), ({"lang": "pt"}, 2),
        ):  # fmt: skip
            for wrong in (0, -1, most + 1):
                with self.assertRaises(ValueError) as caught:
                    volume(partition=wrong, **own)
                self.assertIn(f"from 1 to {most}", str(caught.exception))
            lanes = {volume(partition=n, **own).lane for n in range(1, most + 1)}
            self.assertEqual(most, len(lanes))

    def test_language_of_the_firehose_only(self) -> None:
        """sample10 has no language streams."""
        with self.assertRaises(ValueError) as caught:
            volume(stream="sample10", lang="en")
        self.assertIn("only the firehose", str(caught.exception))

    def test_the_past(self) -> None:
        """Back-fill for both, recovery for partitions whose contract has it."""
        for source in (sample(backfill_minutes=2), volume(backfill_minutes=2)):
            self.assertIn("backfill_minutes=2", source.request(None, NOW).url)
        self.assertIsNone(sample(backfill_minutes=2).recovery(NOW - 600_000, NOW))
        self.assertIsNone(volume().recovery(NOW - 600_000, NOW))
        self.assertIsNotNone(volume(recovery=True).recovery(NOW - 600_000, NOW))

    def test_credentials_are_checked(self) -> None:
        """A token that is none, and a server that would see it in the clear."""
        self.assertRaises(ValueError, sample, base_url="http://example.com")
        self.assertRaises(ValueError, volume, base_url="http://example.com")
        with self.assertRaises(ValueError):
            x_sample.x_sample.build("all", x_sample.Settings(token=Secret("t\n")))


class MeaningTests(SynchronousTestCase):
    """They understand what x-filtered does."""

    def test_lines(self) -> None:
        """A post comes out as an item, and the item as an activity."""
        source = sample()
        (frame,) = source.framer().feed(b'{"data":{"id":"7","text":"hi"}}\r\n')
        (item,) = source.outcomes(frame, 5)
        assert isinstance(item, Item)
        self.assertEqual("hi", source.decode(item).text)

    def test_refusal(self) -> None:
        """Answers are classified as anywhere at X."""
        self.assertEqual(backoff.HTTP, volume().refusal(Response(status=503, received=1.0)).cause)

    def test_no_predicates(self) -> None:
        """There are none to change, and nothing to prepare."""
        with self.assertRaises(ValueError) as caught:
            sample().with_predicates(None)
        self.assertIn("takes no predicates", str(caught.exception))
        self.assertEqual(0, sample().changes(sample()))
        with self.assertRaises(StopIteration) as done:
            next(sample().prepare(True))
        self.assertEqual(Prepared(), done.exception.value)

    def test_settings(self) -> None:
        """Profile and stall timer are configurable."""
        source = volume(profile="2010", stall_after=30.0)
        self.assertEqual(("2010", 30.0), (source.profile, source.stall_after))
