# -*- test-case-name: tests.integration.test_soak -*-
"""One run, from the first process to the last judgement."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import attrs

from streamer.testing.rabbitmq import RabbitNode
from tests.soak import judge
from tests.soak.broker import BrokerFaults
from tests.soak.chaos import Chaos
from tests.soak.clock import now
from tests.soak.consumer import QUEUE, Consumer
from tests.soak.judge import JUDGEMENTS, Broken
from tests.soak.report import Report
from tests.soak.schedule import Fault, plan
from tests.soak.upstreams import Made, Upstream
from tests.soak.victim import Victim

RATE = 30.0  # posts a second
SPOOLS = (1_000_000_000, 300_000)  # bytes on disk at most: of even seeds, and of odd ones, where reading has to pause
SETTLE = 60.0  # seconds that everything has to come to rest: a source may be waiting out a rate limit
SETTLE_LONG = 200.0
WEIGHED = 1.0  # seconds between two looks at its memory
ARRIVE = 60.0  # seconds that the last posts have to arrive, once all is at rest


@attrs.define
class Soak:
    """One run.

    Args:
        seconds: of faults.
        folder: for logs and state; it is left behind where a promise was broken.
        rate: posts a second of each upstream.
        faults: what happens; by default what the seed decides.
        spool: bytes that the streamer may keep on disk.
    """

    seed: int
    seconds: float
    folder: Path = attrs.field(factory=lambda: Path(tempfile.mkdtemp(prefix="streamer-soak-")))
    rate: float = RATE
    faults: Sequence[Fault] = attrs.field(
        default=attrs.Factory(lambda self: plan(self.seed, self.seconds), takes_self=True)
    )
    spool: int = attrs.field(default=attrs.Factory(lambda self: SPOOLS[self.seed % 2], takes_self=True))
    victim: Victim = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.victim = Victim(self.folder)

    def run(self) -> Report:
        """Let it all happen; the report says what was found."""
        with ExitStack() as stack:
            node = stack.enter_context(RabbitNode())
            upstreams = {name: Upstream.begin(self.folder, name, self.rate) for name in JUDGEMENTS}
            for upstream in upstreams.values():
                stack.enter_context(upstream.program)
            consumer = Consumer(node.url)
            broker = BrokerFaults(node)
            acts = {name: upstream.fault for name, upstream in upstreams.items()}
            chaos = Chaos({**acts, "broker": broker.fault, "streamer": self.victim.fault})
            report = Report(self.seed, self.seconds, self.folder, self.victim, chaos.happened)
            stack.callback(self._end_victim)
            self.victim.configure(node.url, upstreams["x"].url, upstreams["twitter"].url, self.spool)
            self.victim.start()
            consumer.start()
            stack.callback(consumer.stop)
            self._until_ready(60.0)
            node.settle()
            stack.enter_context(self._weighing())
            report.begun = now()
            chaos.begin(self.faults)
            if not chaos.wait(self.seconds + SETTLE):
                report.broken.append(Broken("faults come to an end", f"{len(chaos.happened)} did"))
            report.ended = now()
            self._heal(report, broker, upstreams)
            made = {name: upstream.made() for name, upstream in upstreams.items()}
            self._drain(report, broker, consumer, made)
            self._judge(report, consumer, made)
        return report

    def _heal(self, report: Report, broker: BrokerFaults, upstreams: dict[str, Upstream]) -> None:
        broker.heal()
        for upstream in upstreams.values():
            upstream.heal()
        if self.victim.ended_itself():
            report.broken.append(Broken("the streamer goes on", "it ended by itself"))
            self.victim.start()
        self.victim.ask("POST", "/start")
        limit = SETTLE_LONG if self.seconds >= 240 else SETTLE
        try:
            self._until_ready(limit)
        except AssertionError as error:
            report.broken.append(Broken("all is well once faults are over", str(error), (now(),)))
        report.settled = now()

    def _until_ready(self, limit: float) -> None:
        end = time.monotonic() + limit
        good = 0  # looks in a row that found it ready
        while good < 10:
            troubles = self.victim.troubles()
            good = 0 if troubles else good + 1
            assert time.monotonic() < end, f"not ready in {limit:g} s: {troubles}"
            time.sleep(0.2)

    def _drain(self, report: Report, broker: BrokerFaults, consumer: Consumer, made: dict[str, Made]) -> None:
        """Wait until what was made is there or behind us, the spool is empty and nothing waits in the queue."""
        end = time.monotonic() + ARRIVE
        while time.monotonic() < end:
            numbers = self.victim.metrics()
            spooled = sum(value for name, value in numbers.items() if name.startswith("streamer_spool_items"))
            newest = judge.newest(consumer.arrivals)
            if not spooled and all(newest.get(name, 0) >= int(one.posts[-1]) for name, one in made.items()):
                break
            time.sleep(0.5)
        else:
            report.broken.append(Broken("spool and queue run dry", f"spooled items: {spooled:g}", (now(),)))
        report.numbers = self.victim.metrics()
        self.victim.weigh()
        report.stop_code = self.victim.end(signal.SIGTERM)
        end = time.monotonic() + ARRIVE
        report.waiting = broker.waiting(QUEUE)
        while report.waiting and time.monotonic() < end:
            time.sleep(0.5)
            report.waiting = broker.waiting(QUEUE)
        report.dead = broker.waiting("streamer.dead")
        report.unrouted = broker.waiting("streamer.unrouted")

    def _judge(self, report: Report, consumer: Consumer, made: dict[str, Made]) -> None:
        arrivals = list(consumer.arrivals)
        for name, judgements in JUDGEMENTS.items():
            first = judge.delivered(arrivals, name)
            for judgement in judgements:
                report.broken += judgement(name, made[name], first)
            report.sources[name] = judge.summary(name, made[name], first)
        report.repeats = judge.repeats(arrivals)
        report.look()

    def _weighing(self) -> ExitStack:
        stop, stack = threading.Event(), ExitStack()

        def weigh() -> None:
            while not stop.wait(WEIGHED):
                self.victim.weigh()

        thread = threading.Thread(target=weigh, name="weighing", daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        return stack

    def _end_victim(self) -> None:
        for life in self.victim.lives:
            life.__exit__()
