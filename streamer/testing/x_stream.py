# -*- test-case-name: tests.unit.test_testing_x_stream -*-
"""A stream's endpoint, such as `/2/tweets/search/stream`: who gets a stream, and who gets which refusal."""

from __future__ import annotations

import math
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import NOT_DONE_YET, Request

from streamer.testing.connections import Connections
from streamer.testing.faults import AcceptThenClose, Faults, Status
from streamer.testing.history import Line
from streamer.testing.pages import Folder, accept_then_close
from streamer.testing.problems import Problem
from streamer.testing.rule_book import RuleBook
from streamer.testing.terms import Terms
from streamer.testing.x_admission import Admission
from streamer.testing.x_endpoints import Endpoint
from streamer.testing.x_problems import NO_RULES, ON_DEMAND, TOO_MANY_CONNECTIONS
from streamer.testing.x_query import Query, read_query

RECOVERIES = 2  # at once of each stream, counted apart: https://docs.x.com/x-api/fundamentals/recovery-and-redundancy


class StreamPage(Folder):
    """One stream.

    Args:
        send_everything: whether posts are sent whole, whatever fields were asked for.
        wanted: called when a stream that needs no rules is opened.
    """

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: Endpoint,
        admission: Admission,
        book: RuleBook,
        connections: Connections,
        faults: Faults,
        send_everything: bool,
        wanted: Callable[[], None],
    ) -> None:
        super().__init__()
        self._clock = clock
        self._endpoint = endpoint
        self._admission = admission
        self._book = book
        self._connections = connections
        self._faults = faults
        self._send_everything = send_everything
        self._wanted = wanted

    def render_GET(self, request: Request) -> bytes | int:
        endpoint = self._endpoint
        fault = self._faults.for_request()
        if isinstance(fault, Status):
            return self._refuse(request, fault)
        problem = self._admission.refusal(request)
        if problem is not None:
            return problem.answer(request)
        query = read_query(request.args or {}, partitions=endpoint.partitions, recovery=endpoint.recovery)
        if isinstance(query, Problem):
            return query.answer(request)
        if endpoint.filtered and not len(self._book):
            return NO_RULES.answer(request)
        if isinstance(fault, AcceptThenClose):
            return accept_then_close(request)
        terms = self._terms(query)
        if self._connections.full(terms.stream, terms.most):
            return TOO_MANY_CONNECTIONS.answer(request)
        if not endpoint.filtered:
            self._wanted()
        self._connections.open(request, terms)
        return NOT_DONE_YET

    def _refuse(self, request: Request, fault: Status) -> bytes:
        if fault.status == 429:
            request.setHeader("x-rate-limit-limit", str(self._admission.limit))
            request.setHeader("x-rate-limit-remaining", "0")
            request.setHeader("x-rate-limit-reset", str(math.ceil(self._clock.seconds() + fault.reset_after)))
        return ON_DEMAND[fault.status].answer(request)

    def _terms(self, query: Query) -> Terms:
        history = self._connections.history
        cursor = history.end
        if query.backfill:
            cursor = history.since(int(self._clock.seconds() * 1000) - query.backfill * 60_000)
        if query.start_ms is not None:
            cursor = history.since(query.start_ms)
        until = None if query.end_ms is None else history.since(query.end_ms)
        name = self._endpoint.name if query.partition is None else f"{self._endpoint.name}/{query.partition}"
        if until is not None and query.start_ms is not None:
            return Terms(f"{name} recovery", cursor, until, self._chooser(query), most=RECOVERIES)
        return Terms(name, cursor, until, self._chooser(query))

    def _chooser(self, query: Query) -> Callable[[Line], Line | None]:
        """What a client with this query gets of each line."""
        endpoint, whole, select, partition = self._endpoint, self._send_everything, query.select, query.partition

        def choose(line: Line) -> Line | None:
            about = line.about
            if not endpoint.has(about, partition):
                return None
            data = line.data
            if not endpoint.filtered and about.bare is not None:
                data = data[: about.bare] + b"}"
            return Line(data if whole else select(data), line.id)

        return choose
