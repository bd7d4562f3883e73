# -*- test-case-name: tests.unit.test_bus_fake_broker -*-
"""The fake broker on a port: a factory to listen with, a broker for each connection.

From a test on a real reactor, or from an interpreter with one: `endpoint.listen(BrokerPort(lambda:
Broker(reactor, confirming=broker_confirms.each)))`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from streamer.testing.broker import Broker


class ServerLink(Protocol):
    """One connection; see `broker.Link`."""

    transport: Any

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.gone = False

    def hand(self, data: bytes) -> None:
        """Bytes from the broker."""
        self.transport.write(data)

    def abortConnection(self) -> None:
        """Cut the connection."""
        self.transport.abortConnection()

    def connectionMade(self) -> None:
        """A client came."""
        self.broker.joined(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        self.broker.read(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client went, or was made to."""
        self.gone = True


@attrs.define(eq=False, slots=False)  # Factory has no slots
class BrokerPort(Factory):
    """Listens for clients.

    Args:
        make: makes the broker for a connection.

    Attributes:
        brokers: of all connections so far, in order.
    """

    make: Callable[[], Broker]
    brokers: list[Broker] = attrs.field(factory=list)
    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """See Factory."""
        broker = self.make()
        self.brokers.append(broker)
        return ServerLink(broker)

    def cut(self) -> None:
        """Cut every connection there is."""
        for broker in self.brokers:
            if broker.link is not None and not broker.link.gone:
                broker.link.abortConnection()
