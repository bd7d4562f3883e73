# -*- test-case-name: tests.unit.test_net_websocket -*-
"""Websockets on Autobahn: translates between a socket and a `fanout.session`, or a `fanout.readonly`.

Autobahn does the handshake, parses what clients send and keeps the closing handshake; its timers go through txaio to
the global reactor, so all of them are switched off and ours run on the injected clock (`Clients.sweep`). What we
send are whole frames that other clients are sent too, plain or deflated; they are written to the socket itself (see
`outlet`), which costs a quarter of `sendMessage`, and Autobahn's own compressor never runs.

Back-pressure: the transport's producer is this protocol. While it is paused nothing is pulled from the session, so a
client that does not read costs what the transport had taken by then, and an integer.
"""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer.errors import ClientError
from streamer.fanout.feed import Feed
from streamer.fanout.grants import Grants, insist
from streamer.fanout.protocol import SUBPROTOCOL, Close, Wish
from streamer.fanout.readonly import SUBPROTOCOL as READ_ONLY
from streamer.fanout.readonly import ReadOnly
from streamer.fanout.session import Session
from streamer.metrics import CLOSED, FRAMES
from streamer.net.conversing import conversation
from streamer.net.outlet import Outlet
from streamer.net.quiet import Quiet
from streamer.net.stuck import Stuck

FACE = "websocket"  # the metrics' label
READ_ONLY_FACE = "cloudevents"  # the metrics' label of those that only listen
PULL_BUDGET = 64_000  # bytes pulled at a time; one event that is longer is pulled alone
PULLS_LIMIT = 4  # pulls in one turn of the reactor, for a client whose socket takes everything
ANSWERS_LIMIT = 64_000  # bytes of answers that a client which does not read may have waiting
PING_AFTER = 25.0  # seconds without a byte from the client; load balancers give up at 60
DEAD_AFTER = 90.0  # seconds without a byte from the client, pongs included
REASON_LIMIT = 123  # bytes, by RFC 6455
PIECES_LIMIT = 32  # of a frame that comes bit by bit; each object would cost more than the bytes in it
IGNORED_LIMIT = 131_072  # bytes that a client may still send after our close frame; Autobahn keeps some of them
STUCK_AFTER = 30.0  # seconds in which a socket that is full must have been emptied
DEAD = "1006"  # the close code that stands for an abort; RFC 6455 forbids sending it


def died(reason: Failure) -> bool:
    """Whether a connection broke: nobody has closed it, nor did we abort it.

    A client that is gone without a word while its socket is full ends so, when TCP gives up before our own patience
    does, see `outlet.SILENCE_LIMIT_MS`.
    """
    return reason.check(ConnectionDone, ConnectionAborted) is None


