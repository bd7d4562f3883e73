# -*- test-case-name: tests.unit.test_fanout_framing -*-
"""Websocket text frames as bytes, so that one frame can be shared by all who are sent it.

Frames from a server are not masked, so the same bytes serve everybody.
https://www.rfc-editor.org/rfc/rfc6455#section-5.2
"""

from __future__ import annotations

import struct

FIN_TEXT = 0x81  # a whole message of text in one frame
_SHORT = 126  # payloads below this length carry it in the second byte
_MEDIUM = 1 << 16


def header(length: int, first: int = FIN_TEXT) -> bytes:
    """The header of an unmasked frame whose payload has `length` bytes; `first` is its first byte."""
    if length < _SHORT:
        return bytes((first, length))
    if length < _MEDIUM:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


def text_frame(payload: bytes) -> bytes:
    """One message of text, `payload` being UTF-8."""
    return header(len(payload)) + payload
