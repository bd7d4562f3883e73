# -*- test-case-name: tests.unit.test_recording -*-
"""Compression of a recording: none, gzip (RFC 1952) for `.gz`, Zstandard (RFC 8878) for `.zst`.

Packing can be flushed, so that what was written until then can be read though the rest never comes. Unpacking gives a
bounded number of bytes for each step, whatever the file would unfold to.
"""

from __future__ import annotations

import zlib
from typing import Any, Protocol

import attrs
import zstandard

from streamer.errors import DecodeError

STEP = 262_144  # bytes that one step of unpacking gives, about; a Zstandard slice may give `SLICE` / 4 blocks
SLICE = 64  # bytes of Zstandard unpacked at once: a block of 128 KiB takes 4 bytes at least, so 2 MiB come of it
WINDOW_LIMIT = 2**25  # bytes of memory that a Zstandard frame may ask for; level 20 takes that much
GZIP_LEVEL = 6
ZSTD_LEVEL = 3
_GZIP = 16 + zlib.MAX_WBITS


class Packer(Protocol):
    """Compresses."""

    @property
    def holds(self) -> bool:
        """It keeps bytes back until it is flushed."""

    def pack(self, data: bytes) -> bytes:
        """Take bytes; what has to be written for them may come later."""

    def flush(self) -> bytes:
        """What has to be written so that all bytes taken can be read."""

    def finish(self) -> bytes:
        """What has to be written at the end."""


@attrs.define
class Plain:
    """No compression."""

    holds: bool = False

    def pack(self, data: bytes) -> bytes:
        """See `Packer`."""
        return data

    def flush(self) -> bytes:
        """See `Packer`."""
        return b""

    def finish(self) -> bytes:
        """See `Packer`."""
        return b""


@attrs.define
class Gzip:
    """gzip."""

    holds: bool = True

    _engine: Any = attrs.field(factory=lambda: zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP))

    def pack(self, data: bytes) -> bytes:
        """See `Packer`."""
        packed: bytes = self._engine.compress(data)
        return packed

    def flush(self) -> bytes:
        """See `Packer`."""
        packed: bytes = self._engine.flush(zlib.Z_SYNC_FLUSH)
        return packed

    def finish(self) -> bytes:
        """See `Packer`."""
        packed: bytes = self._engine.flush()
        return packed


@attrs.define
class Zstandard:
    """Zstandard."""

    holds: bool = True

    _engine: Any = attrs.field(
        factory=lambda: zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compressobj()
    )

    def pack(self, data: bytes) -> bytes:
        """See `Packer`."""
        packed: bytes = self._engine.compress(data)
        return packed

    def flush(self) -> bytes:
        """See `Packer`."""
        packed: bytes = self._engine.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        return packed

    def finish(self) -> bytes:
        """See `Packer`."""
        packed: bytes = self._engine.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
        return packed


class Unpacker(Protocol):
    """Decompresses. `give` only when `hungry`; then `step` until it is hungry again.

    Attributes:
        unfinished: what came so far is not all.
    """

    hungry: bool
    unfinished: bool

    def give(self, data: bytes) -> None:
        """More of the file."""

    def step(self) -> bytes:
        """Some of what it unfolds to; may be empty.

        Raises:
            DecodeError: it is damaged from here on; the text is a clause about the file.
        """


@attrs.define
class Same:
    """What was not compressed."""

    hungry: bool = True
    unfinished: bool = False
    _held: bytes = b""

    def give(self, data: bytes) -> None:
        """See `Unpacker`."""
        self._held, self.hungry = data, False

    def step(self) -> bytes:
        """See `Unpacker`."""
        data, self._held, self.hungry = self._held, b"", True
        return data


@attrs.define
class Gunzipping:
    """gzip; several files put one after the other are one."""

    hungry: bool = True
    unfinished: bool = False
    _held: bytes = b""
    _engine: Any = None

    def give(self, data: bytes) -> None:
        """See `Unpacker`."""
        self._held, self.hungry = data, False

    def step(self) -> bytes:
        """See `Unpacker`."""
        if self._engine is None:
            self._held = self._held.lstrip(b"\0")  # padding
            if not self._held:
                self.hungry = True
                return b""
            self._engine, self.unfinished = zlib.decompressobj(_GZIP), True
        try:
            data: bytes = self._engine.decompress(self._held, STEP)
        except zlib.error as error:
            raise DecodeError(f"is damaged, what gzip says is: {error}") from None
        if self._engine.eof:
            self._held, self._engine, self.unfinished = self._engine.unused_data, None, False
            self.hungry = not self._held
        else:
            self._held = self._engine.unconsumed_tail
            self.hungry = not self._held and len(data) < STEP  # a full step may hold more of the same bytes back
        return data


@attrs.define
class Unzstandarding:
    """Zstandard; several files put one after the other are one."""

    hungry: bool = True
    unfinished: bool = False
    _held: bytes = b""
    _at: int = 0
    _engine: Any = None

    def give(self, data: bytes) -> None:
        """See `Unpacker`."""
        self._held, self._at, self.hungry = self._held[self._at :] + data, 0, False

    def step(self) -> bytes:
        """See `Unpacker`."""
        parts: list[bytes] = []
        size = 0
        while size < STEP and self._at < len(self._held):
            data = self._slice()
            parts.append(data)
            size += len(data)
        self.hungry = self._at >= len(self._held)
        return b"".join(parts)

    def _slice(self) -> bytes:
        if self._engine is None:
            self._engine = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT).decompressobj(write_size=STEP)
            self.unfinished = True
        piece = self._held[self._at : self._at + SLICE]
        self._at += len(piece)
        try:
            data: bytes = self._engine.decompress(piece)
        except zstandard.ZstdError as error:
            raise DecodeError(f"is damaged, what Zstandard says is: {error}") from None
        if self._engine.eof:
            self._at -= len(self._engine.unused_data)
            self._engine, self.unfinished = None, False
        return data


def packer_of(path: str) -> Packer:
    """As the file's name says."""
    if path.endswith(".gz"):
        return Gzip()
    return Zstandard() if path.endswith(".zst") else Plain()


def unpacker_of(path: str) -> Unpacker:
    """As the file's name says."""
    if path.endswith(".gz"):
        return Gunzipping()
    return Unzstandarding() if path.endswith(".zst") else Same()
