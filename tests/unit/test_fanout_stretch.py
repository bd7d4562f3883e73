"""Older entries that are read again and put before the journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout import stretch as module
from streamer.fanout.cohort import Cohort, tree
from streamer.fanout.cursor import Cursor
from streamer.fanout.hub import Hub
from streamer.fanout.journal import COLD_KEPT, Journal
from streamer.fanout.position import START, Mark, Verdict, parse, written
from streamer.fanout.stretch import Outcome, Stretch, refill
from streamer.message import Entry
from streamer.metrics import Metrics
from streamer.testing.relay_events import entry

PLENTY = 1_000_000  # bytes


def mark(of: Entry | str) -> Mark:
    """The position after an entry."""
    found = parse(of if isinstance(of, str) else written(of.message.message_id, of.offset))
    assert found is not None
    return found


def hub(log: Sequence[Entry] = (), **limits: int) -> Hub:
    made = Hub(Journal(**{"entries_limit": 3, "cold_limit": PLENTY, **limits}), Metrics())
    for one in log:
        made.append(one)
    return made


def cold(rig: Hub, log: Sequence[Entry], at: Mark, room: int, between: Callable[[], object] = lambda: None) -> Outcome:
    """Read a stretch as the service does; something may happen between two pieces."""
    stretch = Stretch(at, room, rig.journal)
    for one in log:
        if one.offset >= at.offset and (outcome := stretch.take(one)) is not None:
            break
    else:
        return Outcome.FAILED
    if outcome is Outcome.READ:
        for base, piece in stretch.pieces():
            if not refill(rig, base, piece):
                return Outcome.FAILED
            between()
    return outcome


def offsets(rig: Hub) -> list[int]:
    return [rig.journal[place].offset for place in range(rig.journal.floor, rig.journal.head)]


def events(cohort: Cohort, start: int, stop: int) -> list[str]:
    data = cohort.batch(start, stop).data
    return [event["id"] for event in json.loads(data[data.index(b"[") :])[2]]


class StretchTests(SynchronousTestCase):
    """`Stretch` and `refill`."""

    def setUp(self) -> None:
        self.log = [entry(offset) for offset in range(20)]

    def test_joins(self) -> None:
        """From any position down to the first, what is held afterwards is exactly what the log has after it."""
        for at in (*self.log[:16], START):
            with self.subTest(at=at):
                rig = hub(self.log)
                self.assertEqual(rig.journal.floor, 17)
                first = 0 if at == START else mark(at).offset + 1
                self.assertIs(cold(rig, self.log, mark(at), PLENTY), Outcome.READ)
                self.assertEqual(offsets(rig), list(range(first, 20)))
                self.assertEqual((rig.journal.floor, rig.journal.held.warm, rig.journal.head), (first, 17, 20))
                located = rig.journal.locate(mark(at).text)
                self.assertEqual((located.verdict, located.place), (Verdict.FOUND, first))

    def test_joins_a_history(self) -> None:
        """A relay that began with a history has entries before its first one read; their places are negative."""
        rig = hub(self.log[10:], entries_limit=100)
        self.assertIs(cold(rig, self.log, mark(self.log[4]), PLENTY), Outcome.READ)
        self.assertEqual((rig.journal.floor, offsets(rig)), (-5, list(range(5, 20))))
        self.assertIs(cold(rig, self.log, mark(START), PLENTY), Outcome.READ)
        self.assertEqual((rig.journal.floor, offsets(rig)), (-10, list(range(20))))

    def test_joins_nothing(self) -> None:
        """Where nothing was read yet, all there is may be put there, and what comes then follows it once."""
        rig = hub()
        stretch = Stretch(mark(self.log[3]), PLENTY, rig.journal)
        self.assertEqual([stretch.take(one) for one in self.log[3:6]], [None] * 3)
        self.assertEqual([refill(rig, base, piece) for base, piece in stretch.pieces()], [True])
        for one in self.log[5:8]:
            rig.append(one)
        self.assertEqual(offsets(rig), [4, 5, 6, 7])
        rig = hub()
        stretch = Stretch(mark(self.log[3]), PLENTY, rig.journal)
        stretch.take(self.log[3])
        self.assertEqual([refill(rig, base, piece) for base, piece in stretch.pieces()], [True])
        self.assertEqual(rig.journal.locate(mark(self.log[3]).text).place, 0)

    def test_pieces(self) -> None:
        """A long stretch is put there in pieces, each of which joins, whatever is appended between two."""
        self.patch(module, "PIECE", 4)
        rig = hub(self.log[:18])
        more = iter(self.log[18:])
        outcome = cold(rig, self.log, mark(self.log[0]), PLENTY, lambda: rig.append(next(more, self.log[0])))
        self.assertIs(outcome, Outcome.READ)
        self.assertEqual(offsets(rig), list(range(1, 20)))

    def test_outcomes(self) -> None:
        """What the log has lost, another log's position, and a log that does not join, are told apart."""
        other = [entry(offset, id_=f"post:{offset + 100}") for offset in range(20)]
        bad = Entry(2, entry(2).message)
        shuffled = [*self.log[:5], self.log[3]]
        without = [*self.log[:16], *self.log[17:]]
        for log, at, expected in (
            (self.log[5:], mark(self.log[2]), Outcome.EXPIRED),
            (self.log[5:], mark(START), Outcome.EXPIRED),
            (other, mark(self.log[2]), Outcome.FAILED),
            (other, mark(other[2]), Outcome.FAILED),
            (shuffled, mark(self.log[2]), Outcome.FAILED),
            (without, mark(self.log[2]), Outcome.FAILED),
            ([self.log[2], bad], mark(self.log[2]), Outcome.FAILED),
        ):
            rig = hub(self.log)
            with self.subTest(expected=expected, at=at):
                self.assertIs(cold(rig, log, at, PLENTY), expected)
                self.assertEqual(offsets(rig), [17, 18, 19])

    def test_too_long(self) -> None:
        """A stretch that grows too long gives up its older end; what is left joins, and says from where on."""
        rig = hub(self.log)
        room = sum(rig.journal[place].size for place in (17, 18, 19)) + 10
        stretch = Stretch(mark(self.log[2]), room, rig.journal)
        self.assertEqual(stretch.reach, 2)
        outcomes = [stretch.take(one) for one in self.log[2:17]]
        self.assertEqual((outcomes[:-1], outcomes[-1]), ([None] * 14, Outcome.READ))
        self.assertGreater(stretch.reach, 10)
        self.assertTrue(all(refill(rig, base, piece) for base, piece in stretch.pieces()))
        self.assertEqual(offsets(rig), list(range(stretch.reach + 1, 20)))

    def test_bad_entries(self) -> None:
        """What is no event is left out, as it is when it comes live; a position of one is none."""
        bad = Entry(5, entry(5).message.__class__(**{**entry_fields(entry(5)), "body": b"{"}))
        log = [*self.log[:5], bad, *self.log[6:]]
        rig = hub(log)
        self.assertIs(cold(rig, log, mark(bad), PLENTY), Outcome.UNKNOWN)
        self.assertIs(cold(rig, log, mark(log[2]), PLENTY), Outcome.READ)
        self.assertNotIn(5, offsets(rig))
        self.assertEqual(len(offsets(rig)), 16)

    def test_repeats(self) -> None:
        """A repeat has no place, but its position is understood; what is held is not put there a second time."""
        log = [*self.log[:10], entry(10, id_="post:4"), *self.log[11:19], entry(19, id_="post:8")]
        for begins in (0, 10):
            with self.subTest(begins=begins):
                rig = hub(log[begins:], entries_limit=3)
                self.assertIs(cold(rig, log, mark(log[2]), PLENTY), Outcome.READ)
                held = [rig.journal[place].message_id for place in range(rig.journal.floor, rig.journal.head)]
                self.assertEqual(len(held), len(set(held)))
                self.assertEqual(set(held), {one.message.message_id for one in log[3:]})
                self.assertIs(rig.journal.locate(mark(log[10]).text).verdict, Verdict.FOUND)

    def test_deleted(self) -> None:
        """Nothing is served of what was deleted later, in the stretch, in what is held, or what has left both."""
        for at in (4, 9, 16, 19):
            log = list(self.log)
            log[2] = entry(2, "post.x", "post:70", text="secret")
            log[at] = entry(at, "delete.x", "delete:70", kind="delete", id="70")
            log[12] = entry(12, "post.x", "geo:70", kind="geo", text="secret")
            for limit in (1, 3, 15):
                with self.subTest(at=at, limit=limit):
                    rig = hub(log, entries_limit=limit)
                    self.assertIs(cold(rig, log, mark(log[0]), PLENTY), Outcome.READ)
                    held = [rig.journal[place] for place in range(rig.journal.floor, rig.journal.head)]
                    self.assertFalse(any(b"secret" in one.event for one in held))
                    self.assertEqual([one.offset for one in held], list(range(1, 20)))
                    self.assertEqual(rig.journal.bytes, sum(one.size for one in held))
                    self.assertEqual(rig.journal.held.cold_bytes, sum(one.size for one in held[:-limit]))

    def test_deleted_after(self) -> None:
        """What is deleted while it is held as cold is replaced there, and in frames."""
        log = list(self.log)
        log[2] = entry(2, "post.x", "post:70", text="secret")
        rig = hub(log)
        cohort = rig.enter(frozenset(["#"]))
        cold(rig, log, mark(log[0]), PLENTY)
        cursor = Cursor.at(cohort, rig.journal.floor)
        self.assertIn(b"secret", cohort.batch(cursor.ordinal, cursor.end).data)
        rig.append(entry(20, "delete.x", "delete:70", kind="delete", id="70"))
        self.assertNotIn(b"secret", cohort.batch(cursor.ordinal, cursor.end).data)

    def test_scrubbed(self) -> None:
        """No location is served that its author took back later, wherever that stands."""
        for at in (1, 9, 16, 19):
            log = list(self.log)
            log[5] = entry(5, "a", "geo:7", kind="geo", post="7", author="9", lat="secret")
            log[at] = entry(at, "s", "scrub:9:7", kind="scrub", author="9", up_to="8")
            for limit in (1, 3, 15):
                with self.subTest(at=at, limit=limit):
                    rig = hub(log, entries_limit=limit)
                    self.assertIs(cold(rig, log, mark(log[0]), PLENTY), Outcome.READ)
                    held = [rig.journal[place] for place in range(rig.journal.floor, rig.journal.head)]
                    self.assertFalse(any(b"secret" in one.event for one in held))

    def test_taken_back_in_another_stretch(self) -> None:
        """What a stretch takes back is left out of the ones that are read below it, however much was since."""
        log = list(self.log)
        log[2] = entry(2, "a", "geo:7", kind="geo", post="7", author="9", lat="secret")
        log[3] = entry(3, "post.x", "post:50", text="secret")
        log[8] = entry(8, "s", "scrub:9:7", kind="scrub", author="9", up_to="8")
        log[9] = entry(9, "delete.x", "delete:50", kind="delete", id="50")
        rig = hub(log[12:], entries_limit=3)
        for at in (6, 0):
            self.assertIs(cold(rig, log, mark(log[at]), PLENTY), Outcome.READ)
        self.assertFalse(any(b"secret" in rig.journal[place].event for place in range(rig.journal.floor, 0)))

    def test_log_made_again(self) -> None:
        """Of a log that was made again the older entries can be read, although the one before had the same ids."""
        rig = hub(self.log, entries_limit=100)
        again = [entry(offset, id_=f"post:{name}") for offset, name in enumerate([50, 3, 51, 7, 52, 53, 54])]
        rig.append(again[6])
        self.assertEqual(offsets(rig), [6])
        self.assertIs(cold(rig, again, mark(again[0]), PLENTY), Outcome.READ)
        self.assertEqual(offsets(rig), [2, 4, 5, 6])  # the others were seen

    def test_index(self) -> None:
        """An index that had looked back before its places left and came again knows each event once."""
        rig = hub(self.log[:10], entries_limit=100)
        cohort = rig.enter(frozenset(["#"]))
        cohort.ordinal_of(5)
        waiting = Cursor.at(cohort, 10)
        rig.journal.entries_limit = 1
        rig.append(self.log[10])
        self.assertIs(cold(rig, self.log, mark(self.log[0]), PLENTY), Outcome.READ)
        start = cohort.ordinal_of(1)
        self.assertEqual(events(cohort, start, cohort.end), [f"post:{number}" for number in range(1, 11)])
        self.assertEqual((waiting.lost, events(cohort, waiting.ordinal, waiting.end)), (False, ["post:10"]))

    def test_stale_frames(self) -> None:
        """A frame that was joined for a stretch that has left is not given out for what is there now."""
        rig = hub(self.log[:4], entries_limit=100)
        cohort = rig.enter(frozenset(["#"]))
        self.assertEqual(events(cohort, cohort.ordinal_of(0), cohort.end), [f"post:{n}" for n in range(4)])
        rig.journal.entries_limit = 1
        for one in self.log[4:10]:
            rig.append(one)
        rig.journal.sights._recent.clear()  # as if 100,000 others had come
        log = [entry(0, id_="post:x"), entry(1, id_="post:y"), *self.log[2:10]]
        self.assertIs(cold(rig, log, mark(log[0]), PLENTY), Outcome.READ)
        start = cohort.ordinal_of(rig.journal.floor)
        self.assertEqual(events(cohort, start, start + 2), ["post:y", "post:2"])


