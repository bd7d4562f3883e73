# -*- test-case-name: tests.unit.test_wire_zstd -*-
"""Messages that come whole, each compressed as one zstd frame: https://www.rfc-editor.org/rfc/rfc8878

What is no zstd frame, or a damaged one, passes as it is: its source cannot read it, and has it counted. Nothing is
unpacked beyond the limit, whatever a frame says of its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import zstandard
from zope.interface import implementer

from streamer.interfaces import IFramer
from streamer.wire.lines import FRAME_LIMIT

MAGIC = b"\x28\xb5\x2f\xfd"  # of a frame: https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1
DICTIONARY_MAGIC = b"\x37\xa4\x30\xec"  # https://www.rfc-editor.org/rfc/rfc8878#section-5
WINDOW_LIMIT = 8 * 1024 * 1024  # bytes; what every decoder should support: section 3.1.1.1.2
_UNKNOWN = -1  # zstandard's word for a frame that does not say how much it holds


def checked_dictionary(content: bytes) -> bytes:
    """A dictionary that can be used.

    Raises:
        ValueError: it is none.
    """
    if not content.startswith(DICTIONARY_MAGIC):
        raise ValueError("it is no zstd dictionary, which begins with the bytes 37 A4 30 EC")
    try:
        trained = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_FULLDICT)
        zstandard.ZstdCompressor(dict_data=trained).compress(b"")
    except zstandard.ZstdError as error:
        raise ValueError(f"it is no whole zstd dictionary: {error}") from error
    return content


@implementer(IFramer)
@attrs.define
class ZstdMessages:
    """Unpacks messages; those longer than the limit, in bytes, are skipped, packed or not.

    Args:
        dictionary: that all messages were made with; None without one.
    """

    dictionary: bytes | None = attrs.field(default=None, repr=False)
    limit: int = FRAME_LIMIT
    skipped: int = 0
    pending: bool = False
    _zip: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        trained = None if self.dictionary is None else zstandard.ZstdCompressionDict(self.dictionary)
        self._zip = zstandard.ZstdDecompressor(dict_data=trained, max_window_size=WINDOW_LIMIT)

    def feed(self, data: Sequence[Any]) -> Sequence[Any]:
        """See `IFramer.feed`; takes messages where others take bytes."""
        kept: list[Any] = []
        for message in data:
            found = self._unpacked(message) if isinstance(message, bytes) else message
            if found is None or (isinstance(found, bytes) and len(found) > self.limit):
                self.skipped += 1
            else:
                kept.append(found)
        return kept

    def finish(self) -> bytes:
        """See `IFramer.finish`: nothing is ever half."""
        return b""

    def _unpacked(self, message: bytes) -> bytes | None:
        """What a message says; None where that is too much."""
        if not message.startswith(MAGIC) or len(message) > self.limit:
            return message
        try:
            size = zstandard.frame_content_size(message)
            if size > self.limit:
                return None
            if size != _UNKNOWN:
                unpacked: bytes = self._zip.decompress(message)
                return unpacked
            reader = self._zip.stream_reader(message)
            found: bytes = reader.read(self.limit + 1)
            return found
        except (zstandard.ZstdError, MemoryError):
            return message
