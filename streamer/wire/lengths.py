# -*- test-case-name: tests.unit.test_wire_lengths -*-
"""Frames that say their length first: the form that `delimited=length` asks Twitter v1 for.

A decimal count of bytes stands on a line of its own, then exactly so many bytes follow. The count includes the line
end after the object; blank lines may come before any count, and keep the connection alive
(https://web.archive.org/web/20131019203114/https://dev.twitter.com/docs/streaming-apis/parameters). Nothing inside a
frame ends it: Twitter v1 did send objects with bare line feeds between their bytes
(https://web.archive.org/web/20140902105743/https://dev.twitter.com/docs/streaming-apis/processing), which is why its
streams are read this way and not by lines.

A count is believed only where it can be one. Where it cannot, we are out of step with the stream, and no byte in it
marks where the next frame begins: to search for something that looks like a count would sooner or later deliver half
a post. So the framer gives up, and the caller connects again.
"""

from __future__ import annotations

import attrs
from zope.interface import implementer

from streamer.errors import DecodeError
from streamer.interfaces import IFramer

FRAME_LIMIT = 1_000_000  # bytes; a tweet of v1.1 with all its entities and a quoted one is 2 to 30 kB
COUNT_LIMIT = 10  # bytes of the line with the count, white space included; a larger number is no length of a frame

_LINE_END = 2  # bytes of the CR LF that a count includes


@implementer(IFramer)
@attrs.define
class Lengths:
    """Cuts a byte stream by the counts in it, in time linear in its length.

    `feed` raises DecodeError where a count is no number or has more than `COUNT_LIMIT` characters. Hang up then: every
    later `feed` raises the same. Frames that were complete before it are not lost: where there are any, they are
    returned, and the next `feed` raises.

    Args:
        limit: longest frame in bytes, without its line end; the bytes of a longer one are skipped, and counted.
    """

    limit: int = FRAME_LIMIT
    skipped: int = 0
    _count: bytes = b""  # the line of the count, as far as it has come; whole while a frame is under way
    _parts: list[bytes] = attrs.field(factory=list)  # of the unfinished frame
    _left: int = 0  # bytes of the unfinished frame that are still to come; 0 between frames
    _skipping: bool = False  # the unfinished frame is too long
    _lost: DecodeError | None = None  # why the place in the stream is not known any more

    def feed(self, data: bytes) -> list[bytes]:
        """See `IFramer.feed`.

        Raises:
            DecodeError: there is no way to find the next frame; hang up and connect again.
        """
        frames: list[bytes] = []
        start = 0
        while start < len(data) and self._lost is None:
            if self._left:
                end = min(start + self._left, len(data))
                if frame := self._body(data[start:end]):
                    frames.append(frame)
                start = end
            else:
                start = self._head(data, start)
        if self._lost is not None and not frames:
            raise self._lost
        return frames

    @property
    def pending(self) -> bool:
        """See `IFramer.pending`."""
        return bool(self._count) or self._left > 0

    def finish(self) -> bytes:
        """See `IFramer.finish`. The bytes are as they came, the line with the count first."""
        rest = b"" if self._skipping else b"".join([self._count, *self._parts])
        self._next()
        return b"" if rest.isspace() else rest

    def _head(self, data: bytes, start: int) -> int:
        """Read on in the line of the count; returns where the rest of the data begins."""
        end = data.find(b"\n", start)
        if end < 0:
            self._count += data[start : start + COUNT_LIMIT + 2]
            if len(self._count) > COUNT_LIMIT + 1:  # one more for the CR that may be its last byte
                self._lose()
            return len(data)
        self._count += data[start : end + 1]
        line = self._count[:-1].removesuffix(b"\r")
        count = line.strip()
        if len(line) > COUNT_LIMIT or (count and not count.isdigit()):
            self._lose()
        elif count and (left := int(count)):
            self._left = left
            self._skipping = left > self.limit + _LINE_END
            self.skipped += self._skipping
        else:
            self._next()  # a keep-alive, or a frame of no bytes
        return end + 1

    def _body(self, part: bytes) -> bytes:
        """Take bytes of the frame under way; returns it where they complete it, b"" otherwise."""
        self._left -= len(part)
        if not self._skipping:
            self._parts.append(part)
        if self._left:
            return b""
        frame = b"".join(self._parts).removesuffix(b"\n").removesuffix(b"\r")
        self._next()
        if len(frame) > self.limit:
            self.skipped += 1
            return b""
        return b"" if frame.isspace() else frame

    def _next(self) -> None:
        self._count = b""
        self._parts.clear()
        self._left = 0
        self._skipping = False

    def _lose(self) -> None:
        self._count = self._count[: COUNT_LIMIT + 2]
        self._lost = DecodeError(
            f"expected the length of a frame and found {self._count!r}: the place in the stream is lost, connect again"
        )
