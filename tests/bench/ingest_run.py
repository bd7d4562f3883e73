"""One contestant at a time: started, warmed up, measured over a window, ended."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import attrs

from tests.bench.figures import TICKS
from tests.processes import Program

ROOT = Path(__file__).parents[2]
WARM = 1.0  # seconds after the first items
START = 20.0  # seconds until the first items at most
SETTLE = 0.5  # seconds between two contestants, for the machine to come to rest
FIRST = 500  # items after which a contestant is under way


class Sample(NamedTuple):
    """What a contestant had done at one moment."""

    at: float  # seconds, monotonic
    count: float  # items
    cpu: float  # seconds of its process


class Figures(NamedTuple):
    """One window."""

    rate: float  # items/s
    cpu: float  # cores used
    broker: float  # cores used

    @property
    def per_cpu(self) -> float:
        """Items by CPU second of the contestant's own process."""
        return self.rate / max(self.cpu, 1e-6)


@attrs.frozen
class Contestant:
    """Who is measured.

    Args:
        start: makes its process.
        sample: asks what it has done; None where it has not said yet.
    """

    name: str
    start: Callable[[], Program]
    sample: Callable[[Program], Sample | None]


def cpu_of(pid: int) -> float:
    """User and system time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def module(folder: Path, name: str, *arguments: str) -> Program:
    """A module of this folder as a process of its own."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    python = Path(sys.executable).name
    return Program(folder, name, python, "-m", f"tests.bench.{name}", *arguments, env=environment)


def told(program: Program) -> Sample | None:
    """The last line of a peer's `Tally`."""
    for line in reversed(program.said().splitlines()[:-1] or [""]):
        words = line.split()
        if len(words) == 4 and words[0] == "tally":
            return Sample(*map(float, words[1:]))
    return None


@contextmanager
def flooding(folder: Path, *options: str) -> Iterator[tuple[Program, str]]:
    """The upstream and its address."""
    with module(folder, "flood", *options) as program:
        said = program.until(
            lambda: [row for row in program.said().splitlines() if row.startswith("http://")], "address"
        )
        yield program, said[0].strip()


def measure(contestant: Contestant, seconds: float, broker: int | None = None) -> Figures:
    """Run it once.

    Args:
        seconds: the window's length.
        broker: the broker's process id, whose CPU is noted beside.
    """
    with contestant.start() as program:

        def sample() -> Sample:
            found: Sample = program.until(lambda: contestant.sample(program), "figures")
            return found

        try:
            program.until(lambda: (found := contestant.sample(program)) and found.count > FIRST, "items", START)
        except AssertionError as error:
            words = [line for line in program.said().splitlines() if not line.startswith("tally ")]
            raise AssertionError("\n".join([str(error).partition("\n")[0], *words[-20:]])) from None
        time.sleep(WARM)
        first, broker_first = sample(), cpu_of(broker) if broker else 0.0
        time.sleep(seconds)
        last, broker_last = sample(), cpu_of(broker) if broker else 0.0
        if program.process.poll() is not None:
            raise AssertionError(f"{contestant.name} ended in its window:\n{program.said()[-3000:]}")
        spent = last.at - first.at
        rate, cpu = (last.count - first.count) / spent, (last.cpu - first.cpu) / spent
        figures = Figures(rate, cpu, (broker_last - broker_first) / spent)
        program.stop()
    return figures


def rounds(
    contestants: Sequence[Contestant], count: int, run: Callable[[Contestant], Figures]
) -> dict[str, list[Figures | None]]:
    """All of them, `count` times, each round beginning with another one; None where one failed, which is printed."""
    found: dict[str, list[Figures | None]] = {contestant.name: [] for contestant in contestants}
    for number in range(count):
        shift = number % len(contestants)
        for contestant in (*contestants[shift:], *contestants[:shift]):
            try:
                found[contestant.name].append(run(contestant))
            except AssertionError as error:
                print(f"{contestant.name}, round {number + 1}: {error}", flush=True)
                found[contestant.name].append(None)
            time.sleep(SETTLE)
    return found


def paired(
    ours: Sequence[Figures | None], theirs: Sequence[Figures | None], of: Callable[[Figures], float]
) -> float | None:
    """The median over the rounds of one's figure divided by the other's of the same round."""
    ratios = [of(one) / of(other) for one, other in zip(ours, theirs, strict=True) if one and other and of(other)]
    return statistics.median(ratios) if ratios else None
