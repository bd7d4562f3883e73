# -*- test-case-name: tests.unit.test_wire_sse -*-
"""Server-sent events: the stream format of `EventSource`.

The rules are those of the HTML standard
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation), kept to the letter,
because servers lean on the odd ones: three kinds of line end, one byte order mark, an id that outlives its event and
the connection, an event that the end of the stream leaves unfinished is none. Two limits are ours: on the size of an
event and on the time to wait before a reconnect.
"""

from __future__ import annotations

import attrs
import msgspec
from zope.interface import implementer

from streamer.interfaces import IFramer

EVENT_LIMIT = 1_000_000  # bytes; an event of Wikimedia or Mastodon is 1 to 20 kB, pages with many categories 200 kB
RETRY_LIMIT = 86_400_000  # ms; a day: no mistake of a server's shall silence us for longer

_BOM = b"\xef\xbb\xbf"
_RETRY_DIGITS = len(str(RETRY_LIMIT))


class Sent(msgspec.Struct, frozen=True):
    """One event as the server sent it.

    Args:
        data: UTF-8; what was malformed has become U+FFFD. Lines are joined by LF.
        event: the type.
        id: the last id the server gave so far, with this event or before it.
    """

    data: bytes
    event: str = "message"
    id: str = ""


@implementer(IFramer)
@attrs.define
class ServerSent:
    """Cuts events out of an event stream, in time linear in its length.

    Make a new one for every connection, with the `last_id` of the one before.

    Args:
        last_id: what the request said in `Last-Event-ID`, else the empty string.
        limit: longest event in bytes, all of its lines together, without comments and line ends; a longer one is
            skipped to the blank line after it. (Its data may be up to three times as long where all of it is
            malformed.)

    Attributes:
        skipped: events dropped because they were longer than the limit.
        last_id: what to say in `Last-Event-ID` next time; say nothing where it is empty. An event that was skipped
            moves it too, where its id came before the line that was too long.
        retry_ms: how long to wait before connecting again, at most `RETRY_LIMIT`; None where the server did not say.
    """

    last_id: str = ""
    limit: int = EVENT_LIMIT
    skipped: int = attrs.field(default=0, init=False)
    retry_ms: int | None = attrs.field(default=None, init=False)
    _id: str = attrs.field(init=False)  # takes effect with the next blank line
    _event: str = attrs.field(default="", init=False)
    _data: list[bytes] = attrs.field(factory=list, init=False)  # the lines' values
    _size: int = attrs.field(default=0, init=False)  # bytes of the event's lines so far
    _skipping: bool = attrs.field(default=False, init=False)  # the event is too long
    _parts: list[bytes] = attrs.field(factory=list, init=False)  # of the unfinished line
    _held: int = attrs.field(default=0, init=False)  # bytes in _parts
    _mute: bool = attrs.field(default=False, init=False)  # the unfinished line has begun, and nobody will read it
    _after_cr: bool = attrs.field(default=False, init=False)  # an LF that comes next ends no other line
    _start: bytes | None = attrs.field(default=b"", init=False)  # what may become a BOM; None once that is known

    def __attrs_post_init__(self) -> None:
        self._id = self.last_id

    def feed(self, data: bytes) -> list[Sent]:
        """See `IFramer.feed`."""
        if self._start is not None:
            data = self._start + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._start = data
                return []
            data = data.removeprefix(_BOM)
            self._start = None
        if not data:
            return []
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        lines = data.splitlines()  # of bytes: at CR LF, LF and CR, and nowhere else
        rest = b"" if data.endswith((b"\n", b"\r")) or not lines else lines.pop()
        events: list[Sent] = []
        if lines and (self._held or self._mute):
            self._hold(lines[0])
            lines[0] = self._release()
        for line in lines:
            if not line:
                self._dispatch(events)
            elif not line.startswith(b":"):
                self._line(line)
        self._hold(rest)
        return events

    @property
    def pending(self) -> bool:
        """See `IFramer.pending`: a line is not at its end, or an event has not been dispatched."""
        return bool(self._data or self._parts or self._size or self._held or self._mute or self._skipping)

    def finish(self) -> bytes:
        """See `IFramer.finish`: the data of an event whose blank line never came, and half a line; neither counts."""
        if self._start:
            self._parts.append(self._start)
        self._after_cr, self._start, self._id = False, b"", self.last_id
        rest = b"\n".join([*self._data, *filter(None, [b"".join(self._parts)])])
        self._release()
        self._reset()
        return rest

    def _hold(self, part: bytes) -> None:
        """Keep bytes of a line whose end has not come."""
        if self._mute or not part:
            return
        if self._skipping or (not self._parts and part.startswith(b":")):
            self._mute = True
            return
        self._parts.append(part)
        self._held += len(part)
        if self._size + self._held > self.limit:
            self._skip()
            self._release()
            self._mute = True

    def _release(self) -> bytes:
        """The unfinished line as far as it was kept; a comment's colon where nobody will read it."""
        line = b":" if self._mute else b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        self._mute = False
        return line

    def _line(self, line: bytes) -> None:
        """Take a line that is neither blank nor a comment."""
        if self._skipping:
            return
        self._size += len(line)
        if self._size > self.limit:
            self._skip()
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._event = value.decode(errors="replace")
        elif field == b"id":
            if b"\0" not in value:
                self._id = value.decode(errors="replace")
        elif field == b"retry" and value.isdigit():
            digits = value.lstrip(b"0")
            self.retry_ms = min(int(digits or b"0"), RETRY_LIMIT) if len(digits) <= _RETRY_DIGITS else RETRY_LIMIT

    def _dispatch(self, events: list[Sent]) -> None:
        """A blank line: the event is complete, where there is one."""
        self.last_id = self._id
        if self._data:
            data = b"\n".join(self._data)
            if not data.isascii():
                data = data.decode(errors="replace").encode()
            events.append(Sent(data, self._event or "message", self._id))
        self._reset()

    def _skip(self) -> None:
        """The event is too long: forget what was kept of it."""
        self._reset()
        self._skipping = True
        self.skipped += 1

    def _reset(self) -> None:
        self._data.clear()
        self._event = ""
        self._size = 0
        self._skipping = False
