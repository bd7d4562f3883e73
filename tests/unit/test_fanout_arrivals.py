"""When entries came, and subscriptions that begin so long ago."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout.arrivals import AGO_LIMIT, FRESH, HISTORY_WITHIN, ago
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.position import LENGTH_LIMIT, START, Verdict, parse, written
from streamer.fanout.protocol import Wish
from streamer.fanout.start import Start, after, begin
from streamer.message import Entry
from streamer.metrics import Metrics
from streamer.testing.relay_events import entry

NOW = 1_000_000.0


def made(offset: int, at: float) -> Entry:
    """An entry that says it was made then."""
    bare = entry(offset)
    return Entry(offset, msgspec.structs.replace(bare.message, timestamp_ms=int(at * 1000)))


class AgoTests(SynchronousTestCase):
    """`ago`."""

    def test_forms(self) -> None:
        """Whole seconds, minutes and hours; anything else is none."""
        for text, seconds in (("300s", 300.0), ("5m", 300.0), ("2h", 7200.0), ("0s", 0.0), ("24h", AGO_LIMIT)):
            self.assertEqual(seconds, ago(text))
        for text in ("", "5", "m", "5d", "5M", " 5m", "5m\n", "-5m", "5.5m", "1h5m", "٥m", "9" * 10 + "s", START):
            with self.subTest(text=text):
                self.assertIsNone(ago(text))

    @given(st.text(max_size=20), st.integers(0, 2**64 - 1), st.from_regex(r"[0-9]{1,9}[smh]", fullmatch=True))
    @settings(max_examples=50)
    def test_no_position(self, id_: str, offset: int, text: str) -> None:
        """No position is a time, and no time is a position."""
        position = written(id_, offset)
        self.assertLessEqual(len(position), LENGTH_LIMIT)
        self.assertIsNone(ago(position))
        self.assertIsNone(parse(text))

    def test_limit(self) -> None:
        """More than a day is refused by a sentence; what is no time may be a position."""
        for since in ("24h", "1440m", "86400s", "v1.-.0", "nonsense"):
            Wish("a", ("#",), since=since)
        for since in ("25h", "86401s", "999999999h"):
            with self.assertRaisesRegex(msgspec.ValidationError, "24 h at most"):
                msgspec.convert({"id": "a", "topics": ["#"], "since": since}, Wish)


class WithinTests(SynchronousTestCase):
    """Beginning so long ago."""

    def setUp(self) -> None:
        self.journal = Journal()

    def live(self, *offsets: int, at: float) -> None:
        """Entries come, and are told of in the same second."""
        for offset in offsets:
            self.journal.append(made(offset, at))
        self.journal.expire(at)

    def begins(self, since: str, place: int, recovered: bool = True) -> None:
        """See that a subscription begins there."""
        start = after(self.journal, since)
        self.assertEqual((place, recovered), (start.place, start.facts()["recovered"]), since)
        if not recovered:
            self.assertIs(Verdict.EXPIRED, start.verdict)
            assert start.oldest is not None
            self.assertIsNotNone(self.journal.locate(start.oldest).place)

    def test_live(self) -> None:
        """What came within the time is there, and at most what came in the second before that besides."""
        self.journal.expire(NOW)
        for second in range(1, 101):
            self.live(*range(10 * second, 10 * second + 10), at=NOW + second)
        self.begins("0s", 1000)
        self.begins("10s", 900)
        self.begins("1m", 400)
        self.begins("98s", 20)

    def test_younger(self) -> None:
        """Where the journal does not reach back so far, all it has comes, and it is told that this is not all."""
        self.journal.expire(NOW - 1)
        self.live(100, 101, at=NOW)
        self.live(102, at=NOW + 100)
        self.begins("100s", 2)
        self.begins("101s", 0, recovered=False)
        self.begins("24h", 0, recovered=False)

    def test_the_whole_log(self) -> None:
        """Where the log began within the time there is nothing more."""
        self.begins("5m", 0)
        self.live(0, 1, at=NOW)
        self.begins("5m", 0)

    def test_evicted(self) -> None:
        """What has left is missed only by who asks for the time in which it came."""
        self.journal = Journal(entries_limit=10, age_limit=200.0)
        self.journal.expire(NOW - 1)
        for second in range(0, 100, 10):
            self.live(*range(second + 100, second + 105), at=NOW + second)
        self.assertEqual((40, 50), (self.journal.floor, self.journal.head))
        self.begins("10s", 45)
        self.begins("20s", 40)
        self.begins("21s", 40, recovered=False)
        for second in range(91, 300):
            self.journal.expire(NOW + second)
        self.assertEqual(50, self.journal.floor)
        self.begins("5s", 50)
        self.begins("1h", 50, recovered=False)

    def test_history(self) -> None:
        """What is read when the relay starts counts from when it was made; then it is when it comes."""
        for number in range(100):
            self.journal.append(made(100 + number, NOW - 1000 + 10 * number))
        self.journal.expire(NOW)
        self.begins("500s", 50)
        self.begins("5s", 99)
        self.begins("1001s", 0, recovered=False)
        self.live(200, at=NOW + 1)
        self.live(201, at=NOW + 2)
        self.journal.append(made(202, NOW - 400))  # it was held up
        self.journal.expire(NOW + 3)
        self.begins("0s", 103)
        self.begins("1s", 102)
        self.begins("503s", 50)

    def test_history_takes_long(self) -> None:
        """It may take some seconds, and is over with a second without any of it, or at its limit."""
        for number in range(10):
            self.journal.append(made(100 + number, NOW - 1000 + 10 * number))
            self.journal.expire(NOW + number)
        self.begins("1s", 9)
        self.begins("959s", 5)
        self.journal.expire(NOW + 10)
        self.journal.append(made(200, NOW - 500))
        self.journal.expire(NOW + 11)
        self.begins("0s", 11)
        self.setUp()
        for number in range(int(HISTORY_WITHIN) + 11):  # a publisher's clock that is behind
            self.live(100 + number, at=NOW + number)
            self.journal.append(made(1000 + number, NOW + number - 2 * FRESH))
        self.journal.expire(NOW + HISTORY_WITHIN + 11)
        self.assertGreater(after(self.journal, "1s").place, self.journal.head - 6)

    def test_clocks(self) -> None:
        """Time stamps from the future, or none, and a clock that is set back, bring too much, not too little."""
        self.journal.append(made(100, NOW + 5000))
        self.journal.append(made(101, 0))
        self.journal.append(made(102, NOW - 100))
        self.journal.expire(NOW)
        self.begins("50s", 0, recovered=False)
        self.journal.expire(NOW + 1)
        self.live(103, at=NOW - 50)
        self.live(104, at=NOW - 40)
        self.assertLessEqual(after(self.journal, "1s").place, 4)
        self.live(105, at=NOW + 60)
        self.begins("1s", 5)

    def test_with_last(self) -> None:
        """The last events are what one gets where the time cannot be served, and only then."""
        hub = Hub(self.journal, Metrics())
        self.journal.expire(NOW - 1)
        self.live(100, 101, 102, at=NOW)
        self.live(103, at=NOW + 10)
        cohort = hub.enter(frozenset({"#"}))
        self.assertEqual(Start(3), begin(self.journal, cohort, "10s", 2))
        start = begin(self.journal, cohort, "1h", 2)
        self.assertEqual((2, Verdict.EXPIRED), (start.place, start.verdict))

    def test_bounded(self) -> None:
        """Nothing is kept of what has left but one note, by which one knows since when all is held."""
        self.journal = Journal(entries_limit=5)
        for number in range(200):
            self.journal.append(made(number, NOW - 500 + number))
        self.journal.expire(NOW)
        self.assertLessEqual(len(self.journal.arrivals._dated), 7)
        for number in range(200):
            self.live(1000 + number, at=NOW + number)
        self.assertLessEqual(len(self.journal.arrivals._dated), 6)

    @given(
        st.lists(st.tuples(st.sampled_from([0.0, 0.4, 1.0, 7.0]), st.booleans()), max_size=40),
        st.integers(1, 30),
        st.integers(0, 60),
    )
    @settings(max_examples=100)
    def test_never_too_little(self, steps: list[tuple[float, bool]], limit: int, seconds: int) -> None:
        """Whatever comes when: who is told that all is there misses nothing that came within the time."""
        journal, now = Journal(entries_limit=limit), NOW
        journal.expire(now)
        came: list[float] = []
        for step, expires in steps:
            now += step
            came.append(now)
            journal.append(made(100 + len(came), now))
            if expires:
                journal.expire(now)
        start = after(journal, f"{seconds}s")
        first = next((place for place, at in enumerate(came) if at > now - seconds), len(came))
        if start.verdict is Verdict.FOUND:
            self.assertLessEqual(start.place, first)
        self.assertGreaterEqual(start.place, journal.floor)
        self.assertLessEqual(start.place, journal.head)
