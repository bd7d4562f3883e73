# -*- test-case-name: tests.unit.test_wire_lines -*-
"""Frames that end with a newline; blank lines are keep-alives.

X separates JSON objects by CR LF and sends an empty line at least every 20 seconds
(https://docs.x.com/x-api/fundamentals/consuming-streaming-data). A JSON text holds no raw newline, so a bare LF may
end a frame as well, and a CR before it is not part of the frame.

Every byte of every post passes here. `bytes.find` looks for a newline many times faster than `bytes.split` does, and
slicing at the places it finds copies a frame once; that is why the loop is written out.
"""

from __future__ import annotations

import attrs
from zope.interface import implementer

from streamer.interfaces import IFramer

FRAME_LIMIT = 1_000_000  # bytes; a stream object of X is 2 to 10 kB, its largest known kinds stay under 100 kB

_CR = 13
_SPACE = 32  # no byte above it is white space


@implementer(IFramer)
@attrs.define
class Lines:
    """Cuts a byte stream at newlines, in time linear in its length.

    Args:
        limit: longest frame in bytes, without its line end; a longer one is skipped to the next newline.
    """

    limit: int = FRAME_LIMIT
    skipped: int = 0
    _parts: list[bytes] = attrs.field(factory=list)  # of the unfinished line
    _size: int = 0  # bytes of it so far, until it is too long
    _skipping: bool = False  # the unfinished line is already too long

    def feed(self, data: bytes) -> list[bytes]:
        """See `IFramer.feed`."""
        find = data.find
        end = find(b"\n")
        if end < 0:
            self._keep(data)
            return []
        frames: list[bytes] = []
        start = 0
        if self._size:
            self._keep(data[:end])
            if frame := self._frame(self._line()):
                frames.append(frame)
            start = end + 1
            end = find(b"\n", start)
        limit = self.limit
        while end >= 0:
            # For an empty line the byte before is another line's: `stop` is then at `start` or one before, no frame.
            stop = end - 1 if data[end - 1] == _CR else end
            if stop - start > limit:
                self.skipped += 1
            elif stop > start:
                frame = data[start:stop]
                if data[start] > _SPACE or not frame.isspace():
                    frames.append(frame)
            start = end + 1
            end = find(b"\n", start)
        self._keep(data[start:])
        return frames

    @property
    def pending(self) -> bool:
        """See `IFramer.pending`."""
        return self._size > 0

    def finish(self) -> bytes:
        """See `IFramer.finish`."""
        return self._line()

    def _keep(self, part: bytes) -> None:
        if self._skipping or not part:
            return
        self._size += len(part)
        if self._size > self.limit + 1:  # one more for the CR that may be its last byte
            self.skipped += 1
            self._skipping = True
            self._parts.clear()
        else:
            self._parts.append(part)

    def _line(self) -> bytes:
        line = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._skipping = False
        return line

    def _frame(self, line: bytes) -> bytes:
        frame = line.removesuffix(b"\r")
        if len(frame) > self.limit:
            self.skipped += 1
            return b""
        return b"" if frame.isspace() else frame
