# -*- test-case-name: tests.unit.test_services_follower -*-
"""An endless HTTP body as a protocol that feeds a framer.

It translates and no more: bytes go to the framer, frames to `on_data`, the end to `on_end`. Who is listening
decides about stalls, errors and pausing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from streamer.interfaces import IFramer


class StreamBody(Protocol):
    """The body of one stream.

    Args:
        framer: new for this connection.
        on_data: called with the frames of each piece of the body as it comes; the list is empty for keep-alives
            and unfinished frames. The second argument is the number of bytes.
        on_end: called once, when the connection is gone, unless we closed it ourselves.
    """

    def __init__(
        self, framer: IFramer, on_data: Callable[[list[bytes], int], None], on_end: Callable[[Failure], None]
    ) -> None:
        self.framer = framer
        self.on_end = on_end
        self._on_data = on_data
        self._closed = False

    def dataReceived(self, data: bytes) -> None:
        if not self._closed:
            self._on_data(self.framer.feed(data), len(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._closed:
            self._closed = True
            self.on_end(reason)

    def pause(self) -> None:
        """Stop reading; the upstream's bytes wait in the sockets."""
        self._transport().pauseProducing()

    def resume(self) -> None:
        """Read on."""
        self._transport().resumeProducing()

    def close(self) -> None:
        """Deliver nothing more, whatever still comes, and hang up politely; see `client.Opened.abort` for the rest."""
        self._closed = True
        self._transport().stopProducing()

    def _transport(self) -> Any:
        return self.transport
