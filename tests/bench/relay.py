"""Run with `make bench-relay`: this relay beside uWebSockets, nchan, Node's ws, PyPI's websockets and Autobahn.

All on one machine, in one run, with the same events and the same reader: the server under test alone on one core, the
reader, the publishers and the broker on another. Ours is fed through RabbitMQ's log, nchan over HTTP; the others make
the events themselves. The figures belong in docs/performance.md. About ten minutes.

`ONLY="aims ours nchan"` runs those parts, and those servers; `QUICK=1` shortens every window.
"""

from __future__ import annotations

import argparse
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import attrs

from streamer.testing.rabbitmq import RabbitNode
from tests.bench import relay_cells as cells
from tests.bench import relay_session
from tests.bench import relay_tables as tables
from tests.bench.relay_cells import Found
from tests.bench.relay_process import prefer, prepare, resident
from tests.bench.relay_reader import compiled
from tests.bench.relay_servers import NCHAN, OURS, SERVERS, UWS, UWS_EACH, WS, Place, Server
from tests.bench.relay_session import Session

IDLE_CLIENTS = 5_000
FIRST_CLIENTS = 100  # that connect before memory is looked at: what the first one loads is not a client's
SETTLE = 1.0  # seconds
READER_LIMIT = 0.75  # cores of the reader from which on it may be what bounds a rate

CPU_AIMS = {100: 2.0, 1_000: 1.2, 2_000: 1.2}  # of uWebSockets' CPU at most, by rate
TIMES_NCHAN, TIMES_WS = 2.0, 5.0  # of their highest delivery rates, at least
P99_AIM = 25.0  # ms at most
RESIDENT_AIM = 16.0  # kB a client at most
OPEN_AIM = 3.0  # seconds at most for IDLE_CLIENTS


@attrs.frozen
class Effort:
    """How long to look.

    Args:
        seconds: of a window.
        rounds: of the aims.
        clients: numbers of clients to sweep the rates with.
    """

    seconds: float
    rounds: int
    clients: tuple[int, ...] = cells.CLIENTS


QUICK = Effort(1.0, 3, (cells.MIDDLE,))


@attrs.frozen
class Idle:
    """Clients that get nothing: kB of memory for each, and the seconds it took to open them."""

    kilobytes: float
    seconds: float


