"""A websocket's client that keeps the frames it gets, written down from RFC 6455, so that it knows nothing of ours."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

MASK = b"\x01\x02\x03\x04"
INTERNAL = 0x40  # RSV1


class Peer(Protocol):
    """One connection; also its own factory."""

    def __init__(self, path: str, headers: Mapping[str, str]) -> None:
        self.asked = path
        self.headers = {
            "Host": "x",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            **headers,
        }
        self.head = self.rest = b""
        self.lost = False

    def buildProtocol(self, address: Any) -> Peer:
        """See `Factory`."""
        return self

    def connectionMade(self) -> None:
        lines = [f"GET {self.asked} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers.items())]
        self.transport.write("\r\n".join([*lines, "", ""]).encode())  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.rest += data
        if not self.head and b"\r\n\r\n" in self.rest:
            self.head, _, self.rest = self.rest.partition(b"\r\n\r\n")
            self.head += b"\r\n"

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True

    def send(self, opcode: int, payload: bytes) -> None:
        """Send one frame, masked."""
        size = len(payload)
        if size < 126:
            length = bytes((0x80 | size,))
        else:
            length = b"\xfe" + struct.pack("!H", size) if size < 65_536 else b"\xff" + struct.pack("!Q", size)
        masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
        self.transport.write(bytes((0x80 | opcode,)) + length + MASK + masked)  # type: ignore[union-attr]

    def frames(self) -> list[tuple[int, bytes]]:
        """Opcode and payload of each whole frame since the last look."""
        return [(first & 0x0F, payload) for first, payload in self._frames()]

    def inflated(self) -> list[tuple[int, bytes]]:
        """The same of a connection with permessage-deflate."""
        unzip = zlib.decompressobj(wbits=-15)
        return [
            (first & 0x0F, unzip.decompress(payload + b"\x00\x00\xff\xff") if first & INTERNAL else payload)
            for first, payload in self._frames()
        ]

    def _frames(self) -> list[tuple[int, bytes]]:
        found = []
        while len(self.rest) >= 2:
            size, at = self.rest[1], 2
            if size == 126:
                size, at = struct.unpack("!H", self.rest[2:4])[0], 4
            elif size == 127:
                size, at = struct.unpack("!Q", self.rest[2:10])[0], 10
            if len(self.rest) < at + size:
                break
            found.append((self.rest[0], self.rest[at : at + size]))
            self.rest = self.rest[at + size :]
        return found
