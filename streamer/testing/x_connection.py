# -*- test-case-name: tests.unit.test_testing_x_stream -*-
"""One open connection to the simulated stream: it reads the history at its client's pace.

https://docs.x.com/x-api/fundamentals/consuming-streaming-data
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from streamer.testing.faults import Cut, Disconnect, Fault, Garbage, Huge, Stall
from streamer.testing.history import History
from streamer.testing.ledger import Sent
from streamer.testing.x_outlet import LINE_END, Outlet
from streamer.testing.x_problems import disconnection

PORTION = 65_536  # bytes read from the history and written at once
GRACE = 2.0  # seconds that a slow reader has to take its last words

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>The proxy is sorry.</body></html>"
NO_JSON = b'{"data":{"id":"1","text":"half a po'


class Hold(enum.Enum):
    """Why a connection does not write."""

    READER = "the transport asked to wait"
    STALL = "a fault"


@implementer(IPushProducer)
@attrs.define(eq=False)
class Connection:
    """Sends lines to one client until either side ends it.

    Args:
        cursor: number of the line to begin with.
        until: number of the line to end before, for a recovery; None goes on for ever.
        select: what of a line this client asked for; None where it gets all.
        buffer_limit: bytes that it may be behind while its reader does not read, besides what it began with.
        closed: called once, when the connection is gone.
    """

    clock: IReactorTime
    history: History
    cursor: int
    until: int | None
    select: Callable[[bytes], bytes] | None
    buffer_limit: int
    sent: Sent
    closed: Callable[[Connection], None]
    _outlet: Outlet = attrs.field(init=False)
    _holds: set[Hold] = attrs.field(factory=set)
    _cut: Cut | None = None
    _timers: list[IDelayedCall] = attrs.field(factory=list)  # the ends of stalls, and of a slow reader's grace

    def open(self, outlet: Callable[[Callable[[], bool], Callable[[], None]], Outlet]) -> None:
        """Send the response's head and what there is to replay.

        Args:
            outlet: makes the outlet, given its `held` and `gone`.
        """
        self._outlet = outlet(lambda: bool(self._holds), self._gone)
        self._outlet.open(self)
        self.buffer_limit += self.history.behind(self.cursor)
        self.flush()

    def flush(self) -> None:
        """Write what is new, unless something holds it; hang up on a reader that is too far behind."""
        while self._outlet.usable and not self._holds:
            self.sent.missed += max(0, self.history.first - self.cursor)
            lines, self.cursor = self.history.read(self.cursor, PORTION, self.until)
            if lines:
                self._write_lines(lines)
                continue
            if self.until is not None and self.cursor >= self.until:
                self._outlet.finish()
            return
        waiting = self._outlet.usable and self._holds == {Hold.READER}
        if waiting and self.history.behind(self.cursor) > self.buffer_limit:
            self._outlet.write(disconnection("SlowReader") + LINE_END)
            self._outlet.drop()
            self._timers.append(self.clock.callLater(GRACE, self.abort))

    def strike(self, fault: Fault) -> None:
        """Let a fault of connections happen to this one."""
        if not self._outlet.usable:
            return
        match fault:
            case Stall(seconds=seconds):
                self._holds.add(Hold.STALL)
                if seconds is not None:
                    self._timers.append(self.clock.callLater(seconds, self._stalled))
            case Cut():
                self._cut = fault
            case Disconnect(disconnect_type=kind):
                self._outlet.write(disconnection(kind) + LINE_END)
                self._outlet.finish()
            case Garbage(html=html):
                self._outlet.write((HTML if html else NO_JSON) + LINE_END)
            case Huge(size=size):
                self._outlet.write(huge_line(size) + LINE_END)

    def abort(self) -> None:
        """Reset the connection at once."""
        self._stop_timers()
        self._outlet.abort()

    def pauseProducing(self) -> None:
        """The client does not read as fast as we write."""
        self._holds.add(Hold.READER)

    def resumeProducing(self) -> None:
        """The client has read."""
        self._holds.discard(Hold.READER)
        self.flush()

    def stopProducing(self) -> None:
        """The transport is closing; the outlet tells the rest."""

    def _write_lines(self, lines: list[bytes]) -> None:
        chosen = lines if self.select is None else [self.select(line) for line in lines]
        if self._cut is None:
            self.sent.lines += len(lines)
            self._outlet.write(LINE_END.join(chosen) + LINE_END)
            return
        self.sent.lines += len(lines) - 1
        whole = b"".join(line + LINE_END for line in chosen[:-1])
        self._outlet.write(whole + chosen[-1][: len(chosen[-1]) // 2])
        if self._cut.reset:
            self.abort()
        else:
            self._outlet.drop()

    def _stalled(self) -> None:
        self._holds.discard(Hold.STALL)
        self.flush()

    def _stop_timers(self) -> None:
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()

    def _gone(self) -> None:
        self._stop_timers()
        self.closed(self)


def huge_line(size: int) -> bytes:
    """A line of that many bytes, JSON where there is room for it."""
    frame = b'{"x":""}'
    return frame[:-2] + b"x" * (size - len(frame)) + frame[-2:] if size >= len(frame) else b"x" * size
