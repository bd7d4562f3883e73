# -*- test-case-name: tests.unit.test_sources_x_filtered -*-
"""What X says when it refuses or ends a stream → an `Ending`.

https://docs.x.com/x-api/fundamentals/response-codes-and-errors and
https://docs.x.com/x-api/fundamentals/handling-disconnections; problems are RFC 7807 objects, alone or in `errors`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from streamer.errors import DecodeError
from streamer.policy import backoff
from streamer.sources import answers
from streamer.upstream import Ending, Response, brief

STATUSES = {
    400: backoff.REFUSED,
    401: backoff.AUTHORISATION,
    403: backoff.AUTHORISATION,
    404: backoff.REFUSED,
    406: backoff.REFUSED,
    409: backoff.NO_RULES,
    413: backoff.REFUSED,
    416: backoff.REFUSED,
    422: backoff.REFUSED,
    420: backoff.RATE_LIMIT,
    429: backoff.RATE_LIMIT,
}

# `disconnect_type` of an operational-disconnect problem, OpenAPI 2.166 OperationalDisconnectProblem
DISCONNECTS = {
    "OperationalDisconnect": backoff.DISCONNECT,
    "UpstreamOperationalDisconnect": backoff.DISCONNECT,
    "ForceDisconnect": backoff.HTTP,  # somebody meant it: do not rush back
    "UpstreamUncleanDisconnect": backoff.DISCONNECT,
    "SlowReader": backoff.SLOW,
    "InternalError": backoff.HTTP,
    "ClientApplicationStateDegraded": backoff.AUTHORISATION,
    "InvalidRules": backoff.NO_RULES,
}

# `connection_issue` of a streaming-connection problem, in the same place
CONNECTION_ISSUES = {
    "TooManyConnections": backoff.CONNECTION_LIMIT,
    "ProvisioningSubscription": backoff.HTTP,  # the account is being set up
    "RuleConfigurationIssue": backoff.NO_RULES,
    "RulesInvalidIssue": backoff.NO_RULES,
}

# The last word of a problem's `type`, for those that weigh more than the status they come with
TYPES = {
    "usage-capped": backoff.USAGE_CAP,
    "client-forbidden": backoff.AUTHORISATION,
    "rule-cap": backoff.REFUSED,
}


class Problem(msgspec.Struct, frozen=True):
    """The fields of an error object that decide or explain; all may be missing."""

    title: str | None = None
    detail: str | None = None
    type: str | None = None
    disconnect_type: str | None = None
    connection_issue: str | None = None
    message: str | None = None
    value: str | None = None
    id: Any = None
    details: Any = None

    def sentence(self) -> str:
        """What X said, for the operator."""
        said = [text for text in (self.title, self.disconnect_type, self.connection_issue, self.detail) if text]
        if isinstance(self.details, list):
            said += [text for text in self.details if isinstance(text, str)]
        return brief(": ".join(said) or self.message or "no reason given")

    def cause(self) -> str | None:
        """The row of `policy.backoff` that the problem itself points at; None where it does not."""
        kind = (self.type or "").rpartition("/")[2]
        found = CONNECTION_ISSUES.get(self.connection_issue or "") or TYPES.get(kind)
        return found or DISCONNECTS.get(self.disconnect_type or "")


class Answer(Problem, frozen=True):
    """The body of a refusal: one problem, or several in `errors`."""

    errors: tuple[Problem, ...] = ()


def refusal(response: Response) -> Ending:
    """Classify an answer other than the one hoped for."""
    if (moved := answers.moved(response)) is not None:
        return moved
    problem = _telling(problems(response.body))
    cause = STATUSES.get(response.status, backoff.HTTP)
    if response.status in (403, 422, 429):  # numbers that mean several things
        cause = problem.cause() or cause
    return Ending(
        cause=cause,
        detail=f"HTTP {response.status}, {problem.sentence()}",
        retry_after=_wait(response, cause) if cause in (backoff.RATE_LIMIT, backoff.HTTP) else None,
    )


def in_stream(errors: bytes) -> Ending:
    """Classify the `errors` that came in the place of a post.

    Raises:
        DecodeError: they are no list of problems.
    """
    try:
        said = msgspec.json.decode(errors, type=tuple[Problem, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"errors that are no problems: {error}") from error
    if not said:
        raise DecodeError("errors without an error in them")
    return disconnected(_telling(said))


def disconnected(problem: Problem) -> Ending:
    """What a problem that ends a stream means; one that points nowhere is taken for a restart of the upstream."""
    return Ending(cause=problem.cause() or backoff.DISCONNECT, detail=problem.sentence())


def problems(body: bytes) -> Sequence[Problem]:
    """Every problem in the body of a refusal, at least one; a proxy's page is one, its beginning the detail."""
    try:
        said = msgspec.json.decode(body, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [Problem(detail=brief(body[:1000].decode("utf-8", "replace")) or None)]
    return said.errors or [said]


def _telling(said: Sequence[Problem]) -> Problem:
    return next((problem for problem in said if problem.cause() is not None), said[0])


def _wait(response: Response, cause: str) -> float | None:
    asked = [backoff.retry_after(response.headers.get("retry-after"), response.received)]
    if cause == backoff.RATE_LIMIT:  # X sends this header with every answer; only to a rate limit it says how long
        reset = _number(response.headers.get("x-rate-limit-reset"))
        asked.append(None if reset is None else reset - response.received)
    return max((wait for wait in asked if wait is not None and wait > 0), default=None)


def _number(text: str | None) -> float | None:
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
