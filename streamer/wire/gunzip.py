# -*- test-case-name: tests.unit.test_wire_gunzip -*-
"""A compressed stream, unpacked on its way to another framer.

An upstream that compresses flushes after each message (Z_SYNC_FLUSH), so every message can be read as soon as its
bytes are here: this framer holds none of them back. Its own memory is the window of zlib, and a block of `BLOCK` bytes
that the inner framer sees before the next one is made.

Deflate makes up to 1032 bytes of one (https://zlib.net/zlib_tech.html). A read that unpacks to more than any stream
does is refused: even taken in small blocks, 64 kB could be twenty million frames of two bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import attrs
from zope.interface import implementer

from streamer.errors import DecodeError
from streamer.interfaces import IFramer

BLOCK = 65_536  # bytes unpacked at once; what a read from a socket brings at most

RATIO_LIMIT = 64  # bytes that one byte may unpack to; posts reach 10, the same post again and again 40
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # the header says which


@implementer(IFramer)
@attrs.define
class Gunzip:
    """Unpacks a body with `Content-Encoding: gzip` or `deflate` and gives it to another framer.

    gzip members may follow one another, with zeros between and after them (RFC 1952, section 2.2). `deflate` means
    the zlib format (RFC 9110, section 8.4.1.2); raw deflate is refused.

    `feed` raises DecodeError where the body is damaged or is not compressed at all. Hang up then: every later `feed`
    raises the same. Frames that were complete before it are returned first, and the next `feed` raises; but what the
    same piece of the body held before the damage may be lost with it.

    Args:
        inner: the framer of the unpacked bytes; its limit holds for frames as they are unpacked.
        block: most bytes to unpack before the inner framer takes them.
    """

    inner: IFramer
    block: int = BLOCK
    _member: Any = None  # zlib's decompressobj, whose type has no public name; None between members
    _taken: int = 0  # compressed bytes so far
    _members: int = 0  # begun so far
    _failure: DecodeError | None = None
    _inside: bool = False  # the last bytes have not come out yet

    @property
    def skipped(self) -> int:
        """See `IFramer.skipped`; the inner framer's."""
        return int(self.inner.skipped)

    @property
    def pending(self) -> bool:
        """See `IFramer.pending`."""
        return self._inside or bool(self.inner.pending)

    def feed(self, data: bytes) -> list[Any]:
        """See `IFramer.feed`.

        Raises:
            DecodeError: the body is damaged, or the inner framer lost its place in it; hang up and connect again.
        """
        frames: list[Any] = []
        self._inside = bool(data)
        if self._failure is None:
            most, size = max(BLOCK, RATIO_LIMIT * len(data)), 0
            try:
                for block in self._unpacked(data):
                    size += len(block)
                    if size > most + self.block:
                        raise DecodeError(f"{len(data)} bytes unpack to more than {most}: a bomb, and no stream")
                    frames += self.inner.feed(block)
                if not frames:
                    frames += self.inner.feed(b"")  # it may have kept back what it has to raise
            except DecodeError as error:
                self._failure = error
        if self._failure is not None and not frames:
            raise self._failure
        return frames

    def finish(self) -> bytes:
        """See `IFramer.finish`; the inner framer's rest, unpacked.

        A live stream is mostly cut before its compression ends. That alone is nothing unfinished.
        """
        self._member = None
        self._members = 0
        return self.inner.finish()

    def _unpacked(self, data: bytes) -> Iterator[bytes]:
        """The blocks that the data unpacks to."""
        for start in range(0, len(data), BLOCK):  # zlib copies its rest at every step: keep that short
            part = data[start : start + BLOCK]
            self._taken += len(part)
            while part:
                if self._member is None:
                    part = part.lstrip(b"\0") if self._members else part
                    if not part:
                        break
                    self._member = zlib.decompressobj(_GZIP_OR_ZLIB)
                    self._members += 1
                yield from self._member_blocks(part)
                part = b""
                if self._member.eof:
                    part = self._member.unused_data
                    self._member = None

    def _member_blocks(self, part: bytes) -> Iterator[bytes]:
        """The blocks of the member under way."""
        full = True
        while full and not self._member.eof:  # after a full block there may be more inside zlib, also without input
            block = self._inflate(part)
            part = self._member.unconsumed_tail
            full = len(block) == self.block
            if block:
                self._inside = False
                yield block

    def _inflate(self, part: bytes) -> bytes:
        try:
            block: bytes = self._member.decompress(part, self.block)
        except zlib.error as error:
            raise DecodeError(
                f"the compressed body is damaged at most {self._taken} bytes in ({error}): connect again,"
                " and where this is the first answer, ask without Accept-Encoding"
            ) from error
        return block
