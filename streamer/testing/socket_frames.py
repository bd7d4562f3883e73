# -*- test-case-name: tests.unit.test_testing_sockets -*-
"""Websocket frames as a server writes them: https://www.rfc-editor.org/rfc/rfc6455#section-5.2"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from streamer.testing.faults import NOISE, Close

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9  # opcodes: https://www.rfc-editor.org/rfc/rfc6455#section-11.8
DEFLATED = 0x40  # RSV1: https://www.rfc-editor.org/rfc/rfc7692#section-6
_WHOLE = 0x80  # FIN
_TAIL = b"\x00\x00\xff\xff"  # left out of a deflated message: https://www.rfc-editor.org/rfc/rfc7692#section-7.2.1

Packed = Callable[[bytes], bytes]


class Closing(bytes):
    """The payload of a close frame, in the place of a message."""


def closing(fault: Close) -> Closing:
    """How a simulation whose websockets just close says farewell; see `terms.Manners.say`."""
    return Closing(struct.pack("!H", fault.code) + fault.reason.encode())


def frame(opcode: int, payload: bytes, flags: int = 0) -> bytes:
    """One whole frame, unmasked."""
    size, first = len(payload), _WHOLE | flags | opcode
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def framing(deflated: bool, packed: Packed | None) -> Packed:
    """What puts messages into frames; see `terms.Terms.framed`.

    An empty message gives no frame: it is the farewell of who hangs up without a word.

    Args:
        deflated: permessage-deflate was agreed on.
        packed: compresses each message, which then goes out as a binary frame.
    """

    def framed(message: bytes) -> bytes:
        if not message:
            return b""
        if isinstance(message, Closing):
            return frame(CLOSE, message)
        if message is NOISE:
            return frame(BINARY, message)
        if packed is not None:
            return frame(BINARY, packed(message))
        return frame(TEXT, _deflate(message), DEFLATED) if deflated else frame(TEXT, message)

    return framed


def _deflate(message: bytes) -> bytes:
    """Without memory of earlier messages, which any client can read."""
    zip_ = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return (zip_.compress(message) + zip_.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)
