# -*- test-case-name: tests.unit.test_testing_wikimedia -*-
"""`/v2/stream/<names>`: who gets which streams, from where on, and who gets which refusal.

https://wikitech.wikimedia.org/wiki/Event_Platform/EventStreams_HTTP_Service; the words of refusals are those of
https://gerrit.wikimedia.org/g/mediawiki/services/eventstreams, ids those of https://github.com/wikimedia/KafkaSSE.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import attrs
import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from streamer.testing.connections import Connections
from streamer.testing.faults import AcceptThenClose, Close, Faults, Status
from streamer.testing.history import History, Line
from streamer.testing.pages import Folder, accept_then_close
from streamer.testing.problems import Problem
from streamer.testing.terms import Terms

STREAM = "stream"  # all connections count together
LATEST = -1  # offset: from now on
SCAN = 1024 * 1024  # bytes of the log that are looked at in one go
QUIET_STREAMS = ("revision-create", "page-move", "page-undelete", "page-links-change", "user-blocks-change")
ON_DEMAND = {
    400: "Bad Request",
    403: "Please set a user-agent and respect our robot policy https://w.wiki/4wJS",
    404: "Stream Not Found",
    429: "Too Many Concurrent Connections From Your Client IP",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class About(NamedTuple):
    """What a line is.

    Args:
        stream: of which it is an event.
        at_ms: when that happened, ms since the epoch.
        offset: its place in the log; one number counts for all streams.
    """

    stream: str
    at_ms: int
    offset: int


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A topic in an id: where to go on with it, by time (ms since the epoch) or by place."""

    topic: str
    partition: int
    timestamp: int | None = None
    offset: int | None = None


_decode_rows = msgspec.json.Decoder(list[Row]).decode


def refused(status: int, title: str, detail: str = "", kind: str = "") -> Problem:
    """A refusal as the service words it."""
    body = {
        "status": status,
        "type": kind or title.lower().replace(" ", "_"),
        "title": title,
        "detail": detail or title,
    }
    return Problem(status, body)


def framed(data: bytes) -> bytes:
    """An event; what is none yet, such as garbage, becomes the data of one."""
    return (data if data.startswith(b"event:") else b"event: message\ndata: " + data) + b"\n\n"


def error_event(fault: Close) -> bytes:
    """What a stream says before it ends by a mistake of its own."""
    return b"event: error\ndata: " + msgspec.json.encode({"message": fault.reason})


@attrs.define(eq=False)
class Choice:
    """What one client gets: its streams, each from its own place on, each event with an id for all of them.

    Args:
        streams: their names.
        offsets: of those that are followed, the place in the log of the first event to send, or `LATEST`.
        now_on: the place that `LATEST` means.
    """

    streams: Sequence[str]
    offsets: dict[str, int]
    now_on: int
    _reached: dict[str, int] = attrs.field(factory=dict)

    def __call__(self, line: Line) -> Line | None:
        """The line as this client gets it."""
        about: About = line.about
        offset = self.offsets.get(about.stream)
        if offset is None or about.offset < (self.now_on if offset == LATEST else offset):
            return None
        self._reached[about.stream] = about.at_ms
        return Line(b"event: message\nid: %b\ndata: %b" % (self._id(), line.data), line.id, about)

    def _id(self) -> bytes:
        """Times are 1 ms after the last event of a stream, as if all others had later ones."""
        rows = []
        for stream in self.streams:
            at_ms, offset = self._reached.get(stream), self.offsets.get(stream, LATEST)
            here = {"offset": offset} if at_ms is None else {"timestamp": at_ms + 1}
            rows += [Row(_topic(stream), 0, **here), Row(f"codfw.mediawiki.{stream}", 0, offset=LATEST)]
        return msgspec.json.encode(rows)


