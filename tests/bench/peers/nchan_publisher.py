"""Publishes events to nchan over one HTTP connection, requests pipelined.

`python -m tests.bench.peers.nchan_publisher PORT VARIANTS`
"""

from __future__ import annotations

import argparse
import re
import socket

from tests.bench.peers.pace import Event, publish_all

UNANSWERED = 200  # requests; a server that is behind is asked no faster than it answers
TAKEN = b"HTTP/1.1 2"
REFUSED = re.compile(rb"HTTP/1\.1 [345]")


class Connection:
    """Posts, and counts the answers."""

    def __init__(self, port: int, variants: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._variants, self._unanswered, self._tail = variants, 0, b""

    def publish(self, events: list[Event]) -> None:
        """All of them in one write, once there is room."""
        self._socket.sendall(
            b"".join(
                b"POST /p/%d HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (event.number % self._variants, len(event.text), event.text)
                for event in events
            )
        )
        self._unanswered += len(events)
        self._hear(socket.MSG_DONTWAIT)
        while self._unanswered > UNANSWERED:
            self._hear(0)

    def _hear(self, flags: int) -> None:
        try:
            data = self._socket.recv(1 << 18, flags)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError("nchan closed the publisher's connection")
        data = self._tail + data
        if REFUSED.search(data):
            raise ConnectionError(f"nchan refuses what is published: {data[:200]!r}")
        self._unanswered -= data.count(TAKEN)
        self._tail = data[1 - len(TAKEN) :]  # an answer may begin in one read and end in the next


def main() -> None:
    """Publish until stdin ends."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("port", type=int)
    options.add_argument("variants", type=int)
    chosen = options.parse_args()
    publish_all(Connection(chosen.port, chosen.variants).publish)


if __name__ == "__main__":
    main()