def entry_fields(one: Entry) -> dict[str, object]:
    return {name: getattr(one.message, name) for name in one.message.__struct_fields__}


class ColdBoundsTests(SynchronousTestCase):
    """What is held besides, and for how long."""

    def setUp(self) -> None:
        self.log = [entry(offset) for offset in range(30)]

    def test_let_go(self) -> None:
        """Cold entries are let go when nobody needed them for a while, and not while somebody reads them."""
        rig = hub(self.log[:20])
        journal = rig.journal
        cold(rig, self.log, mark(self.log[0]), PLENTY)
        journal.expire(1000.0)
        journal.expire(1000.0 + COLD_KEPT - 1)
        journal.locate(mark(self.log[5]).text)
        journal.expire(1000.0 + COLD_KEPT)
        journal.expire(1000.0 + COLD_KEPT * 1.9)
        self.assertEqual(offsets(rig), list(range(1, 20)))
        _ = journal[3]
        journal.expire(1000.0 + COLD_KEPT * 2)
        self.assertEqual(journal.expire(1000.0 + COLD_KEPT * 2.5), 0)
        self.assertEqual(journal.expire(1000.0 + COLD_KEPT * 3), 16)
        self.assertEqual((offsets(rig), journal.held.cold_bytes), ([17, 18, 19], 0))

    def test_let_go_piecewise(self) -> None:
        """A call lets go a bounded number."""
        from streamer.fanout import journal as journal_module

        self.patch(journal_module, "EXPIRE_STEP", 10)
        rig = hub(self.log[:20])
        cold(rig, self.log, mark(self.log[0]), PLENTY)
        rig.journal.expire(1000.0)
        self.assertEqual([rig.journal.expire(1000.0 + COLD_KEPT) for _ in range(3)], [10, 6, 0])

    def test_what_leaves_is_cold(self) -> None:
        """While there are cold entries, what leaves the others at a limit joins them, up to the limit of these."""
        rig = hub(self.log[:20])
        cold(rig, self.log, mark(self.log[10]), PLENTY)
        for one in self.log[20:25]:
            rig.append(one)
        journal = rig.journal
        self.assertEqual((offsets(rig), journal.held.warm - journal.floor), (list(range(11, 25)), 11))
        journal.cold_limit = journal.held.cold_bytes
        for one in self.log[25:]:
            rig.append(one)
        self.assertEqual((offsets(rig)[0], journal.held.warm - journal.floor), (16, 11))
        self.assertLessEqual(journal.held.cold_bytes, journal.cold_limit)

    def test_evicted_meanwhile(self) -> None:
        """A stretch that no longer reaches the floor is refused, and changes nothing."""
        rig = hub(self.log[:20])
        stretch = Stretch(mark(self.log[10]), PLENTY, rig.journal)
        for one in self.log[10:17]:
            stretch.take(one)
        rig.append(self.log[20])
        base, piece = next(stretch.pieces())
        self.assertFalse(refill(rig, base, piece))
        self.assertEqual(offsets(rig), [18, 19, 20])