class StreamsFolder(Folder):
    """`/v2/stream/`; whatever follows are names.

    Args:
        known: streams in which something may happen.
        strict: ask for a contact in the User-Agent, too.
        cut_after: seconds after which a connection is ended, whatever happens; 0 for never.
    """

    not_found = refused(404, "Not Found")

    def __init__(
        self,
        clock: IReactorTime,
        connections: Connections,
        faults: Faults,
        known: Sequence[str],
        strict: bool,
        cut_after: float,
    ) -> None:
        super().__init__()
        self._clock, self._connections, self._faults = clock, connections, faults
        self._known = frozenset(known) | frozenset(QUIET_STREAMS)
        self._strict = strict
        self._cut_after = cut_after

    def getChild(self, path: bytes, request: Request) -> Resource:
        return StreamPage(self, path.decode("utf-8", "replace").split(","))

    def admit(self, request: Request, names: Sequence[str]) -> int | bytes:
        """Open a stream, or refuse."""
        fault = self._faults.for_request()
        if isinstance(fault, Status):
            return self._on_demand(fault).answer(request)
        agent = request.getHeader("user-agent") or ""
        if not agent or (self._strict and not ("(" in agent and ("@" in agent or "://" in agent))):
            return refused(403, ON_DEMAND[403]).answer(request)
        bare = [name.removeprefix("mediawiki.") for name in names]
        unknown = [name for name in bare if name not in self._known]
        if unknown:
            return refused(
                404, ON_DEMAND[404], f"{', '.join(unknown)} is not a valid stream name", "not_found"
            ).answer(request)
        if self._connections.full(STREAM):
            return refused(429, ON_DEMAND[429]).answer(request)
        try:
            terms = _terms(self._connections.history, bare, request)
        except ValueError as error:
            return refused(400, "Invalid timestamp", str(error), "invalid_timestamp").answer(request)
        if isinstance(fault, AcceptThenClose):
            return accept_then_close(request)
        request.setHeader("cache-control", "no-cache")
        self._connections.open(request, terms)
        if self._cut_after:
            self._cut_later(request)
        return NOT_DONE_YET

    def _on_demand(self, fault: Status) -> Problem:
        problem = refused(int(fault.status), ON_DEMAND[int(fault.status)])
        wait = {"Retry-After": str(int(fault.reset_after))} if fault.status == 429 else {}
        return Problem(problem.status, problem.body, wait)

    def _cut_later(self, request: Request) -> None:
        channel: Any = request.channel
        cut = self._clock.callLater(self._cut_after, channel.loseConnection)
        request.notifyFinish().addBoth(lambda _: cut.cancel() if cut.active() else None)


class StreamPage(Folder):
    """Some streams on one connection."""

    def __init__(self, folder: StreamsFolder, names: Sequence[str]) -> None:
        super().__init__()
        self._folder = folder
        self._names = names

    def render_GET(self, request: Request) -> int | bytes:
        return self._folder.admit(request, self._names)


def _terms(history: History, names: Sequence[str], request: Request) -> Terms:
    """Where to begin, as the service reads it.

    Raises:
        ValueError: `since` is no time.
    """
    rows = _assignments(request.getHeader("last-event-id"), names)
    since: list[bytes] = (request.args or {}).get(b"since", [])
    if not rows:
        at_ms = _since(since[-1].decode("utf-8", "replace")) if since else None
        offset = LATEST if at_ms is None else None
        rows = {name: Row(_topic(name), 0, at_ms, offset) for name in names}
    times = {name: row.timestamp for name, row in rows.items() if row.offset is None and row.timestamp is not None}
    offsets = {name: LATEST if row.offset is None or row.offset < 0 else row.offset for name, row in rows.items()}
    offsets |= _offsets(history, times)
    cursor = min(history.end if offset == LATEST else offset for offset in offsets.values())
    return Terms(stream=STREAM, cursor=cursor, choose=Choice(names, offsets, history.end), framed=framed)


def _assignments(last_id: str | None, names: Sequence[str]) -> dict[str, Row]:
    """Where an id goes on with each stream; nothing where it is none. All is in the one data centre."""
    try:
        rows = _decode_rows(last_id or "[]")
    except msgspec.DecodeError:
        return {}
    return {name: row for row in rows for name in names if row.topic == _topic(name)}


def _offsets(history: History, times: dict[str, int]) -> dict[str, int]:
    """Of each stream the place of the first event of this time or a later one; `LATEST` where there is none.

    What comes after that place comes whatever its time is; what stands before it never does.
    """
    found: dict[str, int] = {}
    cursor = history.since(min(times.values())) if times else history.end
    while cursor < history.end and len(found) < len(times):
        lines, cursor = history.read(cursor, SCAN)
        for line in lines:
            about: About = line.about
            if about.stream in times and about.at_ms >= times[about.stream]:
                found.setdefault(about.stream, about.offset)
    return {**dict.fromkeys(times, LATEST), **found}


def _topic(stream: str) -> str:
    return f"eqiad.mediawiki.{stream}"


def _since(written: str) -> int:
    if written.isdecimal():
        return int(written)
    return int(datetime.fromisoformat(written).timestamp() * 1000)
