# -*- test-case-name: tests.unit.test_net_dialer -*-
"""A websocket that we opened, on Autobahn: its messages as frames, its end as a failure, its refusal as an answer.

https://www.rfc-editor.org/rfc/rfc6455. Autobahn's timers go through txaio to the global reactor, so all of them are
switched off; ours run on the injected clock. What a text message holds is not checked here: its source reads it, and
one that is no UTF-8 costs that message, not the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import attrs
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from streamer.asks import Dial
from streamer.errors import DecodeError
from streamer.net import relay_refusal
from streamer.net.dialed_refusal import RefusedAnswer
from streamer.net.failures import Refused
from streamer.upstream import Response, brief

MESSAGE_LIMIT = 16_000_000  # bytes; what is longer than a source's own limit is read, and skipped by its framer
CLOSE_WITHIN = 2.0  # seconds in which a connection must be gone after a close frame
PIECES_LIMIT = 20_000  # frames of one message; empty ones would never come to its limit in bytes
NO_STATUS = 1005  # of a close frame without a code: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1


class Dialed(WebSocketClientProtocol):  # type: ignore[misc]  # Autobahn has no annotations
    """One connection.

    Attributes:
        answered: fires with a `Conversation` or a `RefusedAnswer`; fails where the connection ends before either.
    """

    _head = b""  # of the answer to the handshake, until it is whole
    _refused: RefusedAnswer | None = None
    _accepted = False
    _end: Failure | None = None  # decided before the connection was lost
    _heard = False  # a ping or pong came
    _pieces = 0  # of the message that is being received
    _timer: IDelayedCall | None = None

    def __init__(self) -> None:
        super().__init__()
        self.answered: Deferred[Any] = Deferred()
        self.talk: Conversation | None = None
        self._messages: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        if self._refused is not None:
            self._refused.took(data)
            return
        if not self._accepted:
            self._head += data
            data = self._answer()
        if data and self._end is None:
            try:
                self._dataReceived(data)
            except Exception as error:  # Autobahn reads some headers carelessly
                self._give_up(DecodeError(brief(f"what answers is no websocket: {type(error).__name__}: {error}")))
        messages, self._messages = self._messages, []
        heard, self._heard = self._heard, False
        if self.talk is not None and (messages or heard):
            self.talk.deliver(messages)

    def onOpen(self) -> None:
        self.talk = Conversation(self, _headers(self._head))
        for message in self.factory.dial.hello:
            self.talk.say(message)
        self.talk.wait()
        self.answered.callback(self.talk)

    def onMessageFrameBegin(self, length: int) -> None:
        super().onMessageFrameBegin(length)
        self._pieces += 1
        if self._pieces > PIECES_LIMIT and not self.failedByMe:
            self._fail_connection(self.CLOSE_STATUS_CODE_MESSAGE_TOO_BIG, "a message in too many pieces")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._pieces = 0
        if self._end is None:
            self._messages.append(payload)

    def onPing(self, payload: bytes) -> None:
        self._heard = True
        self.sendPong(payload)

    def onPong(self, payload: bytes) -> None:
        self._heard = True

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        if self._end is None:
            now = self.factory.clock.seconds()
            said = Response(status=code or NO_STATUS, received=now, body=reasonRaw or b"")
            self._end = Failure(Refused(said))
        done: bool | None = super().onCloseFrame(code, reasonRaw)
        self._hang_up_soon()
        return done

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """Every close goes through here; Autobahn's own is for what a server must not send."""
        if self._end is None and not isReply:
            why = (reasonUtf8 or b"").decode(errors="replace")
            self._end = Failure(DecodeError(brief(f"the websocket brought what cannot be read: {why}")))
        super().sendCloseFrame(code, reasonUtf8, isReply)
        self._hang_up_soon()

    def failHandshake(self, reason: str) -> None:
        self._give_up(DecodeError(brief(f"the answer to the websocket's handshake is wrong: {reason}")))

    def connectionLost(self, reason: Any = connectionDone) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        super().connectionLost(reason)
        end = self._end or reason
        if self._refused is not None:
            self._refused.lost(reason)
        elif self.talk is not None:
            self.talk.lost(end)
        elif not self.answered.called:
            self.answered.errback(end)

    def _answer(self) -> bytes:
        """Wait for the whole head of the answer; what Autobahn is to read of it."""
        try:
            answer = relay_refusal.read(self._head)
        except relay_refusal.NoAnswer as error:
            self._give_up(DecodeError(str(error)))
            return b""
        if answer is None:
            return b""
        if answer.status != relay_refusal.ACCEPTED:
            self._refused = RefusedAnswer(answer.status, _headers(answer.head), self.transport)
            self._refused.took(answer.rest)
            self.answered.callback(self._refused)
            return b""
        if not answer.head.isascii():  # Autobahn would raise
            self.failHandshake("its headers are not ASCII")
            return b""
        self._accepted = True
        whole, self._head = self._head, answer.head
        return whole

    def _give_up(self, error: DecodeError) -> None:
        self._end = self._end or Failure(error)
        self.transport.abortConnection()

    def _hang_up_soon(self) -> None:
        """A close frame was sent or received; the connection must be gone soon."""
        if self._timer is None:
            self._timer = self.factory.clock.callLater(CLOSE_WITHIN, self.transport.abortConnection)


