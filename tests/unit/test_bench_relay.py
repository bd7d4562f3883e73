"""What is pure in `make bench-relay`: when a server has had enough, what is compared, what is printed, who is due."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.bench.peers.pace import FIRST, TOPICS, Pace, topic
from tests.bench.relay_cells import Cell, Found, highest, middle, ratio, sweep
from tests.bench.relay_tables import aim, by_rate, cost, deliveries, table


def found(rate: int = 100, share: float = 1.0, cpu: float = 0.5, lost: int = 0, p99: float = 5.0) -> Found:
    """A window of two seconds with 500 clients, in which the server delivered that share of what was asked for."""
    cell = Cell(500, rate)
    return Found(
        cell=cell,
        deliveries=cell.deliveries * share,
        cpu=cpu,
        kernel=0.5,
        reader=0.2,
        others=0.0,
        p50=1.0,
        p99=p99,
        least=1,
        most=2,
        lost=lost,
        seconds=2.0,
    )


class Cells(SynchronousTestCase):
    """`relay_cells`."""

    def test_stood(self) -> None:
        """A server stands a cell where it delivers nearly all, in time, and loses nothing."""
        for one, stood in (
            (found(), True),
            (found(share=0.96), True),
            (found(share=0.9), False),
            (found(lost=1), False),
            (found(p99=2_000.0), False),
            (found(rate=1, share=0.6), True),  # the window began and ended between two events
            (found(rate=1, share=0.2), False),
        ):
            with self.subTest(one=one):
                self.assertEqual(one.stood, stood)

    def test_sweep(self) -> None:
        """Rates rise until one is failed, and no further than the reader can follow."""
        measured: list[int] = []

        def measure(rate: int) -> Found:
            measured.append(rate)
            return found(rate, share=0.5 if rate >= 1_000 else 1.0)

        self.assertEqual([one.cell.rate for one in sweep((10, 100, 1_000, 2_000), measure)], [10, 100, 1_000])
        self.assertEqual(measured, [10, 100, 1_000])
        self.assertEqual([one.cell.rate for one in sweep((10,), found, (20, 40))], [10, 20, 40])
        self.assertEqual([one.cell.rate for one in sweep((5, 10), found, (20, 40), limit=0.1)], [5, 10])

    def test_compared(self) -> None:
        """Ratios are of the same round, and their median counts; rates that were failed count as highest, too."""
        ours = [found(cpu=1.0), found(cpu=2.0), found(cpu=9.0)]
        theirs = [found(cpu=1.0), found(cpu=1.0), found(cpu=3.0)]
        self.assertAlmostEqual(ratio(ours, theirs) or 0, 2.0)
        self.assertIsNone(ratio([], []))
        self.assertEqual(highest([found(100), found(1_000, share=0.5)]), 250_000)
        self.assertIsNone(highest([]))

    def test_middle(self) -> None:
        """Of several rounds each figure's median is told, and every loss."""
        rounds = [found(cpu=1.0, p99=9.0), found(cpu=3.0, p99=1.0, lost=2), found(cpu=2.0, p99=5.0, lost=1)]
        one = middle(rounds)
        self.assertEqual((one.cpu, one.p99, one.lost, one.cell), (2.0, 5.0, 3, rounds[0].cell))


class Tables(SynchronousTestCase):
    """`relay_tables`."""

    def test_table(self) -> None:
        """Columns stand below each other, and figures at the right."""
        text = table(["server", "a"], [["x", "1,000"]])
        self.assertEqual(text, "| server |     a |\n| ------ | ----: |\n| x      | 1,000 |")

    def test_rates(self) -> None:
        """A cell that was not measured is a dash, one that was failed says so."""
        text = by_rate({"ours": [found(10), found(100, share=0.5)]}, (10, 100, 1_000), deliveries)
        self.assertIn("| ours   | 5,000 | 25,000 fails |       – |", text)
        self.assertEqual(cost(found(lost=3)), "10 (0.50) lost")

    def test_aims(self) -> None:
        """An aim is met at its limit, missed beyond, and said not to be measured where it was not."""
        for value, most, words in (
            (2.0, True, "met"),
            (2.1, True, "MISSED"),
            (2.0, False, "met"),
            (1.9, False, "MISSED"),
        ):
            with self.subTest(value=value, most=most):
                self.assertTrue(aim("x", value, 2.0, most=most).endswith(words))
        self.assertIn("not measured", aim("x", None, 2.0))
        self.assertNotIn("aim", aim("x", 1.0, None))


class Paces(SynchronousTestCase):
    """`peers.pace`."""

    def test_event(self) -> None:
        """An event is a CloudEvent with its number, its author's topic and the time it was made."""
        pace = Pace()
        self.assertEqual(pace.told("rate 10", 0.0), "sent 0")
        (event,) = pace.due(0.1)
        content = json.loads(event.text)
        self.assertEqual((content["data"]["n"], content["topic"]), (FIRST, topic(FIRST)))
        self.assertEqual(topic(FIRST + TOPICS + 7), topic(FIRST + 7))
        self.assertGreater(content["data"]["t"], 0)
        self.assertTrue(420 <= len(event.text) <= 440, len(event.text))

    def test_refused(self) -> None:
        """What is no command is an error, not silence."""
        with self.assertRaisesRegex(ValueError, "rate R"):
            Pace().told("speed 10", 0.0)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 2_000), st.lists(st.floats(0.0001, 0.04), min_size=1, max_size=30))
    def test_rate(self, rate: int, waits: list[float]) -> None:
        """Looked at often enough, it makes exactly what is due, each number once."""
        pace, now = Pace(), 5.0
        pace.told(f"rate {rate}", now)
        numbers: list[int] = []
        for wait in waits:
            now += wait
            numbers += [event.number - FIRST for event in pace.due(now)]
        self.assertEqual(numbers, list(range(int((now - 5.0) * rate))))

    def test_late(self) -> None:
        """Who looks too late makes some of what it missed, and the rest never; the rate stays what it was."""
        pace = Pace()
        pace.told("rate 1000", 0.0)
        self.assertEqual(len(list(pace.due(10.0))), 50)
        self.assertEqual(len(list(pace.due(10.01))), 10)
        self.assertEqual(pace.told("rate 0", 10.02), "sent 60")
        self.assertEqual(list(pace.due(20.0)), [])
