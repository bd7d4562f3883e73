# -*- test-case-name: tests.unit.test_policy_backoff -*-
"""Why a connection to an upstream ended → how long to wait before the next.

One table, a row a cause, each with the upstream's rule. The rules for X are those of
https://docs.x.com/x-api/fundamentals/handling-disconnections unless the row says otherwise.

Two floors stand beside the caps. A schedule starts anew only after proven health (`stall.Vitals.healthy`), so a
server that accepts and closes at once is never met with a tight loop; and "at once" is allowed only after a
healthy session.
"""

from __future__ import annotations

import email.utils
from collections.abc import Callable, Mapping
from datetime import UTC

import attrs

NETWORK = "network"
HTTP = "http"
RATE_LIMIT = "rate-limit"
CONNECTION_LIMIT = "connection-limit"
USAGE_CAP = "usage-cap"
AUTHORISATION = "authorisation"
REFUSED = "refused"
NO_RULES = "no-rules"
DISCONNECT = "disconnect"
SLOW = "slow"
STALL = "stall"
UNEXPECTED = "unexpected"
GONE = "gone"
FINISHED = "finished"

RETRY_AFTER_LIMIT = 3600.0  # seconds; an upstream that asks for longer is asked again once an hour
JITTER = 0.12  # share of a delay by which it may be shorter or longer; keeps many clients from marching in step

Schedule = Callable[[int], float]  # failures in a row since the last healthy session, from 1 → seconds


def linear(step: float, cap: float) -> Schedule:
    """`step`, 2 × `step`, … seconds, never above `cap`."""
    return lambda failures: min(cap, step * failures)


def doubling(first: float, cap: float) -> Schedule:
    """`first`, 2 × `first`, 4 × `first`, … seconds, never above `cap`."""
    return lambda failures: min(cap, first * 2.0 ** min(failures - 1, 64))


def series(*seconds: float) -> Schedule:
    """The given delays, the last one for ever."""
    return lambda failures: seconds[min(failures, len(seconds)) - 1]


@attrs.frozen
class Row:
    """What to do about one cause.

    Args:
        schedule: None where only a change of the configuration can help: do not connect again.
        at_once: after a healthy session the first attempt comes without delay.
        alarm: an operator should look at it.
    """

    schedule: Schedule | None
    at_once: bool = False
    alarm: bool = False


CAUSES: Mapping[str, Row] = {
    # "Back off linearly for TCP/IP level network errors", 250 ms a step, up to 16 s; at once where what was lost had
    # been a good connection: https://docs.x.com/x-api/fundamentals/handling-disconnections
    NETWORK: Row(linear(0.25, 16), at_once=True),
    # 5xx and whatever else is worth another try: exponentially from 5 s, up to 320 s (same page).
    HTTP: Row(doubling(5, 320)),
    # 420, 429: exponentially from a minute, and each 429 lengthens the ban (same page). No cap is given: ours is
    # 16 minutes, or the upstream's own figure where that is later. 420 is the v1.1 streams' number for it:
    # https://developer.twitter.com/en/docs/twitter-api/v1/tweets/filter-realtime/guides/connecting
    RATE_LIMIT: Row(doubling(60, 960), alarm=True),
    # 429 TooManyConnections is no rate limit: the server has not yet noticed that our last connection is gone.
    # After an abrupt close the first retry always fails, one after 5 s works:
    # https://github.com/plhery/node-twitter-api-v2/issues/92, https://github.com/tweepy/tweepy/issues/1962
    CONNECTION_LIMIT: Row(doubling(5, 320)),
    # The problem "usage-capped": what was paid for is used up until the day or month is over, or somebody buys more:
    # https://docs.x.com/x-api/fundamentals/post-cap
    USAGE_CAP: Row(doubling(900, 3600), alarm=True),
    # 401, 403: nothing but an operator helps, yet tokens get repaired behind our back, so probe slowly:
    # https://docs.x.com/x-api/fundamentals/response-codes-and-errors
    AUTHORISATION: Row(doubling(300, 3600), alarm=True),
    # 400, 404, 406, 413, 416: the request itself is wrong; the same one again stays wrong (same page).
    REFUSED: Row(None, alarm=True),
    # 409: the stream has no rules (same page); they can be added from elsewhere.
    NO_RULES: Row(doubling(60, 960), alarm=True),
    # In-stream "operational-disconnect" and its like: the upstream restarts; treated as a drop:
    # https://docs.x.com/x-api/fundamentals/handling-disconnections
    DISCONNECT: Row(linear(0.25, 16), at_once=True),
    # In-stream SlowReader, "client is too slow": at once we would only be cut off again:
    # https://docs.x.com/x-api/fundamentals/consuming-streaming-data
    SLOW: Row(doubling(5, 320), alarm=True),
    # "No data, not even a keep-alive, for 20 s: reconnect" (same page).
    STALL: Row(linear(0.25, 16), at_once=True),
    # Our own mistake, 0.25 to 16 s: never hammer an upstream with it.
    UNEXPECTED: Row(doubling(0.25, 16), alarm=True),
    # 410: it was there and will not come back, so asking again is of no use to anybody:
    # https://www.rfc-editor.org/rfc/rfc9110#section-15.5.11
    GONE: Row(None, alarm=True),
    # A recording that was played to its end.
    FINISHED: Row(None),
}

