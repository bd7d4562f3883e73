"""What clients with the same patterns share, and the hub that keeps it."""

import json

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout import cohort as module
from streamer.fanout.cohort import Cohort
from streamer.fanout.cursor import Cursor
from streamer.fanout.encoding import RELAY
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.live import Live
from streamer.message import Entry
from streamer.metrics import BAD_EVENTS, JOURNAL_EVICTED, REPEATED_EVENTS, Metrics
from streamer.testing.relay_events import entry, message

WANTED = frozenset(["a"])


def hub(limit: int = 1000) -> Hub:
    return Hub(Journal(entries_limit=limit), Metrics())


def fill(to: Hub, topics: str, start: int = 0) -> None:
    for offset, topic in enumerate(topics, start):
        to.append(entry(offset, topic))


@attrs.define(eq=False)
class Named:
    """A socket's side that notes when it is woken."""

    name: str
    calls: list[str]

    def wake(self) -> None:
        """See `Reader`."""
        self.calls.append(self.name)

    def deliver(self, data: bytes) -> None:
        """See `Reader`."""
        raise AssertionError("who watches is woken, and given nothing unasked")


def watch(to: Hub, patterns: frozenset[str], calls: list[str], name: str) -> None:
    to.watch(to.enter(patterns), Live(to, Named(name, calls), RELAY, ""))


def read(cursor: Cursor) -> list[int]:
    """All that is left, event by event, as a client would get it."""
    ids: list[int] = []
    while cursor.left:
        batch = cursor.cohort.batch(cursor.ordinal, cursor.end)
        cursor.ordinal = batch.end
        ids += [int(event["id"][5:]) for event in json.loads(batch.data[batch.data.index(b"[") :])[2]]
    return ids


class CohortTests(SynchronousTestCase):
    """`Cohort` and `Cursor`."""

    @settings(max_examples=60, deadline=None)
    @given(st.text("ab", max_size=30), st.text("ab", max_size=30), st.data())
    def test_cursors_do_not_disturb_each_other(self, before: str, after: str, data: st.DataObject) -> None:
        """Wherever cursors begin, and however far others look back meanwhile, each reads what follows its place."""
        rig = hub()
        fill(rig, before)
        cohort = rig.enter(WANTED)
        places = data.draw(st.lists(st.integers(0, len(before)), min_size=1, max_size=4))
        cursors = [Cursor.at(cohort, place) for place in places]
        fill(rig, after, len(before))
        topics = before + after
        for place, cursor in zip(places, cursors, strict=True):
            self.assertEqual(read(cursor), [at for at in range(place, len(topics)) if topics[at] == "a"])

    @settings(max_examples=60, deadline=None)
    @given(st.text("ab", max_size=40), st.integers(1, 8), st.integers(0, 8))
    def test_last(self, topics: str, limit: int, count: int) -> None:
        """`last` finds the last events among those still held, whether the index knew them or not."""
        rig = hub(limit)
        early = rig.enter(WANTED)
        fill(rig, topics)
        late = Cohort(frozenset(["a", "z"]), 0, rig.journal, module.Frames())
        held = [at for at in range(rig.journal.floor, rig.journal.head) if topics[at] == "a"]
        for cohort in (early, late):
            self.assertEqual(read(Cursor(cohort, cohort.last(count))), held[len(held) - min(count, len(held)) :])

    def test_last_is_bounded(self) -> None:
        """What is rarer than one in so many entries is not sought to the floor."""
        self.patch(module, "LAST_LOOK_LIMIT", 10)
        self.patch(module, "_STRIDE", 3)
        rig = hub()
        fill(rig, "a" + "b" * 15 + "a" + "b" * 5)
        cohort = rig.enter(WANTED)
        self.assertEqual(read(Cursor(cohort, cohort.last(5))), [16])
        self.assertEqual(rig.journal.looked, 10)

    def test_last_and_deletions(self) -> None:
        """Deletions are not counted among the last events, and come with them."""
        rig = hub()
        for offset, kind in enumerate(["post", "delete", "post", "delete"]):
            rig.append(entry(offset, "a" if kind == "post" else "d", f"post:{offset}", kind=kind))
        cohort = rig.enter(WANTED)
        self.assertEqual(read(Cursor(cohort, cohort.last(1))), [2, 3])
        self.assertEqual(read(Cursor(cohort, cohort.last(2))), [0, 1, 2, 3])

    @settings(max_examples=60, deadline=None)
    @given(st.text("abc", max_size=30), st.integers(0, 30), st.integers(0, 30))
    def test_learnt(self, topics: str, start: int, known: int) -> None:
        """What cohorts know apart, the cohort of all their patterns learns without a look at an entry."""
        rig = hub()
        parts = [rig.enter(frozenset([name])) for name in "ab"]
        fill(rig, topics[:known])
        union = rig.enter(frozenset("ab"))
        fill(rig, topics[known:], len(topics[:known]))
        start = min(start, len(topics))
        union.learn(start, parts)
        looked = rig.journal.looked
        self.assertEqual(read(Cursor.at(union, start)), [at for at in range(start, len(topics)) if topics[at] in "ab"])
        self.assertEqual(rig.journal.looked, looked)

    def test_lost(self) -> None:
        """A cursor is lost when an event it still had to give has left, and knows how many there were."""
        rig = hub(3)
        cohort = rig.enter(WANTED)
        cursor = Cursor.at(cohort, 0)
        fill(rig, "abbbb")
        self.assertEqual((cursor.lost, cursor.left), (True, 1))
        waiting = Cursor.at(cohort, 5)
        fill(rig, "bbbbbb", 5)
        self.assertEqual((waiting.lost, waiting.left), (False, 0))

    def test_trimmed(self) -> None:
        """The index forgets what the journal forgot; ordinals stay what they were."""
        self.patch(module, "_SLACK", 4)
        rig = hub(10)
        cohort = rig.enter(WANTED)
        for round_ in range(50):
            fill(rig, "aab", round_ * 3)
            self.assertGreaterEqual(cohort.first, 0)
        self.assertEqual(cohort.end, 100)
        self.assertEqual(cohort.end - cohort.first, 6)
        self.assertLess(len(cohort._places), 30)

    def test_index_is_cut_unasked(self) -> None:
        """A cohort that no client reads by itself grows no further than the journal either."""
        rig = hub(10)
        cohort = rig.enter(WANTED)
        for offset in range(10_000):
            rig.append(entry(offset, "a"))
        self.assertLess(len(cohort._places), 3_000)

    def test_frame_limit(self) -> None:
        """A frame ends before the limit; one event that is longer goes alone."""
        rig = hub()
        cohort = rig.enter(WANTED)
        for offset, size in enumerate([30_000, 30_000, 30_000, 100_000, 10]):
            rig.append(entry(offset, "a", size=size))
        events, ordinal = [], cohort.first
        while ordinal < cohort.end:
            batch = cohort.batch(ordinal, cohort.end)
            events.append(batch.events)
            ordinal = batch.end
        self.assertEqual(events, [2, 1, 1, 1])

    def test_joined_once(self) -> None:
        """The same stretch is the same bytes object, until other frames have pushed it out."""
        rig = hub()
        cohort = rig.enter(WANTED)
        fill(rig, "a" * 100)
        first = cohort.batch(0, 100)
        self.assertIs(cohort.batch(0, 100), first)
        for start in range(1, module.FRAMES_KEPT + 1):
            cohort.batch(start, 100)
        self.assertIsNot(cohort.batch(0, 100), first)


