# -*- test-case-name: tests.unit.test_services_follower -*-
"""What an upstream sends, as a protocol: an endless HTTP body, or frames that come whole.

It translates and no more: bytes go to `on_bytes`, the end to `on_end`. Who is listening frames them and decides
about stalls, errors and pausing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


class Taker(Shape):
    """Who takes the items; asked by those who owe somebody an answer."""

    @property
    def unwilling(self) -> str:
        """Why nothing should be brought now, as a sentence; empty where it may."""

    def sent_away(self) -> None:
        """Somebody who brought something was asked to come again, and may not."""

    @property
    def taken(self) -> int:
        """How much was taken so far: a number that only grows."""

    def settled(self, since: int) -> Deferred[None]:
        """Fires when the bus has all that was taken so far; may be cancelled.

        Fails with `MessageRefused` where the bus will never take something of what came after `since`, which is
        what `taken` was then.
        """


class StreamBody(Protocol):
    """The body of one stream.

    Args:
        on_bytes: called with each piece of the body as it comes; with a sequence of frames where they come whole.
        on_end: called once, when the connection is gone, unless we closed it ourselves.
        taker: None where nobody asks.
    """

    def __init__(
        self, on_bytes: Callable[[Any], None], on_end: Callable[[Failure], None], taker: Taker | None = None
    ) -> None:
        self._on_bytes = on_bytes
        self._on_end = on_end
        self._closed = False
        self.taker = taker

    def dataReceived(self, data: Any) -> None:
        if not self._closed:
            self._on_bytes(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._closed:
            self._closed = True
            self._on_end(reason)

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
