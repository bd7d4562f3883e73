"""The tables of `streamer top`."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.metrics import Metrics
from streamer.net.admin import render
from streamer.net.merging import merged
from streamer.policy.exposition import parse
from streamer.policy.histogram import observe
from streamer.policy.overview import overview
from streamer.policy.rates import Look, Pair, number, size, span
from streamer.policy.terminal import width

NOW = 1_000_000.0
STATUS: dict[str, Any] = {
    "streamer": {
        "birds": {"state": "streaming", "said": None, "last_item": NOW - 0.25, "spooled_bytes": 0},
        "鳥": {"state": "waiting", "said": "network: \x1b[2Jgone", "last_item": None, "spooled_bytes": 1_500_000},
    },
    "enrich": {"ready": True, "in_hand": 3},
    "relay": {
        "ready": False,
        "slowest": [
            {
                "session": "s7",
                "face": "sse",
                "behind": 1234,
                "paused_for": 12.3,
                "connected_for": 7300,
                "policy": "skip",
            }
        ],
    },
}


def counted() -> Metrics:
    """Numbers after a while."""
    metrics = Metrics()
    metrics.add(m.ITEMS, "birds", "post", by=1000)
    metrics.add(m.HYDRATED, "birds", "post", by=1000)
    metrics.add(m.EVENTS_MADE, "streamer.post", by=2000)
    metrics.add(m.DELIVERED, by=50_000)
    metrics.add(m.FANOUT_CPU, by=0.5)
    metrics.set(m.CLIENTS, "websocket", to=12)
    metrics.set(m.CLIENTS, "sse", to=0)
    metrics.set(m.CLIENTS_BEHIND, to=2)
    metrics.set(m.JOURNAL_ENTRIES, to=1234)
    metrics.set(m.JOURNAL_BYTES, to=2_000_000)
    metrics.set(m.JOURNAL_FLOOR, to=NOW - 600)
    observe(metrics, m.FANOUT_LAG, 20.0, 100)
    return metrics


def look(metrics: Metrics, at: float = NOW, status: Any = STATUS) -> Look:
    """What a process says now."""
    return Look(at, status, parse(render(metrics)))


def grown(metrics: Metrics) -> Look:
    """What it says half a second later."""
    metrics.add(m.ITEMS, "birds", "post", by=50)
    metrics.add(m.HYDRATED, "birds", "post", by=45)
    metrics.add(m.UNDECODED, "birds", by=5)
    metrics.add(m.EVENTS_MADE, "streamer.post", by=90)
    metrics.add(m.DELIVERED, by=100_000)
    metrics.add(m.SKIPPED, by=7)
    metrics.add(m.FANOUT_CPU, by=0.036)
    observe(metrics, m.FANOUT_LAG, 0.004, 99)
    return look(metrics, NOW + 0.5)


class OverviewTests(SynchronousTestCase):
    """The lines."""

    def test_everything(self) -> None:
        """Rates are differences, times are ages, and who cannot be seen has a row that says why."""
        metrics = counted()
        before = look(metrics)
        lines = overview({"http://a:1": Pair(before, grown(metrics)), "http://b:2": "does not answer"}, 100)
        self.assertEqual(
            [
                "AWAY  WHY",
                "b:2   does not answer",
                "",
                "SOURCE  ITEMS/S  LAST ITEM   SPOOL  STATE",
                "birds       100     750 ms     0 B  streaming",
                "鳥            0          -  1.5 MB  network: �[2Jgone",
                "",
                "ENRICHER  ITEMS/S  EVENTS/S  FAILURES/S  IN HAND  STATE",
                "a:1           100       180          10        3  ready",
                "",
                "RELAY       CLIENTS  BEHIND  DELIVERED/S  SKIPPED/S  STATE",
                "a:1    12 websocket       2      200,000         14  not ready",
                "",
                "JOURNAL  EVENTS    SIZE     AGE  CPU S/MILLION  LAG P99",
                "a:1       1,234  2.0 MB  10 min           0.36  ≤ 5 ms",
                "",
                "SLOWEST  RELAY  FACE  BEHIND  PAUSED  CONNECTED  POLICY",
                "s7         a:1   sse   1,234    12 s        2 h  skip",
            ],
            lines,
        )

    def test_several_processes(self) -> None:
        """An endpoint that speaks for several has a row for each, with its own numbers."""
        first, second = Metrics(), Metrics()
        looks = []
        for at in (NOW, NOW + 1):
            first.add(m.DELIVERED, by=10)
            second.add(m.DELIVERED, by=1000)
            page = merged({"": "", "1": render(first), "2": render(second)})
            rows = [{"process": n, "pid": 7, "status": {"relay": {"ready": True}}} for n in (1, 2)]
            rows.append({"process": 3, "trouble": "it was killed", "status": None})
            looks.append(Look(at, {"stopping": False, "processes": rows}, parse(page)))
        text = "\n".join(overview({"http://a:1": Pair(*looks)}, 100))
        self.assertIn("a:1#3  it was killed", text)
        self.assertIn("a:1#1        0       0           10          0  ready", text)
        self.assertIn("a:1#2        0       0        1,000          0  ready", text)

    def test_first_look(self) -> None:
        """Of one look alone there are no rates, and the lag is that of all events so far."""
        text = "\n".join(overview({"http://a:1": Pair(None, look(counted()))}, 100))
        self.assertIn("birds         -     250 ms", text)
        self.assertIn("a:1    12 websocket       2            -          -  not ready", text)
        self.assertIn("10 min              -  ≤ 30 s", text)

    def test_started_anew(self) -> None:
        """A process that was restarted has no rates for once, and none that is negative."""
        text = "\n".join(overview({"http://a:1": Pair(look(counted()), look(Metrics(), NOW + 1))}, 100))
        self.assertIn("a:1          0       0            -          0  not ready", text)

    def test_nothing_is_trusted(self) -> None:
        """A process of another version, or one that is no process of ours, has no rows, and breaks none."""
        for status in ({}, {"streamer": 1, "relay": [], "enrich": None}, {"streamer": {"a": 1}}):
            with self.subTest(status=status):
                self.assertEqual([], overview({"u": Pair(None, look(Metrics(), status=status))}, 80))
        odd = {"streamer": {"a": {"last_item": "x", "spooled_bytes": []}}, "relay": {"slowest": [1, {}], "ready": []}}
        self.assertEqual(11, len(overview({"u": Pair(None, look(Metrics(), status=odd))}, 80)))

    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 150), st.text(max_size=20))
    def test_width(self, columns: int, why: str) -> None:
        """No line is wider than the terminal."""
        metrics = counted()
        for text in overview({"http://a:1": Pair(look(metrics), grown(metrics)), "http://b:2": why}, columns):
            self.assertLessEqual(width(text), columns)


class NumberTests(SynchronousTestCase):
    """Numbers as people read them."""

    def test_numbers(self) -> None:
        """A few digits, and a dash for what is not known."""
        for value, text in (
            (None, "-"),
            (0, "0"),
            (0.04, "0.0"),
            (12.34, "12.3"),
            (99.96, "100"),
            (1234.5, "1,234"),
        ):
            self.assertEqual(text, number(value))
        for value, text in ((None, "-"), (-3, "0 ms"), (0.0314, "31 ms"), (1.25, "1.2 s"), (119, "119 s")):
            self.assertEqual(text, span(value))
        for value, text in ((120, "2 min"), (7_199, "120 min"), (7_200, "2 h"), (200_000, "2 d")):
            self.assertEqual(text, span(value))
        for value, text in ((None, "-"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5e15, "5,000.0 TB")):
            self.assertEqual(text, size(value))