class Bench:
    """All parts.

    Args:
        reader: the compiled one.
        servers: by name, the only ones to measure.
    """

    def __init__(self, place: Place, reader: Path, effort: Effort, servers: dict[str, Server]) -> None:
        self._place, self._reader, self._effort, self._servers = place, reader, effort, servers
        self._judged: list[str] = []
        self._middles: dict[str, list[Found]] = {}  # by server, at the rates of the aims

    def idle(self) -> None:
        """Memory by client, and the time to open thousands."""
        found: dict[str, Idle] = {}
        for name in self._servers:
            with self._surviving(name), self._session(name) as session:
                session.open(FIRST_CLIENTS)
                time.sleep(SETTLE)
                before = resident(session.running.pid)
                seconds = session.open(IDLE_CLIENTS)
                time.sleep(SETTLE)
                grown = resident(session.running.pid) - before
                found[name] = Idle(grown / (IDLE_CLIENTS - FIRST_CLIENTS) / 1e3, seconds)
        rows = [[name, f"{one.kilobytes:.1f}", f"{one.seconds:.2f}"] for name, one in found.items()]
        self._say("Idle clients", tables.table(["server", "kB a client", f"seconds for {IDLE_CLIENTS:,}"], rows))
        if OURS in found:
            ours = found[OURS]
            self._judge("resident by idle client", ours.kilobytes, RESIDENT_AIM, " kB")
            self._judge(f"{IDLE_CLIENTS:,} handshakes and subscriptions", ours.seconds, OPEN_AIM, " s")

    def aims(self) -> None:
        """Ours and uWebSockets at once, idle in turn, so that a machine that changes its speed changes both's."""
        names = [name for name in (OURS, UWS, UWS_EACH) if name in self._servers]
        found: dict[str, dict[int, list[Found]]] = {name: {} for name in names}
        with ExitStack() as stack:
            sessions = [stack.enter_context(self._session(name)) for name in names]
            for session in sessions:
                session.open(cells.MIDDLE)
            for rate in CPU_AIMS:
                for number in range(self._effort.rounds):
                    shift = number % len(sessions)
                    for session in (*sessions[shift:], *sessions[:shift]):
                        found[session.name].setdefault(rate, []).append(session.measure(rate, self._effort.seconds))
        self._middles = {name: [cells.middle(rounds) for rounds in rates.values()] for name, rates in found.items()}
        self._show(
            f"{cells.MIDDLE} clients, medians of {self._effort.rounds} rounds in turn", self._middles, tuple(CPU_AIMS)
        )
        for rate, limit in CPU_AIMS.items():
            for peer, most in ((UWS, limit), (UWS_EACH, None)):
                if OURS in found and peer in found:
                    value = cells.ratio(found[OURS][rate], found[peer][rate])
                    self._judge(f"CPU by delivery at {rate:,}/s, by {peer}'s", value, most)
            if OURS in found:
                worst = statistics.median(one.p99 for one in found[OURS][rate])
                self._judge(f"p99 at {rate:,}/s", worst, P99_AIM, " ms")
        others = statistics.median(one.others for rates in found.values() for each in rates.values() for one in each)
        self._judge("cores that others used where the servers ran; 0.1 spoils it", others, None)

    def intake(self) -> None:
        """What reading the log costs ours, without which it could send nothing: one client, and the same rates."""
        if OURS not in self._servers:
            return
        with self._session(OURS) as ours:
            ours.open(1)
            found = [ours.measure(rate, self._effort.seconds) for rate in CPU_AIMS]
        cores = [f"{one.cpu:.2f}" for one in found]
        text = tables.table(["server", *(f"{rate:,}/s" for rate in CPU_AIMS)], [[OURS, *cores]])
        self._say("One client: cores for reading the log", text)
        for reading, mine, other in zip(found, self._middles.get(OURS, []), self._middles.get(UWS, []), strict=False):
            value = (mine.cpu - reading.cpu) / other.cpu
            self._judge(f"CPU at {mine.cell.rate:,}/s but for reading the log, by {UWS}'s", value, None)

    def matrix(self) -> None:
        """All rates with all numbers of clients."""
        for clients in self._effort.clients:
            beyond = cells.BEYOND if clients == cells.MIDDLE else ()
            found = self._swept(clients, cells.RATES, beyond)
            self._show(f"{clients:,} clients", found, (*cells.RATES, *beyond))
            if clients == cells.MIDDLE:
                for peer, limit in ((NCHAN, TIMES_NCHAN), (WS, TIMES_WS)):
                    if OURS in found and peer in found:
                        ours, theirs = cells.highest(found[OURS]), cells.highest(found[peer])
                        value = ours / theirs if ours and theirs else None
                        self._judge(f"highest delivery rate, by {peer}'s", value, limit, most=False)

    def deflate(self) -> None:
        """Compressed."""
        found = self._swept(cells.MIDDLE, cells.BUSY, deflate=True)
        self._show(f"{cells.MIDDLE} clients, permessage-deflate", found, cells.BUSY)

    def fifty(self) -> None:
        """Different subscriptions."""
        found = self._swept(cells.MIDDLE, cells.BUSY, variants=cells.VARIANTS)
        self._show(f"{cells.MIDDLE} clients, one of {cells.VARIANTS} subscriptions each", found, cells.BUSY)

    def judged(self) -> None:
        """The aims, after all else."""
        if self._judged:
            print("\n## Aims\n")
        for one in self._judged:
            print(one)

    def _swept(
        self, clients: int, rates: Sequence[int], beyond: Sequence[int] = (), **how: int
    ) -> dict[str, list[Found]]:
        results: dict[str, list[Found]] = {}
        for name in self._servers:
            found = results.setdefault(name, [])

            def measure(rate: int, found: list[Found] = found) -> Found:
                # Three events at least, however low the rate.
                found.append(session.measure(rate, max(self._effort.seconds, 3.0 / rate)))
                return found[-1]

            with self._surviving(name), self._session(name, **how) as session:
                session.open(clients)
                cells.sweep(rates, measure, beyond, READER_LIMIT)
        return results

    def _session(self, name: str, *, deflate: bool = False, variants: int = 1) -> AbstractContextManager[Session]:
        return relay_session.session(
            self._servers[name], self._place, self._reader, deflate=deflate, variants=variants
        )

    @contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        """One server's failure is no reason to lose the others."""
        try:
            yield
        except AssertionError as error:
            print(f"{name}: {error}", flush=True)

    def _show(self, title: str, found: dict[str, list[Found]], rates: Sequence[int]) -> None:
        for what, show in (
            ("server's CPU seconds per million deliveries (cores)", tables.cost),
            ("latency p50 / p99, ms", tables.latency),
            ("deliveries a second", tables.deliveries),
        ):
            self._say(f"{title}: {what}", tables.by_rate(found, rates, show))

    def _say(self, title: str, text: str) -> None:
        print(f"\n## {title}\n\n{text}\n", flush=True)

    def _judge(
        self, what: str, value: float | None, limit: float | None, unit: str = "", *, most: bool = True
    ) -> None:
        """Say it in the end; without a limit it only explains the others."""
        self._judged.append(tables.aim(what, value, limit, unit, most=most))


PARTS = {
    "idle": Bench.idle,
    "aims": Bench.aims,
    "intake": Bench.intake,
    "matrix": Bench.matrix,
    "deflate": Bench.deflate,
    "fifty": Bench.fifty,
}


def main() -> None:
    """All parts, or those that are named, with all servers, or those that are named."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [*PARTS, *SERVERS]
    options.add_argument("only", nargs="*", choices=[*names, []], metavar="part or server", help=", ".join(names))
    options.add_argument("--seconds", type=float, default=2.0, help="of each window")
    options.add_argument("--rounds", type=int, default=5, help="of the aims")
    options.add_argument(
        "--quick", action="store_true", help="windows of a second, three rounds, one number of clients"
    )
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    servers = {name: SERVERS[name] for name in SERVERS if name in chosen.only} or SERVERS
    print(f"Python {platform.python_version()}, {platform.machine()}; RabbitMQ on the same machine")
    effort = QUICK if chosen.quick else Effort(chosen.seconds, chosen.rounds)
    core = prepare()
    with tempfile.TemporaryDirectory() as name, RabbitNode() as node:
        prefer(node.pid)
        folder = Path(name)
        bench = Bench(Place(folder, node.url, core), compiled(folder), effort, servers)
        for part in [one for one in PARTS if one in chosen.only] or PARTS:
            try:
                PARTS[part](bench)
            except AssertionError as error:  # nor is one part's
                print(f"{part} failed: {error}", flush=True)
        bench.judged()


if __name__ == "__main__":
    main()
