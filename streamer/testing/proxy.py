# -*- test-case-name: tests.unit.test_testing_proxy -*-
"""A TCP proxy that does to connections what a bad network does, on demand.

    proxy = ToxicProxy.on_loopback(reactor, "127.0.0.1", 5672)
    proxy.startService()
    ...                                          # clients connect to 127.0.0.1, port proxy.port
    proxy.put_on(Latency(0.05), Direction.DOWN)  # open connections, and those to come
    proxy.put_on(Cut(after=1000, times=1))       # the first one to get there
    proxy.take_off(Latency)

What can be put on is in `toxics`. `connections` has the open ones, each with its `up` and `down`, which count bytes,
and its own `put_on`, `take_off` and `reset`. It knows no protocol, and holds a bounded number of bytes a connection.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from streamer.testing.proxy_link import Link
from streamer.testing.toxic_lane import Lane
from streamer.testing.toxics import Direction, Kind, Refuse, Striking, Toxic

ONE_WAY = (Direction.UP, Direction.DOWN)


@attrs.define(eq=False)
class _Worn:
    """A toxic that is on, and how many connections it may still strike."""

    toxic: Toxic
    left: int | None


class _TurnedAway(Protocol):
    """A connection that is refused."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.abortConnection()


class ToxicProxy(Service):
    """See the module; a service, which listens from its start to its stop.

    Args:
        clock: the reactor.
        listen: where clients come in.
        server: where each of them is led to.
        random: gives numbers from 0 up to 1, for jitter.

    Attributes:
        accepted: connections that were let in.
        refused: connections that were turned away.
        struck: how many connections each kind of toxic struck.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        listen: IStreamServerEndpoint,
        server: IStreamClientEndpoint,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._listen = listen
        self._server = server
        self._random = random
        self._port: Any = None
        self._links: dict[Link, None] = {}  # in the order they came
        self._worn: dict[tuple[Direction, Kind], _Worn] = {}
        self._gone = Counter[Direction]()  # bytes passed by connections that are over
        self._quiet: list[Deferred[None]] = []
        self.accepted = 0
        self.refused = 0
        self.struck = Counter[Kind]()

    @classmethod
    def on_loopback(cls, reactor: Any, host: str, port: int) -> ToxicProxy:
        """One that listens on a free port of the loopback interface, before a server."""
        # Imported here, so that nothing needs a reactor before one is installed.
        from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint

        listen = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        return cls(reactor, listen, HostnameEndpoint(reactor, host, port))

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        return int(self._port.getHost().port)

    @property
    def connections(self) -> list[Link]:
        """Those open, the oldest first; one that only one side gave up is open still."""
        return list(self._links)

    def passed(self, direction: Direction) -> int:
        """Bytes passed on, one way or both, by all connections there were."""
        open_ = sum(link.lane(one).passed for link in self._links for one in ONE_WAY if one in direction)
        return open_ + sum(self._gone[one] for one in ONE_WAY if one in direction)

    def put_on(self, toxic: Toxic, direction: Direction = Direction.BOTH) -> None:
        """Let a toxic act on all connections, also those to come, in place of another of its kind."""
        worn = _Worn(toxic, toxic.times if isinstance(toxic, Striking | Refuse) else None)
        for one in ONE_WAY:
            if one in direction:
                self._worn[one, type(toxic)] = worn
        if not isinstance(toxic, Refuse):
            for link in self.connections:
                link.put_on(toxic, direction)

    def take_off(self, kind: Kind, direction: Direction = Direction.BOTH) -> None:
        """Let it act no longer; nothing happens where it is not on."""
        for one in ONE_WAY:
            if one in direction:
                self._worn.pop((one, kind), None)
        for link in self.connections:
            link.take_off(kind, direction)

    def heal(self) -> None:
        """Take everything off."""
        for kind in {kind for _, kind in self._worn}:
            self.take_off(kind)

    def startService(self) -> None:
        """Listen; an address that cannot be had is told by the log, and `port` fails."""
        super().startService()
        factory = Factory.forProtocol(self._accept)
        factory.noisy = False
        listening = self._listen.listen(factory)
        listening.addCallback(partial(setattr, self, "_port"))
        listening.addErrback(lambda failure: self._log.failure("while beginning to listen", failure))

    async def _stop(self) -> None:
        if self._port is not None:
            await self._port.stopListening()
        for link in self.connections:
            link.reset()
        if self._links:
            quiet: Deferred[None] = Deferred()
            self._quiet.append(quiet)
            await quiet

    def stopService(self) -> Deferred[None]:
        """Listen no more, reset all connections, and fire when the last is gone."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def _accept(self) -> Protocol:
        refuse = self._worn.get((Direction.UP, Refuse))
        if refuse is not None:
            self.refused += 1
            self._strikes(Direction.UP, refuse.toxic)
            return _TurnedAway()
        self.accepted += 1
        up, down = (Lane(partial(self._strikes, one), self._random) for one in ONE_WAY)
        link = Link(self.accepted, up, down, self._clock, self._server, self._over)
        for (one, _), worn in tuple(self._worn.items()):
            link.put_on(worn.toxic, one)
        self._links[link] = None
        return link.client

    def _strikes(self, direction: Direction, toxic: Toxic) -> None:
        """A toxic struck a connection."""
        self.struck[type(toxic)] += 1
        worn = self._worn.get((direction, type(toxic)))
        if worn is not None and worn.toxic == toxic and worn.left is not None:
            worn.left -= 1
            if worn.left <= 0:
                for one in ONE_WAY:
                    if self._worn.get((one, type(toxic))) is worn:
                        self.take_off(type(toxic), one)

    def _over(self, link: Link) -> None:
        if link in self._links:
            del self._links[link]
            for one in ONE_WAY:
                self._gone[one] += link.lane(one).passed
        if not self._links:
            quiet, self._quiet = self._quiet, []
            for waiting in quiet:
                waiting.callback(None)
