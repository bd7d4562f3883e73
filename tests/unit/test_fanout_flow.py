"""What one connection is sent, against a naive model, over random interleavings."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout import cohort as cohort_module
from streamer.fanout import replay as replay_module
from streamer.fanout.cohort import Batch
from streamer.fanout.encoding import RELAY
from streamer.fanout.flow import Flow, Lag, Turn
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.subscription import Subscription
from streamer.fanout.topics import matcher
from streamer.metrics import Metrics
from streamer.testing.relay_events import entry

DELETE = "delete.x"  # the topic of deletions, which everybody gets
TOPICS = ["a.x", "a.y", "b.x", "b.y", "c", DELETE]
PATTERNS = [frozenset(patterns) for patterns in (["a.*"], ["*.x"], ["#"], ["b.y", "c"], ["a.x"])]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from(TOPICS)),
        st.tuples(st.just("sub"), st.sampled_from(PATTERNS), st.integers(0, 30)),
        st.tuples(st.just("unsub"), st.integers(0, 5)),
        st.tuples(st.just("pull"), st.integers(1, 3)),
        st.tuples(st.just("tick")),
        st.tuples(st.just("full")),
    ),
    max_size=60,
)


def offsets_of(data: bytes) -> list[int]:
    text = data[data.index(b"[") :]
    return [int(event["id"].partition(":")[2]) for event in json.loads(text)[2]]


def wants(patterns: frozenset[str], topic: str) -> bool:
    """What a subscription is sent."""
    return topic == DELETE or bool(matcher(patterns)(topic))


class Rig:
    """A flow, driven by steps, and what it ought to send.

    `owed` holds, for each event that must still come, how often; an event is taken off when it comes. `lost` is
    what the flow says it skipped.
    """

    def __init__(self, entries_limit: int) -> None:
        self.hub = Hub(Journal(entries_limit=entries_limit), Metrics())
        self.flow = Flow(self.hub, self, RELAY, "")
        self.topics: list[str] = []
        self.owed: set[int] = set()
        self.sent: list[int] = []
        self.live: list[int] = []
        self.skipped = 0
        self.names = 0
        self.starts: dict[str, tuple[frozenset[str], int]] = {}
        self.replaying: dict[str, int] = {}

    def append(self, topic: str) -> None:
        place = len(self.topics)
        self.topics.append(topic)
        self.hub.append(entry(place, topic, kind="delete" if topic == DELETE else "post"))
        if any(wants(patterns, topic) for patterns, _ in self.starts.values()):
            self.owed.add(place)

    def matching(self, patterns: frozenset[str], start: int) -> set[int]:
        return {place for place in range(start, len(self.topics)) if wants(patterns, self.topics[place])}

    def sub(self, patterns: frozenset[str], back: int) -> None:
        journal = self.hub.journal
        start = max(journal.floor, journal.head - back)
        covered = {place for known, begun in self.starts.values() for place in self.matching(known, begun)}
        new = self.matching(patterns, start) - covered
        self.names += 1
        name = str(self.names)
        count = self.flow.add(Subscription(name, self.hub.enter(patterns), False, start))
        assert count == len(new), f"replayed {count}, the model says {sorted(new)}"
        self.starts[name] = (patterns, start)
        self.owed |= new

    def unsub(self, index: int) -> None:
        names = sorted(self.starts)
        if not names:
            return
        name = names[index % len(names)]
        self.flow.remove(name)
        del self.starts[name]
        wanted = {place for known, begun in self.starts.values() for place in self.matching(known, begun)}
        self.owed &= wanted

    def tick(self) -> None:
        """What a tick writes by itself."""
        while self.hub.flush(1, 0.0):
            pass

    def full(self) -> None:
        """The socket takes no more."""
        self.flow.live.fall_behind()

    def wake(self) -> None:
        """See `Reader`; pulling is a step of its own here."""

    def deliver(self, data: bytes) -> None:
        """A frame that came by itself."""
        self.taken(data)
        position = json.loads(data[data.index(b"[") :])[1]
        assert position == self.flow.live.told
        self.resumable(position)

    def taken(self, data: bytes) -> int:
        offsets = offsets_of(data)
        for offset in offsets:
            assert offset in self.owed, f"{offset} was sent and not owed"
            self.owed.remove(offset)
            self.sent.append(offset)
        assert offsets == sorted(offsets)
        return len(offsets)

    def resumable(self, position: str) -> None:
        place = self.hub.journal.locate(position).place
        assert place is not None
        assert self.hub.journal.floor or all(owed >= place for owed in self.owed), (
            "who resumes from this frame loses an event"
        )

    def pull(self) -> bool:
        output = self.flow.pull()
        if isinstance(output, Batch):
            assert self.taken(output.data) == output.events
            self.resumable(output.position)
        elif isinstance(output, Lag):
            self.skipped += output.skipped
        return output is not None

    def position(self) -> int:
        """The place that the flow would resume from."""
        place = self.hub.journal.locate(self.flow.position()).place
        assert place is not None
        return place


class FlowTests(SynchronousTestCase):
    """`Flow`."""

    def setUp(self) -> None:
        # Frames of two or three small events, so that batches have boundaries worth testing.
        self.patch(cohort_module, "FRAME_LIMIT", 300)
        self.patch(replay_module, "FRAME_LIMIT", 300)

    @settings(max_examples=120, deadline=None)
    @given(STEPS)
    @example(
        [
            ("append", "a.x"),
            ("sub", frozenset(["c"]), 0),
            ("sub", frozenset(["a.*"]), 1),
            ("sub", frozenset(["*.x"]), 1),
            ("unsub", 1),
        ]
    )
    @example(
        [
            *[("append", topic) for topic in TOPICS],
            ("sub", frozenset(["c"]), 0),
            ("sub", frozenset(["a.*"]), 4),
            ("sub", frozenset(["*.y"]), 4),
            ("pull", 1),
            ("unsub", 1),
            ("sub", frozenset(["#"]), 5),
            ("pull", 1),
        ]
    )
    def test_exactly_once(self, steps: list[tuple]) -> None:
        """Nothing evicted: what is owed is sent once, `replayed` is exact, and resuming anywhere loses nothing."""
        rig = Rig(10_000)
        for name, *arguments in steps:
            if name == "pull":
                for _ in range(arguments[0]):
                    rig.pull()
                place = rig.position()
                assert all(offset >= place for offset in rig.owed), "the position is past what is still owed"
            else:
                getattr(rig, name)(*arguments)
        while rig.pull():
            pass
        rig.append("c")
        rig.tick()
        while rig.pull():
            pass
        self.assertEqual(rig.owed, set())
        self.assertEqual(rig.skipped, 0)
        self.assertEqual(rig.position(), rig.hub.journal.head)
        rig.flow.close()
        self.assertEqual(rig.hub.cohorts, 0)

    @settings(max_examples=120, deadline=None)
    @given(STEPS, st.integers(1, 6))
    def test_evictions(self, steps: list[tuple], limit: int) -> None:
        """A journal that is too small: whatever was owed is either sent, once, or counted as skipped, exactly."""
        rig = Rig(limit)
        for name, *arguments in steps:
            if name == "unsub":  # what was lost before is settled first, for the model cannot tell whose it was
                while rig.pull():
                    pass
                self.settle(rig)
            if name == "sub":
                while rig.pull():
                    pass
                self.settle(rig)
            if name == "pull":
                rig.pull()
            else:
                getattr(rig, name)(*arguments)
        while rig.pull():
            pass
        self.settle(rig)

    def settle(self, rig: Rig) -> None:
        self.assertEqual(len(rig.owed), rig.skipped)
        rig.owed.clear()
        rig.skipped = 0
        # A live flow that lagged covers the future only; what it skipped may be asked for again.
        rig.starts = {name: (known.patterns, known.start) for name, known in rig.flow.subscriptions.items()}

    @settings(max_examples=120, deadline=None)
    @given(STEPS, st.integers(1, 6))
    def test_evictions_anywhere(self, steps: list[tuple], limit: int) -> None:
        """Whatever is asked for while events leave: none is sent twice to one subscription, none out of thin air."""
        rig = Rig(limit)
        for name, *arguments in steps:
            if name == "append":
                rig.append(*arguments)
            elif name == "sub":
                journal = rig.hub.journal
                start = max(journal.floor, journal.head - arguments[1])
                rig.names += 1
                rig.starts[str(rig.names)] = (arguments[0], start)
                rig.flow.add(Subscription(str(rig.names), rig.hub.enter(arguments[0]), False, start))
            elif name == "unsub" and rig.starts:
                gone = sorted(rig.starts)[arguments[0] % len(rig.starts)]
                del rig.starts[gone]
                rig.flow.remove(gone)
            elif name == "pull":
                output = rig.flow.pull()
                if isinstance(output, Batch):
                    for offset in offsets_of(output.data):
                        wanted = [p for p, start in rig.starts.values() if start <= offset]
                        assert any(wants(patterns, rig.topics[offset]) for patterns in wanted)
                rig.position()
        for _ in range(1000):
            if rig.flow.pull() is None:
                break
        else:
            self.fail("the flow never comes to rest")

    def test_alone(self) -> None:
        """The only subscription is the live flow set back: no replay, no turn, shared frames."""
        rig = Rig(100)
        for topic in TOPICS:
            rig.append(topic)
        rig.sub(frozenset(["a.*"]), 30)
        batch = rig.flow.pull()
        assert isinstance(batch, Batch)
        self.assertEqual(offsets_of(batch.data), [0, 1])
        self.assertEqual(batch.position, rig.hub.journal.position(2))
        deletion = rig.flow.pull()
        assert isinstance(deletion, Batch)
        self.assertEqual(offsets_of(deletion.data), [5])
        self.assertIsNone(rig.flow.pull())

    def test_replay_beside_live(self) -> None:
        """History beside a live subscription leaves out what that one brought, and a turn restores the position."""
        rig = Rig(100)
        rig.sub(frozenset(["a.*"]), 0)
        for topic in TOPICS:
            rig.append(topic)
        while rig.pull():
            pass
        rig.sub(frozenset(["*.x"]), 30)
        replay = rig.flow.pull()
        assert isinstance(replay, Batch)
        self.assertEqual(offsets_of(replay.data), [2])
        self.assertEqual(rig.flow.pull(), Turn(rig.hub.journal.position(6)))
        self.assertIsNone(rig.flow.pull())

    def test_quiet_cohort_does_not_lag(self) -> None:
        """Events that nobody on the connection wants may leave the journal; that is no lag."""
        rig = Rig(2)
        rig.sub(frozenset(["c"]), 0)
        for _ in range(10):
            rig.append("a.x")
        self.assertIsNone(rig.flow.pull())
        self.assertEqual(rig.position(), 10)

    def test_lag(self) -> None:
        """The live flow of a slow client jumps to the head and says exactly what was left out."""
        rig = Rig(3)
        rig.sub(frozenset(["a.*"]), 0)
        for topic in ["a.x", "b.x", "a.y", "a.x", "c"]:
            rig.append(topic)
        lag = rig.flow.pull()
        self.assertEqual(lag, Lag(3, "", rig.hub.journal.position(5)))
        self.assertIsNone(rig.flow.pull())
