"""Run with `make bench-ingest`: this streamer beside a peer, beside the bound, and reading alone.

Everything in one run on one machine against one upstream (`flood`), in rounds that begin with another contestant each,
so that a machine that changes its speed changes everybody's. Ratios are medians of the rounds' own ratios. The figures
belong in docs/performance.md. About five minutes; name parts to run only those.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pika
from pika.exceptions import AMQPError

from streamer.bus.topology import ENRICH, declares, layout
from streamer.testing.rabbitmq import RabbitNode
from tests.bench import ingest_memory, ingest_profile
from tests.bench.figures import counter, cpu_seconds, megabytes
from tests.bench.ingest_memory import Growth
from tests.bench.ingest_posts import RECORDED, templates
from tests.bench.ingest_run import Contestant, Figures, Sample, flooding, measure, module, paired, rounds, told
from tests.integration.test_pipeline import twistd, written
from tests.processes import Program

OURS, SPOOLING = "twistd streamer, spool_bytes = 0", "twistd streamer, spooling the flood"
PEER, BOUND = "tweepy and blocking pika", "the bound: pika's Twisted adapter"
READ_OURS, READ_PEER, READ_AGENT = (
    "this streamer, bus confirms at once",
    "tweepy, on_data does nothing",
    "a bare Agent",
)
READ_TUNED = "tweepy, reading 64 KiB at a time"

STATE = "var"  # the state directory's default, in the folder that the process runs in

TIMES_PEER = 10.0  # aim: at least so many times the peer's items/s
OF_BOUND = 0.7  # aim: at least this share of the bound's items/s
TIMES_READER = 1.5  # aim: at least so many times the items by CPU second of tweepy's bare reading
STALL_LIMIT = 64_000_000  # bytes; aim: at most, a source
FLAT = 16_000_000  # bytes; what allocators and caches may move while a hundred times that piles up on disk


class Bench:
    """The machine's side of all parts: a folder, an upstream, a broker.

    Args:
        count: rounds.
        seconds: a window.
    """

    def __init__(self, folder: Path, upstream: str, node: RabbitNode, count: int, seconds: float) -> None:
        self.folder, self.upstream, self.node = folder, upstream, node
        self.count, self.seconds = count, seconds

    def speed(self) -> None:
        """How fast the upstream is: it must never be what limits a contestant."""
        address = urlsplit(self.upstream)
        with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
            connection.sendall(b"GET /2/tweets/search/stream HTTP/1.1\r\nHost: flood\r\n\r\n")
            buffer, size = bytearray(1 << 20), 0
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                size += connection.recv_into(buffer)
        row("the upstream, read by a bare socket", f"{size / self.seconds / mean_size():9,.0f}/s")

    def publishing(self) -> None:
        """Into a quorum queue with confirms: ours, the peer, the bound."""
        bus = self.node.url
        diskless, other = self._ours(bus, "spool_bytes = 0")
        start, admin = self._ours(bus)
        contestants = [
            Contestant(OURS, diskless, partial(published, other)),
            Contestant(SPOOLING, start, partial(published, admin)),
            Contestant(PEER, partial(self._peer, "tweepy_peer", "--upstream", self.upstream, "--bus", bus), told),
            Contestant(BOUND, partial(self._peer, "pika_bound", "--bus", bus), told),
        ]
        found = rounds(contestants, self.count, self._emptied)
        for name, figures in found.items():
            table(name, figures, broker=True)
        aim("items/s, by the peer's", paired(found[OURS], found[PEER], rate), TIMES_PEER)
        aim("items/s, by the bound's", paired(found[OURS], found[BOUND], rate), OF_BOUND)
        aim("items per CPU second, by the bound's", paired(found[OURS], found[BOUND], per_cpu))
        aim("items/s by way of the disk, by the peer's", paired(found[SPOOLING], found[PEER], rate))
        aim("items/s by way of the disk, by the bound's", paired(found[SPOOLING], found[BOUND], rate))

    def reading(self) -> None:
        """Read and understood, published nowhere: ours, tweepy's, and the least there can be."""
        config = self._stateless()
        tweepy = ("tweepy_peer", "--upstream", self.upstream)
        contestants = [
            Contestant(READ_OURS, partial(self._peer, "our_reader", "--config", config), told),
            Contestant(READ_PEER, partial(self._peer, *tweepy), told),
            Contestant(READ_TUNED, partial(self._peer, *tweepy, "--chunk-size", "65536"), told),
            Contestant(READ_AGENT, partial(self._peer, "agent_reader", "--upstream", self.upstream), told),
        ]
        found = rounds(contestants, self.count, lambda one: measure(one, self.seconds))
        for name, figures in found.items():
            table(name, figures)
        aim("read per CPU second, by tweepy's", paired(found[READ_OURS], found[READ_PEER], per_cpu), TIMES_READER)
        aim("read per CPU second, by a bare Agent's", paired(found[READ_OURS], found[READ_AGENT], per_cpu))

    def memory(self) -> None:
        """What a flood and a broker that stalls cost."""
        start, admin = self._ours(self.node.url)
        self._purge()
        with start() as program:
            filling, growth = ingest_memory.flood(program, admin)
            size("memory in a flood, its dedupe filling", filling)
            size("memory in a flood, its dedupe full", growth, FLAT)
            program.stop()
        for name, stall in (("alarmed", ingest_memory.alarmed), ("frozen", ingest_memory.frozen)):
            self._purge()
            with start() as program:  # a new one, with room on its disk
                growth, late = ingest_memory.stalled(program, admin, partial(stall, self.node))
                size(f"memory while the broker is {name}", growth, STALL_LIMIT, f"goes on after {late:.1f} s")
                program.stop()

    def profile(self) -> None:
        """Where our time goes; only when asked for."""
        ingest_profile.reading(self.folder, self._stateless())
        self._purge()
        config, _ = written(self.folder, self.node.url, self.upstream)
        ingest_profile.publishing(self.folder, config)

    def _ours(self, bus: str, setting: str = "") -> tuple[Callable[[], Program], int]:
        """How to start it, with a setting of `[streamer]`, and its admin port."""
        config, ports = written(self.folder, bus, self.upstream)
        if setting:
            text = Path(config).read_text().replace("[streamer]\n", f"[streamer]\n{setting}\n")
            config = str(Path(config).with_name("other.toml"))
            Path(config).write_text(text)

        def start() -> Program:
            shutil.rmtree(self.folder / STATE, ignore_errors=True)  # each begins as a first one
            return twistd(self.folder, "streamer", config)

        return start, ports["admin"]

    def _stateless(self) -> str:
        """A configuration that keeps nothing on disk."""
        config, _ = written(self.folder, "memory:", self.upstream)
        with Path(config).open("a") as file:
            file.write('[state]\ndirectory = ""\n')
        return config

    def _peer(self, name: str, *arguments: str) -> Program:
        return module(self.folder, f"peers.{name}", *arguments)

    def _emptied(self, contestant: Contestant) -> Figures:
        self._purge()
        return measure(contestant, self.seconds, self.node.pid)

    def _purge(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.node.url)) as connection:
            channel = connection.channel()
            for call in declares(layout()):
                getattr(channel, call.method)(**call.keywords)
            channel.queue_purge(ENRICH)


