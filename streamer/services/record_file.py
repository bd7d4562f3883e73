# -*- test-case-name: tests.unit.test_recording_cli -*-
"""A recording that is being written. Everything here blocks: it belongs into a thread.

Whatever ends the writing, what was flushed before can be read: after an error the file is cut there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import Self

import attrs

from streamer.errors import StreamerError
from streamer.wire.packing import Packer, packer_of

SYNC_EACH = 1.0  # seconds; what a power cut costs


class RecordingNotWritten(StreamerError):
    """The recording cannot be written, or not any further. Print it and exit."""


@attrs.define(eq=False)
class RecordingTarget:
    """The file of a new recording; nothing is in it, and nothing of an older one is gone, before the first write.

    Args:
        header: its first line.
        fresh: the file was not there before.
        size: bytes in the file.
        write_some: `os.write`.
    """

    path: str
    header: bytes
    fresh: bool
    _descriptor: int
    _packer: Packer
    size: int = 0
    write_some: Callable[[int, memoryview], int] = os.write
    _good: int = 0  # bytes that can be read whatever comes
    _begun: bool = False
    _closed: bool = False

    @classmethod
    def create(cls, path: str, header: bytes, *, force: bool) -> Self:
        """Make the file.

        Args:
            force: an older one may be overwritten.

        Raises:
            RecordingNotWritten: it is there already, or cannot be written.
        """
        flags, fresh = os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK, True
        try:
            try:
                descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                if not force:
                    raise RecordingNotWritten(f"{path} is there already; --force overwrites it") from None
                descriptor, fresh = os.open(path, flags), False
        except (OSError, ValueError) as error:
            raise RecordingNotWritten(f"{path} cannot be written: {why(error)}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise RecordingNotWritten(f"{path} is no regular file")
        return cls(path, header, fresh, descriptor, packer_of(path))

    def write(self, lines: Sequence[bytes], *, sync: bool) -> None:
        """Append lines.

        Args:
            sync: see that they outlive a power cut.

        Raises:
            RecordingNotWritten: not possible, and the file is as it was at the last flush.
        """
        try:
            if not self._begun:
                os.ftruncate(self._descriptor, 0)
                self._begun = True
                lines, sync = [self.header, *lines], True
            self._put(self._packer.pack(b"".join(lines)))
            if sync:
                self._put(self._packer.flush())
                os.fsync(self._descriptor)
            if sync or not self._packer.holds:
                self._good = self.size
        except OSError as error:
            self._cut()
            raise RecordingNotWritten(f"{self.path} cannot be written: {why(error)}") from error

    def close(self, *, discard: bool = False) -> None:
        """End the recording properly; one that was not begun gets its header, or is removed again.

        Args:
            discard: nothing was recorded, and nothing shall be left.

        Raises:
            RecordingNotWritten: not possible, and the file is as it was at the last flush.
        """
        if self._closed:
            return
        try:
            if discard and not self._begun:
                if self.fresh:
                    os.unlink(self.path)
                return
            self.write([], sync=False)
            try:
                self._put(self._packer.finish())
                os.fsync(self._descriptor)
            except OSError as error:
                self._cut()
                raise RecordingNotWritten(f"{self.path} cannot be written: {why(error)}") from error
        finally:
            self._closed = True
            os.close(self._descriptor)

    def abandon(self) -> None:
        """Let go of the file as it is."""
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = self.write_some(self._descriptor, view)
            self.size += written
            view = view[written:]

    def _cut(self) -> None:
        try:
            if self._good:
                os.ftruncate(self._descriptor, self._good)
                self.size = self._good
        except OSError:
            pass  # then a line that breaks off stands at the end, which readers can do with


def why(error: Exception) -> str:
    """What the system says."""
    return getattr(error, "strerror", None) or str(error)
