# -*- test-case-name: tests.unit.test_sources_x_filtered -*-
"""The values that pass between a source, which does no I/O, and the adapter that talks to the upstream for it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

DETAIL_LIMIT = 300  # characters of what a stranger said that go into logs and /ready


def brief(text: str) -> str:
    """Text from outside as one short line, without anything that a terminal would obey."""
    line = " ".join(text[: 4 * DETAIL_LIMIT].split())
    line = "".join([char if char.isprintable() else "\ufffd" for char in line])
    return line if len(line) <= DETAIL_LIMIT else f"{line[:DETAIL_LIMIT]}…"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request that a source wants made; `url` is absolute, header names are as written on the wire.

    Args:
        replays_from: of a stream's request: since when, in ms since the epoch, the answer repeats what was posted;
            None where it begins with what comes next. What was missed before that is a gap.
    """

    method: str = "GET"
    url: str
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    replays_from: int | None = None

    def __repr__(self) -> str:
        """Without headers and body, for they hold secrets."""
        return f"Request({self.method} {self.url})"


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Where a source got to: everything that came in until then is safe.

    Args:
        received: ms since the epoch.
        cursor: that of the last item which had one, in the upstream's own words.
    """

    received: int
    cursor: str | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer to a short request; header names are lower case, `received` is in seconds since the epoch."""

    status: int
    received: float
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Why a connection to an upstream is over.

    Args:
        cause: a row of `policy.backoff.CAUSES`.
        detail: sentence for the operator, with what the upstream said.
        retry_after: seconds the upstream asked us to wait, counted from now.
        whole: the answer came to its proper end; only of answers that are meant to end is that good news.
    """

    cause: str
    detail: str
    retry_after: float | None = None
    whole: bool = False


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What `ISource.prepare` changed on the server, or would have: predicates as the operator writes them.

    Args:
        say: text messages that bring it into force on a websocket that is open.
    """

    added: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    say: tuple[str, ...] = ()


class Undelivered(msgspec.Struct, frozen=True):
    """The upstream says how many items it has kept back on this connection so far.

    Cumulative, and counted by each of its servers for itself: see `policy.undelivered`.
    """

    count: int


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """The upstream warns us, of being slow for instance; `percent` is how full its queue for us is, if it says so."""

    detail: str
    percent: float | None = None


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """The source sees that something was posted in this span, ms since the epoch, which it did not get and cannot."""

    start: int
    end: int
    cause: str = "overflow"


class Mark(msgspec.Struct, frozen=True):
    """Where to go on after the items so far: a cursor for sources whose items have none of their own."""

    cursor: str
