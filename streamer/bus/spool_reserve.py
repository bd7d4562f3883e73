# -*- test-case-name: tests.unit.test_bus_spool_reserve -*-
"""Disk space set aside, for to delete takes space as well.

SQLite writes a delete to its log first, and can use the log's own space again only once the log was moved into the
file, which may have to grow for that. On a disk that is full nothing of it can be done; so a file of no use is kept,
and removed when the room is needed. Chunks are stored only while it is there: they would take the log's space, and
leave none for the deletes.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import attrs

# What the log may hold, its limit and one job (spool_opening.WAL_KEPT, spool_turns.JOB_BYTES), and half as much again.
RESERVE = 25_165_824  # bytes
# A file system (with a C library that does not help out) where space cannot be had in advance: go on without.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@attrs.define
class Reserve:
    """The file `<spool>.reserve`. Blocking."""

    _path: Path
    _size: int = RESERVE
    held: bool = False

    def hold(self) -> None:
        """Have the space; at once where it is held already.

        Raises:
            OSError: there is not as much.
        """
        if self.held:
            return
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                self.give_up()  # what there was of it
                raise
        finally:
            os.close(descriptor)
        self.held = True

    def give_up(self) -> None:
        """Let the space be used; also that of a process that was killed."""
        self.held = False
        self._path.unlink(missing_ok=True)