def published(admin: int, program: Program) -> Sample | None:
    """What ours has had confirmed."""
    count = counter(admin, "published_total")
    return Sample(time.monotonic(), count, cpu_seconds(program)) if count else None


def mean_size() -> float:
    """Bytes of a line, its end included."""
    posts = templates()
    return statistics.mean(len(post.with_id(b"0" * 19)) + 2 for post in posts)


def rate(figures: Figures) -> float:
    """Items a second."""
    return figures.rate


def per_cpu(figures: Figures) -> float:
    """Items by CPU second."""
    return figures.per_cpu


def row(what: str, *figures: str) -> None:
    """One line of the report."""
    print(f"{what:44}  {'  '.join(figures)}", flush=True)


def table(name: str, found: Sequence[Figures | None], *, broker: bool = False) -> None:
    """The median of a contestant's rounds, and their range."""
    figures = [one for one in found if one]
    if not figures:
        row(name, "failed in every round; see above")
        return
    rates = [one.rate for one in figures]
    middle = statistics.median
    cells = [
        f"{middle(rates):9,.0f}/s ({min(rates):,.0f} to {max(rates):,.0f})".ljust(32),
        f"{middle(map(per_cpu, figures)):9,.0f} per CPU second",
        f"{middle(one.cpu for one in figures):5.2f} cores",
    ]
    if broker:
        cells.append(f"broker {middle(one.broker for one in figures):5.2f}")
    row(name, *cells)


def aim(what: str, ratio: float | None, least: float | None = None) -> None:
    """A ratio beside what it should be."""
    if ratio is None:
        row(f"  {what}", "not measured")
    elif least is None:
        row(f"  {what}", f"{ratio:6.2f}")
    else:
        row(f"  {what}", f"{ratio:6.2f}", f"aim {least:g} or more: {'met' if ratio >= least else 'MISSED'}")


def size(what: str, growth: Growth, limit: int | None = None, *more: str) -> None:
    """A growth beside what it may be."""
    judged = (
        [] if limit is None else [f"aim {megabytes(limit)} or less: {'met' if growth.worst <= limit else 'MISSED'}"]
    )
    row(
        what,
        f"{' → '.join(f'{one / 1e6:.0f}' for one in growth.course)} MB, grew by {growth.worst / 1e6:.1f} MB at most",
        f"{growth.taken:,.0f} items read, {growth.confirmed:,.0f} confirmed",
        *more,
        *judged,
    )


PARTS = {"upstream": Bench.speed, "publishing": Bench.publishing, "reading": Bench.reading, "memory": Bench.memory}
ON_DEMAND = {"profile": Bench.profile}


def main() -> None:
    """All parts, or those that are named, one after the other."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument(
        "parts", nargs="*", choices=[*PARTS, *ON_DEMAND, []], metavar="part", help=", ".join([*PARTS, *ON_DEMAND])
    )
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=4.0, help="of each window")
    options.add_argument("--together", type=int, default=16, help="posts in one HTTP chunk of the upstream's")
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    posts = "recorded" if RECORDED.exists() else "generated"
    print(f"Python {platform.python_version()}, {platform.machine()}; {posts} posts of {mean_size():,.0f} bytes, "
          f"{chosen.together} in a chunk; RabbitMQ on the same machine")  # fmt: skip
    with tempfile.TemporaryDirectory() as name, RabbitNode() as node:
        folder = Path(name)
        with flooding(folder, "--together", str(chosen.together)) as (_, upstream):
            bench = Bench(folder, upstream, node, chosen.rounds, chosen.seconds)
            for part in chosen.parts or PARTS:
                try:
                    (PARTS | ON_DEMAND)[part](bench)
                except (AssertionError, AMQPError) as error:  # one part's failure is no reason to lose the others
                    row(part, f"failed: {error!r}")


if __name__ == "__main__":
    main()