def _headers(head: bytes) -> Headers:
    headers = Headers()
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon and name.strip():
            headers.addRawHeader(name.strip(), value.strip())
    return headers


@attrs.define(eq=False)
class Conversation:
    """A websocket that is open: the answer, as `client.Answer` has it, and its transport.

    Args:
        last_heard: when anything came, seconds since the epoch.
        ended: called once with whether it was we who hung up.
    """

    protocol: Dialed
    headers: Headers
    code: int = 200
    last_heard: float = attrs.field(init=False)
    ended: Callable[[bool], None] = lambda by_us: None
    _body: Any = None  # the protocol that gets the frames
    _over: bool = False
    _held: list[bytes] = attrs.field(factory=list)  # came together with the answer
    _reason: Failure | None = None  # why it was lost before anybody listened

    def __attrs_post_init__(self) -> None:
        self.last_heard = self._now()

    def wait(self) -> None:
        """Read nothing until somebody listens."""
        self.protocol.transport.pauseProducing()

    def deliverBody(self, protocol: Any) -> None:
        """Let this protocol have the messages."""
        self._body = protocol
        protocol.makeConnection(self)
        self.resumeProducing()
        held, self._held = self._held, []
        if held:
            protocol.dataReceived(tuple(held))
        if self._reason is not None:
            protocol.connectionLost(self._reason)

    def deliver(self, messages: Sequence[bytes]) -> None:
        """Messages came, or none but a ping."""
        self.last_heard = self._now()
        if self._body is None:
            self._held.extend(messages)
        elif not self._over:
            self._body.dataReceived(tuple(messages))

    def lost(self, reason: Failure) -> None:
        """The connection is gone."""
        if not self._over:
            self._over = True
            self.ended(False)
            if self._body is None:
                self._reason = reason
            else:
                self._body.connectionLost(reason)

    def say(self, message: str) -> None:
        """Send a text message."""
        if self.protocol.state == self.protocol.STATE_OPEN:
            self.protocol.sendMessage(message.encode("utf-8", "replace"))

    def pauseProducing(self) -> None:
        """Read no more from the socket."""
        if not self._over:
            self.protocol.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        if not self._over:
            self.protocol.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Hang up."""
        self.abortConnection()

    def abortConnection(self) -> None:
        """Hang up at once: a close frame would have to wait for a peer who perhaps no longer reads."""
        if not self._over:
            self._over = True
            self.ended(True)
            self.protocol.transport.abortConnection()

    def _now(self) -> float:
        now: float = self.protocol.factory.clock.seconds()
        return now


class DialFactory(WebSocketClientFactory):  # type: ignore[misc]  # Autobahn has no annotations
    """Makes the protocol of one connection."""

    protocol = Dialed
    noisy = False

    def __init__(self, url: str, dial: Dial, clock: IReactorTime, user_agent: str) -> None:
        super().__init__(
            url, protocols=list(dial.protocols), headers=dict(dial.headers), useragent=user_agent, reactor=clock
        )
        host = urlsplit(url).hostname or ""
        if ":" in host:
            self.host = f"[{host}]"  # of the Host header; Autobahn leaves an IPv6 address bare
        self.dial = dial
        self.clock = clock
        self.setProtocolOptions(
            version=18,  # Autobahn's number for RFC 6455
            utf8validateIncoming=False,
            maxFramePayloadSize=MESSAGE_LIMIT,
            maxMessagePayloadSize=MESSAGE_LIMIT,
            failByDrop=False,
            openHandshakeTimeout=0,  # ours: that of `Dialer`
            closeHandshakeTimeout=0,  # ours: CLOSE_WITHIN
            serverConnectionDropTimeout=0,  # as above
            autoPingInterval=0,  # who is silent for too long is given up by who reads
            tcpNoDelay=True,
            perMessageCompressionOffers=[PerMessageDeflateOffer()] if dial.deflate else [],
            perMessageCompressionAccept=_accept if dial.deflate else (lambda response: None),
        )


def _accept(response: Any) -> Any:
    return PerMessageDeflateResponseAccept(response) if isinstance(response, PerMessageDeflateResponse) else None
