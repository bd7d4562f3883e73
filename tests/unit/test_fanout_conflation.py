"""The newest of each topic, for who is slow and wants no more."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ClientError
from streamer.fanout import conflation
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.metrics import CONFLATED, SKIPPED, Metrics
from streamer.testing.relay_events import entry
from tests.unit.test_fanout_front import Client, events_in

TREND = "trend.hour"


class ConflationTests(SynchronousTestCase):
    """`conflation.newest`, through one client's feed."""

    def setUp(self) -> None:
        self.patch(conflation, "BEHIND", 3)
        self.hub = Hub(Journal(entries_limit=1000), Metrics())
        self.client = Client(self.hub, 0)
        self.client.full = True
        self.client.feed.flow.remove("a")

    def publish(self, *topics: str) -> None:
        for topic in topics:
            offset = self.hub.journal.head
            self.hub.append(entry(offset, topic, kind="delete" if topic == "delete.x" else "post"))

    def follow(self, policy: str, *topics: str, last: int | None = None) -> None:
        self.client.feed.subscribe(policy, frozenset(topics), None, last, policy)

    def pulled(self) -> list:
        """All frames there are: offsets of events, and the facts of losses."""
        frames: list = []
        while (data := self.client.feed.pull(100, 0.0)) is not None:
            for name, *rest in events_in(data):
                if name == "ev":
                    frames += [int(event["id"].partition(":")[2]) for event in rest[1]]
                elif name == "lag":
                    frames.append(rest[0])
        return frames

    def test_newest(self) -> None:
        """Of a backlog, the newest event of each topic comes, after a notice of how many were left out."""
        self.follow("conflate", "trend.*")
        self.publish(TREND, "trend.day", TREND, TREND, "trend.week", TREND)
        lag, *offsets = self.pulled()
        self.assertEqual(([1, 4, 5], 3, "conflated"), (offsets, lag["skipped"], lag["why"]))
        self.assertEqual(self.hub.journal.locate(lag["to"]).place, 1)
        self.assertEqual((3, 0), (self.hub.metrics.value(CONFLATED), self.hub.metrics.value(SKIPPED)))
        self.publish(TREND)
        self.assertEqual([6], self.pulled())

    def test_quick_clients(self) -> None:
        """Who is not behind gets everything."""
        self.follow("conflate", "trend.*")
        for _ in range(5):
            self.publish(TREND, TREND)
            self.assertEqual(2, len(self.pulled()))

    def test_history(self) -> None:
        """History that was asked for is given as it was."""
        self.publish(*[TREND] * 10)
        self.follow("conflate", "trend.*", last=8)
        self.assertEqual(list(range(2, 10)), self.pulled())

    def test_others_want_all(self) -> None:
        """What another subscription of the connection wants in full is not thinned, and deletions never are."""
        self.follow("conflate", "trend.*", "post.*")
        self.follow("skip", "post.#")
        self.publish(TREND, "post.x", TREND, "post.x", "delete.x", "delete.x", TREND)
        lag, *offsets = self.pulled()
        self.assertEqual(([1, 3, 4, 5, 6], 2), (offsets, lag["skipped"]))

    def test_strict_stays_strict(self) -> None:
        """Beside a strict subscription conflation goes on; a real loss still ends the connection."""
        self.follow("conflate", "trend.*")
        self.follow("strict", "post.#")
        self.publish(*[TREND] * 5, "post.x")
        self.assertEqual([4, 5], self.pulled()[1:])
        self.publish(*["post.x"] * 2_000)
        self.assertRaises(ClientError, self.pulled)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from(["pull", "a.1", "a.2"]), max_size=60))
    def test_interleavings(self, steps: list[str]) -> None:
        """Whatever happens when: in order, none twice, none lost but counted, and the last of a topic always comes."""
        self.setUp()
        self.follow("conflate", "a.*")
        topics: list[str] = []
        got: list = []
        for step in steps:
            if step == "pull":
                got += self.pulled()[:1000]
            elif step.startswith("a."):
                self.publish(step)
                topics.append(step)
        got += self.pulled()
        offsets = [one for one in got if isinstance(one, int)]
        skipped = sum(one["skipped"] for one in got if isinstance(one, dict))
        self.assertEqual(sorted(set(offsets)), offsets)
        self.assertEqual(len(topics), len(offsets) + skipped)
        for topic in set(topics):
            self.assertIn(len(topics) - 1 - topics[::-1].index(topic), offsets)
