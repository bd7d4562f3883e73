"""Calls at hooks in memory: raw HTTP in, raw HTTP out, with ports that only count."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from streamer.net.hook_site import HookSite
from streamer.net.hooks import Hooks


@attrs.define(eq=False)
class Ports:
    """Where hooks would listen.

    Args:
        refuses: what listening fails with.
    """

    open: int = 0
    opened: int = 0
    refuses: Exception | None = None

    async def bind(self, site: HookSite) -> Any:
        """See `hooks.Binding`."""
        if self.refuses is not None:
            raise self.refuses
        self.open += 1
        self.opened += 1
        return self

    def getHost(self) -> str:
        """Nowhere."""
        return "memory"

    def stopListening(self) -> Deferred[None]:
        """The port is closed."""
        self.open -= 1
        return succeed(None)


@attrs.define
class Said:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class Caller:
    """One connection to the hooks, whose bytes are given by hand."""

    def __init__(self, hooks: Hooks, address: str = "192.0.2.1") -> None:
        peer = IPv4Address("TCP", address, 4711)
        self.transport = StringTransport(peerAddress=peer)
        self.channel: Any = hooks.site.buildProtocol(peer)
        if self.channel is not None:
            self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Some bytes."""
        self.channel.dataReceived(data)

    def call(self, path: str, body: bytes = b"", method: str = "POST", **headers: str) -> Said | None:
        """A whole request; header names with `_` for `-`. None where there is no answer yet."""
        lines = [f"{method} {path} HTTP/1.1", "Host: us", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)
        return self.said()

    def said(self) -> Said | None:
        """The answer that came last, which is forgotten by that."""
        written = self.transport.value()
        self.transport.clear()
        if not written:
            return None
        head, _, body = written.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return Said(int(first.split()[1]), headers, body)

    def hang_up(self) -> None:
        """Go away."""
        self.channel.connectionLost(Failure(ConnectionDone()))


def call(hooks: Hooks, path: str, body: bytes = b"", method: str = "POST", **headers: str) -> Said | None:
    """A request on a connection of its own, which is closed."""
    caller = Caller(hooks)
    said = caller.call(path, body, method, **headers)
    caller.hang_up()
    return said


def in_memory(clock: Clock) -> tuple[Hooks, Ports]:
    """Hooks that listen nowhere."""
    ports = Ports()
    return Hooks(ports.bind, clock), ports
