# -*- test-case-name: tests.unit.test_testing_mastodon -*-
"""The endpoints of a Mastodon server's streams: server-sent events below `/api/v1/streaming/`, a websocket at it.

https://docs.joinmastodon.org/methods/streaming/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import msgspec
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from streamer.testing.connections import Connections
from streamer.testing.faults import AcceptThenClose, Status
from streamer.testing.history import Line
from streamer.testing.mastodon_channels import NoChannel, channel, named
from streamer.testing.mastodon_gate import Gate
from streamer.testing.mastodon_refusals import (
    METHOD_NOT_ALLOWED,
    NO_BINARY,
    NOT_FOUND,
    UNKNOWN_CHANNEL,
    UNKNOWN_STREAM,
    Refused,
)
from streamer.testing.pages import Folder, RefusalPage, accept_then_close
from streamer.testing.socket_frames import Closing
from streamer.testing.sockets import Socket, Sockets, is_upgrade
from streamer.testing.terms import Terms

CACHE = "private, no-store"
_EVENT = b"event: "


class MastodonFolder(Folder):
    """A path segment of Mastodon's."""

    not_found = NOT_FOUND
    not_allowed = METHOD_NOT_ALLOWED


def by_event(message: bytes) -> bytes:
    """A message as a server-sent event; whatever is none goes out as the data of one."""
    if isinstance(message, Closing):  # a stream ends without a word
        return b":\n"
    return (message if message.startswith(_EVENT) else b"event: update\ndata: " + message) + b"\n\n"


def parameters(request: Request) -> dict[str, str]:
    """Of the query, the last of each name."""
    return {
        name.decode("utf-8", "replace"): values[-1].decode("utf-8", "replace")
        for name, values in (request.args or {}).items()
    }


@attrs.frozen
class Streams:
    """What the streaming endpoints share."""

    gate: Gate
    connections: Connections
    sockets: Sockets


class StreamPage(MastodonFolder):
    """One stream by server-sent events; those of its parts are below it."""

    def __init__(self, streams: Streams, name: str) -> None:
        super().__init__()
        self._streams = streams
        self._name = name

    def render_GET(self, request: Request) -> bytes | int:
        connections = self._streams.connections
        fault = connections.faults.for_request()
        if isinstance(fault, Status):
            return self._streams.gate.on_demand(fault).answer(request)
        refused = self._streams.gate.refusal(request)
        if refused is not None:
            return refused.answer(request)
        try:
            wanted = channel(self._name, parameters(request), UNKNOWN_CHANNEL)
        except NoChannel as no:
            return Refused(no.status, str(no)).answer(request)
        request.setHeader("cache-control", CACHE)
        if isinstance(fault, AcceptThenClose):
            return accept_then_close(request)

        def choose(line: Line) -> Line | None:
            event, channels = line.about
            if wanted not in channels:
                return None
            return Line(b"%b%b\ndata: %b" % (_EVENT, event.encode(), line.data), line.id)

        connections.open(request, Terms(wanted, connections.history.end, choose=choose, framed=by_event))
        return NOT_DONE_YET


class StreamingPage(MastodonFolder):
    """The websocket, and the way to the streams."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams
        self.putChild(b"health", _Health())
        for name, parts in (("public", ("local", "remote")), ("hashtag", ("local",)), ("user", ("notification",))):
            page = StreamPage(streams, name)
            for part in parts:
                page.putChild(part.encode(), StreamPage(streams, f"{name}:{part}"))
            self.putChild(name.encode(), page)
        for name in ("list", "direct"):
            self.putChild(name.encode(), StreamPage(streams, name))

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self if path == b"" else RefusalPage(Refused(400, UNKNOWN_CHANNEL))

    def render_GET(self, request: Request) -> bytes | int:
        streams = self._streams
        if not is_upgrade(request):  # the streams are on this host
            return NOT_FOUND.answer(request)
        fault = streams.connections.faults.for_request()
        if isinstance(fault, Status):
            return streams.gate.on_demand(fault).answer(request)
        refused = streams.gate.refusal(request)
        if refused is not None:
            return refused.answer(request)
        if isinstance(fault, AcceptThenClose):
            return streams.sockets.accept_then_close(request)
        asked = parameters(request)

        def opened(socket: Socket) -> None:
            socket.wishes = dict[str, list[str]]()
            socket.begin(Terms("websocket", streams.connections.history.end, choose=chooser(lambda: socket.wishes)))
            if "stream" in asked:
                subscribe(socket, asked)

        def protocol_of(offered: list[str]) -> str | None:
            return offered[0] if offered else None  # it holds the token, and has to be repeated

        return streams.sockets.open(request, opened, protocol_of)


def chooser(wishes: Callable[[], dict[str, list[str]]]) -> Callable[[Line], Line | None]:
    """What a websocket gets of each line: the event, for the first of its channels that has it."""

    def choose(line: Line) -> Line | None:
        event, channels = line.about
        found = next((name for wanted, name in wishes().items() if wanted in channels), None)
        if found is None:
            return None
        message = {"stream": found, "event": event, "payload": line.data.decode()}
        return Line(msgspec.json.encode(message), line.id)

    return choose


def heard(socket: Socket, payload: bytes, binary: bool) -> None:
    """A client's message; see `sockets.Sockets`."""
    if binary:
        socket.close(1003, NO_BINARY)
        return
    try:
        asked: Any = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if isinstance(asked, dict):
        subscribe(socket, {str(name): str(value) for name, value in asked.items()})


def subscribe(socket: Socket, asked: dict[str, str]) -> None:
    """Add a channel, or take it away; nothing is said but what is wrong."""
    try:
        wanted = channel(asked.get("stream", ""), asked, UNKNOWN_STREAM)
    except NoChannel as no:
        socket.say(msgspec.json.encode({"error": str(no), "status": no.status}))
        return
    if asked.get("type", "subscribe") == "unsubscribe":
        socket.wishes.pop(wanted, None)
    else:
        socket.wishes[wanted] = named(wanted)


class _Health(MastodonFolder):
    def render_GET(self, request: Request) -> bytes:
        request.setHeader("content-type", "text/plain")
        return b"OK"
