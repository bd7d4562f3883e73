# -*- test-case-name: tests.unit.test_sources_x_filtered -*-
"""The values that pass between a source, which does no I/O, and the adapter that talks to the upstream for it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

DETAIL_LIMIT = 300  # characters of what a stranger said that go into logs and /ready


def brief(text: str) -> str:
    """Text from outside as one short line."""
    line = " ".join(text[: 4 * DETAIL_LIMIT].split())
    return line if len(line) <= DETAIL_LIMIT else f"{line[:DETAIL_LIMIT]}…"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request that a source wants made; `url` is absolute, header names are as written on the wire."""

    method: str = "GET"
    url: str
    headers: Mapping[str, str] = {}
    body: bytes | None = None


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
    """

    cause: str
    detail: str
    retry_after: float | None = None
