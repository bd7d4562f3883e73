# -*- test-case-name: tests.integration.test_soak -*-
"""`twistd streamer` under test: killed, stopped, asked for this and that, started again, and watched."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import time
from pathlib import Path

import attrs

from tests.processes import Program, free_ports, get
from tests.soak.clock import now
from tests.soak.schedule import Deed
from tests.soak.upstreams import RULE, everybody, predicates

STOP_LIMIT = 40.0  # seconds a stop may take: the bus has 10 to confirm, and more where it is away
BAD_WORDS = re.compile(r"Traceback|defect|Unhandled|\[.*#critical\]")
CONFIGURATION = """
[bus]
url = "{bus}"
[state]
directory = "state"
[sources.x]
type = "x-filtered"
token = "simulated-token"
base_url = "{x}"
backfill_minutes = 5
stall_after = 6.0
[sources.x.predicates]
rules = [{{ value = "{rule[value]}", tag = "{rule[tag]}" }}]
[sources.twitter]
type = "twitter-v1"
user = "simulated"
password = "simulated-password"
base_url = "{twitter}"
stall_after = 6.0
[sources.twitter.predicates]
follow = [{follow}]
[streamer]
admin = "tcp:{admin}:interface=127.0.0.1"
spool_bytes = {spool}
"""


@attrs.frozen
class Weight:
    """How much memory one process occupied.

    Args:
        run: which process, counted from 1.
        age: seconds since it was started.
        bytes: resident.
    """

    run: int
    age: float
    bytes: int


@attrs.define
class Victim:
    """The streamer, over all its lives."""

    folder: Path
    admin: int = attrs.field(factory=lambda: free_ports(1)[0])
    lives: list[Program] = attrs.field(factory=list)
    weights: list[Weight] = attrs.field(factory=list)
    stops: list[int] = attrs.field(factory=list)  # exit codes
    _begun: float = 0.0

    def configure(self, bus: str, x: str, twitter: str, spool: int) -> None:
        """Write its configuration; `spool` is the limit of what it may keep on disk, in bytes."""
        follow = ", ".join(f'"{id_}"' for id_ in everybody())
        urls = {"bus": bus, "x": x, "twitter": twitter}
        text = CONFIGURATION.format(**urls, rule=RULE, follow=follow, admin=self.admin, spool=spool)
        (self.folder / "streamer.toml").write_text(text)

    def start(self) -> None:
        """Begin a life."""
        command = ("twistd", "-n", "--pidfile", "", "streamer", "-c", "streamer.toml")
        self.lives.append(Program(self.folder, f"streamer-{len(self.lives) + 1:03}", *command))
        self._begun = now()

    def fault(self, deed: Deed) -> None:
        """Let it happen, and start again what has ended."""
        match deed["kind"]:
            case "kill9":
                self.end(signal.SIGKILL)
                time.sleep(deed["seconds"])
                self.start()
            case "terminate":
                self.stops.append(self.end(signal.SIGTERM))
                time.sleep(deed["seconds"])
                self.start()
            case "stop_start":
                self.ask("POST", "/stop")
                time.sleep(deed["seconds"])
                self.ask("POST", "/start")
            case "update":
                self.ask("POST", "/update")
            case "predicates":
                path = f"/predicates?source={deed['source']}"
                self.ask("PUT", path, predicates(deed["source"], deed["serial"]))
            case kind:
                raise ValueError(f"the streamer has no fault {kind!r}")

    def end(self, number: int) -> int:
        """End this life by a signal; returns its exit code."""
        process = self.lives[-1].process
        process.send_signal(number)
        try:
            return process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"signal {number} did not end the streamer in {STOP_LIMIT:g} s") from None

    def ask(self, method: str, path: str, body: bytes | None = None) -> int:
        """Its answer's status; 0 where it cannot answer yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=STOP_LIMIT)
        try:
            connection.request(method, path, body)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def weigh(self) -> None:
        """Note how much memory it occupies now."""
        life, number = self.lives[-1], len(self.lives)
        if life.process.poll() is None:
            try:
                self.weights.append(Weight(number, now() - self._begun, life.resident()))
            except (OSError, AssertionError):
                return  # it ended meanwhile

    def metrics(self) -> dict[str, float]:
        """Its numbers, by name and labels as Prometheus writes them."""
        status, page = get(f"http://127.0.0.1:{self.admin}/metrics")
        if status != 200:
            return {}
        rows = [line.rpartition(" ") for line in page.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in rows}

    def troubles(self) -> str:
        """Why it is not ready; empty where it is."""
        status, page = get(f"http://127.0.0.1:{self.admin}/ready")
        return "" if status == 200 else page.decode() or f"/ready answers {status}"

    def ended_itself(self) -> bool:
        """Whether it is gone though nobody asked for that; only to be asked while no fault is under way."""
        return self.lives[-1].process.poll() is not None

    def complaints(self) -> list[str]:
        """Lines of its logs that no fault excuses, with where they stand."""
        found = []
        for life in self.lives:
            for number, line in enumerate(life.said().splitlines(), 1):
                if BAD_WORDS.search(line):
                    found.append(f"{life.name}.log:{number}: {line}")
        return found