Op = tuple[str, int, int]


class InterleavingTests(SynchronousTestCase):
    """Cursors, appends, evictions and cold reads, in any order."""

    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(0, 6),
        st.lists(
            st.tuples(st.sampled_from(["append", "append", "open", "open", "read", "cold", "wait"]),
                      st.integers(0, 60), st.integers(0, 5)),
            max_size=60,
        ),
        st.integers(200, 3000),
    )  # fmt: skip
    def test_places_stay_true(self, begins: int, ops: list[Op], room: int) -> None:
        """Who was not lost gets exactly what follows its position: rising, once, nothing left out."""
        self.patch(module, "PIECE", 3)
        log = [entry(offset, "ab"[offset % 2]) for offset in range(10)]
        rig = hub(log[begins:], entries_limit=4, cold_limit=room)
        cohorts = [rig.enter(frozenset([name])) for name in ("a", "b", "#")]
        open_: list[tuple[Cursor, int, list[str]]] = []
        now = 1000.0

        def append(number: int, repeat: int) -> None:
            new = entry(len(log), "ab"[number % 2])
            log.append(Entry(len(log), log[number % len(log)].message) if repeat == 0 else new)
            rig.append(log[-1])

        def begin(position: Mark, readers: Sequence[Cohort]) -> None:
            located = rig.journal.locate(position.text)
            if located.place is not None:
                open_.extend((Cursor.at(cohort, located.place), position.offset, []) for cohort in readers)

        begin(mark(log[6]), cohorts)
        for name, number, choice in ops:
            if name == "append":
                append(number, choice)
            elif name == "wait":
                now += 20 * choice
                rig.journal.expire(now)
            elif name == "cold":
                at = mark(log[number % len(log)])
                if rig.journal.locate(at.text).verdict is Verdict.EXPIRED:
                    between = (lambda number=number: append(number, 1)) if choice == 1 else (lambda: None)
                    cold(rig, list(log), at, max(0, room - rig.journal.held.cold_bytes), between)
                    begin(at, cohorts)
            elif name == "open":
                begin(mark(log[number % len(log)]), [cohorts[choice % 3]])
            elif open_:
                self.read(*open_[number % len(open_)], log, choice)
        for cursor, start, got in open_:
            self.read(cursor, start, got, log, 1000)
        held = range(rig.journal.floor, rig.journal.head)
        self.assertEqual(rig.journal.bytes, sum(rig.journal[place].size for place in held))
        self.assertLessEqual(rig.journal.held.cold_bytes, room)
        self.assertLessEqual(rig.journal.head - rig.journal.held.warm, 4)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["post", "delete", "scrub", "cold", "wait"]), st.integers(0, 40)), max_size=50
        )
    )
    def test_taken_back_stays_so(self, ops: list[tuple[str, int]]) -> None:
        """Whatever is read again, nothing is held that something held takes back."""
        self.patch(module, "PIECE", 3)
        log = [self.located(offset) for offset in range(8)]
        rig = hub(log, entries_limit=4)
        now = 1000.0
        for name, number in ops:
            if name == "cold":
                at = mark(log[number % len(log)])
                if rig.journal.locate(at.text).verdict is Verdict.EXPIRED:
                    cold(rig, list(log), at, PLENTY)
            elif name == "wait":
                now += number * 3
                rig.journal.expire(now)
            else:
                offset, post = len(log), str(number % len(log))
                if name == "post":
                    log.append(self.located(offset))
                elif name == "delete":
                    log.append(entry(offset, "d", f"delete:{offset}", kind="delete", id=post))
                else:
                    log.append(entry(offset, "s", f"scrub:{offset}", kind="scrub", author=str(number % 3), up_to=post))
                rig.append(log[-1])
            held = [rig.journal[place] for place in range(rig.journal.floor, rig.journal.head)]
            self.assertEqual(rig.journal.bytes, sum(one.size for one in held))
            gone = {message_id for one in held for message_id in one.gone}
            scrubs = [one.scrub for one in held if one.scrub is not None]
            for one in held:
                if one.message_id in gone:
                    self.assertNotIn(b"said", one.event)
                if b"place" in one.event:
                    self.assertIsNotNone(one.located)
                    self.assertFalse(any(scrub.covers(one.located) for scrub in scrubs if one.located))

    @staticmethod
    def located(offset: int) -> Entry:
        """A post with a location, by one of three authors."""
        author = {"id": str(offset % 3)}
        return entry(offset, "a", f"post:{offset}", id=str(offset), author=author, text="said", geo={"name": "place"})

    def read(self, cursor: Cursor, start: int, got: list[str], log: list[Entry], most: int) -> None:
        """Read up to so many events with a cursor that may be lost by now; compare with the log."""
        if cursor.lost:
            return
        stop = min(cursor.end, cursor.ordinal + most)
        while cursor.ordinal < stop:
            batch = cursor.cohort.batch(cursor.ordinal, stop)
            found = json.loads(batch.data[batch.data.index(b"[") :])[2]
            got += [event["id"] for event in found]
            cursor.ordinal = batch.end
        self.assertEqual(len(got), len(set(got)))
        if cursor.ordinal < cursor.end:
            return
        find = tree(cursor.cohort.patterns).find
        wanted = [one for one in log if find(one.message.topic)]
        after = [one.message.message_id.partition("#")[2] for one in wanted if one.offset > start]
        before = {one.message.message_id.partition("#")[2] for one in log if one.offset <= start}
        self.assertLessEqual(set(after) - before, set(got))
        self.assertLessEqual(set(got), set(after))
        self.assertEqual(got, sorted(got, key=lambda id_: self.sights(after, id_, got)))

    @staticmethod
    def sights(after: list[str], id_: str, got: list[str]) -> int:
        """Where an event stands in the log; of one that stands there twice, wherever it was given."""
        places = [index for index, one in enumerate(after) if one == id_]
        index = got.index(id_)
        floor = max((after.index(one) for one in got[:index] if after.count(one) == 1), default=-1)
        return next((place for place in places if place > floor), places[-1])
