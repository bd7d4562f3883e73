# -*- test-case-name: tests.unit.test_metrics -*-
"""`/live /ready /metrics /status`, for operators and their monitors.

`/live` answers while the reactor turns. `/ready` is 503 whenever a user would say "it doesn't work", with the
reasons in its body. `/metrics` is the Prometheus text format 0.0.4
(https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.web.http import NOT_FOUND, SERVICE_UNAVAILABLE
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from streamer.metrics import Metrics

Status = Callable[[], Mapping[str, Any]]
Troubles = Callable[[], list[str]]  # sentences; empty means ready
IDLE_TIMEOUT = 60  # seconds


def admin_site(metrics: Metrics, status: Status, troubles: Troubles) -> Site:
    """The admin endpoint of one process.

    Args:
        status: what `/status` shows, as JSON.
        troubles: why the process is not ready.
    """
    root = _Root()
    root.putChild(b"live", _Page("text/plain", lambda: (200, b"live\n")))
    root.putChild(b"ready", _Page("text/plain", lambda: _ready(troubles())))
    root.putChild(b"metrics", _Page("text/plain; version=0.0.4", lambda: (200, render(metrics).encode())))
    root.putChild(b"status", _Page("application/json", lambda: (200, msgspec.json.encode(status()))))
    return _QuietSite(root, timeout=IDLE_TIMEOUT)


def render(metrics: Metrics) -> str:
    """The numbers as Prometheus text."""
    lines: list[str] = []
    named = None
    for metric, labels, number in metrics:
        if metric is not named:
            kind = "gauge" if metric.gauge else "counter"
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {kind}"]
            named = metric
        pairs = ",".join(f'{name}="{_escape(label)}"' for name, label in zip(metric.labels, labels, strict=True))
        lines.append(f"{metric.name}{{{pairs}}} {number:.17g}" if pairs else f"{metric.name} {number:.17g}")
    return "\n".join(lines) + "\n"


class _QuietSite(Site):
    """Monitors ask every few seconds; an access log of that helps nobody."""

    noisy = False

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

    def render_GET(self, request: Request) -> bytes:
        code, body = self._answer()
        request.setResponseCode(code)
        request.setHeader(b"content-type", self._content_type.encode())
        request.setHeader(b"cache-control", b"no-store")
        return body


class _Root(Resource):
    def getChild(self, path: bytes, request: Request) -> Resource:
        return _Page("text/plain", lambda: (NOT_FOUND, b"there are /live, /ready, /metrics and /status\n"))