@implementer(IPushProducer)
class RelayProtocol(WebSocketServerProtocol):  # type: ignore[misc]
    """One client's socket."""

    log = Quiet()
    face = FACE
    grants: Grants | None = None  # of a token in the handshake; see `upgrade`
    wish: Wish | None = None  # of one who only listens; see `upgrade`
    session: Session | ReadOnly | None = None
    outlet: Outlet | None = None
    paused = False
    stuck: Stuck  # from `onOpen` on
    frame_data: list[bytes]  # Autobahn's
    answers_waiting = 0  # bytes of answers written since the transport said it was full
    heard = 0.0  # when the last bytes came in
    pinged = False  # a ping was sent since
    closing = 0.0  # when our close frame was sent; 0 while open
    address = ""  # counted in the factory's admission
    channel_address = ""  # that the HTTP channel was counted for
    ignored = 0  # bytes that came after our close frame

    def onConnect(self, request: ConnectionRequest) -> str:
        """The subprotocol that `upgrade` has chosen; what else was offered (tokens, too) is never echoed."""
        chosen = SUBPROTOCOL if self.wish is None else READ_ONLY
        if chosen not in request.protocols:
            raise ConnectionDeny(400, f"offer the subprotocol {SUBPROTOCOL}")
        return chosen

    def onOpen(self) -> None:
        clients = self.factory.clients
        self.heard = clients.now()
        self.outlet = outlet = Outlet(self.transport, clients.hub.metrics)
        self.stuck = Stuck(outlet)
        self.deliver = outlet.send  # type: ignore[method-assign]  # one call less for each client and tick
        number, deflated = clients.opened(self), self._perMessageCompress is not None
        self.session = conversation(number, clients, self, self.heard, self.address, self.grants, self.wish, deflated)
        self.transport.registerProducer(self, True)
        self.pull()

    def dataReceived(self, data: bytes) -> None:
        self.heard, self.pinged = self.factory.clients.now(), False
        self.ignored += len(data) if self.closing else 0
        if self.ignored > IGNORED_LIMIT:
            self.transport.abortConnection()
            return
        self._dataReceived(data)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self._perMessageCompress is not None:
            self._perMessageCompress._decompressor = None  # 40 kB that the next message needs anew anyhow
        if self.session is None or self.closing:
            self.data = b""
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

    def onMessageFrameBegin(self, length: int) -> None:
        if self.message_data:  # not the first frame; the message is counted as one, its other frames as one each
            self._allows()
        super().onMessageFrameBegin(length)

    def onMessageFrameData(self, payload: bytes) -> None:
        super().onMessageFrameData(payload)
        if len(self.frame_data) > PIECES_LIMIT:
            self.frame_data = [b"".join(self.frame_data)]

    def onPing(self, payload: bytes) -> None:
        if self._allows() and not self.paused:
            self.sendPong(payload)

    def onPong(self, payload: bytes) -> None:
        self._allows()

    @property
    def feed(self) -> Feed | None:
        """See `clients.Client`."""
        return None if self.session is None else self.session.feed

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
            if not self.closing and died(reason):
                self.factory.clients.hub.metrics.add(CLOSED, DEAD)
        super().connectionLost(reason)
        self.factory.admission.release(self.address)
        self.factory.admission.leave(self.channel_address)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """Every close goes through here, Autobahn's own too; from now on nothing else is written."""
        if not self.closing:
            self.closing = self.factory.clients.now()
            if not isReply:
                self.factory.clients.hub.metrics.add(CLOSED, str(code))
            if self.session is not None:
                self.session.close()
        super().sendCloseFrame(code, reasonUtf8, isReply)

    def pauseProducing(self) -> None:
        if not self.paused:
            self.stuck.since = self.factory.clients.now()
            if self.session is not None:
                self.session.feed.fall_behind()
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
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
        elif silence >= DEAD_AFTER or (self.paused and self.stuck.seconds(now) >= STUCK_AFTER):
            self.factory.clients.hub.metrics.add(CLOSED, DEAD)
            self.transport.abortConnection()
        else:
            if silence >= PING_AFTER and not self.pinged:
                self.pinged = True
                self.sendPing()
            self._beat(now)

    def _allows(self) -> bool:
        """Count a websocket frame that is no message; False where it is one too many."""
        if self.session is None or self.closing:
            self.data = b""  # who floods us does not have the rest of it parsed
            return False
        try:
            self.session.allow(self.heard)
        except ClientError as error:
            self.refuse(error)
            self.data = b""
            return False
        return True

    def _beat(self, now: float) -> None:
        """Say what time alone makes due, and what follows from it."""
        if self.session is None:
            return
        try:
            if self.paused:
                insist(self.session.grants, now, self.factory.clients.hub.metrics)
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
            self.answer([self.session.draining(in_ms)])

    def refuse(self, error: ClientError) -> None:
        """End the connection with the error's close code; the reason is its machine word and its sentence."""
        self.end(error.close or Close.BAD_REQUEST, f"{error.code}: {error.message}")

    def end(self, code: int, reason: str) -> None:
        """Send a close frame; the sweep aborts the connection where the client does not answer."""
        if self.closing or self.session is None:
            return
        cut = reason.encode()[:REASON_LIMIT].decode(errors="ignore")
        self.sendCloseFrame(int(code), cut.encode())  # not sendClose, which knows no 1012
