"""Where this streamer's time goes while it is flooded: for the sentence that explains a missed aim.

The profiler slows down what it watches, small functions most; the order of the rows is what counts.
"""

from __future__ import annotations

import os
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.ingest_run import ROOT
from tests.processes import Program

SECONDS = 10.0
ROWS = 25


def reading(folder: Path, config: str) -> None:
    """Reading and understanding alone."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    stats = folder / "reading.stats"
    python = Path(sys.executable).name
    command = (python, "-m", "cProfile", "-o", str(stats), "-m", "tests.bench.peers.our_reader", "--config", config)
    profiled(stats, lambda: Program(folder, "profiled", *command, env={**os.environ, "PYTHONPATH": path}))


def publishing(folder: Path, config: str) -> None:
    """`twistd streamer`, the broker included."""
    stats = folder / "publishing.stats"
    profiler = ("--profile", str(stats), "--profiler", "cprofile", "--savestats")
    command = ("twistd", "-n", "--pidfile", "", *profiler, "streamer", "-c", config)
    profiled(stats, lambda: Program(folder, "profiled", *command))


def profiled(stats: Path, start: Callable[[], Program]) -> None:
    """Run it for a while and print where its own time went."""
    with start() as program:
        time.sleep(SECONDS)
        program.stop()
        program_said = program.said()
    if not stats.exists():
        raise AssertionError(f"no profile was written:\n{program_said[-3000:]}")
    pstats.Stats(str(stats), stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(ROWS)
