# -*- test-case-name: tests.unit.test_net_websocket -*-
"""A client of `relay.v1.json` for tests: a plain protocol, in memory or on a socket.

It parses strictly what a server may send (unmasked, unfragmented text, ping, close) and fails on anything else, so
that a test that uses it checks the frames too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone

MASK = b"\x01\x02\x03\x04"  # RFC 6455 wants it random for the sake of proxies; there are none here
KEY = base64.b64encode(b"0123456789abcdef").decode()
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
RSV1 = 0x40
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class RelayClient(Protocol):
    """One connection.

    Args:
        origin: sent when given.
        offer: subprotocols.
        deflate: offer permessage-deflate; the window is kept from message to message, as a client may.

    Attributes:
        head: the server's answer to the handshake, None until it is there.
        frames: JSON of the text frames so far.
        code: of the server's close frame.
    """

    def __init__(
        self, origin: str | None = None, offer: str | None = "relay.v1.json", path: str = "/ws", deflate: bool = False
    ) -> None:
        self.origin = origin
        self.offer = offer
        self.path = path
        self.head: str | None = None
        self.frames: list[Any] = []
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.code: int | None = None
        self.reason = ""
        self.lost = False
        self.deflated = 0  # messages that were
        self.extensions = "permessage-deflate; client_max_window_bits"  # offered with `deflate`
        self._inflate = zlib.decompressobj(-15) if deflate else None
        self._buffer = b""

    def connectionMade(self) -> None:
        """Ask for the websocket."""
        lines = [
            f"GET {self.path} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: keep-alive, Upgrade",
            f"Sec-WebSocket-Key: {KEY}",
            "Sec-WebSocket-Version: 13",
        ]
        if self._inflate is not None:
            lines.append(f"Sec-WebSocket-Extensions: {self.extensions}")
        if self.offer is not None:
            lines.append(f"Sec-WebSocket-Protocol: {self.offer}")
        if self.origin is not None:
            lines.append(f"Origin: {self.origin}")
        self.write("\r\n".join([*lines, "", ""]).encode())

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self.transport is not None:
            self.transport.write(data)

    def send(self, *frame: Any) -> None:
        """Send one frame of the protocol."""
        self.send_frame(TEXT, json.dumps(frame).encode())

    def send_frame(self, opcode: int, payload: bytes) -> None:
        """Send one websocket frame, masked as clients must."""
        masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
        if len(payload) < 126:
            header = struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload))
        elif len(payload) < 65536:
            header = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(payload))
        else:
            header = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, len(payload))
        self.write(header + MASK + masked)

    def dataReceived(self, data: bytes) -> None:
        """Cut frames."""
        self._buffer += data
        if self.head is None:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self.head, self._buffer = head.decode(), rest
        while self.accepted and self._cut():
            pass

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """Remember it."""
        self.lost = True

    @property
    def accepted(self) -> bool:
        """Whether the handshake was, correctly, answered yes."""
        if self.head is None or not self.head.startswith("HTTP/1.1 101 "):
            return False
        accept = base64.b64encode(hashlib.sha1((KEY + GUID).encode(), usedforsecurity=False).digest()).decode()
        return f"Sec-WebSocket-Accept: {accept}" in self.head

    def named(self, name: str) -> list[Any]:
        """The frames of that name."""
        return [frame for frame in self.frames if frame[0] == name]

    def events(self) -> list[Any]:
        """All events so far, in order."""
        return [event for frame in self.named("ev") for event in frame[2]]

    def _cut(self) -> bool:
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        length, start = buffer[1], 2
        if length == 126:
            start = 4
            length = int.from_bytes(buffer[2:4], "big")
        elif length == 127:
            start = 10
            length = int.from_bytes(buffer[2:10], "big")
        if len(buffer) < start + length:
            return False
        payload, self._buffer = buffer[start : start + length], buffer[start + length :]
        self._take(buffer[0], payload)
        return True

    def _take(self, first: int, payload: bytes) -> None:
        if first == 0x80 | TEXT:
            self.frames.append(json.loads(payload))
        elif first == 0x80 | RSV1 | TEXT and self._inflate is not None:
            self.deflated += 1
            self.frames.append(json.loads(self._inflate.decompress(payload + b"\x00\x00\xff\xff")))
        elif first == 0x80 | PING:
            self.pings.append(payload)
        elif first == 0x80 | PONG:
            self.pongs.append(payload)
        elif first == 0x80 | CLOSE:
            self.code, self.reason = int.from_bytes(payload[:2], "big"), payload[2:].decode()
        else:
            raise ValueError(f"a server must not send a frame that begins with {first:#x}")
