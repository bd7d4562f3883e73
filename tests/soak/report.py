# -*- test-case-name: tests.integration.test_soak -*-
"""What a run found, in words."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import attrs

from tests.soak.chaos import Happened
from tests.soak.judge import Broken, Summary
from tests.soak.victim import Victim, Weight

STOPPED = (0, -signal.SIGTERM)  # twistd ends by the signal that stopped it, once all is quiet
GROWTH = 64 * 1024 * 1024  # bytes that a process may occupy more than the first one did after a minute
MINUTE = 60.0  # seconds
BEFORE, AFTER = 15.0, 3.0  # seconds around a broken promise in which faults are shown
FAULTS_SHOWN = 16
LOG_SHOWN = 3_000  # characters of the streamer's last log
COMPLAINTS_SHOWN = 10

# Gauges that must be at these once all is at rest, and counters that must never move.
AT_REST = {
    'streamer_source_connected{source="x"}': 1.0,
    'streamer_source_connected{source="twitter"}': 1.0,
    'streamer_spool_items{source="x"}': 0.0,
    'streamer_spool_items{source="twitter"}': 0.0,
    'streamer_spool_bytes{source="x"}': 0.0,
    'streamer_spool_bytes{source="twitter"}': 0.0,
}
NEVER = ("streamer_refused_total", "streamer_shed_items_total", "streamer_spool_failures_total")


@attrs.define
class Report:
    """One run's outcome; `broken` is empty where every promise was kept."""

    seed: int
    seconds: float
    folder: Path
    victim: Victim
    happened: list[Happened]
    broken: list[Broken] = attrs.field(factory=list)
    sources: dict[str, Summary] = attrs.field(factory=dict)
    repeats: tuple[int, int] = (0, 0)
    numbers: dict[str, float] = attrs.field(factory=dict)
    begun: float = 0.0
    ended: float = 0.0
    settled: float = 0.0
    stop_code: int = 0
    waiting: int = 0
    dead: int = 0
    unrouted: int = 0

    def look(self) -> None:
        """Judge the streamer itself: its memory, log, numbers, exit codes, and what is left in the broker."""
        self._expect(not self.waiting, "the queue is drained", f"{self.waiting} messages wait")
        self._expect(not self.dead, "no item is dead-lettered", f"{self.dead} messages are")
        self._expect(not self.unrouted, "no item is unrouted", f"{self.unrouted} messages are")
        for code in (*self.victim.stops, self.stop_code):
            self._expect(code in STOPPED, "a stop is clean", f"it ended with {code}")
        for happened in self.happened:
            said = f"{happened.fault}: {happened.failure}"
            self._expect(not happened.failure, "a fault can be let happen", said, happened.begun)
        complaints = self.victim.complaints()
        shown = "\n    ".join(complaints[:COMPLAINTS_SHOWN])
        self._expect(not complaints, "no defect shows in the log", f"{len(complaints)} lines do:\n    {shown}")
        self._memory()
        self._numbers()

    def __str__(self) -> str:
        kinds = Counter(f"{one.fault.party} {one.fault.deed['kind']}" for one in self.happened)
        lines = [
            f"seed {self.seed}: {len(self.happened)} faults in {self.ended - self.begun:.0f} s, "
            f"at rest {self.settled - self.ended:.1f} s later; {len(self.victim.lives)} lives of the streamer",
            "faults: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())),
            *(f"{name}: {summary}" for name, summary in self.sources.items()),
            f"delivered again: {self.repeats[0]} by the broker, {self.repeats[1]} by the streamer",
            "memory: " + self._memory_said(),
        ]
        if not self.broken:
            return "\n".join([*lines, "every promise was kept"])
        lines.append(f"{len(self.broken)} promises were broken; logs are in {self.folder}")
        for broken in self.broken:
            lines.append(f"* {broken.promise}: {broken.what}")
            lines += [f"    {line}" for line in self.about(broken.times)]
        last = self.victim.lives[-1]
        return "\n".join([*lines, f"the end of {last.name}.log:", last.said()[-LOG_SHOWN:]])

    def about(self, times: tuple[float, ...]) -> list[str]:
        """The faults about the first and the last of these times, those that are nearest."""
        ends = (min(times), max(times)) if times else ()
        near = [
            (abs(one.begun - time), one)
            for one in self.happened
            for time in ends
            if one.begun - AFTER <= time <= one.ended + BEFORE
        ]
        nearest = {id(one): one for _, one in sorted(near, key=lambda pair: pair[0])[:FAULTS_SHOWN]}
        return [
            f"{one.begun:.3f}…{one.ended:.3f} ({one.begun - self.begun:.1f} s): {one.fault}"
            for one in sorted(nearest.values(), key=lambda one: one.begun)
        ]

    def _expect(self, true: bool, promise: str, what: str, *times: float) -> None:
        if not true:
            self.broken.append(Broken(promise, what, times))

    def _numbers(self) -> None:
        for name, wanted in AT_REST.items():
            found = self.numbers.get(name, 0.0)
            self._expect(found == wanted, "gauges come to rest", f"{name} is {found:g}, not {wanted:g}")
        for name, value in self.numbers.items():
            self._expect(not name.startswith(NEVER) or not value, "nothing is dropped", f"{name} is {value:g}")
        taken = sum(value for name, value in self.numbers.items() if name.startswith("streamer_items_total"))
        published = self.numbers.get('streamer_published_total{exchange="streamer.raw"}', 0.0)
        unconfirmed = sum(value for name, value in self.numbers.items() if name.startswith("streamer_unconfirmed"))
        what = f"{taken:g} items were taken, {published:g} published, {unconfirmed:g} are under way"
        self._expect(published + unconfirmed >= taken, "what is taken is published", what)

    def _first(self) -> Weight | None:
        """The weight of the oldest process after a minute, or when it was oldest."""
        grown = [weight for weight in self.victim.weights if weight.age >= MINUTE]
        return grown[0] if grown else max(self.victim.weights, key=lambda weight: weight.age, default=None)

    def _memory(self) -> None:
        first = self._first()
        if first is None:
            self._expect(False, "the streamer was weighed", "it never was")
            return
        last = self.victim.weights[-1]
        grown = last.bytes - first.bytes
        self._expect(grown <= GROWTH, "memory is bounded", f"it grew by {grown / 2**20:.0f} MiB")

    def _memory_said(self) -> str:
        first = self._first()
        if first is None:
            return "not weighed"
        last, most = self.victim.weights[-1], max(self.victim.weights, key=lambda weight: weight.bytes)
        return (
            f"{first.bytes / 2**20:.0f} MiB at the age of {first.age:.0f} s, {last.bytes / 2**20:.0f} MiB at the end "
            f"(age {last.age:.0f} s), {most.bytes / 2**20:.0f} MiB at most"
        )
