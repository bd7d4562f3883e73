# -*- test-case-name: tests.unit.test_net_websocket -*-
"""All open websocket clients: made, woken, kept alive and sent away together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.fanout.hub import Hub
from streamer.fanout.protocol import Close
from streamer.fanout.session import HEARTBEAT, Session
from streamer.message import Entry
from streamer.metrics import CLIENTS, CLOSED
from streamer.net.flush import SWEEP, Flusher
from streamer.net.websocket import ABORT_AFTER, DEAD_AFTER, FACE, PING_AFTER, STUCK_AFTER, RelayProtocol

STOP_WITHIN = 3.0  # seconds a client has to answer our close frame when the relay stops
DEAD = "1006"  # the close code that stands for an abort; RFC 6455 forbids sending it


@attrs.define(eq=False)
class Clients:
    """The open connections of one relay.

    Args:
        heartbeat: seconds, see `fanout.session`.
    """

    hub: Hub
    clock: IReactorTime
    heartbeat: float = HEARTBEAT
    _open: dict[RelayProtocol, None] = attrs.field(factory=dict)
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    _flusher: Flusher = attrs.field(init=False)
    _sweeping: IDelayedCall | None = None
    _gone: Deferred[None] | None = None  # while stopping: fires when the last one is gone
    _patience: float = ABORT_AFTER
    _more: dict[Callable[[], None], None] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._flusher = Flusher(self.clock, self._due)

    def __len__(self) -> int:
        return len(self._open)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.seconds()

    def append(self, entry: Entry) -> None:
        """Take the next entry of the log, and have it written to those who want it."""
        if self.hub.append(entry):
            self._flusher.soon()

    def later(self, wake: Callable[[], None]) -> None:
        """Call `wake` in one of the next turns of the reactor."""
        self._more[wake] = None
        self._flusher.soon()

    def opened(self, protocol: RelayProtocol) -> Session:
        """A client's handshake is done."""
        self._open[protocol] = None
        self.hub.metrics.add(CLIENTS, FACE)
        if self._sweeping is None:
            self._sweeping = self.clock.callLater(SWEEP, self._sweep)
        return Session(next(self._numbers), self.hub, protocol.pull, self.now(), self.heartbeat)

    def closed(self, protocol: RelayProtocol) -> None:
        """A client's connection is over, however that came."""
        del self._open[protocol]
        self.hub.metrics.add(CLIENTS, FACE, by=-1)
        if not self._open:
            self._settle()

    def stop(self) -> Deferred[None]:
        """Tell all clients to come back later and close them with 1012.

        Returns:
            Fires when all are gone: at the latest `STOP_WITHIN` and a sweep from now.
        """
        gone = self._gone = Deferred()
        self._patience = STOP_WITHIN
        for protocol in list(self._open):
            if protocol.session is not None:
                protocol.answer([protocol.session.draining()])
            protocol.end(Close.RESTARTING, "the relay restarts; reconnect after a random wait")
        if not self._open:
            self._settle()
        return gone

    def _settle(self) -> None:
        """Nobody is there: no timers."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        self._more.clear()
        self._flusher.stop()
        if self._gone is not None:
            gone, self._gone = self._gone, None
            gone.callback(None)

    def _due(self) -> list[Callable[[], None]]:
        more, self._more = self._more, {}
        return [*more, *self.hub.due()]

    def _sweep(self) -> None:
        now = self.now()
        self._sweeping = self.clock.callLater(SWEEP, self._sweep)
        for protocol in list(self._open):
            silence = now - protocol.heard
            if protocol.closing:
                if now - protocol.closing >= self._patience:
                    protocol.transport.abortConnection()  # Autobahn's dropConnection does nothing by now
            elif silence >= DEAD_AFTER or (protocol.paused and now - protocol.paused_since >= STUCK_AFTER):
                self.hub.metrics.add(CLOSED, DEAD)
                protocol.transport.abortConnection()
            else:
                self._keep_alive(protocol, silence, now)

    def _keep_alive(self, protocol: RelayProtocol, silence: float, now: float) -> None:
        if silence >= PING_AFTER and not protocol.pinged:
            protocol.pinged = True
            protocol.sendPing()
        protocol.beat(now)
