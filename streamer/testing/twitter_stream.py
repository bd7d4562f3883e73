# -*- test-case-name: tests.unit.test_testing_twitter -*-
"""The endpoints `/1.1/statuses/filter.json` and `…/sample.json`: who gets a stream, and who gets which refusal."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs
from twisted.web.server import NOT_DONE_YET, Request

from streamer.testing.connections import Connections
from streamer.testing.faults import AcceptThenClose, DisconnectCode, Faults, Status
from streamer.testing.pages import Folder, accept_then_close
from streamer.testing.terms import Terms, by_length, by_line
from streamer.testing.twitter_auth import Gate, parameters
from streamer.testing.twitter_choice import Choice
from streamer.testing.twitter_messages import warning
from streamer.testing.twitter_query import Asked, read_asked
from streamer.testing.twitter_refusals import (
    CALM,
    METHOD_NOT_ALLOWED,
    ON_DEMAND,
    UNAUTHORIZED,
    UNKNOWN,
    TextRefusal,
)
from streamer.testing.window import Window


class TwitterFolder(Folder):
    """A path segment of Twitter's."""

    not_found = UNKNOWN
    not_allowed = METHOD_NOT_ALLOWED


@attrs.frozen
class Service:
    """What the endpoints share.

    Args:
        connects: the requests that one account may make in a while.
        elevated: whether the account may ask for a count.
        limited: share of the tweets asked for that are held back.
        chance: decides which.
        serial: tells that of the line that comes next.
    """

    gate: Gate
    connects: Window
    connections: Connections
    faults: Faults
    elevated: bool
    limited: float
    chance: random.Random
    serial: Callable[[], int]


class TwitterStreamPage(TwitterFolder):
    """One stream.

    Args:
        share: of all tweets; None for the stream that is chosen by predicates.
    """

    def __init__(self, service: Service, share: float | None = None) -> None:
        super().__init__()
        self._service = service
        self._share = share

    def render_GET(self, request: Request) -> bytes | int:
        service = self._service
        fault = service.faults.for_request()
        if isinstance(fault, Status):
            return ON_DEMAND[fault.status].answer(request)
        pairs = parameters(request)
        account = service.gate.account(request, pairs)
        if account is None:
            return UNAUTHORIZED.answer(request)
        if service.connects.over():
            return CALM.answer(request)
        asked = read_asked(pairs, sample=self._share is not None, elevated=service.elevated)
        if isinstance(asked, TextRefusal):
            return asked.answer(request)
        if isinstance(fault, AcceptThenClose):
            return accept_then_close(request)
        if service.connections.full(account):
            return CALM.answer(request)
        service.connections.open(request, self._terms(account, asked))
        return NOT_DONE_YET

    render_POST = render_GET

    def _terms(self, account: str, asked: Asked) -> Terms:
        service, history = self._service, self._service.connections.history
        choice = Choice(
            asked=asked,
            opened=service.serial(),
            share=1.0 if self._share is None else self._share,
            limited=service.limited if self._share is None else 0.0,
            chance=service.chance,
        )
        return Terms(
            stream=account,
            cursor=history.last(abs(asked.count), choice.wants) if asked.count else history.end,
            until=history.end if asked.count < 0 else None,
            choose=choice,
            framed=by_length if asked.delimited else by_line,
            warning=warning if asked.stall_warnings else None,
            last_words=DisconnectCode(9),
            limited=lambda: choice.held_back,
        )
