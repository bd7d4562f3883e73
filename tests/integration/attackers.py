"""What the tests of attacks share: sockets that keep to no rule, and a client that keeps to all of them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from streamer.testing.relay_client import KEY

ATTACKER = "127.0.0.2"  # its own address: limits for one address are not to be met by others
PATIENCE = 5.0  # seconds in which the relay must have answered
CUT = 1006  # stands for a connection that ended without a close frame
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1, RSV2 = 0x40, 0x20
DEFLATE = ("Sec-WebSocket-Extensions: permessage-deflate",)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """A websocket frame, right or wrong; the mask is zero, so that the payload can be read off the wire."""
    size = len(payload)
    first, mask = (0x80 if fin else 0) | rsv | opcode, 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def command(*words: Any) -> bytes:
    """A frame of `relay.v1.json`."""
    return frame(TEXT, json.dumps(words).encode())


def deflated(data: bytes) -> bytes:
    """A message as permessage-deflate wants it, as small as it gets."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def request(target: str, *headers: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """The head of an HTTP request."""
    return "\r\n".join([f"{method} {target} {version}", "Host: localhost", *headers, "", ""]).encode("latin-1")


def handshake(*more: str, path: str = "/ws", version: str = "13", key: str = KEY) -> bytes:
    """The head of a websocket's request."""
    wanted = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Version: {version}")
    return request(path, *wanted, f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Protocol: relay.v1.json", *more)


class Attacker:
    """One connection; a context manager."""

    def __init__(self, port: int, source: str = ATTACKER, receive: int | None = None) -> None:
        self.socket = socket.socket()
        if receive is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.settimeout(PATIENCE)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Send it all; False where the relay had hung up, or took nothing more."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def tell(self, head: bytes, data: bytes = b"") -> bytes:
        """Send something while listening, as a careful client does; returns all that came until the end."""
        sending = threading.Thread(target=self.send, args=(head + data,), daemon=True)
        sending.start()
        answer = self.rest()
        sending.join(PATIENCE)
        return answer

    def rest(self, within: float = PATIENCE) -> bytes:
        """What comes until the connection ends, or that long."""
        end = time.monotonic() + within
        with contextlib.suppress(OSError):
            while self._more(end):
                pass
        found, self.received = self.received, b""
        return found

    def ended(self, within: float) -> bool:
        """Whether the relay hangs up in so many seconds."""
        end = time.monotonic() + within
        try:
            while self._more(end):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def head(self) -> str:
        """The head of the next answer."""
        end = time.monotonic() + PATIENCE
        while b"\r\n\r\n" not in self.received:
            assert self._more(end), f"hung up after {self.received!r}"
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def upgrade(self, *more: str) -> Self:
        """Become a websocket."""
        assert self.send(handshake(*more))
        head = self.head()
        assert head.startswith("HTTP/1.1 101 "), head
        return self

    def frames(self, within: float = PATIENCE) -> Iterator[tuple[int, bytes]]:
        """Opcodes and payloads of the relay's frames, until the connection ends or that long."""
        end = time.monotonic() + within
        with contextlib.suppress(OSError):
            while True:
                while (cut := _cut(self.received)) is not None:
                    opcode, payload, self.received = cut
                    yield opcode, payload
                if not self._more(end):
                    return

    def closed(self, within: float = PATIENCE) -> tuple[int, str]:
        """Code and reason of the relay's close frame, `CUT` where it hung up without one."""
        for opcode, payload in self.frames(within):
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()
        return CUT, ""

    def _more(self, end: float) -> bool:
        """Receive some more; False at the end.

        Raises:
            TimeoutError: nothing came in time.
        """
        self.socket.settimeout(max(0.001, end - time.monotonic()))
        data = self.socket.recv(1_000_000)
        self.received += data
        return bool(data)


def _cut(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Opcode and payload of the first frame, and what is behind it."""
    if len(data) < 2:
        return None
    assert not data[1] & 0x80, "a server masks nothing"
    size, start = data[1], 2
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        return None
    return data[0] & 0x0F, data[start : start + size], data[start + size :]


class Watcher(threading.Thread):
    """A client that reads everything; it finds out whether it missed something, and how late what came was.

    Attributes:
        latencies: seconds from the upstream's byte to us, one for each post, in order of arrival.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.latencies: list[float] = []
        self.troubles: list[Any] = []
        self._url = f"ws://127.0.0.1:{port}/ws"
        self._over = threading.Event()
        self._next: int | None = None  # the offset of the log that the next event must have

    def run(self) -> None:
        """Read until it is closed."""
        offered = [Subprotocol("relay.v1.json")]
        with connect(self._url, subprotocols=offered, max_size=None, ping_interval=None) as socket:
            socket.send(json.dumps(["sub", 1, {"id": "all", "topics": ["#"]}]))
            try:
                while not self._over.is_set():
                    self._take(json.loads(socket.recv()), time.time())
            except ConnectionClosed as error:
                self.troubles.append(error)

    def close(self) -> None:
        """Hang up, with the next heartbeat at the latest."""
        self._over.set()
        self.join(PATIENCE)

    def _take(self, words: list[Any], now: float) -> None:
        if words[0] == "subd":
            self._next = _offset(words[2]["position"]) + 1
        elif words[0] == "ev":
            self.latencies += [now - _seconds(event["received"]) for event in words[2] if "received" in event]
            assert self._next is not None
            self._next += len(words[2])
            if _offset(words[1]) != self._next - 1:
                self.troubles.append(f"{words[1]} after so many events that {self._next - 1} was due")
        elif words[0] not in ("welcome", "pos"):
            self.troubles.append(words)


def _offset(position: str) -> int:
    return int(position.split(".")[2]) if not position.startswith("v1.-.") else -1


def _seconds(written: str) -> float:
    """Since the epoch, from RFC 3339."""
    return datetime.fromisoformat(written).timestamp()


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


def noise(size: int) -> bytes:
    """Bytes that do not compress."""
    return os.urandom(size)
