"""Run with `make bench-bus`: our bus beside a bare pika loop, txAMQP, aio-pika and the C client, on one broker.

Everyone does the same work with the same messages (`bus_load`), each in a process of its own, one at a time, in rounds
that begin with another one each, so that a machine that changes its speed changes everybody's. Ratios are medians of
the rounds' own. The broker is a private node on the same machine. The figures belong in docs/performance.md. About
four minutes; `QUICK=1` for one; name contestants to run only those beside ours.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pika

from streamer.bus.factory import check_url
from streamer.bus.topology import ENRICH
from streamer.message import EVENTS, RAW
from streamer.testing.rabbitmq import RabbitNode
from tests.bench import bus_tables as tables
from tests.bench.bus_load import PACE, Delays, Failed, Taken
from tests.bench.bus_tables import Work, per_cpu, rate
from tests.bench.figures import percentile
from tests.bench.relay_process import Piped, python_module
from tests.bench.relay_tables import aim

OURS, OURS_TXAMQP, BARE, TXAMQP, AIO_PIKA, C, MEMORY = (
    "our bus, pika",
    "our bus, txAMQP",
    "bare pika loop",
    "bare txAMQP",
    "aio-pika",
    "C client",
    "our bus, in process",
)
PROGRAMS = {
    OURS: "bus_ours",
    OURS_TXAMQP: "bus_ours",
    BARE: "bus_pika",
    TXAMQP: "bus_txamqp",
    AIO_PIKA: "bus_aio_pika",
    MEMORY: "bus_memory",
}
NEEDS = {OURS_TXAMQP: "txamqp", TXAMQP: "txamqp", AIO_PIKA: "aio_pika"}  # Python packages
SCHEMES = {OURS_TXAMQP: "txamqp+"}  # before the broker's URL
NOTES = {
    TXAMQP: "Its messages have strings for the times in milliseconds: it cannot write an integer of 64 bits, and it "
    "loses its connection over a delivery with one, such as an item of this house or what RabbitMQ delivers again."
}
HEADERS = (Path("/usr/include/amqp.h"), Path("/usr/local/include/amqp.h"))
C_SOURCE = Path(__file__).with_name("bus.c")
SHORT = {
    "ours": OURS,
    "ours-txamqp": OURS_TXAMQP,
    "pika": BARE,
    "txamqp": TXAMQP,
    "aio-pika": AIO_PIKA,
    "c": C,
    "memory": MEMORY,
}

ITEM, EVENT = (RAW, "raw.bench.post"), (EVENTS, "post.bench.en.jack.python")  # exchange and topic
DEADLINE = 120.0  # seconds for one piece of work
EMPTY = 10.0  # seconds for the broker to empty or fill a queue
REST = 0.2  # seconds between two contestants
SETTLE = 3.0  # seconds for the broker to write what it has, before delays are looked at

OF_BARE = 0.85  # aims: at least so many times a peer's messages by CPU second, or by the clock on the wall
OF_AIO_PIKA = 1.5
OF_C = 0.6
P50 = 1.5  # ms; aim: at most


@attrs.frozen
class Effort:
    """How much to do: rounds, and messages of a piece of work; rounds of delays, and messages in each."""

    rounds: int
    messages: int
    stream_messages: int
    delay_rounds: int
    delays: int


FULL = Effort(rounds=5, messages=20_000, stream_messages=10_000, delay_rounds=10, delays=100)
QUICK = Effort(rounds=3, messages=5_000, stream_messages=5_000, delay_rounds=4, delays=50)


def lacking(name: str) -> str:
    """Why a contestant cannot be run here; empty where it can."""
    if name == C:
        if not any(header.exists() for header in HEADERS):
            return "librabbitmq-dev is not installed; `tests/provision bench` installs it"
        return "" if compiler() else "there is no C compiler; `tests/provision bench` installs one"
    package = NEEDS.get(name)
    if package and importlib.util.find_spec(package) is None:
        return f"{package} is not installed; `pip install -e '.[bench]'` installs it"
    try:
        check_url(SCHEMES.get(name, "") + "amqp://localhost/")
    except ValueError as error:
        return str(error)
    return ""


def compiler() -> str | None:
    """Of C."""
    return shutil.which("cc") or shutil.which("gcc")


@contextmanager
def contestant(folder: Path, name: str, url: str) -> Iterator[Piped]:
    """Its process, ready."""
    if name == C:
        program = folder / "bus"
        subprocess.run([str(compiler()), "-O2", "-Wall", "-o", str(program), str(C_SOURCE), "-lrabbitmq"], check=True)
        command: Sequence[str] = (str(program), url)
    else:
        command = (*python_module(PROGRAMS[name]), SCHEMES.get(name, "") + url)
    with Piped(folder, name.replace(", ", "-").replace(" ", "-"), *command) as process:
        process.answer()
        yield process


def ask(process: Piped, line: str, kind: Any) -> Any:
    """Have it do a piece of work; it may answer Failed."""
    answer = process.ask(line, DEADLINE)
    found = msgspec.json.decode(answer)
    return msgspec.convert(found, Failed if "error" in found else kind)


class Bench:
    """All contestants at one broker.

    Args:
        processes: by name, ours first: it declares the topology.
    """

    def __init__(self, url: str, processes: Mapping[str, Piped], effort: Effort) -> None:
        self._url, self._processes, self._effort = url, processes, effort
        self._judged: list[str] = []
        self.publishing = Work("Publishing with confirms into a quorum queue")
        self.consuming = Work("Consuming from a quorum queue, with acks")
        self.stream = Work("Publishing with confirms into a stream")
        self.memory = Work("The in-process bus: publishing, routing, handling and acking in one process")
        self.delays: dict[str, list[float]] = {}  # microseconds
        self._works = (self.publishing, self.consuming, self.stream, self.memory)

    def run(self) -> None:
        """All rounds, after one of few messages that does not count; then those of delays, at a broker at rest."""
        effort, names = self._effort, list(self._processes)
        few = attrs.evolve(effort, messages=1_000, stream_messages=1_000)
        for name in names:
            self._work(name, few)
            self._delay(name, 10)
        for work in self._works:
            work.forget()
        self.delays.clear()
        for number in range(effort.rounds):
            for name in turned(names, number):
                self._work(name, effort)
                time.sleep(REST)
        time.sleep(SETTLE)
        for number in range(effort.delay_rounds):
            for name in turned(names, number):
                self._delay(name, effort.delays)

    def report(self) -> None:
        """Tables and aims."""
        for work in self._works:
            if work.found:
                work.sort(list(self._processes))
                say(work.title, tables.work_table(work, MEMORY if work is self.memory else OURS))
        for name, note in NOTES.items():
            if name in self._processes:
                print(f"\n{name}: {note}")
        delays = {name: self.delays[name] for name in self._processes if name in self.delays}
        if delays:
            say(f"From publish to handler on an idle broker, one message each {PACE * 1000:g} ms",
                tables.delay_table(delays))  # fmt: skip
        print("\n## Aims\n")
        for work, what in ((self.publishing, "publishing"), (self.consuming, "consuming")):
            self._ratio(f"{what}: messages by CPU second, by the {BARE}'s", work, BARE, per_cpu, OF_BARE)
            self._ratio(f"{what}: messages by CPU second, by {AIO_PIKA}'s", work, AIO_PIKA, per_cpu, OF_AIO_PIKA)
        self._ratio(f"publishing into a quorum queue: messages/s, by the {C}'s", self.publishing, C, rate, OF_C)
        self._ratio(f"consuming from a quorum queue: messages/s, by the {C}'s", self.consuming, C, rate, None)
        middles = {name: percentile(found, 0.5) / 1000 for name, found in delays.items()}
        print(aim("from publish to handler on an idle broker, p50", middles.get(OURS), P50, " ms"))
        for peer in (BARE, C):
            if peer in middles and OURS in middles:
                print(aim(f"from publish to handler, p50, by the {peer}'s", middles[OURS] / middles[peer], None))

    def empty(self) -> None:
        """Have nothing in the queue; what a lost consumer had comes back after a while, so look until it is so."""
        end = time.monotonic() + EMPTY
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            while channel.queue_purge(ENRICH).method.message_count or self._waiting(channel):
                if time.monotonic() > end:
                    raise AssertionError(f"{ENRICH} cannot be emptied")
                time.sleep(REST)

    @staticmethod
    def _waiting(channel: Any) -> int:
        return int(channel.queue_declare(ENRICH, passive=True).method.message_count)

    def _work(self, name: str, effort: Effort) -> None:
        """One contestant's turn."""
        if name == MEMORY:
            self._do(self.memory, name, f"both {' '.join(ITEM)} {ENRICH} {effort.messages}")
            return
        self.empty()
        published = self._do(self.publishing, name, f"publish {' '.join(ITEM)} {effort.messages}")
        if not published or not self._do(self.consuming, name, f"consume {ENRICH} {effort.messages}"):
            self.empty()
        self._do(self.stream, name, f"publish {' '.join(EVENT)} {effort.stream_messages}")

    def _delay(self, name: str, count: int) -> None:
        """One contestant's turn."""
        if name == MEMORY:
            return
        self.empty()
        found = ask(self._processes[name], f"delays {' '.join(ITEM)} {ENRICH} {count}", Delays)
        if isinstance(found, Delays):
            self.delays.setdefault(name, []).extend(found.delays)

    def _do(self, work: Work, name: str, line: str) -> bool:
        found = ask(self._processes[name], line, Taken)
        if isinstance(found, Failed):
            work.add(name, None, found.error)
        else:
            work.add(name, found)
        return isinstance(found, Taken)

    def _ratio(self, what: str, work: Work, peer: str, of: Any, least: float | None) -> None:
        value = tables.paired(work.found.get(OURS, []), work.found.get(peer, []), of)
        print(aim(what, value, least, most=False))


