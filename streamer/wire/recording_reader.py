# -*- test-case-name: tests.unit.test_recording -*-
"""The bytes of a recording → its entries."""

from __future__ import annotations

import attrs

from streamer.errors import DecodeError
from streamer.wire.recording import LINE_LIMIT, CutOff, Damaged, Entry, Header, Joined, Recorded, header_of, item_of


@attrs.define
class Reader:
    """Bytes → the lines of a recording; any split of the bytes gives the same ones.

    Args:
        header: None until its line is whole.
        limit: bytes of a line; a longer one is damaged.
    """

    limit: int = LINE_LIMIT
    header: Header | None = None
    number: int = -1  # of the last line
    _parts: list[bytes] = attrs.field(factory=list)  # of the unfinished line
    _size: int = 0

    def feed(self, data: bytes) -> list[Entry]:
        """Take bytes; returns what became whole.

        Raises:
            DecodeError: this is no recording, or one that we cannot read; the text is a clause about it.
        """
        entries: list[Entry] = []
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._keep(piece)
            long, line = self._size > self.limit, b"".join(self._parts)
            self._parts, self._size = [], 0
            entry = self._line(line, long=long)
            if entry is not None:
                entries.append(entry)
        self._keep(rest)
        if self.header is None and self._size > self.limit:
            header_of(b"")
        return entries

    def finish(self) -> list[Entry]:
        """There is no more.

        Raises:
            DecodeError: as `feed`.
        """
        rest, long = b"".join(self._parts).strip(), self._size > self.limit
        self._parts, self._size = [], 0
        if self.header is None:
            if self.number < 0 and not rest:
                raise DecodeError("is empty: no recording")
            self.header = header_of(rest)
            return []
        if not rest and not long:
            return []
        self.number += 1
        try:  # an editor may have left out the last line's end
            return [self._entry(rest)]
        except DecodeError:
            return [CutOff(self.number)]

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self.limit:
            self._parts = []
        elif piece:
            self._parts.append(piece)

    def _line(self, line: bytes, *, long: bool) -> Entry | None:
        self.number += 1
        if self.header is None:
            self.header = header_of(line)
            return None
        if long:
            return Damaged(self.number, f"is longer than {self.limit} bytes")
        if not line.strip():
            return None
        try:
            return self._entry(line)
        except DecodeError as error:
            return Damaged(self.number, str(error))

    def _entry(self, line: bytes) -> Entry:
        found = item_of(line)
        return Joined(self.number, found.sources) if isinstance(found, Header) else Recorded(self.number, found)
