# -*- test-case-name: tests.unit.test_recording -*-
"""A recording on disk, read piece by piece; each piece takes a few milliseconds at most."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import BinaryIO, Self

import attrs

from streamer.errors import DecodeError, StreamerError
from streamer.wire.packing import Unpacker, unpacker_of
from streamer.wire.recording import CutOff, Entry, Header
from streamer.wire.recording_reader import Reader

CHUNK = 65_536  # bytes of the file read at once
LEAST, PIECES = (
    4_096,
    64,
)  # a short file is read in so many pieces, of so many bytes at least, so that one sees it go on


class RecordingUnusable(StreamerError):
    """The file cannot be played, or not any further. Print it."""


@attrs.define(eq=False)
class RecordingFile:
    """An open recording.

    Args:
        size: bytes, when it was opened.
        read: bytes of the file so far.
    """

    path: str
    size: int
    _file: BinaryIO
    _unpacker: Unpacker
    read: int = 0
    _reader: Reader = attrs.field(factory=Reader)
    _first: list[Entry] | None = None  # what came with the header
    _over: bool = False

    @classmethod
    def open(cls, path: str) -> Self:
        """Open a file and read its header.

        Raises:
            RecordingUnusable: it cannot be read, or is no recording.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # of a pipe: do not wait
        except (OSError, ValueError) as error:
            raise RecordingUnusable(f"the recording {path} cannot be read: {_why(error)}") from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise RecordingUnusable(f"the recording {path} is no regular file")
        made = cls(path, status.st_size, os.fdopen(descriptor, "rb"), unpacker_of(path))
        try:
            made._first = []
            while made._reader.header is None and not made._over:
                made._first += made._more()
        except BaseException:
            made.close()
            raise
        return made

    @property
    def header(self) -> Header:
        """Its first line."""
        if self._reader.header is None:
            raise ValueError("a recording has a header once it was opened")
        return self._reader.header

    @property
    def sources(self) -> Mapping[str, str]:
        """The recorded names and their types."""
        return self.header.sources

    def entries(self) -> list[Entry] | None:
        """The next entries, perhaps none of them; None at the end.

        Raises:
            RecordingUnusable: it is damaged from here on.
        """
        first, self._first = self._first, None
        if first is not None:
            return first
        return None if self._over else self._more()

    def close(self) -> None:
        """Let go of the file."""
        self._over = True
        self._file.close()

    def _more(self) -> list[Entry]:
        try:
            if self._unpacker.hungry:
                data = self._file.read(max(LEAST, min(CHUNK, self.size // PIECES)))
                self.read += len(data)
                if not data:
                    return self._finish()
                self._unpacker.give(data)
            return self._reader.feed(self._unpacker.step())
        except DecodeError as error:
            after = f" after line {self._reader.number + 1}" if self._reader.header is not None else ""
            raise RecordingUnusable(f"the recording {self.path} {error}{after}") from error
        except OSError as error:
            raise RecordingUnusable(f"the recording {self.path} cannot be read: {_why(error)}") from error

    def _finish(self) -> list[Entry]:
        self._over = True
        entries = self._reader.finish()
        if self._unpacker.unfinished and not any(isinstance(entry, CutOff) for entry in entries):
            entries.append(CutOff(self._reader.number, within=False))
        return entries


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
