"""What is pure in `make bench-bus`: what is sent, counted and answered, what is compared, what is printed."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.bench import bus_load
from tests.bench.bus_load import Arrivals, Taken, obey
from tests.bench.bus_tables import Work, delay_table, paired, per_cpu, rate, spread, values, work_table

C_SOURCE = Path(bus_load.__file__).with_name("bus.c")


class Adder:
    """A contestant that takes as many seconds as it is told messages."""

    async def consume(self, queue: str, count: int) -> Taken:
        """It knows one queue."""
        if queue != "q":
            raise LookupError("no such queue")
        return Taken(count, float(count), 0.5)


class Load(SynchronousTestCase):
    """`bus_load`."""

    def test_the_c_client_does_the_same(self) -> None:
        """The numbers that the C client repeats, and its body, are those of the others."""
        text = C_SOURCE.read_text()
        found = {name: int(value) for name, value in re.findall(r"^    ([A-Z_]+) = (\d+),", text, re.MULTILINE)}
        for name in ("WINDOW", "PREFETCH", "ACKED", "WARM"):
            with self.subTest(name=name):
                self.assertEqual(found[name], getattr(bus_load, name))
        self.assertEqual(found["BODY_SIZE"], len(bus_load.BODY))
        self.assertIn(f"PACE = {bus_load.PACE * 1000:g} * 1000 * 1000;", text)
        self.assertEqual(json.loads(bus_load.BODY)["text"].split()[0], "kakapo")
        for name in bus_load.wire_headers(1, 2):
            self.assertIn(f'amqp_cstring_bytes("{name}")', text)

    def test_arrivals(self) -> None:
        """What goes by before the watch starts is not counted; the last one ends it, once."""
        found: list[Taken] = []
        arrivals = Arrivals(bus_load.WARM * 10, found.append)
        for number in range(bus_load.WARM * 10):
            self.assertEqual(found, [], number)
            arrivals.one()
        (taken,) = found
        self.assertEqual(taken.count, bus_load.WARM * 10 - 10)
        self.assertGreaterEqual(taken.seconds, 0.0)

    def test_obey(self) -> None:
        """Each line of stdin has one line of JSON for its answer, a failure too; the end of stdin is the end."""
        lines = iter(["consume q 3\n", "consume other 3\n", "sing 1\n", ""])

        async def read_line() -> str:
            return next(lines)

        with contextlib.redirect_stdout(io.StringIO()) as output:
            self.successResultOf(Deferred.fromCoroutine(obey(Adder(), read_line)))
        ready, taken, failed, unknown = map(json.loads, output.getvalue().splitlines())
        self.assertEqual(ready, "ready")
        self.assertEqual(taken, {"count": 3, "seconds": 3.0, "cpu": 0.5})
        self.assertEqual(failed, {"error": "LookupError: no such queue"})
        self.assertIn("sing", unknown["error"])


class Tables(SynchronousTestCase):
    """`bus_tables`."""

    def test_figures(self) -> None:
        """A rate is by the clock on the wall, the other by CPU; rounds that failed are left out."""
        rounds = [Taken(100, 2.0, 0.5), None, Taken(100, 1.0, 0.25)]
        self.assertEqual(values(rounds, rate), [50.0, 100.0])
        self.assertEqual(values(rounds, per_cpu), [200.0, 400.0])
        self.assertEqual(spread([3000.0, 1000.0, 2000.0]), "2,000 (1,000 to 3,000)")

    def test_paired(self) -> None:
        """Figures of the same round are compared, and the ratios' median counts."""
        ours = [Taken(100, 1.0, 1.0), Taken(100, 2.0, 1.0), Taken(100, 4.0, 1.0), Taken(100, 1.0, 1.0)]
        theirs = [Taken(100, 1.0, 2.0), Taken(100, 6.0, 2.0), Taken(100, 8.0, 2.0), None]
        self.assertEqual(paired(ours, theirs, rate), 2.0)
        self.assertEqual(paired(ours, theirs, per_cpu), 2.0)
        self.assertIsNone(paired(ours, [None], rate))

    def test_work(self) -> None:
        """Each contestant has its row, in the order asked for, and its reason where it failed."""
        work = Work("w")
        work.add("theirs", Taken(100, 2.0, 1.0))
        work.add("ours", Taken(100, 1.0, 0.25))
        work.add("broken", None, "no queue")
        work.sort(["ours", "theirs", "broken", "absent"])
        head, _, *rows = work_table(work, "ours").splitlines()
        self.assertEqual(head.count("ours by its"), 2)
        cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("|")]
        self.assertEqual(cells[0], ["ours", "100 (100 to 100)", "", "400 (400 to 400)", ""])
        self.assertEqual(cells[1], ["theirs", "50 (50 to 50)", "2.00", "100 (100 to 100)", "4.00"])
        self.assertEqual(cells[2], ["broken", "–", "–", "–", "–"])
        self.assertEqual(rows[-1], "broken failed: no queue")
        work.forget()
        self.assertEqual((work.found, work.reasons), ({}, {}))

    def test_alone(self) -> None:
        """Who has no peer is compared with none."""
        work = Work("w", {"ours": [Taken(100, 1.0, 0.25)]})
        self.assertNotIn("ours by its", work_table(work, "ours"))

    def test_delays(self) -> None:
        """Microseconds are told as milliseconds: the middle one, all but a hundredth, the longest."""
        row = delay_table({"ours": [float(number) for number in range(1, 1002)]}).splitlines()[-1]
        self.assertEqual(
            [cell.strip() for cell in row.strip("|").split("|")], ["ours", "1,001", "0.50", "0.99", "1.00"]
        )
