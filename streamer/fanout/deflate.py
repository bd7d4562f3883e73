# -*- test-case-name: tests.unit.test_fanout_encoding -*-
"""Compressed websocket frames that every client which negotiated permessage-deflate can read.

A compressor that remembers what it sent before belongs to one connection. One that begins anew with each message does
not: its output refers to nothing outside itself, so it is made once and shared by all, whatever each negotiated about
its window's past. The price is a worse ratio, which many events in one frame make up for.
https://www.rfc-editor.org/rfc/rfc7692#section-7
"""

from __future__ import annotations

import zlib

from streamer.fanout.framing import FIN_TEXT, header, text_frame

RSV1 = 0x40  # the message is compressed
LEVEL = 1  # of zlib: the events of a tick are few, and higher levels cost more time than they save bytes
WINDOW_BITS = 15  # who asks for a smaller window is sent plain frames
LEAST = 200  # bytes of a payload below which it is sent plain
_TAIL = 4  # bytes that the end of every message has in common and that are not sent


def deflated_frame(payload: bytes) -> bytes:
    """One message of text, compressed where that is worth it; `payload` is UTF-8."""
    if len(payload) < LEAST:
        return text_frame(payload)
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    body = data[:-_TAIL]
    if len(body) >= len(payload):
        return text_frame(payload)
    return header(len(body), FIN_TEXT | RSV1) + body
