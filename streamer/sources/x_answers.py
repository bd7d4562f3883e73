# -*- test-case-name: tests.unit.test_sources_x_filtered -*-
"""What X says when it refuses or ends a stream → an `Ending`.

https://docs.x.com/x-api/fundamentals/response-codes-and-errors and
https://docs.x.com/x-api/fundamentals/handling-disconnections; problems are RFC 7807 objects, alone or in `errors`.
"""

from __future__ import annotations

import math

import msgspec

from streamer.errors import DecodeError
from streamer.policy import backoff
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


class Problem(msgspec.Struct, frozen=True):
    """The fields of an error object that decide or explain; all may be missing."""

    title: str | None = None
    detail: str | None = None
    type: str | None = None
    disconnect_type: str | None = None
    connection_issue: str | None = None
    message: str | None = None
    value: str | None = None

    def sentence(self) -> str:
        """What X said, for the operator."""
        said = [text for text in (self.title, self.disconnect_type, self.connection_issue, self.detail) if text]
        return brief(": ".join(said) or self.message or "no reason given")


class _Body(Problem, frozen=True):
    errors: tuple[Problem, ...] = ()


def refusal(response: Response) -> Ending:
    """Classify an answer other than the one hoped for."""
    problem = _problem(response.body)
    cause = STATUSES.get(response.status, backoff.HTTP)
    if problem.connection_issue == "TooManyConnections":
        cause = backoff.CONNECTION_LIMIT
    retry_after = _retry_after(response, cause) if cause in (backoff.RATE_LIMIT, backoff.HTTP) else None
    detail = f"HTTP {response.status}, {problem.sentence()}"
    return Ending(cause=cause, detail=detail, retry_after=retry_after)


def in_stream(errors: bytes) -> Ending:
    """Classify the `errors` that came in the place of a post.

    Raises:
        DecodeError: they are no list of problems.
    """
    try:
        problem = msgspec.json.decode(errors, type=tuple[Problem, ...])[0]
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
        raise DecodeError(f"errors that are no problems: {error}") from error
    if problem.connection_issue == "TooManyConnections":
        return Ending(cause=backoff.CONNECTION_LIMIT, detail=problem.sentence())
    return Ending(cause=DISCONNECTS.get(problem.disconnect_type or "", backoff.DISCONNECT), detail=problem.sentence())


def _problem(body: bytes) -> Problem:
    try:
        said = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Problem(detail=brief(body[:1000].decode("utf-8", "replace")) or None)
    return said.errors[0] if said.errors else said


def _retry_after(response: Response, cause: str) -> float | None:
    seconds = _number(response.headers.get("retry-after"))
    # X sends this header with every answer; only to a rate limit does it say how long.
    reset = _number(response.headers.get("x-rate-limit-reset")) if cause == backoff.RATE_LIMIT else None
    waits = [
        wait
        for wait in (seconds, None if reset is None else reset - response.received)
        if wait is not None and wait > 0
    ]
    return max(waits, default=None)


def _number(text: str | None) -> float | None:
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
