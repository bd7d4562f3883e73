"""What every face has of one client's way out. `test_fanout_session` and `test_fanout_listener` hold the rest."""

from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ClientError
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.protocol import Close
from streamer.metrics import DELIVERED, FRAMES, SKIPPED, Metrics
from streamer.testing.relay_events import entry
from tests.unit.test_fanout_front import Client, events_in


class FeedTests(SynchronousTestCase):
    """`Feed`."""

    def setUp(self) -> None:
        self.hub = Hub(Journal(entries_limit=4), Metrics())
        self.client = Client(self.hub, 0)
        self.client.full = True

    def publish(self, count: int, size: int = 0) -> None:
        for offset in range(self.hub.journal.head, self.hub.journal.head + count):
            self.hub.append(entry(offset, "a.x", size=size))

    def test_budget(self) -> None:
        """A pull gives as many frames as fit, at least one, and counts what it gives."""
        self.publish(3, size=40_000)
        self.assertEqual(1, len(events_in(self.client.feed.pull(1, 0.0) or b"")))
        self.assertEqual(2, len(events_in(self.client.feed.pull(100_000, 0.0) or b"")))
        metrics = self.hub.metrics
        self.assertEqual((3, 3), (metrics.value(FRAMES), metrics.value(DELIVERED)))

    def test_lag(self) -> None:
        """What left the journal is told, exactly, before what follows it."""
        self.publish(7)
        frames = events_in(self.client.feed.pull(100_000, 0.0) or b"")
        self.assertEqual(("lag", 7), (frames[0][0], frames[0][1]["skipped"]))
        self.assertEqual(7, self.hub.metrics.value(SKIPPED))

    def test_strict(self) -> None:
        """A strict client that lost something is told nothing more."""
        self.client.feed.subscribe("s", frozenset(["b"]), None, None, "strict")
        self.publish(7)
        for ask in (self.client.feed.insist, lambda: self.client.feed.pull(1, 0.0)):
            self.assertEqual(Close.SLOW, self.assertRaises(ClientError, ask).close)
