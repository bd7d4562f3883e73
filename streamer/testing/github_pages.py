# -*- test-case-name: tests.unit.test_testing_github -*-
"""The lists of events that a simulated GitHub shows, and who may see how much of them.

https://docs.github.com/en/rest/activity/events and
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import attrs
import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from streamer.testing.answering import Answering, Whole
from streamer.testing.faults import Status
from streamer.testing.github_events import Events
from streamer.testing.pages import Folder

WINDOW = 300  # events that a list shows
MONTH = 30 * 86_400.0  # seconds that an event is in a list
KEPT = 20_000  # events of all lists
ANONYMOUS = 60  # requests an hour
AUTHENTICATED = 5_000
HOUR = 3600.0  # seconds
DOCS = "https://docs.github.com/rest/activity/events"
JSON = "application/json; charset=utf-8"
REASONS = {
    400: "Problems parsing JSON",
    401: "Bad credentials",
    404: "Not Found",
    422: "In order to keep the API fast for everyone, pagination is limited for this resource.",
    429: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
    500: "Server Error",
    502: "Server Error",
    503: "Service unavailable",
}
EXCEEDED = (
    "API rate limit exceeded for 192.0.2.1. (But here's the good news: Authenticated requests get a higher rate)"
)

_LIST = re.compile(r"(?:events|(orgs/[^/]+|repos/[^/]+/[^/]+|networks/[^/]+/[^/]+)/events|"
                   r"(users/[^/]+)/(?:received_)?events(?:/public)?)")  # fmt: skip


class Listed(NamedTuple):
    """An event in the lists: when, ms since the epoch, and in which besides the public one."""

    id: str
    body: bytes
    at_ms: int
    names: frozenset[str]


@attrs.define
class Allowance:
    """The requests of one account, or of all without one, in an hour."""

    limit: int
    used: int = 0
    reset: float = 0.0  # seconds since the epoch

    def look(self, now: float) -> None:
        """Begin anew where the hour is over."""
        if now >= self.reset:
            self.used, self.reset = 0, now + HOUR

    def headers(self) -> dict[str, str]:
        """As each answer has them."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "X-RateLimit-Used": str(self.used),
            "X-RateLimit-Reset": str(math.ceil(self.reset)),
            "X-RateLimit-Resource": "core",
        }


def refused(status: int, message: str, headers: Mapping[str, str] | None = None) -> Whole:
    """A refusal in GitHub's form."""
    body = {"message": message, "documentation_url": DOCS, "status": str(status)}
    return Whole(status, {"Content-Type": JSON, **(headers or {})}, msgspec.json.encode(body))


def on_demand(fault: Status, now: float) -> Whole:
    """The refusal that a fault asks for: 403 is the limit of an hour, 429 the secondary one."""
    status = int(fault.status)
    if status == 403:
        spent = Allowance(ANONYMOUS, ANONYMOUS, now + fault.reset_after)
        return refused(403, EXCEEDED, spent.headers())
    wait = {"Retry-After": str(math.ceil(fault.reset_after))} if status == 429 else {}
    return refused(status, REASONS[status], wait)


