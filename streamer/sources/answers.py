# -*- test-case-name: tests.unit.test_sources_answers -*-
"""What an HTTP status means where an upstream gives it no meaning of its own → an `Ending`.

https://www.rfc-editor.org/rfc/rfc9110#section-15 and, for 429, https://www.rfc-editor.org/rfc/rfc6585#section-4
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streamer.policy import backoff
from streamer.upstream import Ending, Response, brief

STATUSES: Mapping[int, str] = {
    400: backoff.REFUSED,
    401: backoff.AUTHORISATION,
    403: backoff.AUTHORISATION,
    404: backoff.REFUSED,
    405: backoff.REFUSED,
    406: backoff.REFUSED,
    410: backoff.GONE,
    413: backoff.REFUSED,
    414: backoff.REFUSED,
    415: backoff.REFUSED,
    416: backoff.REFUSED,
    422: backoff.REFUSED,
    429: backoff.RATE_LIMIT,
}
# Causes that may say how long to wait.
PATIENT = frozenset({backoff.RATE_LIMIT, backoff.HTTP, backoff.CONNECTION_LIMIT})


class _Said(msgspec.Struct, frozen=True):
    """Where APIs put the reason."""

    error: str | None = None
    message: str | None = None
    detail: str | None = None
    error_description: str | None = None


def refusal(response: Response, statuses: Mapping[int, str] | None = None) -> Ending:
    """Classify an answer other than the one hoped for; what `statuses` does not know is worth another try.

    Args:
        statuses: in place of `STATUSES`.
    """
    if (elsewhere := moved(response)) is not None:
        return elsewhere
    cause = (STATUSES if statuses is None else statuses).get(response.status, backoff.HTTP)
    wait = backoff.retry_after(response.headers.get("retry-after"), response.received)
    return Ending(
        cause=cause,
        detail=f"HTTP {response.status}, {said(response.body)}",
        retry_after=wait if cause in PATIENT else None,
    )


def moved(response: Response) -> Ending | None:
    """The ending where the upstream points elsewhere, which no stream follows on a stranger's word; None else."""
    if not 300 <= response.status < 400:
        return None
    where = brief(response.headers.get("location", "")) or "nowhere"
    detail = f"HTTP {response.status}, it points to {where}; if that is right, put it into the configuration"
    return Ending(cause=backoff.HTTP, detail=detail)


def said(body: bytes) -> str:
    """The reason in the body of a refusal, as one short line."""
    try:
        found = msgspec.json.decode(body, type=_Said)
        reason = found.error_description or found.message or found.detail or found.error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reason = body[:1000].decode("utf-8", "replace")
    return brief(reason or "") or "no reason given"
