# -*- test-case-name: tests.unit.test_net_poll -*-
"""`GET /poll`: long poll, for whoever has nothing but plain requests.

    GET /poll?topics=post.%23&since=POSITION&last=20&wait=25
    200 {"position", "recovered", "replayed", "reason"?, "oldest"?, "lag"?: [{…}], "events": [EVENT, …]}

Answers at once where there is something, else with the first event or when the wait is over. The next request names
the `position` of this answer as `since`; whoever does that is given every event once. An answer has at most
`cohort.FRAME_LIMIT` bytes of events, or one event that is longer; `replayed` says how many there were at the request.
A position that the relay has not read yet is waited for however short the wait, for nothing true could be said of it.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from twisted.web.server import NOT_DONE_YET, Request

from streamer.errors import ClientError
from streamer.fanout.feed import Feed
from streamer.fanout.grants import insist
from streamer.fanout.listener import Listener
from streamer.fanout.oneway import POLL
from streamer.fanout.protocol import Close
from streamer.metrics import HANDSHAKES
from streamer.net.assets import whole
from streamer.net.oneway import Asked, Entrance, Face, refused
from streamer.net.stuck import Stuck

FACE = "poll"  # the metrics' label
WAIT = 25.0  # seconds; proxies give up at 60, and some browsers' networks earlier
WAIT_LIMIT = 60.0  # seconds
NOTHING = b'"events":[]'


class Poll(Face):
    """The page."""

    def render_GET(self, request: Request) -> int | bytes:
        """Begin to wait, or say why not."""
        entrance = self.entrance
        try:
            asked = entrance.ask(request, "wait")
            wait = _wait(asked)
            entrance.admit(asked.address)
        except ClientError as error:
            return entrance.refuse(request, FACE, error)
        entrance.clients.hub.metrics.add(HANDSHAKES, FACE, "accepted")
        now = entrance.clients.now()
        Waiting(entrance, asked, request).begin(now, now + (0 if request.method == b"HEAD" else wait))
        return NOT_DONE_YET


class Waiting:
    """One request, until it is answered; a `clients.Client` and a `front.Reader`."""

    face = FACE
    paused = False  # one answer, of bounded size, is handed to the transport whole
    feed: Feed | None = None
    stuck: Stuck | None = None

    def __init__(self, entrance: Entrance, asked: Asked, request: Request) -> None:
        self._entrance = entrance
        self._asked = asked
        self._request: Request | None = request  # until it is answered
        self._facts: dict[str, Any] | None = None  # once it has begun
        self._until = 0.0  # when it is answered with nothing, seconds since the epoch

    def begin(self, now: float, until: float) -> None:
        """Answer at once, or wait."""
        entrance, clients = self._entrance, self._entrance.clients
        self._until = until
        self._listener = Listener(clients.hub, self, self.begun, now, POLL, clients.heartbeat)
        clients.opened(self)
        cast(Request, self._request).notifyFinish().addErrback(self._gone)
        try:
            with entrance.charging(self._asked.address):
                self._listener.subscribe(self._asked.wish, now)
        except ClientError as error:
            self._fail(error)
            return
        self.check(now, 0.0)

    def begun(self, facts: dict[str, Any]) -> None:
        """See `Listener`."""
        self._facts = facts

    def wake(self) -> None:
        """See `fanout.front.Reader`."""
        if self._request is None or self._facts is None:
            return
        parts: list[bytes] = []
        try:
            while (part := self._listener.pull(1, self._entrance.clients.now())) is not None:
                parts.append(part)
                if part.startswith(b'"events"'):
                    break
        except ClientError as error:
            self._fail(error)
            return
        if parts:
            self.deliver(*parts)

    def deliver(self, *parts: bytes) -> None:
        """See `fanout.front.Reader`; answers with the members that the encoding has made."""
        if not any(part.startswith(b'"events"') for part in parts):
            parts += (NOTHING,)
        position = (
            self._listener.feed.flow.live.told if parts[-1] is not NOTHING else self._listener.feed.flow.position()
        )
        head = msgspec.json.encode({**(self._facts or {}), "position": position})
        self._answer(b"".join((head[:-1], b",", b",".join(parts), b"}\n")))

    def check(self, now: float, patience: float) -> None:
        """See `clients.Client`."""
        try:
            insist(self._asked.grants, now, self._entrance.clients.hub.metrics)
            with self._entrance.charging(self._asked.address):
                self._listener.beat(now)
        except ClientError as error:
            self._fail(error)
            return
        self.wake()
        if self._request is not None and self._facts is not None and now >= self._until:
            self.deliver()

    def announce(self, in_ms: int) -> None:
        """See `clients.Client`; the answer says enough."""

    def end(self, code: int, reason: str) -> None:
        """Answer with what there is, and keep the connection no longer."""
        request = self._request
        if request is None:
            return
        request.setHeader(b"connection", b"close")
        cast(Any, request.channel).persistent = False
        if self._facts is not None:
            self.wake()
        if self._request is not None and self._facts is not None:
            self.deliver()
        elif self._request is not None:
            self._fail(ClientError("restarting", reason, close=Close.RESTARTING, retry=True))

    def _answer(self, body: bytes) -> None:
        request = self._close()
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        _finish(request, whole(request, body))

    def _fail(self, error: ClientError) -> None:
        request = self._close()
        _finish(request, refused(request, error))

    def _close(self) -> Request:
        """The request, which is to be answered now; everything else is let go."""
        request, self._request = cast(Request, self._request), None
        self._listener.close()
        self._entrance.clients.closed(self)
        self._entrance.admission.release(self._asked.address)
        return request

    def _gone(self, _: object) -> None:
        """The client has hung up, before or while it was answered."""
        if self._request is not None:
            self._close()


def _wait(asked: Asked) -> float:
    try:
        wait = float(asked.more.get("wait", WAIT))
    except ValueError:
        wait = -1.0
    if not 0 <= wait <= WAIT_LIMIT:
        raise ClientError("bad-request", f"wait is a number of seconds from 0 to {WAIT_LIMIT:g}")
    return wait


def _finish(request: Request, body: bytes) -> None:
    if body:
        request.setHeader(b"content-length", b"%d" % len(body))
        request.write(body)
    request.finish()
