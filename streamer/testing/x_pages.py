# -*- test-case-name: tests.unit.test_testing_x -*-
"""How the simulation's web resources answer: JSON, and X's own problems where twisted.web has pages of HTML."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import Request

from streamer.testing.x_problems import METHOD_NOT_ALLOWED, NOT_FOUND, Problem


class ProblemPage(Resource):
    """Answers everything with one problem."""

    isLeaf = True

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self._problem = problem

    def render(self, request: Request) -> bytes:
        return self._problem.answer(request)


class Folder(Resource):
    """A path segment that leads on; by itself, and for unknown segments, 404."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        return ProblemPage(NOT_FOUND)

    def render(self, request: Request) -> bytes:
        verb = request.method.decode("ascii", "replace")
        method = getattr(self, f"render_{verb}", None) if verb in ("GET", "POST") else None
        if method is not None:
            answer: int | bytes = method(request)
            return answer  # type: ignore[return-value]  # NOT_DONE_YET is an int
        problem = METHOD_NOT_ALLOWED if hasattr(self, "render_GET") or hasattr(self, "render_POST") else NOT_FOUND
        return problem.answer(request)


def answer_json(request: Request, value: Any, status: int = 200) -> bytes:
    """The value as JSON."""
    request.setResponseCode(status)
    request.setHeader("content-type", "application/json; charset=utf-8")
    return msgspec.json.encode(value)
