# -*- test-case-name: tests.unit.test_net_websocket -*-
"""All open clients, whatever their face: served, kept alive and sent away together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.fanout.feed import HEARTBEAT, Feed
from streamer.fanout.front import Reader
from streamer.fanout.grants import OPEN, Authority
from streamer.fanout.hub import Hub
from streamer.fanout.protocol import Close
from streamer.fanout.publishing import Publishes
from streamer.fanout.slowest import Standing
from streamer.message import Entry
from streamer.metrics import CLIENTS, CLIENTS_BEHIND, DRAINED, FANOUT_LAG
from streamer.net.drain import Drain
from streamer.net.flush import Flusher
from streamer.net.stuck import Stuck
from streamer.net.works import Works
from streamer.policy.histogram import observe_all

SWEEP = 1.0  # seconds between looks at one client's clocks
SLICES = 10  # of a sweep, so that thousands of clients are not looked at in one turn
ABORT_AFTER = 10.0  # seconds after our close frame in which the client may answer it
MADE_KEPT = 10_000  # events between two flushes whose lag is measured; of more than that it is not
STOP_WITHIN = 3.0  # seconds a client has to answer our close frame when the relay stops


class Client(Protocol):
    """One client's connection, as its face has it."""

    face: str  # the metrics' label

    @property
    def paused(self) -> bool:
        """Its socket is full."""

    @property
    def feed(self) -> Feed | None:
        """What it is sent, while it is open."""

    @property
    def stuck(self) -> Stuck | None:
        """How long its socket has been full; asked only while it is."""

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
        publisher: hands clients' events to the bus; None refuses them.
        authority: says what clients' tokens are worth.
        works: what addresses have had the journal searched for.
    """

    hub: Hub
    clock: IReactorTime
    heartbeat: float = HEARTBEAT
    publisher: Publishes | None = None
    authority: Authority = OPEN
    works: Works = attrs.field(factory=Works)
    _open: list[dict[Client, None]] = attrs.field(factory=lambda: [{} for _ in range(SLICES)])
    _clients: dict[Client, int] = attrs.field(factory=dict)  # each client's number; its slice is that modulo `SLICES`
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    _flusher: Flusher = attrs.field(init=False)
    _sweeping: IDelayedCall | None = None
    _swept: float = 0.0
    _slice: int = 0  # the one that is looked at next
    _made: list[float] = attrs.field(factory=list)  # when the events were made that the next tick writes
    _writing: list[float] = attrs.field(factory=list)  # and those that the last one does
    _gone: Deferred[None] | None = None  # while stopping: fires when the last one is gone
    _patience: float = ABORT_AFTER
    _drain: Drain[Client] | None = None  # from the beginning of the stop on

    def __attrs_post_init__(self) -> None:
        self._flusher = Flusher(self.clock, self._flush, self.hub.metrics)

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._clients))

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.seconds()

    def append(self, entry: Entry) -> None:
        """Take the next entry of the log, and have it written to those who want it."""
        if self.hub.append(entry) and self._clients:
            if len(self._made) < MADE_KEPT:
                self._made.append(entry.message.timestamp_ms / 1000)
            self._flusher.soon()

    def _flush(self, budget: int, now: float, late: Callable[[], bool], tick: bool) -> bool:
        if tick:
            self._writing += self._made
            self._made.clear()
        more = self.hub.flush(budget, now, late, tick)
        if self._writing and not self.hub.writing:
            written = self.now()
            observe_all(self.hub.metrics, FANOUT_LAG, [written - made for made in self._writing])
            self._writing.clear()
        return more

    def later(self, reader: Reader) -> None:
        """Wake a client in one of the next turns of the reactor."""
        self.hub.later(reader)
        self._flusher.go_on()

    def opened(self, client: Client) -> int:
        """A client is there; returns its number, unique in this process."""
        number = next(self._numbers)
        self._clients[client] = number
        self._open[number % SLICES][client] = None
        self.hub.metrics.add(CLIENTS, client.face)
        if self._sweeping is None:
            self._swept = self.now()
            self._sweeping = self.clock.callLater(SWEEP / SLICES, self._sweep)
        if self._drain is not None:
            self._drain.late(client)
        return number

    def closed(self, client: Client) -> None:
        """A client's connection is over, however that came."""
        del self._open[self._clients.pop(client) % SLICES][client]
        self.hub.metrics.add(CLIENTS, client.face, by=-1)
        if not self._clients:
            self._settle()

    def standings(self) -> Iterator[Standing]:
        """How those stand whose sockets are full; the others are up to date with the next tick."""
        now = self.now()
        for client, number in self._clients.items():
            feed, stuck = client.feed, client.stuck if client.paused else None
            if feed is not None and stuck is not None:
                since = now - feed.opened
                yield Standing(f"s{number}", client.face, since, feed.behind, stuck.seconds(now), feed.policy)

    def stop(self, over: float = 0.0, jitter: Callable[[], float] = lambda: 0.0) -> Deferred[None]:
        """Tell all clients when to connect anew, and close them with 1012 then.

        Args:
            over: seconds over which they are spread.
            jitter: random, from 0 to 1.

        Returns:
            Fires when all are gone: at the latest `over`, `STOP_WITHIN` and a sweep from now.
        """
        gone = self._gone = Deferred()
        self._patience = STOP_WITHIN
        self._drain = Drain(self.clock, over, jitter, self._send_away)
        for client in self:
            self._drain.add(client)
        if not self._clients:
            self._settle()
        return gone

    def _send_away(self, client: Client) -> None:
        if client in self._clients:
            self.hub.metrics.add(DRAINED)
            client.end(Close.RESTARTING, "the relay restarts; reconnect after a random wait")

    def _settle(self) -> None:
        """Nobody is there: no timers."""
        if self._drain is not None:
            self._drain.stop()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        self._flusher.stop()
        self._made.clear()
        self._writing.clear()
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
        if self._slice == 0:
            self.hub.metrics.set(CLIENTS_BEHIND, to=sum(client.paused for client in self._clients))
