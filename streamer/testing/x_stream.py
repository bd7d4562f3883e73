# -*- test-case-name: tests.unit.test_testing_x_stream -*-
"""The endpoint `/2/tweets/search/stream`: who gets a stream, and who gets which refusal."""

from __future__ import annotations

import math

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import NOT_DONE_YET, Request

from streamer.testing.connections import Connections
from streamer.testing.faults import AcceptThenClose, Faults, Status
from streamer.testing.rule_book import RuleBook
from streamer.testing.x_admission import Admission
from streamer.testing.x_pages import Folder
from streamer.testing.x_problems import NO_RULES, ON_DEMAND, TOO_MANY_CONNECTIONS, Problem
from streamer.testing.x_query import read_query


class StreamPage(Folder):
    """The filtered stream."""

    def __init__(
        self, clock: IReactorTime, admission: Admission, book: RuleBook, connections: Connections, faults: Faults
    ) -> None:
        super().__init__()
        self._clock = clock
        self._admission = admission
        self._book = book
        self._connections = connections
        self._faults = faults

    def render_GET(self, request: Request) -> bytes | int:
        fault = self._faults.for_request()
        if isinstance(fault, Status):
            return self._refuse(request, fault)
        problem = self._admission.refusal(request)
        if problem is not None:
            return problem.answer(request)
        query = read_query(request.args or {})
        if isinstance(query, Problem):
            return query.answer(request)
        if not len(self._book):
            return NO_RULES.answer(request)
        if isinstance(fault, AcceptThenClose):
            return self._accept_then_close(request)
        if self._connections.full:
            return TOO_MANY_CONNECTIONS.answer(request)
        self._connections.open(request, query)
        return NOT_DONE_YET

    def _refuse(self, request: Request, fault: Status) -> bytes:
        if fault.status == 429:
            request.setHeader("x-rate-limit-limit", str(self._admission.limit))
            request.setHeader("x-rate-limit-remaining", "0")
            request.setHeader("x-rate-limit-reset", str(math.ceil(self._clock.seconds() + fault.reset_after)))
        return ON_DEMAND[fault.status].answer(request)

    def _accept_then_close(self, request: Request) -> int:
        request.setHeader("content-type", "application/json; charset=utf-8")
        request.write(b"")  # the head, and nothing after it
        channel = request.channel
        request.finish()
        channel.loseConnection()
        return NOT_DONE_YET
