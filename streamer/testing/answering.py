# -*- test-case-name: tests.unit.test_testing_answering -*-
"""How a simulated upstream that is polled answers: whole answers, with the faults of `faults` among them.

An answer that goes wrong does so alone: faults of a connection strike the next request, one fault each, for between
two polls no connection is there that they could strike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import NOT_DONE_YET, Request

from streamer.testing.connection import HTML, NO_JSON, huge_line
from streamer.testing.faults import (
    NOISE,
    AcceptThenClose,
    Cut,
    Duplicate,
    Fault,
    Faults,
    Garbage,
    Huge,
    Noise,
    OfConnection,
    Reorder,
    Split,
    Stall,
    Status,
)
from streamer.testing.ledger import Ledger
from streamer.testing.pages import accept_then_close
from streamer.testing.simulation import impossible
from streamer.testing.timers import Timers

POSSIBLE = Split | Stall | Cut | Garbage | Noise | Huge | AcceptThenClose | Status | Duplicate | Reorder


@attrs.frozen
class Whole:
    """A whole answer.

    Args:
        headers: besides `Content-Length`.
        ids: of the items in it, for the ledger.
    """

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    ids: Sequence[str] = ()

    @property
    def bare(self) -> bool:
        """Its status admits no body."""
        return self.status in (204, 304)


def refusal(fault: Status, now: float) -> Whole:
    """A status in plain words, with `Retry-After` where that has a meaning; `now` is not used."""
    status = int(fault.status)
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if status in (429, 503):
        headers["Retry-After"] = str(math.ceil(fault.reset_after))
    return Whole(status, headers, HTTPStatus(status).phrase.encode())


@attrs.define(eq=False)
class Answering:
    """Answers requests, until `stop`.

    Args:
        name: of the upstream, for errors.
        faults: those to come.
        ledger: counts each answer as a connection.
        refused: the answer to a request that `Status` strikes, in the upstream's words; is given the time, too.
        asked: called with each request.
    """

    name: str
    clock: IReactorTime
    faults: Faults
    ledger: Ledger
    refused: Callable[[Status, float], Whole] = refusal
    asked: Callable[[], None] = lambda: None
    _open: list[_Answer] = attrs.field(factory=list)

    def __len__(self) -> int:
        """Requests that have no whole answer yet."""
        return len(self._open)

    def fault(self, fault: Fault) -> None:
        """Let a fault happen when its time comes.

        Raises:
            ValueError: who is polled cannot go wrong in this way.
        """
        if not isinstance(fault, POSSIBLE) or (isinstance(fault, Status) and isinstance(fault.status, str)):
            raise impossible(self.name, fault)
        self.faults.add(fault)

    def answer(self, request: Request, make: Callable[[], Whole], stream: str = "") -> int:
        """Answer a request, or let a fault happen to it.

        Args:
            make: the answer, asked for when it is due; not at all where a fault takes its place.
            stream: what was asked for, for the ledger.
        """
        self.asked()
        fault = self.faults.for_request()
        if isinstance(fault, AcceptThenClose):
            self.ledger.opened(stream)
            return accept_then_close(request)
        if isinstance(fault, Status):
            refused = self.refused(fault, self.clock.seconds())
            make = lambda: refused  # noqa: E731
        answer = _Answer(request, make, self, stream)
        self._open.append(answer)
        request.notifyFinish().addBoth(answer.gone)
        answer.begin(None if isinstance(fault, Status) else self._next())
        return NOT_DONE_YET

    def stop(self) -> None:
        """Drop every request that waits; nothing is left on the clock."""
        for answer in tuple(self._open):
            answer.abort()

    def ended(self, answer: _Answer) -> None:
        """A request is over, in whatever way."""
        if answer in self._open:
            self._open.remove(answer)

    def _next(self) -> OfConnection | None:
        fault, *later = self.faults.for_connection() or (None,)
        for other in later:
            self.faults.add(other)
        return fault


@attrs.define(eq=False)
class _Answer:
    request: Request
    make: Callable[[], Whole]
    owner: Answering
    stream: str
    _timers: Timers = attrs.field(
        init=False, default=attrs.Factory(lambda self: Timers(self.owner.clock), takes_self=True)
    )

    def begin(self, fault: OfConnection | None) -> None:
        """Answer, or wait, or do it badly."""
        match fault:
            case Stall(seconds=seconds):
                if seconds is not None:
                    self._timers.later(seconds, lambda: self._write(self.make()))
            case Garbage(html=True):
                self._write(Whole(headers={"Content-Type": "text/html"}, body=HTML))
            case Garbage():
                self._write(attrs.evolve(self.make(), status=200, body=NO_JSON, ids=()))
            case Noise():
                self._write(attrs.evolve(self.make(), status=200, body=NOISE, ids=()))
            case Huge(size=size):
                self._write(attrs.evolve(self.make(), status=200, body=huge_line(size), ids=()))
            case Cut(reset=reset):
                self._cut(self.make(), reset)
            case _:
                self._write(self.make())

    def gone(self, _: object) -> None:
        """The client has it all, or is not there any more."""
        self._timers.stop()
        self.owner.ended(self)

    def abort(self) -> None:
        """Reset the connection."""
        self._timers.stop()
        channel: Any = self.request.channel
        if channel is not None and channel.transport is not None:
            channel.transport.abortConnection()
        self.owner.ended(self)

    def _head(self, whole: Whole, *, sized: bool) -> None:
        sent = self.owner.ledger.opened(self.stream)
        sent.lines += len(whole.ids)
        sent.posts.extend(whole.ids)
        self.request.setResponseCode(whole.status)
        self.request.responseHeaders.removeHeader("content-type")
        for name, value in whole.headers.items():
            self.request.setHeader(name, value)
        if sized and not whole.bare:
            self.request.setHeader("content-length", str(len(whole.body)))

    def _write(self, whole: Whole) -> None:
        size = self.owner.faults.split
        self._head(whole, sized=not size)
        body = b"" if whole.bare else whole.body
        for at in range(0, len(body), size or len(body) or 1):
            self.request.write(body[at : at + (size or len(body))])
        self.request.finish()

    def _cut(self, whole: Whole, reset: bool) -> None:
        """Half of an answer that says how long it was to be; of one without a body, nothing at all."""
        if whole.body and not whole.bare:
            self._head(attrs.evolve(whole, ids=()), sized=True)
            self.request.write(whole.body[: len(whole.body) // 2])
        channel: Any = self.request.channel
        if reset:
            self.abort()
        else:
            channel.loseConnection()
