# -*- test-case-name: tests.unit.test_net_websocket -*-
"""`relay.v1.json` on Autobahn: translates between a socket and a `fanout.session`.

Autobahn does the handshake, parses what clients send and keeps the closing handshake; its timers go through txaio to
the global reactor, so all of them are switched off and ours run on the injected clock (`Clients.sweep`). What we
send are whole frames that other clients are sent too, plain or deflated; they are written to the socket itself (see
`outlet`), which costs a quarter of `sendMessage`, and Autobahn's own compressor never runs.

Back-pressure: the transport's producer is this protocol. While it is paused nothing is pulled from the session, so a
client that does not read costs what the transport had taken by then, and an integer.
"""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from zope.interface import implementer

from streamer.errors import ClientError
from streamer.fanout.deflate import WINDOW_BITS
from streamer.fanout.encoding import RELAY, RELAY_DEFLATED
from streamer.fanout.protocol import FRAME_IN_LIMIT, SUBPROTOCOL, Close
from streamer.fanout.session import Session
from streamer.metrics import CLOSED, FRAMES, HANDSHAKES
from streamer.net.admission import Admission
from streamer.net.outlet import Outlet

FACE = "websocket"  # the metrics' label
PULL_BUDGET = 64_000  # bytes pulled at a time; one event that is longer is pulled alone
PULLS_LIMIT = 4  # pulls in one turn of the reactor, for a client whose socket takes everything
ANSWERS_LIMIT = 64_000  # bytes of answers that a client which does not read may have waiting
PING_AFTER = 25.0  # seconds without a byte from the client; load balancers give up at 60
DEAD_AFTER = 90.0  # seconds without a byte from the client, pongs included
REASON_LIMIT = 123  # bytes, by RFC 6455
STUCK_AFTER = 30.0  # seconds in which a socket that is full must have been emptied
DEAD = "1006"  # the close code that stands for an abort; RFC 6455 forbids sending it


@implementer(IPushProducer)
class RelayProtocol(WebSocketServerProtocol):  # type: ignore[misc]
    """One client's socket."""

    face = FACE
    session: Session | None = None
    outlet: Outlet | None = None
    paused = False
    stuck = 0  # bytes that waited for the socket when that was looked at last
    paused_since = 0.0  # when the socket last took some of what waits for it; 0 where nothing does
    answers_waiting = 0  # bytes of answers written since the transport said it was full
    heard = 0.0  # when the last bytes came in
    pinged = False  # a ping was sent since
    closing = 0.0  # when our close frame was sent; 0 while open
    address = ""  # counted in the factory's admission

    def onConnect(self, request: ConnectionRequest) -> str:
        """Choose the subprotocol; what else was offered (tokens, too) is never echoed."""
        if SUBPROTOCOL not in request.protocols:
            raise ConnectionDeny(400, f"offer the subprotocol {SUBPROTOCOL}")
        return SUBPROTOCOL

    def onOpen(self) -> None:
        clients = self.factory.clients
        self.heard = clients.now()
        self.outlet = outlet = Outlet(self.transport, clients.hub.metrics)
        self.deliver = outlet.send  # type: ignore[method-assign]  # one call less for each client and tick
        encoding = RELAY if self._perMessageCompress is None else RELAY_DEFLATED
        number = clients.opened(self)
        self.session = Session(number, clients.hub, self, self.heard, clients.heartbeat, encoding)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        self.heard, self.pinged = self.factory.clients.now(), False
        self._dataReceived(data)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self._perMessageCompress is not None:
            self._perMessageCompress._decompressor = None  # 40 kB that the next message needs anew anyhow
        if self.session is None or self.closing:
            return
        try:
            if isBinary:
                raise ClientError("bad-request", "binary frames are not understood", close=Close.BAD_REQUEST)
            answers = self.session.receive(payload, self.heard)
        except ClientError as error:
            self.refuse(error)
            return
        self.answer(answers)
        self.pull()

    def onPing(self, payload: bytes) -> None:
        if self.session is None or self.closing:
            return
        try:
            self.session.allow(self.heard)
        except ClientError as error:
            self.refuse(error)
            return
        if not self.paused:
            self.sendPong(payload)

    def wake(self) -> None:
        """See `fanout.front.Reader`."""
        self.pull()

    def deliver(self, data: bytes) -> None:
        """See `fanout.front.Reader`; `onOpen` puts the outlet's own in its place."""

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self.session is not None:
            self.session.close()
            self.factory.clients.closed(self)
            self.session = None

    def connectionLost(self, reason: Any = connectionDone) -> None:
        if self.outlet is not None:
            self.outlet.close()
        super().connectionLost(reason)
        self.factory.admission.release(self.address)
        self.factory.admission.leave(self.address)  # counted in by the HTTP channel that this took over from

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """Every close goes through here, Autobahn's own too; from now on nothing else is written."""
        if not self.closing:
            self.closing = self.factory.clients.now()
            if not isReply:
                self.factory.clients.hub.metrics.add(CLOSED, str(code))
        super().sendCloseFrame(code, reasonUtf8, isReply)

    def pauseProducing(self) -> None:
        if not self.paused:
            self.paused_since = self.factory.clients.now()
            if self.session is not None:
                self.session.feed.fall_behind()
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self.paused_since = 0.0
        self.answers_waiting = 0
        self.pull()

    def stopProducing(self) -> None:
        self.pauseProducing()

    def answer(self, frames: list[bytes]) -> None:
        """Write answers, for which there is some room even when the client does not read."""
        if not frames or self.closing:
            return
        data = b"".join(frames)
        if self.paused:
            self.answers_waiting += len(data)
            if self.answers_waiting > ANSWERS_LIMIT:
                self.refuse(ClientError("slow", "you ask and do not read the answers", close=Close.SLOW))
                return
        self.factory.clients.hub.metrics.add(FRAMES, by=len(frames))
        self.deliver(data)

    def pull(self) -> None:
        """Write what there is, as long as the transport takes it; a little at a time, for others wait too."""
        session = self.session
        try:
            for _ in range(PULLS_LIMIT):
                if self.paused or self.closing or session is None:
                    return
                data = session.pull(PULL_BUDGET, self.factory.clients.now())
                if data is None:
                    return
                self.deliver(data)
        except ClientError as error:
            self.refuse(error)
            return
        self.factory.clients.later(self)

    def check(self, now: float, patience: float) -> None:
        """See `clients.Client`."""
        silence = now - self.heard
        if self.closing:
            if now - self.closing >= patience:
                self.transport.abortConnection()  # Autobahn's dropConnection does nothing by now
        elif silence >= DEAD_AFTER or (self.paused and self._stuck_for(now) >= STUCK_AFTER):
            self.factory.clients.hub.metrics.add(CLOSED, DEAD)
            self.transport.abortConnection()
        else:
            if silence >= PING_AFTER and not self.pinged:
                self.pinged = True
                self.sendPing()
            self._beat(now)

    def _stuck_for(self, now: float) -> float:
        """Seconds in which the socket took nothing of what waits for it."""
        waiting = -1 if self.outlet is None else self.outlet.backlog()
        if 0 <= waiting < self.stuck:
            self.paused_since = now
        self.stuck = waiting
        return now - self.paused_since

    def _beat(self, now: float) -> None:
        """Say what time alone makes due, and what follows from it."""
        if self.session is None:
            return
        try:
            if self.paused:
                self.session.feed.insist()
                return
            answers = self.session.beat(now)
        except ClientError as error:
            self.refuse(error)
            return
        if answers:
            self.answer(answers)
            self.pull()

    def announce(self, in_ms: int) -> None:
        """See `clients.Client`."""
        if self.session is not None:
            self.answer([self.session.draining()])

    def refuse(self, error: ClientError) -> None:
        """End the connection with the error's close code; the reason is its machine word and its sentence."""
        self.end(error.close or Close.BAD_REQUEST, f"{error.code}: {error.message}")

    def end(self, code: int, reason: str) -> None:
        """Send a close frame; the sweep aborts the connection where the client does not answer."""
        if self.closing or self.session is None:
            return
        cut = reason.encode()[:REASON_LIMIT].decode(errors="ignore")
        self.sendCloseFrame(int(code), cut.encode())  # not sendClose, which knows no 1012
        self.session.close()


