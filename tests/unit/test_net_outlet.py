"""Bytes on real sockets, without a reactor: what the kernel does is the point."""

import socket

from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase

from streamer.metrics import QUEUED, Metrics
from streamer.net.outlet import SILENCE_LIMIT_MS, UNSENT_LIMIT, Outlet, tune
from streamer.net.stuck import Stuck


class Server(Connection):
    """An accepted connection, as a listening port makes it."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted, None, MemoryReactorClock())
        self.connected = True


class FakeFactory:
    """All that TLS asks of its factory before a connection is made."""

    def registerProtocol(self, protocol: object) -> None:
        """Noted by nobody."""


class OutletTests(SynchronousTestCase):
    """`Outlet` and `tune`."""

    def setUp(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        port = type("Port", (), {"socket": listening})
        tune(port)
        self.client = socket.create_connection(listening.getsockname())
        self.addCleanup(self.client.close)
        self.accepted, _ = listening.accept()
        self.addCleanup(self.accepted.close)
        self.accepted.setblocking(False)
        self.transport = Server(self.accepted)
        self.metrics = Metrics()
        self.outlet = Outlet(self.transport, self.metrics)

    def test_options_are_inherited(self) -> None:
        """What is set on the listening socket holds for those it accepts."""
        options = {socket.TCP_NODELAY: 1}
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            options[socket.TCP_NOTSENT_LOWAT] = UNSENT_LIMIT
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            options[socket.TCP_USER_TIMEOUT] = SILENCE_LIMIT_MS
        for option, value in options.items():
            self.assertEqual(value, self.accepted.getsockopt(socket.IPPROTO_TCP, option), option)

    def test_idle_socket(self) -> None:
        """What fits is on its way before the reactor had a turn."""
        self.outlet.send(b"at once")
        self.assertEqual(b"at once", self.client.recv(100))
        self.assertEqual((0, 0), (self.outlet.backlog(), self.metrics.value(QUEUED)))

    def test_full_socket(self) -> None:
        """What does not fit waits in the transport, and what comes later behind it: nothing overtakes or is lost."""
        sent = b"".join(b"%08d" % number for number in range(0, 4_000_000, 8))
        for start in range(0, len(sent), 50_000):
            self.outlet.send(sent[start : start + 50_000])
        waiting = self.outlet.backlog()
        self.assertGreater(waiting, 0)
        self.assertEqual(1, self.metrics.value(QUEUED))
        received = b""
        self.client.settimeout(10)
        while len(received) < len(sent):
            received += self.client.recv(1_000_000)
            self.transport.doWrite()
        self.assertEqual(sent, received)
        self.assertEqual(0, self.outlet.backlog())
        self.outlet.send(b"next")
        self.assertEqual(b"next", self.client.recv(100))

    def test_kernel_takes_little(self) -> None:
        """A client that does not read has no megabytes of ours in the kernel."""
        taken = 0
        for _ in range(200):
            self.outlet.send(bytes(50_000))
            if self.outlet.backlog():
                break
            taken += 50_000
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.assertLess(taken, 8_000_000)

    def test_over_tls(self) -> None:
        """What waits is seen at the socket below TLS, so that a slow reader is told from one that takes nothing."""
        tls = TLSMemoryBIOProtocol(FakeFactory(), None, False)
        tls.transport = self.transport
        outlet = Outlet(tls, self.metrics)
        self.assertEqual(0, outlet.backlog())
        self.transport.write(b"x" * 8_000_000)
        stuck = Stuck(outlet, 0.0)
        self.assertEqual(1.0, stuck.seconds(1.0))
        self.transport.doWrite()
        self.assertGreater(outlet.backlog(), 0)
        self.assertEqual(0.0, stuck.seconds(40.0))

    def test_closed(self) -> None:
        """Once the connection is over its descriptor is left alone: it may be another's."""
        self.outlet.close()
        self.outlet.send(b"late")
        self.client.setblocking(False)
        self.assertRaises(BlockingIOError, self.client.recv, 1)

    def test_other_transports(self) -> None:
        """Whatever is no bare socket is written to through its transport."""
        transport = StringTransport()
        outlet = Outlet(transport, self.metrics)
        outlet.send(b"by the transport")
        self.assertEqual((b"by the transport", -1), (transport.value(), outlet.backlog()))
