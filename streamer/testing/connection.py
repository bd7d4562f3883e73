# -*- test-case-name: tests.unit.test_testing_x_stream -*-
"""One open connection to a simulated stream: it reads the history at its client's pace.

https://docs.x.com/x-api/fundamentals/consuming-streaming-data
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from streamer.testing.faults import (
    NOISE,
    Close,
    Cut,
    Disconnect,
    DisconnectCode,
    Farewell,
    Garbage,
    Huge,
    Lag,
    Noise,
    OfConnection,
    Stall,
)
from streamer.testing.history import History, Line
from streamer.testing.ledger import Sent
from streamer.testing.terms import Manners, Terms
from streamer.testing.timers import Timers

PORTION = 65_536  # bytes read from the history and written at once
GRACE = 2.0  # seconds that a slow reader has to take its last words
WARN_AT = 60  # percent of the buffer limit
WARN_AGAIN = 300.0  # seconds between two warnings

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>The proxy is sorry.</body></html>"
NO_JSON = b'{"data":{"id":"1","text":"half a po'


class Writer(Protocol):
    """The way out of a connection; `outlet.Outlet` is that of an HTTP response."""

    @property
    def usable(self) -> bool:
        """Nobody has ended it."""

    def open(self, producer: IPushProducer) -> None:
        """Begin; `producer` is told when to wait."""

    def write(self, data: bytes) -> None:
        """Write messages that were framed."""

    def finish(self) -> None:
        """End after a farewell."""

    def drop(self) -> None:
        """End after what was written, in whose middle that may be."""

    def abort(self) -> None:
        """Reset; may follow `drop`."""


class Hold(enum.Enum):
    """Why a connection does not write."""

    READER = "the transport asked to wait"
    STALL = "a fault"


@implementer(IPushProducer)
@attrs.define(eq=False)
class Connection:
    """Sends lines to one client until either side ends it.

    Args:
        buffer_limit: bytes that it may be behind while its reader does not read, besides what it began with.
        closed: called once, when the connection is gone.
        lag: seconds after which a line is due.
    """

    clock: IReactorTime
    history: History
    terms: Terms
    manners: Manners
    buffer_limit: int
    sent: Sent
    closed: Callable[[Connection], None]
    lag: float = 0.0
    _outlet: Writer = attrs.field(init=False)
    _cursor: int = attrs.field(init=False)
    _holds: set[Hold] = attrs.field(factory=set)
    _cut: Cut | None = None
    _warned_at: float = -math.inf  # seconds since the epoch
    _timers: Timers = attrs.field(init=False)
    _due: IDelayedCall | None = None  # when the next late line is due

    def __attrs_post_init__(self) -> None:
        self._timers = Timers(self.clock)

    def open(self, outlet: Callable[[Callable[[], bool], Callable[[], None]], Writer]) -> None:
        """Send the response's head and what there is to replay.

        Args:
            outlet: makes the outlet, given its `held` and `gone`.
        """
        self._outlet = outlet(lambda: bool(self._holds), self._gone)
        self._cursor = self.terms.cursor
        self._outlet.open(self)
        self.buffer_limit += self.history.behind(self._cursor)
        self.flush()

    def flush(self) -> None:
        """Write what is new and due, unless something holds it; hang up on a reader that is too far behind."""
        until = self.terms.until
        while self._outlet.usable and not self._holds:
            self.sent.missed += max(0, self.history.first - self._cursor)
            lines, self._cursor = self.history.read(self._cursor, PORTION, self._readable())
            if lines:
                self._write_lines(lines)
                continue
            if until is not None and self._cursor >= until:
                self._finish(self.terms.last_words)
            return
        if self._outlet.usable and self._holds == {Hold.READER}:
            self._watch_reader()

    def strike(self, fault: OfConnection) -> None:
        """Let a fault of connections happen to this one."""
        if not self._outlet.usable:
            return
        match fault:
            case Stall(seconds=seconds):
                self._holds.add(Hold.STALL)
                if seconds is not None:
                    self._timers.later(seconds, self._stalled)
            case Cut():
                self._cut = fault
            case Lag(seconds=seconds):
                self.lag = seconds
                self.flush()
            case Disconnect() | DisconnectCode() | Close():
                self._finish(fault)
            case Garbage(html=html):
                self._say(HTML if html else NO_JSON)
            case Noise():
                self._say(NOISE)
            case Huge(size=size):
                self._say(huge_line(size))

    def abort(self) -> None:
        """Reset the connection at once."""
        self._timers.stop()
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

    def _say(self, message: bytes) -> None:
        self._outlet.write(self.terms.framed(message))

    def _finish(self, farewell: Farewell | None) -> None:
        if farewell is not None:
            self._say(self.manners.say(farewell))
        self._outlet.finish()

    def _readable(self) -> int | None:
        """Number of the line to stop before, now; a timer is set for the first that is not due."""
        until = self.terms.until
        if not self.lag:
            return until
        late = self.history.since(math.floor((self.clock.seconds() - self.lag) * 1000) + 1)
        written_ms = self.history.written_ms(late)
        if written_ms is not None and (self._due is None or not self._due.active()):
            wait = written_ms / 1000 + self.lag - self.clock.seconds()
            self._due = self._timers.later(max(wait, 0.001), self.flush)
        return late if until is None else min(late, until)

    def _write_lines(self, lines: list[Line]) -> None:
        framed, choose = self.terms.framed, self.terms.choose
        chosen = []
        for line in lines:
            given = line if choose is None else choose(line)
            if given is not None:
                chosen.append((given.id, framed(given.data)))
        self.sent.limited = self.terms.limited()
        if not chosen:
            return
        whole = chosen if self._cut is None else chosen[:-1]
        self.sent.lines += len(whole)
        self.sent.posts.extend(id_ for id_, _ in whole if id_)
        body = b"".join([data for _, data in whole])
        if self._cut is None:
            self._outlet.write(body)
            return
        half = chosen[-1][1]
        self._outlet.write(body + half[: len(half) // 2])
        if self._cut.reset:
            self.abort()
        else:
            self._outlet.drop()

    def _watch_reader(self) -> None:
        percent = 100 * self.history.behind(self._cursor) // max(1, self.buffer_limit)
        if percent >= 100:
            self._say(self.manners.say(self.manners.slow))
            self._outlet.drop()
            self._timers.later(GRACE, self.abort)
        elif percent >= WARN_AT and self.terms.warning and self.clock.seconds() >= self._warned_at + WARN_AGAIN:
            self._warned_at = self.clock.seconds()
            self._say(self.terms.warning(percent))

    def _stalled(self) -> None:
        self._holds.discard(Hold.STALL)
        self.flush()

    def _gone(self) -> None:
        self._timers.stop()
        self.closed(self)


def huge_line(size: int) -> bytes:
    """A line of that many bytes, JSON where there is room for it."""
    frame = b'{"x":""}'
    return frame[:-2] + b"x" * (size - len(frame)) + frame[-2:] if size >= len(frame) else b"x" * size
