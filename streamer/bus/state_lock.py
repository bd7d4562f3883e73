# -*- test-case-name: tests.unit.test_bus_state_lock -*-
"""One process a source and state directory: a second one would follow the same stream twice and mix up the spool.

The kernel holds the lock (flock) and drops it with the process, however that ends; the file stays, for removing it
would let two processes lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import attrs

from streamer.errors import StreamerError


class StateInUse(StreamerError):
    """Another process follows this source with this state directory. Print it and exit."""


class StateUnusable(StreamerError):
    """The state directory cannot be written. Print it and exit."""


@attrs.define(eq=False)
class StateLock:
    """The lock `<directory>/<source>.lock`; it holds the pid of its holder, for the other's error message.

    It belongs to the process that took it and to those it forks: take it after a daemon has forked, or before.
    """

    _directory: Path = attrs.field(converter=Path)
    _source: str
    _descriptor: int | None = None

    @property
    def path(self) -> Path:
        """The lock's file."""
        return self._directory / f"{self._source}.lock"

    def take(self) -> None:
        """Take the lock; taking it twice is once.

        Raises:
            StateInUse: another holds it.
            StateUnusable: its file cannot be written.
        """
        if self._descriptor is not None:
            return
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StateUnusable(
                f"cannot use the state directory {self._directory} for source {self._source!r}: {error}; "
                "see that this program's user may write there, or set [state] directory to another"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise StateUnusable(
                    f"cannot lock {self.path}: {error}; set [state] directory to one on a file system with locks"
                ) from error
            raise StateInUse(
                f"source {self._source!r} is being followed with the state directory {self._directory} already, by "
                f"process {holder or '(unknown)'}; stop that one, or give this one another [state] directory"
            ) from error
        self._descriptor = descriptor
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except OSError:
            pass  # a full disk; the lock holds all the same, and only the other's message knows less

    def release(self) -> None:
        """Give the lock back; without one, do nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)
