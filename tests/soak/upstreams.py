# -*- test-case-name: tests.integration.test_soak -*-
"""The two upstreams, each a process of its own, and what they say that they made and sent.

Run as a program, this file is one of them: like `streamer simulate`, but it lets clients come back as often as faults
drive them away, and says something every second, so that a silence is known for what it is.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import attrs

from streamer.testing.profiles import population
from streamer.testing.snowflakes import EPOCH
from tests.processes import Program, get_json, post_json
from tests.soak.schedule import Deed

ROOT = Path(__file__).parents[2]
CONNECTS = 100_000  # in 15 minutes; the faults make more of them than the real limits allow
KEEP_ALIVE = 1.0  # seconds
TWITTER_SEED = 5
RULE = {"value": "cat has:geo", "tag": "pets"}


def everybody() -> list[str]:
    """The ids of all who write in the simulated Twitter: who follows them gets every tweet."""
    return [profile.id for profile in population(random.Random(TWITTER_SEED))]


def posted_ms(id_: str) -> int:
    """When a post was made, which its id tells; ms since the epoch."""
    return (int(id_) >> 22) + EPOCH


@attrs.define
class Upstream:
    """One of them."""

    name: str
    program: Program
    url: str

    @classmethod
    def begin(cls, folder: Path, name: str, rate: float) -> Upstream:
        """Start it; it makes its first post when somebody listens."""
        command = ("python", "-m", "tests.soak.upstreams", name, str(rate))
        program = Program(folder, name, *command, env={**os.environ, "PYTHONPATH": str(ROOT)})
        lines = program.until(
            lambda: [row for row in program.said().splitlines() if row.startswith("http")], "address"
        )
        return cls(name, program, lines[0].strip())

    def fault(self, deed: Deed) -> None:
        """Let it happen; a fault that is for some time is taken back by the same with nothing in it."""
        lasting = deed.get("for_seconds")
        self._fault({key: value for key, value in deed.items() if key != "for_seconds"})
        if lasting is not None:
            time.sleep(lasting)
            self._fault({"kind": deed["kind"], "size": 0} if deed["kind"] == "split" else {**NO_LAG})

    def heal(self) -> None:
        """Take back what lasts. Faults that wait for a connection or a request go on waiting."""
        self._fault({"kind": "split", "size": 0})
        self._fault(NO_LAG)

    def made(self) -> Made:
        """All that it made and sent until now."""
        ledger = get_json(f"{self.url}/_sim/ledger")
        assert not ledger["forgotten"], "the run is too long for the simulation's ledger"
        sent = [row["posts"] for row in get_json(f"{self.url}/_sim/connections")]
        return Made(ledger["posts"], ledger["deletes"], sent, sum(ledger["missed"]))

    def _fault(self, fault: Deed) -> None:
        assert post_json(f"{self.url}/_sim/fault", fault) == 200


NO_LAG: Deed = {"kind": "lag", "seconds": 0}


@attrs.frozen
class Made:
    """What an upstream made.

    Args:
        posts: ids, in the order they were made.
        deletes: ids of deleted posts, in that order too.
        sent: the posts each connection got, in the order of opening.
        forgotten: lines that were forgotten before a connection read them; none, or the soak's own fault.
    """

    posts: list[str]
    deletes: list[str]
    sent: list[list[str]]
    forgotten: int = 0


def simulation(reactor: Any, name: str, rate: float) -> Any:
    """The simulated upstream of that name."""
    from streamer.testing.twitter import SimulatedTwitter
    from streamer.testing.x import SimulatedX

    shared: dict[str, Any] = {
        "rate": rate, "wait_for_client": True, "connect_limit": CONNECTS, "keep_alive": KEEP_ALIVE,
    }  # fmt: skip
    if name == "x":
        return SimulatedX(reactor, max_connections=2, deleted=0.05, **shared)
    return SimulatedTwitter(reactor, seed=TWITTER_SEED, **shared)


def main(name: str, rate: str) -> None:
    """Serve until killed."""
    from twisted.internet import reactor  # noqa: TID251 - a program's own

    from streamer.testing.server import SimulationService

    service = SimulationService(reactor, "tcp:0:interface=127.0.0.1", simulation(reactor, name, float(rate)))
    service.listening.addCallback(lambda port: print(f"http://127.0.0.1:{port}", flush=True))
    loop: Any = reactor
    loop.callWhenRunning(service.startService)
    loop.addSystemEventTrigger("before", "shutdown", service.stopService)
    loop.run()


def predicates(source: str, serial: int) -> bytes:
    """Predicates that differ with the serial number and always ask for everything."""
    if source == "x":
        return json.dumps({"rules": [RULE, {"value": f"dog has:geo lang:en {serial}", "tag": "more"}]}).encode()
    return json.dumps({"follow": everybody(), "track": [f"soak{serial}"]}).encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
