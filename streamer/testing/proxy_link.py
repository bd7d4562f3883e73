# -*- test-case-name: tests.unit.test_testing_proxy -*-
"""One proxied connection: the client's socket, the proxy's own to the server, and a lane for each direction."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from streamer.testing.proxy_forward import Forward, Side
from streamer.testing.toxic_effects import End
from streamer.testing.toxic_lane import Lane
from streamer.testing.toxics import Direction, Kind, Toxic


@attrs.define(eq=False)
class Link:
    """See the module.

    Args:
        number: 1 for a proxy's first connection.
        over: told when both sockets are gone.

    Attributes:
        up: what goes from the client to the server.
        down: what goes from the server to the client.
        client: the protocol for the client's socket.
    """

    _log = Logger()

    number: int
    up: Lane
    down: Lane
    _clock: IReactorTime
    _server: IStreamClientEndpoint
    _over: Callable[[Link], None]
    client: Side = attrs.field(init=False)
    _ways: dict[Direction, Forward] = attrs.field(init=False)
    _sides: list[Side] = attrs.field(factory=list)
    _connecting: Deferred[None] | None = None

    def __attrs_post_init__(self) -> None:
        self.up.writable = False  # until there is a server
        self._ways = {
            Direction.UP: Forward(self.up, self._clock, self._ended),
            Direction.DOWN: Forward(self.down, self._clock, self._ended),
        }
        self.client = Side(self._ways[Direction.UP], self._client_made, self._lost)

    def lane(self, direction: Direction) -> Lane:
        """What goes one way."""
        return self._ways[direction].lane

    def put_on(self, toxic: Toxic, direction: Direction) -> None:
        """Let a toxic act on this connection alone; see `ToxicProxy.put_on`."""
        for one, forward in self._ways.items():
            if one in direction:
                forward.lane.put_on(toxic)
                forward.go_on()

    def take_off(self, kind: Kind, direction: Direction) -> None:
        """Take one off this connection alone; see `ToxicProxy.take_off`."""
        for one, forward in self._ways.items():
            if one in direction:
                forward.lane.take_off(kind)
                forward.go_on()

    def reset(self) -> None:
        """Reset both sides now, whatever toxics are on."""
        self._stop()
        if self._connecting is not None:
            self._connecting.cancel()
        for side in tuple(self._sides):
            side.transport.abortConnection()

    def _client_made(self, side: Side) -> None:
        self._sides.append(side)
        self._ways[Direction.UP].read_from(side.transport)
        self._ways[Direction.DOWN].write_to(side.transport)
        self._connecting = connecting = Deferred.fromCoroutine(self._connect())
        if connecting.called:
            self._connecting = None

    async def _connect(self) -> None:
        factory = Factory.forProtocol(lambda: Side(self._ways[Direction.DOWN], self._server_made, self._lost))
        factory.noisy = False
        try:
            await self._server.connect(factory)
        except Exception as error:
            self._connecting = None
            self._log.debug("connection {number} found no server: {error}", number=self.number, error=error)
            self.reset()
            self._see_whether_over()
        self._connecting = None

    def _server_made(self, side: Side) -> None:
        self._sides.append(side)
        self._ways[Direction.UP].write_to(side.transport)
        self._ways[Direction.DOWN].read_from(side.transport)

    def _ended(self, forward: Forward, how: End) -> None:
        """A direction ended."""
        if how is End.RESET:
            self.reset()
        elif how is End.CLOSE or (self.up.ended and self.down.ended):
            self._stop()
            for side in tuple(self._sides):
                side.transport.loseConnection()
        else:
            forward.finish()

    def _stop(self) -> None:
        for forward in self._ways.values():
            forward.stop()

    def _lost(self, side: Side) -> None:
        """A socket is gone; nothing more can be written to it."""
        self._sides.remove(side)
        self._ways[Direction.DOWN if side is self.client else Direction.UP].lose_target()
        if self.up.ended and self.down.ended:
            self.reset()
        self._see_whether_over()

    def _see_whether_over(self) -> None:
        if not self._sides and self._connecting is None:
            self._over(self)