class RelayFactory(WebSocketServerFactory):  # type: ignore[misc]
    """Makes protocols for `net.upgrade`, which has checked origins and counted connections before."""

    protocol = RelayProtocol
    noisy = False

    def __init__(self, clients: Any, admission: Admission, reactor: Any, compression: bool = True) -> None:
        super().__init__(protocols=[SUBPROTOCOL], server="", reactor=reactor)
        self.clients = clients
        self.admission = admission
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            maxFramePayloadSize=FRAME_IN_LIMIT,
            maxMessagePayloadSize=FRAME_IN_LIMIT,
            failByDrop=False,
            openHandshakeTimeout=0,  # the request was read by twisted.web, with its own time-out
            closeHandshakeTimeout=0,  # ours: ABORT_AFTER
            autoPingInterval=0,  # ours: PING_AFTER
            perMessageCompressionAccept=_compression if compression else _none,
            tcpNoDelay=True,
            allowedOrigins=["*"],  # net.upgrade has the list
            allowNullOrigin=True,
        )

    def buildProtocol(self, addr: Any) -> RelayProtocol:
        """For a connection that was admitted; counts it out again when it is lost."""
        protocol: RelayProtocol = super().buildProtocol(addr)
        protocol.address = getattr(addr, "host", "")
        self.clients.hub.metrics.add(HANDSHAKES, FACE, "accepted")
        return protocol


def _none(offers: Any) -> None:
    """Whatever is offered, send plain frames."""


def _compression(offers: Any) -> Any:
    """Accept permessage-deflate where our shared frames can be read, and let the client remember nothing either."""
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer) and offer.request_max_window_bits in (0, WINDOW_BITS):
            return PerMessageDeflateOfferAccept(
                offer,
                request_no_context_takeover=offer.accept_no_context_takeover,
                no_context_takeover=offer.request_no_context_takeover or None,
                max_message_size=FRAME_IN_LIMIT,
            )
    return None
