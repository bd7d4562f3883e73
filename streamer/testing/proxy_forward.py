# -*- test-case-name: tests.unit.test_testing_proxy -*-
"""Between two sockets and a lane: what one socket reads goes into the lane, what comes out goes to the other socket.

The socket that is read from is read only while the lane has room, and the lane is emptied only while the socket that
is written to has room: so nobody's silence costs more than `toxic_lane.HELD` bytes, and what the kernel holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer.testing.toxic_effects import End
from streamer.testing.toxic_lane import Lane


@implementer(IPushProducer)
@attrs.define(eq=False)
class Forward:
    """Moves the bytes of one direction.

    Args:
        ended: told how the direction ended, once.

    Attributes:
        lane: says which bytes, and when.
    """

    lane: Lane
    _clock: IReactorTime
    _ended: Callable[[Forward, End], None]
    _source: Any = None  # transport that is read from
    _target: Any = None  # transport that is written to
    _paused: bool = False
    _timer: IDelayedCall | None = None

    def read_from(self, source: Any) -> None:
        """Begin to read."""
        self._source = source
        self.go_on()

    def write_to(self, target: Any) -> None:
        """Begin to write."""
        self._target = target
        self.lane.writable = True
        target.registerProducer(self, True)
        if self.lane.ended is End.FIN:
            self.finish()
        self.go_on()

    def received(self, data: bytes) -> None:
        """The source was read."""
        self.lane.put(data, self._clock.seconds())
        self.go_on()

    def end(self, how: End) -> None:
        """There is nothing more to read."""
        self._source = None
        self.lane.end(how, self._clock.seconds())
        self.go_on()

    def finish(self) -> None:
        """Write no more, and say so by a FIN."""
        target, self._target = self._target, None
        if target is not None:
            target.unregisterProducer()  # a transport with one does not close
            target.loseWriteConnection()

    def lose_target(self) -> None:
        """There is nobody to write to: what is read is thrown away."""
        target, self._target = self._target, None
        if target is not None:
            target.unregisterProducer()
        self.lane.drain()
        self.go_on()

    def stop(self) -> None:
        """It is all over: neither read nor write, and leave no timer."""
        self._source = None
        self.lose_target()

    def go_on(self) -> None:
        """Something changed: read or not, and see to the next piece when it is due, in a turn of its own."""
        if self._source is not None and self._paused is self.lane.reading:
            self._paused = not self._paused
            if self._paused:
                self._source.pauseProducing()
            else:
                self._source.resumeProducing()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.lane.due
        if due is not None:
            self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._move)

    def pauseProducing(self) -> None:
        """The target's buffer is full."""
        self.lane.writable = False
        self.go_on()

    def resumeProducing(self) -> None:
        """The target's buffer is empty."""
        self.lane.writable = True
        self.go_on()

    def stopProducing(self) -> None:
        """The target is gone, which its protocol is told, too."""
        self._target = None

    def _move(self) -> None:
        self._timer = None
        piece = self.lane.take(self._clock.seconds())
        if isinstance(piece, End):
            self._ended(self, piece)
        elif piece is not None and self._target is not None:
            self._target.write(piece)
        self.go_on()


@implementer(IHalfCloseableProtocol)
class Side(Protocol):
    """One of the two sockets; what it reads goes `forward`."""

    transport: Any

    def __init__(self, forward: Forward, made: Callable[[Side], None], lost: Callable[[Side], None]) -> None:
        self._forward = forward
        self._made = made
        self._lost = lost

    def connectionMade(self) -> None:
        """Have small pieces sent as they are."""
        self.transport.setTcpNoDelay(True)
        self._made(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        self._forward.received(data)

    def readConnectionLost(self) -> None:
        """A FIN came."""
        self._forward.end(End.FIN)

    def writeConnectionLost(self) -> None:
        """Our FIN went out."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The socket is gone; where that was not our doing, it was reset."""
        self._forward.end(End.RESET)
        self._lost(self)
