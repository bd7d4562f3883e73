# -*- test-case-name: tests.unit.test_net_jwks -*-
"""A JSON Web Key Set in a file: small, on a local disk, and read at once."""

from __future__ import annotations

import os
import stat

from streamer.net.jwks import FILE, SET_LIMIT, key_set

Stamp = tuple[int, ...]


def file_path(place: str) -> str:
    """The path of a key set's file, which may be written as `file:/path`, as those of secrets are."""
    return place.removeprefix(FILE)


def read_file(path: str, known: Stamp = ()) -> tuple[Stamp, bytes | None]:
    """Read a key set's file.

    Args:
        known: what an earlier call returned first.

    Returns:
        What tells this content from another, and the content; None where that is known.

    Raises:
        ValueError: it cannot be had; the text says why.
    """
    try:
        # Not blocking, should it be a pipe.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
            if stamp == known:
                return stamp, None
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is no regular file")
            return stamp, file.read(SET_LIMIT + 1)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror or error}") from error


def check_file(place: str) -> None:
    """See that a file holds a key set that we can use.

    Raises:
        ValueError: it does not.
    """
    path = file_path(place)
    try:
        _, content = read_file(path)
        key_set(content or b"")
    except ValueError as error:
        raise ValueError(f"names the file {path!r}: {error}") from error
