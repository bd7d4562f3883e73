# -*- test-case-name: tests.unit.test_testing_x -*-
"""How the simulations' web resources refuse: RFC 7807 problems, as X speaks them and as `/_sim` does for all.

https://www.rfc-editor.org/rfc/rfc7807
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from twisted.web.server import Request


class Refusal(Protocol):
    """An answer that is not what was asked for."""

    def answer(self, request: Request) -> bytes:
        """Set status and headers; returns the body."""


class Problem(msgspec.Struct, frozen=True):
    """A refusal as a problem; `headers` besides the usual ones."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = {}

    def answer(self, request: Request) -> bytes:
        """Set status and headers; returns the body."""
        request.setResponseCode(self.status)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        request.setHeader("content-type", "application/problem+json")
        return msgspec.json.encode(self.body)


def plain(status: int, title: str) -> Problem:
    """A problem of which the status says everything."""
    return Problem(status, {"title": title, "type": "about:blank", "status": status, "detail": title})


def bad_request(message: str) -> Problem:
    """400 from `/_sim`: the body is not as it must be."""
    body = {"title": "Invalid Request", "type": "about:blank", "status": 400, "errors": [{"message": message}]}
    return Problem(400, body)


NOT_FOUND = plain(404, "Not Found")
METHOD_NOT_ALLOWED = plain(405, "Method Not Allowed")
