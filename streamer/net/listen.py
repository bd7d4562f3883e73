# -*- test-case-name: tests.unit.test_net_listen -*-
"""One TCP port for several processes.

With SO_REUSEPORT each process has a socket of its own on the port, and the kernel gives every new connection to one
of them, by a hash of its addresses (socket(7); Linux 3.9 and later). A process that ends takes its socket along, so
that nobody waits in the queue of one that is not there. All of them must belong to one user.
"""

from __future__ import annotations

import socket
from typing import Any

import attrs
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from zope.interface import directlyProvides, providedBy

BACKLOG = 1024  # connections that wait to be accepted: everybody comes back at once after a restart
SHARED = ("tcp", "tcp6")  # the endpoints that can be listened on by several processes


def roomy(description: str) -> str:
    """An endpoint's description with room for `BACKLOG` waiting connections, where it names no other number."""
    if description.partition(":")[0] in SHARED and ":backlog=" not in description:
        return f"{description}:backlog={BACKLOG}"
    return description


@attrs.frozen
class Place:
    """A TCP port of one interface; "" is every interface."""

    port: int
    interface: str

    @classmethod
    def of(cls, description: str) -> Place:
        """The place that an endpoint's description names.

        Raises:
            ValueError: several processes cannot listen there; the text says why and what can be done.
        """
        kind = description.partition(":")[0]
        if kind not in SHARED:
            raise ValueError(
                f"several processes can share a tcp: or tcp6: endpoint, not {kind!r}; set [relay] processes = 1"
            )
        noted = _Noted()
        found = serverFromString(noted, description).listen(None)
        found.addErrback(lambda failure: None)
        if noted.place is None or not noted.place.port:
            raise ValueError("several processes cannot share port 0, each would get another; name a port")
        return noted.place

    def open(self) -> socket.socket:
        """A socket that is bound there and does not listen yet.

        Raises:
            CannotListenError: the address cannot be had: it is somebody else's, or not ours to take.
        """
        family = socket.AF_INET6 if ":" in self.interface else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            opened.bind((self.interface, self.port))
        except OSError as error:
            opened.close()
            raise CannotListenError(self.interface, self.port, error) from error
        return opened


class SharedPorts:
    """A reactor whose TCP ports other processes may listen on too; all else is as the given reactor does it."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.seconds = reactor.seconds  # asked often
        self.callLater = reactor.callLater
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = BACKLOG, interface: str = "") -> IListeningPort:
        """As `IReactorTCP.listenTCP`, on a socket of our own beside those of others."""
        with Place(port, interface).open() as opened:
            opened.listen(max(backlog, BACKLOG))
            listening: IListeningPort = self._reactor.adoptStreamPort(opened.fileno(), opened.family, factory)
        return listening


class _Noted:
    """Stands for a reactor, to learn where an endpoint would listen."""

    place: Place | None = None

    def listenTCP(self, port: int, factory: object, backlog: int = 0, interface: str = "") -> None:
        self.place = Place(port, interface or "")
