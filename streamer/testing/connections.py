# -*- test-case-name: tests.unit.test_testing_x_stream -*-
"""The connections that are open, how many may be, and the faults that strike them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from streamer.testing.connection import Connection, Writer
from streamer.testing.faults import Cut, Farewell, Faults, Garbage, Huge, Lag, Lasting, Noise, Stall
from streamer.testing.history import History
from streamer.testing.ledger import Ledger
from streamer.testing.outlet import Outlet
from streamer.testing.terms import Manners, Terms

MOST_GONE = 1_000  # connections that are gone and may still be counted


@attrs.define
class Connections:
    """All open connections, the oldest first.

    Args:
        manners: how the upstream hangs up.
        most: how many there may be of one stream.
        replace_oldest: whether one too many closes the oldest instead of being refused; X's pages say either.
        forgets_after: seconds for which a connection that is gone is still counted, where one too many is refused.
        keep_alive: seconds of silence before an empty line.
        buffer_limit: bytes that a client may be behind.
        gzip: whether clients that ask for it get a compressed stream.
        opened: called after each opening.
    """

    clock: IReactorTime
    history: History
    ledger: Ledger
    faults: Faults
    manners: Manners
    most: int
    replace_oldest: bool
    forgets_after: float
    keep_alive: float
    buffer_limit: int
    gzip: bool
    opened: Callable[[], None]
    _open: list[Connection] = attrs.field(factory=list)
    _gone: deque[tuple[float, str]] = attrs.field(factory=lambda: deque(maxlen=MOST_GONE))  # when forgotten, which

    def __len__(self) -> int:
        return len(self._open)

    def full(self, stream: str, most: int | None = None) -> bool:
        """Whether one more of this stream would be refused; see `Terms.most`."""
        now = self.clock.seconds()
        while self._gone and self._gone[0][0] <= now:
            self._gone.popleft()
        counted = len(self._of(stream)) + sum(name == stream for _, name in self._gone)
        return counted >= most if most is not None else counted >= self.most and not self.replace_oldest

    def open(self, request: Request, terms: Terms) -> None:
        """Answer a request with a stream."""
        zipped = self.gzip and b"gzip" in (request.getHeader(b"accept-encoding") or b"").lower()
        self.admit(
            terms,
            partial(Outlet, request, self.manners, self.clock, self.keep_alive, zipped, lambda: self.faults.split),
        )

    def admit(self, terms: Terms, outlet: Callable[[Callable[[], bool], Callable[[], None]], Writer]) -> Connection:
        """Open a stream that goes out in another way; see `Connection.open`."""
        rivals = self._of(terms.stream) if terms.most is None else []
        for oldest in rivals[: max(0, len(rivals) - self.most + 1)]:
            oldest.strike(self.manners.replaced)
            if oldest in self._open:
                oldest.abort()
                self._closed(oldest)
        connection = Connection(
            clock=self.clock,
            history=self.history,
            terms=terms,
            manners=self.manners,
            buffer_limit=self.buffer_limit,
            sent=self.ledger.opened(terms.stream),
            closed=self._closed,
        )
        self._open.append(connection)
        waiting = self.faults.for_connection()
        connection.lag = next((fault.seconds for fault in waiting if isinstance(fault, Lag)), 0.0)
        connection.open(outlet)
        for fault in waiting:
            if not isinstance(fault, Lag):
                connection.strike(fault)
        self.opened()
        return connection

    def flush(self) -> None:
        """Let everybody write what is new."""
        for connection in tuple(self._open):
            connection.flush()

    def fault(self, fault: Lasting) -> None:
        """Let a fault happen, now or when its time comes."""
        if isinstance(fault, Lag) and fault.connection < len(self._open):
            self._open[fault.connection].strike(fault)
        elif isinstance(fault, Stall | Cut | Farewell | Garbage | Noise | Huge) and self._open:
            for connection in tuple(self._open):
                connection.strike(fault)
        else:
            self.faults.add(fault)

    def abort(self) -> None:
        """Drop everybody."""
        for connection in tuple(self._open):
            connection.abort()

    def _of(self, stream: str) -> list[Connection]:
        return [connection for connection in self._open if connection.terms.stream == stream]

    def _closed(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            if self.forgets_after:
                self._gone.append((self.clock.seconds() + self.forgets_after, connection.terms.stream))