def turned(names: Sequence[str], number: int) -> list[str]:
    """All of them, beginning with another one each round."""
    shift = number % len(names)
    return [*names[shift:], *names[:shift]]


def say(title: str, text: str) -> None:
    """One part of the report."""
    print(f"\n## {title}\n\n{text}", flush=True)


def main() -> None:
    """All contestants, or those that are named; ours always, for it is what is judged."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("only", nargs="*", choices=[*SHORT, []], metavar="contestant", help=", ".join(SHORT))
    options.add_argument("--quick", action="store_true", help="three rounds of a quarter of the messages")
    options.add_argument("--rounds", type=int)
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    effort = QUICK if chosen.quick else FULL
    if chosen.rounds:
        effort = attrs.evolve(effort, rounds=chosen.rounds)
    names = [name for short, name in SHORT.items() if not chosen.only or short in chosen.only or name == OURS]
    print(f"Python {platform.python_version()}, {platform.machine()}; RabbitMQ on the same machine; {effort.rounds} "
          f"rounds of {effort.messages:,} messages of 1 kB; median (least to most)")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, RabbitNode() as node, ExitStack() as stack:
        processes = {}
        for name in names:
            if reason := lacking(name):
                print(f"{name} is left out: {reason}")
            else:
                processes[name] = stack.enter_context(contestant(Path(folder), name, node.url))
        bench = Bench(node.url, processes, effort)
        bench.run()
        bench.report()


if __name__ == "__main__":
    main()
