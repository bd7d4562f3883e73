# -*- test-case-name: tests.unit.test_testing_x_stream -*-
"""The connections that are open, how many may be, and the faults that strike them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from streamer.testing.faults import Cut, Disconnect, Fault, Faults, Garbage, Huge, Stall
from streamer.testing.history import History
from streamer.testing.ledger import Ledger
from streamer.testing.x_connection import Connection
from streamer.testing.x_outlet import Outlet
from streamer.testing.x_query import Query


@attrs.define
class Connections:
    """All open connections, the oldest first.

    Args:
        most: how many there may be.
        replace_oldest: whether one too many closes the oldest instead of being refused; X's pages say either.
        send_everything: whether posts are sent whole, whatever fields were asked for.
        opened: called after each opening.
    """

    clock: IReactorTime
    history: History
    ledger: Ledger
    faults: Faults
    most: int
    replace_oldest: bool
    keep_alive: float
    buffer_limit: int
    send_everything: bool
    opened: Callable[[], None]
    _open: list[Connection] = attrs.field(factory=list)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def full(self) -> bool:
        """One more would be refused."""
        return len(self._open) >= self.most and not self.replace_oldest

    def open(self, request: Request, query: Query) -> None:
        """Answer a request with a stream."""
        while self._open and len(self._open) >= self.most:
            oldest = self._open[0]
            oldest.strike(Disconnect("ForceDisconnect"))
            if oldest in self._open:
                oldest.abort()
                self._closed(oldest)
        cursor, until = self._span(query)
        connection = Connection(
            clock=self.clock,
            history=self.history,
            cursor=cursor,
            until=until,
            select=None if self.send_everything else query.select,
            buffer_limit=self.buffer_limit,
            sent=self.ledger.opened(),
            closed=self._closed,
        )
        self._open.append(connection)
        waiting = self.faults.for_connection()
        connection.open(partial(Outlet, request, self.clock, self.keep_alive, lambda: self.faults.split))
        for fault in waiting:
            connection.strike(fault)
        self.opened()

    def flush(self) -> None:
        """Let everybody write what is new."""
        for connection in tuple(self._open):
            connection.flush()

    def fault(self, fault: Fault) -> None:
        """Let a fault happen, now or when its time comes."""
        if isinstance(fault, Stall | Cut | Disconnect | Garbage | Huge) and self._open:
            for connection in tuple(self._open):
                connection.strike(fault)
        else:
            self.faults.add(fault)

    def abort(self) -> None:
        """Drop everybody."""
        for connection in tuple(self._open):
            connection.abort()

    def _span(self, query: Query) -> tuple[int, int | None]:
        cursor = self.history.end
        if query.backfill:
            cursor = self.history.since(int(self.clock.seconds() * 1000) - query.backfill * 60_000)
        if query.start_ms is not None:
            cursor = self.history.since(query.start_ms)
        return cursor, None if query.end_ms is None else self.history.since(query.end_ms)

    def _closed(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
