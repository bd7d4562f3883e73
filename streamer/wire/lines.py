# -*- test-case-name: tests.unit.test_wire_lines -*-
"""Frames that end with a newline; blank lines are keep-alives.

X separates JSON objects by CR LF and sends an empty line at least every 20 seconds
(https://docs.x.com/x-api/fundamentals/consuming-streaming-data). A JSON text holds no raw newline, so a bare LF may
end a frame as well, and a CR before it is not part of the frame.
"""

from __future__ import annotations

import attrs
from zope.interface import implementer

from streamer.interfaces import IFramer

FRAME_LIMIT = 1_000_000  # bytes; a stream object of X is 2 to 10 kB, its largest known kinds stay under 100 kB


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
    _size: int = 0  # bytes in _parts
    _skipping: bool = False  # the unfinished line is already too long

    def feed(self, data: bytes) -> list[bytes]:
        """See `IFramer.feed`."""
        head, newline, rest = data.partition(b"\n")
        self._keep(head)
        if not newline:
            return []
        lines = [self._line(), *rest.split(b"\n")]
        self._keep(lines.pop())
        return [frame for line in lines if (frame := self._frame(line))]

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
