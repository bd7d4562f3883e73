# -*- test-case-name: tests.unit.test_services_fatal -*-
"""A port that is listened on from a service's start to its stop; a port that cannot be had ends the process."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory

from streamer.services.fatal import Fatal


class ListeningService(Service):
    """Listens on an endpoint.

    Args:
        what: for sentences: "the admin endpoint".
        setting: the key to change when the address is taken: "[relay] admin".
    """

    log = Logger()

    def __init__(self, what: str, setting: str, endpoint: str, factory: Any, reactor: Any, fatal: Fatal) -> None:
        self._what = what
        self._setting = setting
        self._endpoint = endpoint
        self._factory: Any = WrappingFactory(factory)  # knows its connections, so that none outlives the port
        self._factory.noisy = False
        self._reactor = reactor
        self._fatal = fatal
        self._listening: Deferred[IListeningPort | None] = succeed(None)

    def startService(self) -> None:
        """Listen."""
        Service.startService(self)
        self._listening = Deferred.fromCoroutine(self._listen())

    def stopService(self) -> Deferred[None]:
        """Stop listening; fires when the port is closed."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _listen(self) -> IListeningPort | None:
        try:
            port: IListeningPort = await serverFromString(self._reactor, self._endpoint).listen(self._factory)
        except CancelledError:
            return None
        except Exception as error:
            self._fatal(f"{self._what} cannot listen on {self._endpoint!r}: {error} Change {self._setting}.")
            return None
        self.log.info("{what} is at {address}.", what=self._what, address=port.getHost())
        return port

    async def _stop(self) -> None:
        self._listening.cancel()
        port = await self._listening
        if port is not None:
            await maybeDeferred(port.stopListening)
        for protocol in list(self._factory.protocols):
            protocol.transport.abortConnection()
