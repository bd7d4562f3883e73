# -*- test-case-name: tests.unit.test_net_admin -*-
"""`/live /ready /metrics /status`, for operators and their monitors; the streamer's has the pages of `control` too.

`/live` answers while the reactor turns. `/ready` is 503 whenever a user would say "it doesn't work", with the
reasons in its body. `/metrics` is the Prometheus text format 0.0.4
(https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, cast

import msgspec
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.web.http import NOT_ALLOWED, NOT_FOUND, SERVICE_UNAVAILABLE, HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from streamer.metrics import Metric, Metrics
from streamer.net.assets import whole
from streamer.net.control import BODY_LIMIT, control_pages
from streamer.operating import IControl
from streamer.policy.histogram import SUM, cumulative
from streamer.secrets import Secret

Status = Callable[[], Mapping[str, Any]]
Troubles = Callable[[], list[str]]  # sentences; empty means ready
IDLE_TIMEOUT = 60  # seconds
LIFE = 120.0  # seconds of a connection, busy or not: a request that comes a byte at a time must end too
CONNECTIONS = 64  # at once; more are closed, for a client that holds them all takes the descriptors of the upstream
DISCARD_LIMIT = 16_000_000  # bytes of a body that is too long, read only so that the client comes to see the answer


def admin_site(
    metrics: Metrics,
    status: Status,
    troubles: Troubles,
    control: IControl | None = None,
    token: Secret | None = None,
    reactor: Any = None,
) -> Site:
    """The admin endpoint of one process.

    Args:
        status: what `/status` shows, as JSON.
        troubles: why the process is not ready.
        control: what an operator may do here; None where there is nothing to do.
        token: asked of whoever would do it, never of those who only look; see `net.permission`.
        reactor: for time-outs; the global one by default, as Twisted has it.
    """
    pages = {} if control is None else control_pages(control, token)
    root = _Root(["live", "ready", "metrics", "status", *(name.decode() for name in pages)])
    root.putChild(b"live", _Page("text/plain", lambda: (200, b"live\n")))
    root.putChild(b"ready", _Page("text/plain", lambda: _ready(troubles())))
    root.putChild(b"metrics", _Page("text/plain; version=0.0.4", lambda: (200, render(metrics).encode())))
    root.putChild(b"status", _Page("application/json", lambda: (200, msgspec.json.encode(status()))))
    for name, page in pages.items():
        root.putChild(name, page)
    return _QuietSite(root, timeout=IDLE_TIMEOUT, parsePOSTFormSubmission=False, reactor=reactor)


def render(metrics: Metrics) -> str:
    """The numbers as Prometheus text."""
    lines: list[str] = []
    for metric, rows in groupby(metrics, lambda row: row[0]):
        kind = "gauge" if metric.gauge else "histogram" if metric.histogram else "counter"
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {kind}"]
        if metric.histogram:
            lines += _histogram(metric, [(labels, number) for _, labels, number in rows])
        else:
            lines += [_sample(metric.name, metric.labels, labels, number) for _, labels, number in rows]
    return "\n".join(lines) + "\n"


def _histogram(metric: Metric, rows: Iterable[tuple[tuple[str, ...], float]]) -> Iterator[str]:
    for shared, row in groupby(rows, lambda row: row[0][:-1]):
        counted = {labels[-1]: number for labels, number in row}
        total = 0.0
        for bound, total in cumulative(counted):
            yield _sample(f"{metric.name}_bucket", metric.labels, (*shared, bound), total)
        yield _sample(f"{metric.name}_sum", metric.labels[:-1], shared, counted.get(SUM, 0.0))
        yield _sample(f"{metric.name}_count", metric.labels[:-1], shared, total)


def _sample(name: str, names: Sequence[str], labels: Sequence[str], number: float) -> str:
    pairs = ",".join(f'{name}="{_escape(label)}"' for name, label in zip(names, labels, strict=True))
    return f"{name}{{{pairs}}} {number:.17g}" if pairs else f"{name} {number:.17g}"


class _BoundedRequest(Request):
    """A request whose body is held in memory, up to a limit: one byte more than may be, so that it shows."""

    _read = 0  # bytes of the body so far, kept or not

    def gotLength(self, length: int | None) -> None:
        """Make no temporary file, whatever length is promised."""
        self.content = io.BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Keep what may be kept; hang up on what does not end."""
        kept, self._read = self._read, self._read + len(data)
        cast(io.BytesIO, self.content).write(data[: max(0, BODY_LIMIT + 1 - kept)])
        if kept <= DISCARD_LIMIT < self._read:
            cast(Any, self.channel).loseConnection()


class _MortalChannel(HTTPChannel):
    """A connection with an end."""

    site: _QuietSite
    _end: IDelayedCall | None = None

    def connectionMade(self) -> None:
        HTTPChannel.connectionMade(self)
        self._end = cast(Any, self).callLater(LIFE, self.forceAbortClient)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's has no annotation
        if self._end is not None and self._end.active():
            self._end.cancel()
        self.site.open -= 1
        HTTPChannel.connectionLost(self, reason)


class _QuietSite(Site):
    """Few connections, none for ever. Monitors ask every few seconds; an access log of that helps nobody."""

    protocol = _MortalChannel  # type: ignore[assignment]  # Twisted's own is a proxy that can turn into HTTP/2
    requestFactory = _BoundedRequest
    noisy = False
    open = 0  # connections

    def buildProtocol(self, addr: Any) -> Any:
        """A channel; None, which closes the connection, where there are too many."""
        if self.open >= CONNECTIONS:
            return None
        channel: _MortalChannel = super().buildProtocol(addr)
        channel.site = self
        self.open += 1
        return channel

    def log(self, request: object) -> None:
        """Say nothing."""


def _ready(troubles: list[str]) -> tuple[int, bytes]:
    if not troubles:
        return 200, b"ready\n"
    return SERVICE_UNAVAILABLE, "".join(f"{trouble}\n" for trouble in troubles).encode()


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class _Page(Resource):
    isLeaf = True

    def __init__(self, content_type: str, answer: Callable[[], tuple[int, bytes]]) -> None:
        Resource.__init__(self)
        self._content_type = content_type
        self._answer = answer

    def render(self, request: Request) -> bytes:
        """The answer; on a page that is there, none but those who read."""
        code, body = self._answer()
        if request.method not in (b"GET", b"HEAD") and code != NOT_FOUND:
            request.setHeader(b"allow", b"GET, HEAD")
            code, body = NOT_ALLOWED, b"this page is only read\n"
        request.setResponseCode(code)
        request.setHeader(b"content-type", self._content_type.encode())
        request.setHeader(b"cache-control", b"no-store")
        return whole(request, body)


class _Root(Resource):
    def __init__(self, names: Sequence[str]) -> None:
        Resource.__init__(self)
        *most, last = (f"/{name}" for name in names)
        self._known = f"there are {', '.join(most)} and {last}\n".encode()

    def getChild(self, path: bytes, request: Request) -> Resource:
        return _Page("text/plain", lambda: (NOT_FOUND, self._known))
