# -*- test-case-name: tests.unit.test_testing_server -*-
"""Listening with a simulated upstream, for demonstrations, benchmarks and tests in other processes."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.server import Site

from streamer.testing.simulation import Simulation


class _Site(WrappingFactory):
    """A web site that knows its open connections, so that they can all be ended."""

    noisy = False

    def __init__(self, simulation: Simulation, reactor: Any) -> None:
        site = Site(simulation.resource, reactor=reactor)
        site.noisy = False
        site.log = _no_access_log  # type: ignore[method-assign]
        super().__init__(site)
        self._quiet: Deferred[None] | None = None

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        super().unregisterProtocol(p)
        self._look()

    def end(self) -> Deferred[None]:
        """Drop all connections; fires when they are gone."""
        quiet: Deferred[None] = Deferred()
        self._quiet = quiet
        for protocol in list(self.protocols):
            protocol.transport.abortConnection()
        self._look()
        return quiet

    def _look(self) -> None:
        if self._quiet is not None and not self.protocols:
            quiet, self._quiet = self._quiet, None
            quiet.callback(None)


def _no_access_log(request: object) -> None:
    """Tests ask thousands of times; the ledger says what there is to know."""


async def listen(reactor: Any, endpoint: str, simulation: Simulation) -> IListeningPort:
    """Serve a simulation at an endpoint such as `tcp:0:interface=127.0.0.1`.

    Does not start it, and open connections outlive the port; `SimulationService` sees to both.

    Raises:
        CannotListenError: the port is taken; choose another, or 0.
    """
    port: IListeningPort = await serverFromString(reactor, endpoint).listen(_Site(simulation, reactor))
    return port


class SimulationService(Service):
    """A running simulation.

    Args:
        reactor: to listen with; the simulation has its own clock, usually the same.
        endpoint: server endpoint description; port 0 takes a free one.

    Attributes:
        listening: fires with the port number once clients can connect; fails where the endpoint cannot be had.
    """

    log = Logger()

    def __init__(self, reactor: Any, endpoint: str, simulation: Simulation) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self.simulation = simulation
        self.listening: Deferred[int] = Deferred()
        self._site: _Site | None = None
        self._port: Deferred[IListeningPort | None] | None = None

    def startService(self) -> None:
        super().startService()
        self._site = _Site(self.simulation, self._reactor)
        self._port = serverFromString(self._reactor, self._endpoint).listen(self._site)
        self._port.addCallbacks(self._listens, self._cannot_listen)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def _listens(self, port: IListeningPort) -> IListeningPort:
        address: Any = port.getHost()
        number: int = address.port
        self.log.info("the simulated {name} listens on port {port}", name=self.simulation.name, port=number)
        self.simulation.start()
        self.listening.callback(number)
        return port

    def _cannot_listen(self, failure: Failure) -> None:
        self.listening.errback(failure)

    async def _stop(self) -> None:
        site, self._site = self._site, None
        listening, self._port = self._port, None
        if site is None or listening is None:
            return
        port = await listening
        self.simulation.stop()
        if port is not None:
            await maybeDeferred(port.stopListening)
        await site.end()
