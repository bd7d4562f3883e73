"""Where the relay's time goes in one cell: for the sentence that explains a missed aim.

`python -m tests.bench.relay_profile --rate 1000 --clients 500`. First without a profiler, for the figures and the
share of the kernel; then with one, which slows down what it watches, small functions most: there the order of the rows
is what counts.
"""

from __future__ import annotations

import argparse
import pstats
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs

from streamer.testing.rabbitmq import RabbitNode
from tests.bench.relay_cells import VARIANTS, Cell
from tests.bench.relay_process import prefer, prepare
from tests.bench.relay_reader import compiled
from tests.bench.relay_servers import OURS, SERVERS, Place, relay
from tests.bench.relay_session import Session, session
from tests.processes import BIN

ROWS = 30


@contextmanager
def ours(place: Place, reader: Path, cell: Cell, *profiler: str) -> Iterator[Session]:
    """Our relay with its clients, by itself or beneath a profiler."""
    server = attrs.evolve(SERVERS[OURS], start=partial(relay, command=(str(BIN / "twistd"), *profiler)))
    with session(server, place, reader, deflate=cell.deflate, variants=cell.variants) as found:
        found.open(cell.clients)
        yield found


def main() -> None:
    """One cell, twice."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rate", type=int, default=1_000, help="events/s")
    options.add_argument("--clients", type=int, default=500)
    options.add_argument("--deflate", action="store_true")
    options.add_argument("--variants", type=int, choices=(1, VARIANTS), default=1, help="different subscriptions")
    options.add_argument("--seconds", type=float, default=5.0)
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    cell = Cell(chosen.clients, chosen.rate, chosen.deflate, chosen.variants)
    core = prepare()
    with tempfile.TemporaryDirectory() as name, RabbitNode() as node:
        prefer(node.pid)
        folder = Path(name)
        place, reader = Place(folder, node.url, core), compiled(folder)
        with ours(place, reader, cell) as found:
            found.measure(cell.rate, chosen.seconds)
        stats = folder / "relay.stats"
        with ours(place, reader, cell, "--profile", str(stats), "--profiler", "cprofile", "--savestats") as found:
            found.measure(cell.rate, chosen.seconds)
        pstats.Stats(str(stats), stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(ROWS)


if __name__ == "__main__":
    main()
