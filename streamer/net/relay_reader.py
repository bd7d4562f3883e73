# -*- test-case-name: tests.unit.test_net_relay_reader -*-
"""Follows topics of a relay over websockets that come and go: nothing is lost or doubled where the relay remembers.

One loop: connect, talk, wait, again. What is said and remembered is `relay_following`'s, when to come back
`policy.rejoin`'s; this file joins them to sockets and a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

from streamer.errors import DecodeError, StreamerError
from streamer.net.relay_address import RelayAddress
from streamer.net.relay_following import Following
from streamer.net.relay_frames import (
    DrainingFrame,
    EventsFrame,
    Frame,
    Lag,
    LagFrame,
    RefusalFrame,
    Subscribed,
    SubscribedFrame,
)
from streamer.net.relay_socket import ANSWER_WITHIN, End, Over, RelaySocket, RelaySocketFactory, Talk
from streamer.policy.rejoin import ASKED_LIMIT, Course, Rejoin
from streamer.upstream import brief

HEARTBEAT_GRACE = 10.0  # seconds beyond the relay's heartbeat after which a silent connection is dead


class RelayRefused(StreamerError):
    """The relay will not serve this, or there is none: say so and end; another try would be refused alike.

    Args:
        unreached: nothing answers at that address.
    """

    def __init__(self, sentence: str, unreached: bool = False) -> None:
        super().__init__(sentence)
        self.unreached = unreached


class Listener(Protocol):
    """Who is told. Nothing may be raised but what ends the reader."""

    def connected(self, facts: Subscribed) -> None:
        """The subscription is in force."""

    def events(self, bodies: Sequence[bytes]) -> None:
        """New events, in order, each the JSON of a CloudEvent as it came."""

    def lagged(self, facts: Lag) -> None:
        """Events were lost because they were read too slowly."""

    def waiting(self, sentence: str, seconds: float) -> None:
        """The connection ended, because of that; there will be another one after so many seconds."""


@attrs.define(eq=False)
class RelayReader:
    """One subscription, until it is cancelled or refused.

    Args:
        endpoint: makes the connections, by `connect(factory)`.
        following: what is wanted, and what is remembered.
        rejoin: when to come back.
    """

    address: RelayAddress
    endpoint: Any
    clock: IReactorTime
    following: Following
    rejoin: Rejoin
    listener: Listener
    user_agent: str
    _socket: RelaySocket | None = None
    _returning: IDelayedCall | None = None  # while the relay drains: hangs up
    _return_at: float | None = None  # seconds since the epoch; when a relay that drains asked us to come back
    _served: float | None = None  # since when this connection serves, seconds since the epoch
    _reached: bool = False  # there is a relay at that address, or was

    def start(self) -> Deferred[None]:
        """Follow, for ever; cancel to stop, which fires when the connection is gone.

        The Deferred fails with `RelayRefused`, with whatever the listener raised, or with `CancelledError`.
        """
        return Deferred.fromCoroutine(self._follow())

    async def _follow(self) -> None:
        while True:
            self._served = None
            end = await self._connection()
            self._reached = self._reached or end.reached
            if end.course is Course.FINAL or not self._reached:
                raise RelayRefused(end.sentence, unreached=not self._reached)
            followed = 0.0 if self._served is None else self.clock.seconds() - self._served
            wait = self.rejoin.wait(end.course, followed=followed, asked=end.asked)
            self.listener.waiting(end.sentence, wait)
            await deferLater(self.clock, wait)

    async def _connection(self) -> End:
        """One connection, from its making to its loss."""
        failed: list[BaseException] = []
        talk = Talk(self.following.opening, lambda payload: self._heard(payload, failed))
        factory = RelaySocketFactory(self.address, talk, self.clock, self.user_agent)
        try:
            socket: RelaySocket = await self.endpoint.connect(factory)
        except CancelledError:
            raise
        except Exception as error:
            why = brief(str(error) or type(error).__name__)
            return End(Course.BACK_OFF, f"{self.address.url} cannot be reached: {why}", reached=False)
        self._socket, self._return_at = socket, None
        try:
            end = await _passed_on(socket.ended)
        except CancelledError:
            socket.end(End(Course.FINAL, "we hang up"))
            await _passed_on(socket.ended)
            raise
        finally:
            self._socket = None
            if self._returning is not None and self._returning.active():
                self._returning.cancel()
            self._returning = None
        if failed:
            raise failed[0]
        if self._return_at is None or end.course is Course.FINAL:
            return end
        return End(Course.SOON, end.sentence, asked=max(0.0, self._return_at - self.clock.seconds()))

    def _heard(self, payload: bytes, failed: list[BaseException]) -> float:
        """Take one message; the silence after which to hang up."""
        try:
            frame = self.following.receive(payload)
        except DecodeError as error:
            raise Over(End(Course.BACK_OFF, str(error))) from error
        try:
            self._tell(frame)
        except Over:
            raise
        except Exception as error:  # the listener's: it ends the reader, once the connection is gone
            failed.append(error)
            raise Over(End(Course.FINAL, "what was read cannot be handed on")) from error
        heartbeat = self.following.heartbeat
        return ANSWER_WITHIN if heartbeat is None else heartbeat + HEARTBEAT_GRACE

    def _tell(self, frame: Frame | None) -> None:
        self._reached = True
        if isinstance(frame, EventsFrame):
            if frame.events:
                self.listener.events([bytes(event) for event in frame.events])
        elif isinstance(frame, SubscribedFrame):
            self._served = self.clock.seconds()
            self.listener.connected(frame.facts)
        elif isinstance(frame, LagFrame):
            self.listener.lagged(frame.facts)
        elif isinstance(frame, RefusalFrame):
            said = brief(f"the relay refuses: {frame.facts.code}: {frame.facts.message}")
            raise Over(End(Course.BACK_OFF if frame.facts.retry else Course.FINAL, said))
        elif isinstance(frame, DrainingFrame) and self._returning is None:
            within = min(max(frame.facts.in_ms / 1000, 0.0), ASKED_LIMIT)
            self._return_at = self.clock.seconds() + within
            self._returning = self.clock.callLater(within, self._go)

    def _go(self) -> None:
        if self._socket is not None:
            self._socket.end(End(Course.SOON, "the relay is about to stop"))


def _passed_on(ended: Deferred[End]) -> Deferred[End]:
    """What fires with another Deferred, and can be cancelled without it."""
    waiting: Deferred[End] = Deferred()

    def pass_on(end: End) -> End:
        if not waiting.called:
            waiting.callback(end)
        return end

    ended.addCallback(pass_on)
    return waiting
