# -*- test-case-name: tests.unit.test_net_websocket -*-
"""All open clients, whatever their face: served, kept alive and sent away together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.fanout.feed import HEARTBEAT
from streamer.fanout.front import Reader
from streamer.fanout.hub import Hub
from streamer.fanout.protocol import Close
from streamer.message import Entry
from streamer.metrics import CLIENTS
from streamer.net.flush import Flusher

SWEEP = 1.0  # seconds between looks at one client's clocks
SLICES = 10  # of a sweep, so that thousands of clients are not looked at in one turn
ABORT_AFTER = 10.0  # seconds after our close frame in which the client may answer it
STOP_WITHIN = 3.0  # seconds a client has to answer our close frame when the relay stops


class Client(Protocol):
    """One client's connection, as its face has it."""

    face: str  # the metrics' label

    def check(self, now: float, patience: float) -> None:
        """Do what time alone makes due; cut what has been silent or stuck too long, or closing for `patience`."""

    def announce(self, in_ms: int) -> None:
        """Say, where the face has a word for it, that the relay is about to stop."""

    def end(self, code: int, reason: str) -> None:
        """Close the connection in the face's own way."""


@attrs.define(eq=False)
class Clients:
    """The open connections of one relay.

    Args:
        heartbeat: seconds, see `fanout.feed`.
    """

    hub: Hub
    clock: IReactorTime
    heartbeat: float = HEARTBEAT
    _open: list[dict[Client, None]] = attrs.field(factory=lambda: [{} for _ in range(SLICES)])
    _slices: dict[Client, int] = attrs.field(factory=dict)
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    _flusher: Flusher = attrs.field(init=False)
    _sweeping: IDelayedCall | None = None
    _swept: float = 0.0
    _slice: int = 0  # the one that is looked at next
    _gone: Deferred[None] | None = None  # while stopping: fires when the last one is gone
    _patience: float = ABORT_AFTER

    def __attrs_post_init__(self) -> None:
        self._flusher = Flusher(self.clock, self.hub.flush, self.hub.metrics)

    def __len__(self) -> int:
        return len(self._slices)

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._slices))

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.seconds()

    def append(self, entry: Entry) -> None:
        """Take the next entry of the log, and have it written to those who want it."""
        if self.hub.append(entry) and self._slices:
            self._flusher.soon()

    def later(self, reader: Reader) -> None:
        """Wake a client in one of the next turns of the reactor."""
        self.hub.later(reader)
        self._flusher.soon()

    def opened(self, client: Client) -> int:
        """A client is there; returns its number, unique in this process."""
        number = next(self._numbers)
        self._slices[client] = number % SLICES
        self._open[number % SLICES][client] = None
        self.hub.metrics.add(CLIENTS, client.face)
        if self._sweeping is None:
            self._swept = self.now()
            self._sweeping = self.clock.callLater(SWEEP / SLICES, self._sweep)
        return number

    def closed(self, client: Client) -> None:
        """A client's connection is over, however that came."""
        del self._open[self._slices.pop(client)][client]
        self.hub.metrics.add(CLIENTS, client.face, by=-1)
        if not self._slices:
            self._settle()

    def stop(self) -> Deferred[None]:
        """Tell all clients to come back later and close them with 1012.

        Returns:
            Fires when all are gone: at the latest `STOP_WITHIN` and a sweep from now.
        """
        gone = self._gone = Deferred()
        self._patience = STOP_WITHIN
        for client in self:
            client.announce(0)
            client.end(Close.RESTARTING, "the relay restarts; reconnect after a random wait")
        if not self._slices:
            self._settle()
        return gone

    def _settle(self) -> None:
        """Nobody is there: no timers."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        self._flusher.stop()
        if self._gone is not None:
            gone, self._gone = self._gone, None
            gone.callback(None)

    def _sweep(self) -> None:
        """Look at as many slices as time has passed for."""
        now = self.now()
        self._sweeping = self.clock.callLater(SWEEP / SLICES, self._sweep)
        passed = int((now - self._swept) / SWEEP * SLICES + 0.5)
        self._swept = now
        for _ in range(min(SLICES, max(1, passed))):
            clients, self._slice = self._open[self._slice], (self._slice + 1) % SLICES
            for client in list(clients):
                if client in clients:
                    client.check(now, self._patience)