@attrs.define(eq=False)
class Lists:
    """All lists, the newest event first in each.

    Args:
        token: that of the one account; others are nobody's.
        poll_interval: seconds, as `X-Poll-Interval` has them.
        moved: where a path has gone, and with which status that is told.
    """

    clock: IReactorTime
    events: Events
    token: str | None
    poll_interval: int
    allowances: Mapping[bool, Allowance] = attrs.field(
        factory=lambda: {False: Allowance(ANONYMOUS), True: Allowance(AUTHENTICATED)}
    )
    moved: dict[str, tuple[int, str]] = attrs.field(factory=dict)
    all: deque[Listed] = attrs.field(factory=lambda: deque(maxlen=KEPT))

    def add(self, event: Listed) -> None:
        """Something happened."""
        self.all.appendleft(event)

    def answer(self, request: Request, path: str) -> Whole:
        """What GET of a path is answered with."""
        allowed = self._admitted(request)
        if isinstance(allowed, Whole):
            return allowed
        if path in self.moved:
            status, target = self.moved[path]
            allowed.used += 1
            query = request.uri.partition(b"?")[2].decode("ascii")
            location = f"{_base(request)}{target}{'?' if query else ''}{query}" if target.startswith("/") else target
            return refused(status, "Moved", {**allowed.headers(), "Location": location})
        found = _LIST.fullmatch(path.strip("/"))
        name = (found[1] or found[2] or "") if found else None
        if name is None or (name and not self.events.knows(name)):
            allowed.used += 1
            return refused(404, REASONS[404], allowed.headers())
        return self._page(request, path, self._shown(name), allowed)

    def _admitted(self, request: Request) -> Allowance | Whole:
        now = self.clock.seconds()
        if not request.getHeader("user-agent"):
            return refused(403, "Request forbidden by administrative rules. Please make sure your request has a"
                                " User-Agent header")  # fmt: skip
        written = request.getHeader("authorization")
        known = written is not None and self.token is not None and written == f"Bearer {self.token}"
        if written is not None and not known:
            return refused(401, REASONS[401])
        allowed = self.allowances[known]
        allowed.look(now)
        if allowed.used >= allowed.limit:
            return refused(403, EXCEEDED, allowed.headers())
        return allowed

    def _shown(self, name: str) -> list[Listed]:
        oldest = (self.clock.seconds() - MONTH) * 1000
        shown: list[Listed] = []
        for event in self.all:
            if event.at_ms >= oldest and (not name or name in event.names):
                shown.append(event)
                if len(shown) == WINDOW:
                    break
        return shown

    def _page(self, request: Request, path: str, shown: Sequence[Listed], allowed: Allowance) -> Whole:
        size = min(100, max(1, _number(request, b"per_page", 30)))
        page = max(1, _number(request, b"page", 1))
        pages = max(1, math.ceil(len(shown) / size))
        if (page - 1) * size >= WINDOW:
            allowed.used += 1
            return refused(422, REASONS[422], allowed.headers())
        here = shown[(page - 1) * size : page * size]
        body = b"[%b]" % b",".join([event.body for event in here])
        etag = f'W/"{hashlib.sha256(body).hexdigest()}"'
        headers = {
            "Content-Type": JSON,
            "Cache-Control": "public, max-age=60, s-maxage=60",
            "ETag": etag,
            "X-Poll-Interval": str(self.poll_interval),
            **_links(f"{_base(request)}{path}?per_page={size}", page, pages),
        }
        if request.getHeader("if-none-match") == etag:
            return Whole(304, {**headers, **allowed.headers()})
        allowed.used += 1
        return Whole(200, {**headers, **allowed.headers()}, body, [event.id for event in here])


class ListsFolder(Folder):
    """Everything that is not `/_sim`."""

    def __init__(self, lists: Lists, answering: Answering) -> None:
        super().__init__()
        self._lists, self._answering = lists, answering

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self  # whatever the path, the lists know it

    def render_GET(self, request: Request) -> int:
        path = request.path.decode("ascii", "replace")
        return self._answering.answer(request, lambda: self._lists.answer(request, path), path)


def _links(url: str, page: int, pages: int) -> dict[str, str]:
    wanted = {"prev": page - 1, "next": page + 1 if page < pages else 0, "last": pages if page < pages else 0,
              "first": 1 if page > 1 else 0}  # fmt: skip
    links = [f'<{url}&page={number}>; rel="{name}"' for name, number in wanted.items() if number > 0]
    return {"Link": ", ".join(links)} if links else {}


def _base(request: Request) -> str:
    scheme = "https" if request.isSecure() else "http"
    return f"{scheme}://{request.getHeader('host')}"


def _number(request: Request, name: bytes, default: int) -> int:
    values: list[bytes] = (request.args or {}).get(name, [])
    return int(values[-1]) if values and values[-1].isdigit() and len(values[-1]) < 9 else default
