"""One port for several processes."""

from __future__ import annotations

import socket

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import ClientFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.listen import Place, SharedPorts


class PlaceTests(SynchronousTestCase):
    """`Place`: what an endpoint's description says."""

    def test_shared(self) -> None:
        """TCP ports of one interface or all."""
        cases = {
            "tcp:8080": Place(8080, ""),
            "tcp:8080:interface=127.0.0.1": Place(8080, "127.0.0.1"),
            "tcp:interface=127.0.0.1:port=8080:backlog=5": Place(8080, "127.0.0.1"),
            r"tcp6:8080:interface=\:\:1": Place(8080, "::1"),
            "tcp6:8080": Place(8080, "::"),
        }
        for description, place in cases.items():
            with self.subTest(description):
                self.assertEqual(place, Place.of(description))

    def test_refused(self) -> None:
        """What only one process can have, with the way out."""
        for description in ("unix:/run/relay.sock", "systemd:domain=INET:index=0", "ssl:443", "nonsense", ""):
            with self.subTest(description):
                error = self.assertRaises(ValueError, Place.of, description)
                self.assertIn("set [relay] processes = 1", str(error))
        self.assertIn("name a port", str(self.assertRaises(ValueError, Place.of, "tcp:0:interface=127.0.0.1")))

    def test_not_ours(self) -> None:
        """An address that this machine does not have is refused as Twisted does it."""
        error = self.assertRaises(CannotListenError, Place(8080, "192.0.2.1").open)
        self.assertEqual(("192.0.2.1", 8080), (error.interface, error.port))


class SharedPortsTests(SynchronousTestCase):
    """`SharedPorts`."""

    def test_all_else(self) -> None:
        """It is the reactor it was given, for everybody who asks."""
        reactor = MemoryReactorClock()
        shared = SharedPorts(reactor)
        self.assertTrue(IReactorTCP.providedBy(shared))
        self.assertTrue(IReactorTime.providedBy(shared))
        shared.callLater(1, lambda: None)
        self.assertEqual(1, len(reactor.getDelayedCalls()))
        shared.connectTCP("192.0.2.1", 5672, ClientFactory())
        self.assertEqual(1, len(reactor.tcpClients))

    def test_listen(self) -> None:
        """The reactor is given a listening, shared socket (here of a free loopback port, closed at once)."""
        adopted: list[tuple[int, int, object]] = []

        class Adopting(MemoryReactorClock):
            def adoptStreamPort(self, fileno: int, family: int, factory: object) -> str:
                with socket.socket(fileno=socket.dup(fileno)) as copy:
                    option = copy.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
                    adopted.append((option, family, factory))
                    self.asserted = copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), copy.getblocking()
                return "port"

        factory = object()
        reactor = Adopting()
        self.assertEqual("port", SharedPorts(reactor).listenTCP(0, factory, 50, "127.0.0.1"))
        self.assertEqual([(1, socket.AF_INET, factory)], adopted)
        self.assertEqual(1, reactor.asserted[0], "it listens")
