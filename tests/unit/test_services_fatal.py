"""A process that cannot do its work ends, says why, and with an exit code that is not success."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from streamer.services.fatal import ends_process
from streamer.services.listening import ListeningService


class Taken(MemoryReactorClock):
    """A reactor whose ports are all taken."""

    def listenTCP(self, port, factory, backlog=50, interface=""):  # type: ignore[no-untyped-def]  # Twisted's own
        """Refuse."""
        raise CannotListenError(interface, port, OSError(98, "Address already in use"))


class FatalTests(SynchronousTestCase):
    """The end of a process."""

    def test_stops_once(self) -> None:
        """The reactor is stopped and the exit code arranged, however many parts fail."""
        reactor = MemoryReactorClock()
        stopped: list[str] = []
        reactor.stop = lambda: stopped.append("stop")  # type: ignore[method-assign]
        at_exit: list[Callable[[], None]] = []
        fatal = ends_process(reactor, at_exit.append)
        fatal("one")
        fatal("two")
        for hook in reactor.whenRunningHooks:
            hook[0](*hook[1], **hook[2]) if isinstance(hook, tuple) else hook()
        reactor.advance(1)
        self.assertEqual((1, 1), (len(stopped), len(at_exit)))


class ListeningTests(SynchronousTestCase):
    """A port from start to stop."""

    def service(self, reactor: MemoryReactorClock) -> tuple[ListeningService, list[str]]:
        """A listening service and what it found fatal."""
        fatal: list[str] = []
        site = Site(Resource())
        endpoint = "tcp:8181:interface=127.0.0.1"
        made = ListeningService("The admin endpoint", "[relay] admin", endpoint, site, reactor, fatal.append)
        return made, fatal

    def test_listens(self) -> None:
        """It listens where it was told, and stops."""
        reactor = MemoryReactorClock()
        service, fatal = self.service(reactor)
        service.startService()
        self.assertEqual([(8181, "127.0.0.1")], [(server[0], server[3]) for server in reactor.tcpServers])
        self.successResultOf(service.stopService())
        self.assertEqual([], fatal)

    def test_connections_end_with_it(self) -> None:
        """A monitor's kept-alive connection does not outlive the service."""
        reactor = MemoryReactorClock()
        service, _ = self.service(reactor)
        service.startService()
        connection = reactor.tcpServers[0][1].buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport = StringTransport()
        connection.makeConnection(transport)
        self.successResultOf(service.stopService())
        self.assertTrue(transport.disconnected)
        connection.connectionLost(Failure(ConnectionDone()))

    def test_taken(self) -> None:
        """A taken port is fatal, with the address, the reason and the key to change."""
        service, fatal = self.service(Taken())
        service.startService()
        (sentence,) = fatal
        self.assertIn("The admin endpoint cannot listen on 'tcp:8181:interface=127.0.0.1'", sentence)
        self.assertIn("Address already in use", sentence)
        self.assertIn("[relay] admin", sentence)
        self.successResultOf(service.stopService())
