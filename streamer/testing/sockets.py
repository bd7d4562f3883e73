# -*- test-case-name: tests.unit.test_testing_sockets -*-
"""The websocket side of a simulation: clients that read its history by websocket, at their own pace, with its faults.

https://www.rfc-editor.org/rfc/rfc6455 — Autobahn does the handshake and reads what clients send. What goes out is
framed here, in `Terms.framed`, so that faults split and cut the bytes of a websocket as they do those of a response.

    sockets = Sockets(clock, connections, heard=…)
    return sockets.open(request, opened=lambda socket: socket.begin(terms))    # of a page's render_GET
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, cast

import attrs
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.web.server import Request

from streamer.testing.connection import Connection
from streamer.testing.connections import Connections
from streamer.testing.faults import Close
from streamer.testing.history import Line
from streamer.testing.socket_frames import CLOSE, PING, TEXT, Packed, closing, frame, framing
from streamer.testing.terms import Terms

PING_AFTER = 30.0  # seconds between two pings
CLOSE_WITHIN = 5.0  # seconds in which a client has to answer a close frame
MESSAGE_LIMIT = 10_000_000  # bytes of a message from a client


class Socket(WebSocketServerProtocol):  # type: ignore[misc]  # Autobahn has no annotations
    """One client's websocket.

    Attributes:
        connection: what reads the history for it; None before `begin`.
        wishes: whatever the simulation remembers of this client.
    """

    connection: Connection | None = None
    wishes: Any = None
    _outlet: SocketOutlet | None = None
    _silent = False  # nothing more is to be written

    def begin(self, terms: Terms, packed: Packed | None = None) -> None:
        """From now on send what the history has for these terms.

        Args:
            packed: compresses each message, which then goes out as a binary frame.
        """
        sockets: Sockets = self.factory.sockets
        terms = attrs.evolve(terms, framed=framing(bool(self.websocket_extensions_in_use), packed))
        faults = sockets.connections.faults

        def outlet(held: Callable[[], bool], gone: Callable[[], None]) -> SocketOutlet:
            self._outlet = SocketOutlet(self, sockets.clock, sockets.ping_after, lambda: faults.split, held, gone)
            return self._outlet

        self.connection = sockets.connections.admit(terms, outlet)

    def choose(self, choose: Callable[[Line], Line | None]) -> None:
        """From now on send this of each line; see `Terms.choose`."""
        if self.connection is not None:
            self.connection.terms = attrs.evolve(self.connection.terms, choose=choose)

    def say(self, message: bytes) -> None:
        """Send one text message, now, besides the history's."""
        if not self._silent and self.state == self.STATE_OPEN:
            self.transport.write(frame(TEXT, message))

    def close(self, code: int, reason: str = "") -> None:
        """Close; the client has `CLOSE_WITHIN` seconds to agree."""
        if not self._silent and self.state == self.STATE_OPEN:
            self.transport.write(frame(CLOSE, closing(Close(code, reason))))
        self.hang_up()

    def hang_up(self) -> None:
        """A close frame was sent: wait for the client's, but not for ever."""
        self.state = self.STATE_CLOSING
        self.factory.sockets.wait_for(self)
        if self._outlet is not None:
            self._outlet.ended()

    def drop(self, *, abort: bool) -> None:
        """End the connection without a word."""
        self._silent = True
        if abort:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def onConnect(self, request: Any) -> str | None:
        chosen: str | None = self.factory.protocol_of(list(request.protocols))
        return chosen

    def onOpen(self) -> None:
        self.factory.opened(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if not self._silent and self.state == self.STATE_OPEN:
            self.factory.sockets.heard(self, payload, isBinary)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """What Autobahn itself sends: nothing once the connection was dropped, or while it is to be silent."""
        if not self._silent and (self._outlet is None or not self._outlet.held()):
            super().sendData(data, sync, chopsize)

    def connectionLost(self, reason: Any = connectionDone) -> None:
        super().connectionLost(reason)
        self._silent = True
        self.factory.sockets.forget(self)
        if self._outlet is not None:
            self._outlet.lost()


@attrs.define(eq=False)
class SocketOutlet:
    """What `Connection` writes to; see `connection.Writer`."""

    socket: Socket
    clock: IReactorTime
    ping_after: float
    split: Callable[[], int]
    held: Callable[[], bool]
    gone: Callable[[], None]
    usable: bool = False
    _timer: IDelayedCall | None = None

    def open(self, producer: IPushProducer) -> None:
        """Begin; `producer` is told when to wait."""
        self.usable = True
        self.socket.transport.registerProducer(producer, True)
        self._timer = self.clock.callLater(self.ping_after, self._ping)

    def write(self, data: bytes) -> None:
        """Write frames, in pieces where that is wished."""
        size = self.split() or max(1, len(data))
        for at in range(0, len(data), size):
            self.socket.transport.write(data[at : at + size])

    def finish(self) -> None:
        """A farewell was said."""
        self.socket.hang_up()

    def drop(self) -> None:
        """End the connection after what was written, without a close frame."""
        self.ended()
        self.socket.drop(abort=False)

    def abort(self) -> None:
        """Reset the connection; may follow `drop`."""
        self.ended()
        self.socket.drop(abort=True)

    def ended(self) -> None:
        """Write nothing more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.usable:
            self.usable = False
            self.socket.transport.unregisterProducer()

    def lost(self) -> None:
        """The connection is gone."""
        self.ended()
        self.gone()

    def _ping(self) -> None:
        if not self.held():
            self.socket.transport.write(frame(PING, b""))
        self._timer = self.clock.callLater(self.ping_after, self._ping)


class _Factory(WebSocketServerFactory):  # type: ignore[misc]  # Autobahn has no annotations
    protocol = Socket
    noisy = False

    def __init__(self, sockets: Sockets, deflate: bool) -> None:
        super().__init__(server="", reactor=sockets.clock)
        self.sockets = sockets
        self.opened: Callable[[Socket], None] = lambda socket: None
        self.protocol_of: Callable[[list[str]], str | None] = lambda offered: None
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            maxFramePayloadSize=sockets.message_limit,
            maxMessagePayloadSize=sockets.message_limit,
            failByDrop=False,
            openHandshakeTimeout=0,  # Autobahn's timers run on the global reactor
            closeHandshakeTimeout=0,
            autoPingInterval=0,
            perMessageCompressionAccept=_accept_deflate if deflate else (lambda offers: None),
            allowedOrigins=["*"],
            allowNullOrigin=True,
        )


def _accept_deflate(offers: Any) -> Any:
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer) and offer.request_max_window_bits in (0, zlib.MAX_WBITS):
            return PerMessageDeflateOfferAccept(offer, max_message_size=MESSAGE_LIMIT)
    return None


@attrs.define(eq=False)
class Sockets:
    """The websockets of one simulation.

    Args:
        heard: takes each message of a client: the socket, the payload, and whether it was binary.
        ping_after: seconds between two pings.
        message_limit: bytes of a client's message.
        deflate: accept permessage-deflate where a client offers it.
    """

    clock: IReactorTime
    connections: Connections
    heard: Callable[[Socket, bytes, bool], None] = lambda socket, payload, binary: None
    ping_after: float = PING_AFTER
    message_limit: int = MESSAGE_LIMIT
    deflate: bool = False
    _open: dict[Socket, IDelayedCall | None] = attrs.field(factory=dict)

    def open(
        self,
        request: Request,
        opened: Callable[[Socket], None],
        protocol_of: Callable[[list[str]], str | None] = lambda offered: None,
    ) -> int | bytes:
        """Hand a request's connection over to a websocket.

        Args:
            opened: called with it after the handshake; usually it calls `Socket.begin`.
            protocol_of: the subprotocol to choose from those that the client offers.
        """
        factory = _Factory(self, self.deflate)
        factory.protocol_of = protocol_of

        def note(socket: Socket) -> None:
            self._open[socket] = None
            opened(socket)

        factory.opened = note
        cast(Any, request.channel).transport.unregisterProducer()  # twisted.web's; ours comes with `begin`
        result: int | bytes = WebSocketResource(factory).render(request)
        return result

    def accept_then_close(self, request: Request) -> int | bytes:
        """A handshake, and nothing after it."""
        return self.open(request, lambda socket: socket.drop(abort=False))

    def abort(self) -> None:
        """Drop everybody, also who has not begun; nothing is left on the clock."""
        for socket in list(self._open):
            socket.drop(abort=True)
            self.forget(socket)

    def wait_for(self, socket: Socket) -> None:
        """A socket waits for its client's close frame."""
        if socket in self._open and self._open[socket] is None:
            self._open[socket] = self.clock.callLater(CLOSE_WITHIN, socket.drop, abort=True)

    def forget(self, socket: Socket) -> None:
        """A socket is gone."""
        timer = self._open.pop(socket, None)
        if timer is not None and timer.active():
            timer.cancel()


def is_upgrade(request: Request) -> bool:
    """Whether the client asks for a websocket at all."""
    return (request.getHeader(b"upgrade") or b"").strip().lower() == b"websocket"
