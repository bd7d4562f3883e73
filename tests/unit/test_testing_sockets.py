"""The websocket side of simulations: frames, pings, closings, and what clients say."""

from __future__ import annotations

import struct
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from streamer.testing import faults
from streamer.testing.connections import Connections
from streamer.testing.faults import Faults
from streamer.testing.history import History, Line
from streamer.testing.ledger import Ledger
from streamer.testing.pages import Folder
from streamer.testing.socket_frames import BINARY, CLOSE, NOISE, PING, TEXT, closing, frame
from streamer.testing.sockets import CLOSE_WITHIN, Socket, Sockets, is_upgrade
from streamer.testing.terms import Manners, Terms
from tests.unit.network import Network
from tests.unit.websocket_peer import Peer


class Page(Folder):
    """Opens a websocket, and begins with the history's first line unless the client wants to say something first."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__()
        self.sockets = sockets
        self.made: list[Socket] = []
        self.packed: Any = None

    def render_GET(self, request: Request) -> int | bytes:
        if not is_upgrade(request):
            return b"no websocket"
        if request.args and b"drop" in request.args:
            return self.sockets.accept_then_close(request)
        waits = bool(request.args and b"wait" in request.args)

        def opened(socket: Socket) -> None:
            self.made.append(socket)
            if not waits:
                socket.begin(Terms("all", 0), self.packed)

        return self.sockets.open(request, opened, lambda offered: "b" if "b" in offered else None)


class SocketsTests(SynchronousTestCase):
    """`Sockets`, heard by a client that reads frames."""

    def setUp(self) -> None:
        """A simulation of nothing but a history."""
        self.clock = Clock()
        self.history, self.faults = History(), Faults()
        self.heard: list[tuple[bytes, bool]] = []
        self.connections = Connections(
            self.clock, self.history, Ledger(), self.faults,
            Manners(closing, faults.Close(1001, "replaced"), faults.Close(1008, "slow")),
            most=100, replace_oldest=False, forgets_after=0.0, keep_alive=30.0, buffer_limit=1_000_000, gzip=False,
            opened=lambda: None,
        )  # fmt: skip
        self.sockets = Sockets(self.clock, self.connections, self.hear, deflate=True)
        self.page = Page(self.sockets)
        root = Folder()
        root.putChild(b"ws", self.page)
        self.network = Network(root, self.clock)
        self.addCleanup(self.ends_quietly)

    def hear(self, socket: Socket, payload: bytes, binary: bool) -> None:
        """A client said something."""
        self.heard.append((payload, binary))
        if payload == b"begin":
            socket.begin(Terms("all", 0))

    def ends_quietly(self) -> None:
        """Nothing is left of it."""
        self.connections.abort()
        self.sockets.abort()
        self.network.flush()
        self.assertEqual(([], 0, 0), (self.clock.getDelayedCalls(), self.network.open, len(self.connections)))

    def peer(self, path: str = "/ws", **headers: str) -> Peer:
        """A client, after its handshake."""
        peer = Peer(path, headers)
        self.network.connect(peer, lambda transport: None)
        self.network.flush()
        return peer

    def put(self, *messages: bytes) -> None:
        """Messages happen."""
        for message in messages:
            self.history.append(int(self.clock.seconds() * 1000), Line(message, "id"))
        self.connections.flush()
        self.network.flush()

    def test_messages(self) -> None:
        """Whoever is there gets every line as a text message, of whatever length; the ledger counts them."""
        peer = self.peer()
        sizes = (0, 1, 125, 126, 65_535, 65_536)
        self.put(*[b"x" * max(1, size) for size in sizes])
        self.assertEqual([(TEXT, max(1, size)) for size in sizes], [(op, len(data)) for op, data in peer.frames()])
        self.assertEqual(6, self.connections.ledger.connections[0].lines)

    def test_packed(self) -> None:
        """Packed messages are binary ones."""
        self.page.packed = lambda message: message[::-1]
        peer = self.peer()
        self.put(b"abc")
        self.assertEqual([(BINARY, b"cba")], peer.frames())

    def test_subprotocol(self) -> None:
        """The page chooses among those that are offered."""
        self.assertIn(b"Sec-WebSocket-Protocol: b\r\n", self.peer(**{"Sec-WebSocket-Protocol": "a, b"}).head)
        self.assertNotIn(b"Sec-WebSocket-Protocol", self.peer(**{"Sec-WebSocket-Protocol": "a"}).head)

    def test_client_messages(self) -> None:
        """What clients say reaches the simulation; one that waits for it sends nothing before."""
        peer = self.peer("/ws?wait=1")
        self.put(b"one")
        self.assertEqual([], peer.frames())
        peer.send(BINARY, b"\x00")
        peer.send(TEXT, b"begin")
        self.network.flush()
        self.assertEqual([(b"\x00", True), (b"begin", False)], self.heard)
        self.assertEqual([(TEXT, b"one")], peer.frames())

    def test_pings(self) -> None:
        """Every thirty seconds, whatever else comes; a client's own are answered."""
        peer = self.peer()
        for _ in range(3):
            self.clock.advance(30)
            self.network.flush()
        self.assertEqual([(PING, b"")] * 3, peer.frames())
        peer.send(PING, b"abc")
        self.network.flush()
        self.assertEqual([(10, b"abc")], peer.frames())

    def test_stall(self) -> None:
        """A stall holds back messages, pings and answers; afterwards what was due comes."""
        peer = self.peer()
        self.connections.fault(faults.Stall(100))
        self.put(b"one")
        peer.send(PING, b"")
        self.clock.advance(60)
        self.network.flush()
        self.assertEqual([], peer.frames())
        self.clock.advance(40)
        self.network.flush()
        self.assertEqual([(TEXT, b"one")], peer.frames())

    def test_split(self) -> None:
        """Pieces cut frames, not messages."""
        peer, written = self.peer(), []
        transport = self.page.made[0].transport
        self.patch(transport, "write", lambda data: written.append(data))
        self.connections.fault(faults.Split(2))
        self.put(b"one")
        self.assertEqual([b"\x81\x03", b"on", b"e"], written)
        self.assertEqual([], peer.frames())

    def test_cut(self) -> None:
        """A cut comes in the middle of a frame, without a close frame."""
        peer = self.peer()
        self.connections.fault(faults.Cut())
        self.put(b"0123456789")
        self.assertTrue(peer.lost)
        self.assertEqual(frame(TEXT, b"0123456789")[:6], peer.rest)

    def test_close(self) -> None:
        """A farewell is a close frame with code and reason; the client's own ends the connection."""
        peer = self.peer()
        self.connections.fault(faults.Close(1012, "restart"))
        self.network.flush()
        self.assertEqual([(CLOSE, struct.pack("!H", 1012) + b"restart")], peer.frames())
        self.assertFalse(peer.lost)
        peer.send(CLOSE, struct.pack("!H", 1000))
        self.network.flush()
        self.assertTrue(peer.lost)

    def test_close_unanswered(self) -> None:
        """A client that does not answer it is dropped after a while."""
        peer = self.peer()
        self.page.made[0].close(1008, "no")
        self.put(b"never sent")
        self.assertEqual([(CLOSE, struct.pack("!H", 1008) + b"no")], peer.frames())
        self.clock.advance(CLOSE_WITHIN)
        self.network.flush()
        self.assertTrue(peer.lost)

    def test_the_client_closes(self) -> None:
        """A client's close frame is answered, and that is the end."""
        peer = self.peer()
        peer.send(CLOSE, struct.pack("!H", 1000))
        self.network.flush()
        self.assertEqual(CLOSE, peer.frames()[0][0])
        self.assertEqual((True, 0), (peer.lost, len(self.connections)))

    def test_noise_and_garbage(self) -> None:
        """Noise is a binary frame; garbage is a text that is no JSON."""
        peer = self.peer()
        self.connections.fault(faults.Noise())
        self.connections.fault(faults.Garbage())
        self.connections.fault(faults.Huge(10))
        self.network.flush()
        (noise, garbage, huge) = peer.frames()
        self.assertEqual((BINARY, NOISE), noise)
        self.assertEqual((TEXT, TEXT, 10), (garbage[0], huge[0], len(huge[1])))

    def test_a_slow_reader(self) -> None:
        """A client that does not read is told so, and dropped; the others get everything."""
        slow, other = self.peer(), self.peer()
        slow.transport.pauseProducing()  # type: ignore[union-attr]
        for _ in range(60):
            self.put(b"x" * 40_000)
        self.assertEqual(60, len(other.frames()))
        self.clock.advance(5)
        self.network.flush()
        self.assertTrue(slow.lost)

    def test_accept_then_close(self) -> None:
        """A handshake, and the end without a word."""
        peer = self.peer("/ws?drop=1")
        self.assertEqual((True, b""), (peer.lost, peer.rest))
        self.assertTrue(peer.head.startswith(b"HTTP/1.1 101"))

    def test_deflate(self) -> None:
        """Where the client offers it, messages are deflated, each by itself."""
        peer = self.peer(**{"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"})
        self.put(b"one" * 100, b"two")
        self.assertIn(b"permessage-deflate", peer.head)
        self.assertEqual([(TEXT, b"one" * 100), (TEXT, b"two")], peer.inflated())

    def test_said_at_once(self) -> None:
        """A simulation may say something besides the history, until it closes."""
        peer = self.peer()
        socket = self.page.made[0]
        socket.say(b"hello")
        socket.close(1000)
        socket.say(b"too late")
        self.network.flush()
        self.assertEqual([(TEXT, b"hello"), (CLOSE, struct.pack("!H", 1000))], peer.frames())

    def test_another_choice(self) -> None:
        """What a client gets of each line can change."""
        peer = self.peer()
        self.put(b"one")
        self.page.made[0].choose(lambda line: None)
        self.put(b"two")
        self.assertEqual([(TEXT, b"one")], peer.frames())

    def test_no_websocket(self) -> None:
        """An ordinary request is the page's own affair."""
        peer = self.peer("/ws", Upgrade="")
        self.assertTrue(peer.head.startswith(b"HTTP/1.1 200"))
        peer.transport.loseConnection()  # type: ignore[union-attr]
        self.network.flush()
