# -*- test-case-name: tests.unit.test_fanout_oneway -*-
"""How the faces without a conversation write events: server-sent events, `cloudevents.json` and long poll.

Each of their clients has one subscription (see `listener`), so what they are sent is always in the order of the log,
and the position after an event is that event's own. What a client must be told beside events takes the form of an
event here, for there is no other: it bears the type `streamer.subscribed`, `streamer.lag` or `streamer.error`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from streamer.errors import ClientError
from streamer.fanout.deflate import deflated_frame
from streamer.fanout.encoding import Encoding
from streamer.fanout.framing import text_frame
from streamer.fanout.logged import Logged
from streamer.fanout.position import parse

SUBSCRIBED = "streamer.subscribed"  # its data: the facts of `subd` in `relay.v1.json`
LAG = "streamer.lag"  # its data: the facts of `lag`
ERROR = "streamer.error"  # its data: the facts of `err`; the stream ends after it
SOURCE = "/relay"  # of the CloudEvents that the relay itself makes
SEQUENCE_DIGITS = 20  # any 64-bit offset, so that as texts they sort as numbers
_UNSAFE = frozenset({"", "open", "error"})  # types that a browser's EventSource would take for something of its own


class _Type(msgspec.Struct):
    type: str


class _Place(msgspec.Struct):
    sequence: Any = msgspec.UNSET
    position: Any = msgspec.UNSET


_type_of = msgspec.json.Decoder(_Type).decode
_place_of = msgspec.json.Decoder(_Place).decode
_attributes = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_NOWHERE = _Place()


class Announcing(Encoding, Protocol):
    """An encoding that has words for the beginning and the end of a stream, too."""

    def subscribed(self, facts: dict[str, Any]) -> bytes:
        """The subscription has begun; `facts` are those of `subd`."""

    def failed(self, error: ClientError) -> bytes:
        """The stream ends, and why."""


def _whole(body: bytes) -> bytes:
    return body


def _chunk(body: bytes) -> bytes:
    """https://www.rfc-editor.org/rfc/rfc9112#section-7.1: so that a frame with its chunk's head can be shared."""
    return b"%x\r\n%b\r\n" % (len(body), body)


class EventStream:
    """`text/event-stream`; https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

    Args:
        wrap: puts what is written at a time into HTTP's framing.
        end: the bytes after the last of it.
    """

    def __init__(self, wrap: Callable[[bytes], bytes], end: bytes) -> None:
        self._wrap = wrap
        self.end = end

    def events(self, position: str, entries: Sequence[Logged]) -> bytes:
        """Each with its own position for `id`, so that a connection cut between two of them doubles none."""
        positions = [*(entry.position for entry in entries[:-1]), position]
        return self._wrap(b"".join(map(_sent, positions, entries)))

    def position(self, position: str) -> bytes:
        """An `id` without data: it is remembered, and nothing is dispatched."""
        return self._wrap(b"id: %b\n\n" % position.encode())

    def lag(self, facts: dict[str, Any]) -> bytes:
        """`streamer.lag`"""
        return self._said(LAG, facts, facts["to"])

    def subscribed(self, facts: dict[str, Any]) -> bytes:
        """`streamer.subscribed`"""
        return self._said(SUBSCRIBED, facts, facts["position"])

    def failed(self, error: ClientError) -> bytes:
        """`streamer.error`; the position stays what it is."""
        return self._wrap(b"event: %b\ndata: %b\n\n" % (ERROR.encode(), _encode(error_facts(error))))

    def retry(self, after_ms: int) -> bytes:
        """How long to wait before connecting again, when the stream has ended."""
        return self._wrap(b"retry: %d\n\n" % after_ms)

    def _said(self, name: str, facts: dict[str, Any], position: str) -> bytes:
        return self._wrap(b"id: %b\nevent: %b\ndata: %b\n\n" % (position.encode(), name.encode(), _encode(facts)))


