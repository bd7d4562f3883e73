# -*- test-case-name: tests.unit.test_testing_x -*-
"""How the simulations' web resources answer: JSON, and the upstream's own words where twisted.web has HTML."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from streamer.testing.problems import METHOD_NOT_ALLOWED, NOT_FOUND, Refusal


class RefusalPage(Resource):
    """Answers everything with one refusal."""

    isLeaf = True

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self._refusal = refusal

    def render(self, request: Request) -> bytes:
        return self._refusal.answer(request)


class Folder(Resource):
    """A path segment that leads on; by itself, and for unknown segments, `not_found`."""

    not_found: Refusal = NOT_FOUND
    not_allowed: Refusal = METHOD_NOT_ALLOWED

    def getChild(self, path: bytes, request: Request) -> Resource:
        return RefusalPage(self.not_found)

    def render(self, request: Request) -> bytes:
        verb = request.method.decode("ascii", "replace")
        method = getattr(self, f"render_{verb}", None) if verb in ("GET", "POST") else None
        if method is not None:
            answer: int | bytes = method(request)
            return answer  # type: ignore[return-value]  # NOT_DONE_YET is an int
        known = hasattr(self, "render_GET") or hasattr(self, "render_POST")
        return (self.not_allowed if known else self.not_found).answer(request)


def answer_json(request: Request, value: Any, status: int = 200) -> bytes:
    """The value as JSON."""
    request.setResponseCode(status)
    request.setHeader("content-type", "application/json; charset=utf-8")
    return msgspec.json.encode(value)


def lead(root: Folder, path: str, page: Resource) -> None:
    """Put a page at a path such as `2/tweets/search/stream`, making the folders on the way."""
    *folders, last = path.encode("ascii").split(b"/")
    here: Resource = root
    for name in folders:
        if name not in here.children:
            here.putChild(name, type(root)())
        here = here.children[name]
    here.putChild(last, page)


def accept_then_close(request: Request) -> int:
    """200, and nothing after the head."""
    request.setHeader("content-type", "application/json; charset=utf-8")
    request.write(b"")
    channel: Any = request.channel
    request.finish()
    channel.loseConnection()
    return NOT_DONE_YET