class HubTests(SynchronousTestCase):
    """`Hub`."""

    def test_due(self) -> None:
        """Only those who want what came are woken, once."""
        rig = hub()
        calls: list[str] = []
        for name, patterns in (("a", ["a.#"]), ("b", ["b"]), ("all", ["#"])):
            watch(rig, frozenset(patterns), calls, name)
        self.assertTrue(rig.append(entry(1, "a.x")))
        self.assertTrue(rig.append(entry(2, "a.y")))
        self.assertFalse(rig.flush(100, 0.0))
        self.assertEqual(sorted(calls), ["a", "all"])
        self.assertFalse(rig.flush(100, 0.0))
        self.assertEqual(sorted(calls), ["a", "all"])

    def test_deletions_reach_everybody(self) -> None:
        """A deletion wakes whoever follows anything, whatever the first word of its patterns."""
        rig = hub()
        calls: list[str] = []
        for name in ("a.#", "b", "#"):
            watch(rig, frozenset([name]), calls, name)
        self.assertTrue(rig.append(entry(1, "delete.x", kind="delete", id="9")))
        self.assertFalse(rig.flush(100, 0.0))
        self.assertEqual(sorted(calls), ["#", "a.#", "b"])

    def test_deleted_frames(self) -> None:
        """A frame that was joined before a post was deleted is not given out after."""
        rig = hub()
        cohort = rig.enter(WANTED)
        rig.append(entry(1, "a", "post:7", text="secret"))
        self.assertIn(b"secret", cohort.batch(0, 1).data)
        rig.append(entry(2, "d", "delete:7", kind="delete", id="7"))
        self.assertNotIn(b"secret", cohort.batch(0, 1).data)

    def test_scrubs_reach_everybody(self) -> None:
        """Who follows anything may hold a location, and is woken when one is taken back."""
        rig = hub()
        calls: list[str] = []
        for name in ("a.#", "b"):
            watch(rig, frozenset([name]), calls, name)
        self.assertTrue(rig.append(entry(1, "scrub.x", kind="scrub", author="7", up_to="9")))
        self.assertFalse(rig.flush(100, 0.0))
        self.assertEqual(sorted(calls), ["a.#", "b"])

    def test_scrubbed_frames(self) -> None:
        """A frame that was joined before a location was taken back is not given out after."""
        rig = hub()
        cohort = rig.enter(WANTED)
        rig.append(entry(1, "a", "geo:7", kind="geo", post="7", author="9", lat="secret"))
        self.assertIn(b"secret", cohort.batch(0, 1).data)
        rig.append(entry(2, "s", "scrub:9:7", kind="scrub", author="9", up_to="7"))
        self.assertNotIn(b"secret", cohort.batch(0, 1).data)

    def test_shared_and_forgotten(self) -> None:
        """The same patterns are the same cohort; one that nobody reads is gone."""
        rig = hub()
        cohort = rig.enter(WANTED)
        self.assertIs(rig.enter(frozenset(["a"])), cohort)
        rig.leave(cohort)
        self.assertEqual(rig.cohorts, 1)
        rig.leave(cohort)
        self.assertEqual(rig.cohorts, 0)
        self.assertFalse(rig.append(entry(1, "a")))

    def test_counts(self) -> None:
        """Repeats, bad events and evictions are counted."""
        rig = hub(2)
        fill(rig, "abc")
        rig.append(entry(9, "a", id_="post:1"))
        rig.append(Entry(10, message(b"{")))
        values = [rig.metrics.value(metric) for metric in (JOURNAL_EVICTED, REPEATED_EVENTS, BAD_EVENTS)]
        self.assertEqual(values, [1, 1, 1])