class CloudEventFrames:
    """`cloudevents.json`: one event a frame, with the extension attributes `sequence` and `position`.

    `sequence` is the offset (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/sequence.md).

    Args:
        frame: puts a message into a websocket frame.
    """

    def __init__(self, frame: Callable[[bytes], bytes]) -> None:
        self._frame = frame

    def events(self, position: str, entries: Sequence[Logged]) -> bytes:
        """A frame each."""
        positions = [*(entry.position for entry in entries[:-1]), position]
        return b"".join(self._frame(_sequenced(entry, own)) for entry, own in zip(entries, positions, strict=True))

    def position(self, position: str) -> bytes:
        """There is no word for it."""
        return b""

    def lag(self, facts: dict[str, Any]) -> bytes:
        """A CloudEvent of the relay's own."""
        return self._said(LAG, f"lag:{facts['from']}:{facts['to']}", facts, facts["to"])

    def subscribed(self, facts: dict[str, Any]) -> bytes:
        """A CloudEvent of the relay's own."""
        name = f"subscribed:{facts['position']}:{facts.get('reason', 'found')}:{facts['replayed']}"
        return self._said(SUBSCRIBED, name, facts, facts["position"])

    def failed(self, error: ClientError) -> bytes:
        """The close frame says it."""
        return b""

    def _said(self, type_: str, id_: str, facts: dict[str, Any], position: str) -> bytes:
        attributes = {
            "sequence": _sequence(_offset(position)),
            "position": position,
            "specversion": "1.0",
            "id": id_,
            "source": SOURCE,
            "type": type_,
            "datacontenttype": "application/json",
            "data": facts,
        }
        return self._frame(_encode(attributes))


class PollAnswer:
    """Long poll: members of the JSON object that is the answer. There is one of events at most, and one of lag."""

    def events(self, position: str, entries: Sequence[Logged]) -> bytes:
        """`"events":[…]`"""
        return b'"events":[%b]' % b",".join(entry.event for entry in entries)

    def position(self, position: str) -> bytes:
        """It is in every answer, and made with that."""
        return b""

    def lag(self, facts: dict[str, Any]) -> bytes:
        """`"lag":[{…}]`"""
        return b'"lag":%b' % _encode([facts])


SSE = EventStream(_chunk, b"0\r\n\r\n")
SSE_UNCHUNKED = EventStream(_whole, b"")  # for HTTP/1.0, where the connection's end is the end
CLOUDEVENTS = CloudEventFrames(text_frame)
CLOUDEVENTS_DEFLATED = CloudEventFrames(deflated_frame)
POLL = PollAnswer()


def error_facts(error: ClientError) -> dict[str, Any]:
    """What a client is told of an error, as in `err`."""
    return {"code": error.code, "message": error.message, "retry": error.retry}


def event_type(event: bytes) -> str:
    """The `type` of an event that the journal holds."""
    return _type_of(event).type


def _sent(position: str, entry: Logged) -> bytes:
    event = entry.event
    if b"\n" in event or b"\r" in event:
        event = event.translate(None, b"\r\n")  # white space between tokens; within strings JSON has none
    name = event_type(event)
    if name in _UNSAFE or not name.isprintable():
        return b"id: %b\ndata: %b\n\n" % (position.encode(), event)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (position.encode(), name.encode(), event)


def _sequenced(entry: Logged, position: str) -> bytes:
    """The event with the attributes that tell its place, put in before its own without reading them."""
    event = entry.event
    if _place_of(event) != _NOWHERE:  # attributes of those names, which may be there only once
        return _encode({**_attributes(event), "sequence": _sequence(entry.offset), "position": position})
    place = b'{"sequence":"%020d","position":"%b",' % (entry.offset, position.encode())
    return place + event[event.index(b"{") + 1 :]


def _sequence(offset: int) -> str:
    return f"{offset:0{SEQUENCE_DIGITS}d}"


def _offset(position: str) -> int:
    mark = parse(position)
    return 0 if mark is None else mark.offset
