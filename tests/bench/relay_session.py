"""One contestant of `make bench-relay` with its clients: started, measured in one cell after the other, ended."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from tests.bench import relay_tables as tables
from tests.bench.relay_cells import Cell, Found
from tests.bench.relay_process import busy_seconds, cpu_seconds, kernel_share
from tests.bench.relay_reader import Reader
from tests.bench.relay_servers import Place, Running, Server

WARM = 0.5  # seconds at a rate before its window
DRAIN = 8.0  # seconds in which a server must have delivered what it has


@attrs.define
class Session:
    """A server with clients."""

    name: str
    running: Running
    core: int
    reader: Reader
    deflate: bool
    variants: int
    clients: int = 0

    def open(self, clients: int) -> float:
        """Connect more; returns the seconds that took."""
        opened = self.reader.open(clients)
        if self.deflate and opened.deflated < clients:
            raise AssertionError(f"{self.name} compresses for {opened.deflated} of {clients} clients")
        self.clients = clients
        return opened.seconds

    def measure(self, rate: int, seconds: float) -> Found:
        """One cell; afterwards nothing is under way any more.

        Raises:
            AssertionError: the server ended, or did not come to rest; nothing more can be measured with it.
        """
        feed = self.running.feed
        feed.ask(f"rate {rate}")
        time.sleep(WARM)
        begun, before, busy = time.monotonic(), cpu_seconds(self.running.pid), busy_seconds(self.core)
        _, ticks = kernel_share(self.running.pid)
        received = self.reader.measure(seconds)
        spent = time.monotonic() - begun
        cpu, busy = (cpu_seconds(self.running.pid) - before) / spent, (busy_seconds(self.core) - busy) / spent
        feed.ask("rate 0")
        quiet = self.reader.drain(DRAIN)
        found = Found(
            cell=Cell(self.clients, rate, self.deflate, self.variants),
            deliveries=received.events / received.seconds,
            cpu=cpu,
            kernel=kernel_share(self.running.pid, ticks)[0],
            reader=received.cpu,
            others=max(0.0, busy - cpu),
            p50=received.p50,
            p99=received.p99,
            least=received.least,
            most=received.most,
            lost=received.gaps + received.repeats + received.wrong + received.closed + received.broken,
            seconds=received.seconds,
        )
        print(tables.live(self.name, found), flush=True)
        if not quiet and found.stood:
            raise AssertionError(f"{self.name} still sends {DRAIN:g} s after the last event")
        return found


@contextmanager
def session(
    server: Server, place: Place, reader: Path, *, deflate: bool = False, variants: int = 1
) -> Iterator[Session]:
    """A server that is ready, in a folder of its own, and a reader that has no clients yet."""
    with ExitStack() as stack:
        own = attrs.evolve(place, folder=Path(stack.enter_context(tempfile.TemporaryDirectory())))
        running = stack.enter_context(server.start(own, deflate, variants))
        options = (*server.reader(variants), *(("-d",) if deflate else ()), str(running.port))
        clients = stack.enter_context(Reader(own.folder, reader, *options))
        yield Session(server.name, running, own.core, clients, deflate, variants)