PROFILES: Mapping[str, Mapping[str, Row]] = {
    "x": CAUSES,
    # The series of the 2010 consumers: 10 s, then 30, 70, 150, 240 (each twice the last plus ten).
    "2010": {**CAUSES, HTTP: Row(series(10, 30, 70, 150, 240))},
    # Streams whose hosts ask for nothing but reason: https://wikitech.wikimedia.org/wiki/Event_Platform/EventStreams
    # has clients reconnect at once after its 15 minutes, and Jetstream after any loss.
    "stream": CAUSES,
    # Who polls is nobody's urgent business: an error costs at least as much patience as a poll, up to an hour.
    "poll": {
        **CAUSES,
        NETWORK: Row(doubling(15, 900)),
        HTTP: Row(doubling(60, 3600)),
        STALL: Row(doubling(60, 3600)),
    },
}


def retry_after(written: str | None, now: float) -> float | None:
    """What a `Retry-After` header asks for, in seconds from `now` (seconds since the epoch).

    It may be a number of seconds or an HTTP date: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3

    Returns:
        None where it is missing, past or nonsense.
    """
    if written is None:
        return None
    text = written.strip()
    if text.isascii() and text.isdecimal():
        return float(text) if 0 < len(text.lstrip("0")) < 16 else None
    try:
        date = email.utils.parsedate_to_datetime(text)
        wait = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return wait if wait > 0 else None


@attrs.define
class Backoff:
    """The delays of one source.

    Args:
        rows: a profile of `PROFILES`.
        jitter: returns a number between -1 and 1; injected, so that tests are exact.
    """

    rows: Mapping[str, Row]
    jitter: Callable[[], float]
    _failures: dict[str, int] = attrs.field(factory=dict)

    def after(self, cause: str, *, healthy: bool, retry_after: float | None = None) -> float | None:
        """How long to wait after a connection ended.

        Args:
            cause: a key of the profile.
            healthy: whether the connection proved itself before it ended.
            retry_after: seconds the upstream asked for; the later of the two counts.

        Returns:
            Seconds; None where connecting again is pointless until the configuration changes.
        """
        row = self.rows[cause]
        asked = min(retry_after or 0.0, RETRY_AFTER_LIMIT)
        if healthy and cause != UNEXPECTED:  # a mistake of ours is no less one for the items that came before it
            self._failures.clear()
        if row.schedule is None:
            return None
        if healthy and row.at_once:
            return asked
        failures = self._failures.get(cause, 0) + 1
        self._failures[cause] = failures
        delay = row.schedule(failures)
        return max(delay * (1 + JITTER * self.jitter()), asked)
