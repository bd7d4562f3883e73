# -*- test-case-name: tests.unit.test_net_outlet -*-
"""The shortest way of bytes to a client's socket.

Twisted's `write` sends nothing: it asks the reactor to, which costs two system calls and a turn before the one that
sends. A socket that has nothing waiting can be written to at once, at less than half the cost; only what it does not
take goes Twisted's way. The order is kept, for as long as something waits there everything goes there. Anything but
a bare TCP or UNIX socket, TLS above all, is left to its transport.
"""

from __future__ import annotations

import socket
from os import write
from typing import Any

from twisted.internet.tcp import Connection

from streamer.metrics import QUEUED, Metrics

UNSENT_LIMIT = 65_536  # bytes the kernel takes that are not on the wire yet: more would only make the lag a lie
SILENCE_LIMIT_MS = 30_000  # in which the peer must acknowledge what was sent, or its connection is dead


def tune(port: Any) -> None:
    """Set the options of a listening socket that those it accepts inherit.

    https://man7.org/linux/man-pages/man7/tcp.7.html; elsewhere than on Linux some are not there, and are left out.
    """
    listening = getattr(port, "socket", None)
    if listening is None or listening.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for name, value in (
        ("TCP_NODELAY", 1),
        ("TCP_NOTSENT_LOWAT", UNSENT_LIMIT),
        ("TCP_USER_TIMEOUT", SILENCE_LIMIT_MS),
    ):
        if hasattr(socket, name):
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Outlet:
    """Writes to one client.

    Args:
        transport: connected; use nothing but this outlet to write to it, or its own `write`.
    """

    __slots__ = ("_below", "_fd", "_metrics", "_transport")

    def __init__(self, transport: Any, metrics: Metrics) -> None:
        self._transport = transport
        self._metrics = metrics
        self._fd = transport.fileno() if isinstance(transport, Connection) else -1
        below = getattr(transport, "transport", None)  # what TLS writes to
        self._below = transport if self._fd >= 0 else below if isinstance(below, Connection) else None

    def send(self, data: bytes) -> None:
        """Write the bytes after all that was written before, now if the socket takes them."""
        transport = self._transport
        if self._fd >= 0 and not transport.dataBuffer and not transport._tempDataBuffer:
            try:
                sent = write(self._fd, data)
            except OSError:
                sent = 0  # full, or broken: then the reactor finds the error where it looks for it
            if sent == len(data):
                return
            data = data[sent:]
            self._metrics.add(QUEUED)
        transport.write(data)

    def backlog(self) -> int:
        """Bytes that the socket has not taken yet; -1 where the transport does not tell."""
        below = self._below
        if below is None:
            return -1
        return int(len(below.dataBuffer) - below.offset + sum(map(len, below._tempDataBuffer)))

    def close(self) -> None:
        """The connection is over, and its descriptor may soon be another's."""
        self._fd = -1
