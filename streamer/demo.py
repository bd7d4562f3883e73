# -*- test-case-name: tests.unit.test_cli -*-
"""The whole product on one machine, fed by a simulated upstream: what `make run` shows a newcomer.

Nothing here is a shortcut: the simulation listens on a loopback port and speaks X's wire protocol, and the three
services follow it as they would follow X.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from streamer.services.assembly import ROLES, assemble
from streamer.services.fatal import ends_process
from streamer.services.staged import Staged
from streamer.settings import loads
from streamer.tables import Settings
from streamer.testing.server import SimulationService
from streamer.testing.x import TOKEN, SimulatedX

CONFIGURATION = """
[sources.demo]
type = "x-filtered"
token = "{token}"
base_url = "http://127.0.0.1:{upstream}"
backfill_minutes = 5
[sources.demo.predicates]
rules = [
    {{ value = "(hello OR morgen OR 今日) has:geo", tag = "places" }},
    {{ value = "#live lang:en", tag = "live" }},
]
[relay]
title = "Streamer, simulated"
listen = "tcp:{port}:interface=127.0.0.1"
origins = ["http://127.0.0.1:{port}", "http://localhost:{port}"]
[state]
directory = ""
[streamer]
admin = "tcp:{admin}:interface=127.0.0.1"
"""


def demo_settings(upstream: int, port: int, admin: int) -> Settings:
    """The settings of the demonstration; arguments are port numbers on this machine."""
    text = CONFIGURATION.format(token=TOKEN, upstream=upstream, port=port, admin=admin)
    return loads(text, "the demonstration's configuration")


class DemoService(Service):
    """A simulated upstream and the pipeline that follows it.

    Args:
        rate: posts a second.
        port: of the page; 0 is not possible here, since the page's origin holds it.
        upstream: port of the simulation; 0 takes a free one.
    """

    def __init__(self, reactor: Any, *, rate: float, port: int, admin: int, upstream: int = 0, seed: int = 0) -> None:
        self._reactor = reactor
        self._ports = (port, admin)
        simulation = SimulatedX(reactor, rate=rate, seed=seed)
        self.simulation = SimulationService(reactor, f"tcp:{upstream}:interface=127.0.0.1", simulation)
        self.pipeline: Staged | None = None

    def startService(self) -> None:
        """Start the upstream, then those who follow it."""
        Service.startService(self)
        self.simulation.startService()
        self.simulation.listening.addCallbacks(self._follow, self._cannot_follow)

    def stopService(self) -> Deferred[None]:
        """Stop the followers before the upstream."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    def _follow(self, upstream: int) -> int:
        self.pipeline = assemble(demo_settings(upstream, *self._ports), self._reactor, list(ROLES))
        self.pipeline.startService()
        return upstream

    def _cannot_follow(self, failure: Failure) -> None:
        ends_process(self._reactor)(f"The simulated upstream cannot listen: {failure.getErrorMessage()}")

    async def _stop(self) -> None:
        if self.pipeline is not None:
            await self.pipeline.stopService()
        await self.simulation.stopService()
