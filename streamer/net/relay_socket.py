# -*- test-case-name: tests.unit.test_net_relay_reader -*-
"""A client's websocket on Autobahn: translates between a socket and a conversation.

Autobahn does the handshake and the frames; its timers go through txaio to the global reactor, so all of them are
switched off (as in `net.websocket`), and one of ours, on the injected clock, hangs up on silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone

from streamer.errors import StreamerError
from streamer.fanout.protocol import SUBPROTOCOL, Close
from streamer.net import relay_refusal
from streamer.net.relay_address import RelayAddress
from streamer.policy.rejoin import Course, after_close, after_status
from streamer.upstream import brief

MESSAGE_LIMIT = 2_000_000  # bytes of one message from the relay
ANSWER_WITHIN = 10.0  # seconds for each step until the relay's first frame
CLOSE_WITHIN = 1.0  # seconds in which a connection that we close must be gone
LATE = 1.0  # seconds by which a timer may be late before we hold ourselves for the one who was away


@attrs.frozen
class End:
    """Why a connection ended.

    Args:
        course: what to do about it.
        sentence: for people.
        asked: seconds to wait that the server named.
        reached: a server answered; else there may be none at that address.
    """

    course: Course
    sentence: str
    asked: float | None = None
    reached: bool = True


class Over(StreamerError):
    """What was heard ends the connection; the socket hangs up."""

    def __init__(self, end: End) -> None:
        super().__init__(end.sentence)
        self.end = end


@attrs.frozen
class Talk:
    """What a socket is for.

    Args:
        opening: the messages to send first.
        heard: takes each message; what it returns is the silence, in seconds, after which to hang up. May raise
            `Over`.
    """

    opening: Callable[[], list[bytes]]
    heard: Callable[[bytes], float]


class RelaySocket(WebSocketClientProtocol):  # type: ignore[misc]  # Autobahn has no annotations
    """One connection. `ended` fires with its `End` when it is gone."""

    _end: End | None = None  # decided before the connection was lost
    _answer = b""  # to the handshake, until it is whole
    _accepted = False
    _watch: IDelayedCall | None = None
    _patience = ANSWER_WITHIN
    _heard_at = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.ended: Deferred[End] = Deferred()

    def connectionMade(self) -> None:
        self._heard_at = self.factory.clock.seconds()
        self._watch = self.factory.clock.callLater(self._patience, self._silent)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        if not self._accepted:
            if self._end is not None:
                return
            self._answer += data
            data = self._accept()
        if self._end is None and self._accepted:
            self._heard_at = self.factory.clock.seconds()
        if data:
            self._dataReceived(data)

    def onOpen(self) -> None:
        if self.websocket_protocol_in_use != SUBPROTOCOL:
            self.end(End(Course.FINAL, f"the server does not speak {SUBPROTOCOL}; is this a relay's address?"))
            return
        for message in self.factory.talk.opening():
            self.sendMessage(message)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self._end is not None:
            return
        try:
            self._patience = self.factory.talk.heard(payload)
        except Over as over:
            self.end(over.end)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        if self._end is None:
            said = brief((reasonRaw or b"").decode(errors="replace"))
            words = [f"the relay closed the connection with {code}" if code else "the relay closed the connection"]
            self._end = End(after_close(code), ": ".join([*words, *([said] if said else [])]))
        done: bool | None = super().onCloseFrame(code, reasonRaw)
        self._close_soon()
        return done

    def failHandshake(self, reason: str) -> None:
        self.end(End(Course.FINAL, brief(f"the server's answer to the handshake is wrong: {reason}")))

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """Every close goes through here; Autobahn's own is for what a relay must not send."""
        if self._end is None and not isReply:
            why = f"longer than {MESSAGE_LIMIT} bytes" if code == Close.TOO_LONG else (reasonUtf8 or b"").decode()
            self._end = End(Course.BACK_OFF, brief(f"the relay sent a message that cannot be read: {why}"))
        super().sendCloseFrame(code, reasonUtf8, isReply)
        self._close_soon()

    def connectionLost(self, reason: Any = connectionDone) -> None:
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        super().connectionLost(reason)
        self.ended.callback(self._end or self._cut_short(f"the connection was lost: {reason.getErrorMessage()}"))

    def end(self, end: End) -> None:
        """Hang up because of something; politely where the websocket is open."""
        if self._end is not None:
            return
        self._end = end
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(1000)
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()

    def _accept(self) -> bytes:
        """Wait for the whole head of the answer; what Autobahn is to read of it."""
        try:
            answer = relay_refusal.read(self._answer)
        except relay_refusal.NoAnswer as error:
            self.end(End(Course.FINAL, f"{error}; is this a relay's address?"))
            return b""
        if answer is None:
            return b""
        if answer.status != relay_refusal.ACCEPTED:
            if answer.whole:
                self.end(self._refusal(answer))
            return b""
        if not answer.head.isascii():  # Autobahn would raise
            self.failHandshake("its headers are not ASCII")
            return b""
        self._accepted = True
        whole, self._answer = self._answer, b""
        return whole

    def _cut_short(self, how: str) -> End:
        """The end of a connection that nobody closed; of a refusal what came of it has to do."""
        answer = None if self._accepted else relay_refusal.read(self._answer)
        return End(Course.BACK_OFF, brief(how), reached=self._accepted) if answer is None else self._refusal(answer)

    def _refusal(self, answer: relay_refusal.Answer) -> End:
        sentence, asked = answer.sentence(self.factory.clock.seconds())
        return End(after_status(answer.status), sentence, asked)

    def _close_soon(self) -> None:
        """The closing handshake is under way; it must not take long."""
        self._patience, self._heard_at = CLOSE_WITHIN, self.factory.clock.seconds()
        if self._watch is not None and self._watch.active():
            self._watch.reset(CLOSE_WITHIN)

    def _silent(self) -> None:
        """Hang up where nothing came for too long.

        Where this timer is late, it was we who were away (whoever reads our output had us wait, or the machine slept):
        what the relay said meanwhile is still to be read.
        """
        clock = self.factory.clock
        due, now = self._watch_due(), clock.seconds()
        if now < due or now - due > LATE:
            if now - due > LATE:
                self._heard_at = now
            self._watch = clock.callLater(self._watch_due() - now, self._silent)
            return
        if self._end is None:
            self._end = self._cut_short(f"nothing was heard of the relay for {self._patience:g} s")
        self.transport.abortConnection()

    def _watch_due(self) -> float:
        return self._heard_at + self._patience


class RelaySocketFactory(WebSocketClientFactory):  # type: ignore[misc]  # Autobahn has no annotations
    """Makes the socket of one connection."""

    protocol = RelaySocket
    noisy = False

    def __init__(self, address: RelayAddress, talk: Talk, clock: IReactorTime, user_agent: str) -> None:
        super().__init__(address.url, protocols=[SUBPROTOCOL], useragent=user_agent, reactor=clock)
        if ":" in address.host:
            self.host = f"[{address.host}]"  # of the Host header; Autobahn leaves an IPv6 address bare
        self.talk = talk
        self.clock = clock
        self.setProtocolOptions(
            version=18,  # Autobahn's number for RFC 6455
            maxFramePayloadSize=MESSAGE_LIMIT,
            maxMessagePayloadSize=MESSAGE_LIMIT,
            failByDrop=False,
            openHandshakeTimeout=0,  # ours: ANSWER_WITHIN
            closeHandshakeTimeout=0,  # ours: CLOSE_WITHIN
            serverConnectionDropTimeout=0,  # as above
            autoPingInterval=0,  # the relay's heartbeat is enough
            tcpNoDelay=True,
        )
