"""Autobahn on Twisted as its own broadcast example has it: one prepared message, sent to each client.

`python -m tests.bench.peers.autobahn_peer PORT TICK_MS DEFLATE VARIANTS`
"""

from __future__ import annotations

import sys
import time
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.types import ConnectionRequest
from twisted.internet import reactor
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineOnlyReceiver

from tests.bench.peers.pace import Pace, say


class Client(WebSocketServerProtocol):  # type: ignore[misc]
    """In the set of its variant while it is open."""

    those: set[Client] | None = None

    def onConnect(self, request: ConnectionRequest) -> None:
        self.those = self.factory.clients[int(request.path.rpartition("/")[2])]

    def onOpen(self) -> None:
        self.those.add(self)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self.those is not None:
            self.those.discard(self)


class Factory(WebSocketServerFactory):  # type: ignore[misc]
    """Broadcasts what is due."""

    protocol = Client

    def __init__(self, variants: int, deflate: bool) -> None:
        super().__init__()
        self.clients: list[set[Client]] = [set() for _ in range(variants)]
        self.pace = Pace()
        if deflate:
            self.setProtocolOptions(perMessageCompressionAccept=accepted)

    def look(self) -> None:
        """Send it."""
        for event in self.pace.due(time.monotonic()):
            prepared = self.prepareMessage(event.text, isBinary=False)
            for client in self.clients[event.number % len(self.clients)]:
                client.sendPreparedMessage(prepared)


def accepted(offers: list[Any]) -> PerMessageDeflateOfferAccept | None:
    """The first offer of permessage-deflate."""
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None


class Commands(LineOnlyReceiver):
    """stdin."""

    delimiter = b"\n"

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def lineReceived(self, line: bytes) -> None:
        say(self._pace.told(line.decode(), time.monotonic()))

    def connectionLost(self, reason: Any = None) -> None:
        if reactor.running:
            reactor.stop()


def main() -> None:
    """Serve until stdin ends."""
    port, tick_ms, deflate, variants = map(int, sys.argv[1:])
    factory = Factory(variants, bool(deflate))
    reactor.listenTCP(port, factory, backlog=4096, interface="127.0.0.1")
    commands = StandardIO(Commands(factory.pace))
    LoopingCall(factory.look).start(tick_ms / 1000)
    reactor.callWhenRunning(say, "ready")
    reactor.run()
    del commands


if __name__ == "__main__":
    main()
