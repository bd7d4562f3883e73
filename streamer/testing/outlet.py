# -*- test-case-name: tests.unit.test_testing_x_stream -*-
"""An HTTP response that goes on until somebody ends it: pieces, keep-alives, and three ways to end."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.server import Request

from streamer.testing.terms import Manners

GZIP = 31  # zlib's word for a gzip header and the widest window


@attrs.define(eq=False)
class Outlet:
    """Writes a response's body.

    Args:
        manners: what a stream looks like besides its messages.
        keep_alive: seconds of silence after which the upstream shows that it is there.
        zipped: whether to compress; each write can be read at once, for it ends with a sync flush.
        split: how many bytes a piece has, after compression; 0 means whole.
        held: whether keep-alives are not to be written now.
        gone: called once, when the connection is gone or the response was ended.
    """

    request: Request
    manners: Manners
    clock: IReactorTime
    keep_alive: float
    zipped: bool
    split: Callable[[], int]
    held: Callable[[], bool]
    gone: Callable[[], None]
    _written_at: float = 0.0  # seconds since the epoch
    _timer: IDelayedCall | None = None
    _zip: Any = None  # zlib's compressor, where there is one
    _channel: Any = None  # the HTTP channel, while something may be written

    @property
    def usable(self) -> bool:
        """Nobody has ended it."""
        return self._channel is not None

    def open(self, producer: IPushProducer) -> None:
        """Send the response's head; `producer` is told when to wait."""
        self.request.notifyFinish().addBoth(self._gone)
        self._channel = self.request.channel
        self.request.setHeader("content-type", self.manners.content_type)
        if self.zipped:
            self._zip = zlib.compressobj(wbits=GZIP)
            self.request.setHeader("content-encoding", "gzip")
        self.request.registerProducer(producer, True)
        self.request.write(self.manners.greeting)
        self._written_at = self.clock.seconds()
        self._timer = self.clock.callLater(self.keep_alive, self._keep_alive)

    def write(self, data: bytes) -> None:
        """Write, in pieces where that is wished."""
        if self._zip is not None:
            data = self._zip.compress(data) + self._zip.flush(zlib.Z_SYNC_FLUSH)
        size = self.split() or len(data)
        for at in range(0, len(data), size):
            self.request.write(data[at : at + size])
        self._written_at = self.clock.seconds()

    def finish(self) -> None:
        """End the response whole, and the connection after it."""
        if self._zip is not None:
            self.request.write(self._zip.flush(zlib.Z_FINISH))
        channel = self._close()
        self.request.finish()
        channel.loseConnection()

    def drop(self) -> None:
        """End the connection after what was written, the response unfinished."""
        self._close().loseConnection()

    def abort(self) -> None:
        """Reset the connection; may follow `drop`."""
        transport: Any = None if self.request.channel is None else self.request.channel.transport
        self._close()
        if transport is not None:
            transport.abortConnection()

    def _close(self) -> Any:
        channel, self._channel = self._channel, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if channel is not None and self.request.channel is not None:
            self.request.unregisterProducer()
        return channel

    def _keep_alive(self) -> None:
        now = self.clock.seconds()
        if now >= self._written_at + self.keep_alive and not self.held():
            self.write(self.manners.beat)
        wait = self._written_at + self.keep_alive - now
        self._timer = self.clock.callLater(wait if wait > 0 else self.keep_alive, self._keep_alive)

    def _gone(self, _: object) -> None:
        self._close()
        self.gone()
