# -*- test-case-name: tests.unit.test_services_dead_work -*-
"""Where bodies are while their letters are in hand: a file of ours until they are published again, or one of the
operator's that outlives what is dropped.
"""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

import attrs
import msgspec

from streamer.bus.dead import Letter
from streamer.message import Message
from streamer.services.dead_text import encoded, row

IN_MEMORY = 67_108_864  # bytes; beyond them the bodies go to a file that has no name
BODIES_LIMIT = 2_000_000_000  # bytes on disk


def _temporary() -> BinaryIO:
    return tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # type: ignore[return-value]  # it has all that we use


@attrs.define
class Bodies:
    """Bodies that wait to be published, by the tags of their letters."""

    _file: BinaryIO = attrs.field(factory=_temporary)
    _places: dict[int, tuple[int, int]] = attrs.field(factory=dict)
    _end: int = 0

    def keep(self, letter: Letter) -> bool:
        """Keep a letter's body; False where there is no room.

        Raises:
            OSError: the disk has none.
        """
        if self._end + letter.size > BODIES_LIMIT:
            return False
        self._file.seek(self._end)
        self._file.write(letter.message.body)
        self._places[letter.tag] = (self._end, letter.size)
        self._end += letter.size
        return True

    def whole(self, letter: Letter) -> Message:
        """The message of a bare letter, with its body."""
        at, size = self._places[letter.tag]
        self._file.seek(at)
        return msgspec.structs.replace(letter.message, body=self._file.read(size))

    def close(self) -> None:
        """Forget all."""
        self._file.close()


@attrs.define
class Saving:
    """A file of JSON lines, one a letter: what `list --json` says, with headers, content type and body in base64."""

    path: Path
    _now: float
    _file: BinaryIO = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._file = self.path.open("xb")

    def keep(self, letter: Letter) -> bool:
        """Write a letter.

        Raises:
            OSError: it cannot be.
        """
        message = letter.message
        document = {
            **row(letter, self._now),
            "timestamp_ms": message.timestamp_ms,
            "content_type": message.content_type,
            "headers": dict(message.headers),
            "body_base64": base64.b64encode(message.body).decode(),
        }
        self._file.write(encoded(document).encode() + b"\n")
        return True

    def finish(self) -> None:
        """Have it on the disk, its name too.

        Raises:
            OSError: it is not.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self, *, wanted: bool) -> None:
        """Close the file, and delete it where nothing was dropped after all."""
        try:
            self._file.close()
        finally:
            if not wanted:
                self.path.unlink(missing_ok=True)
