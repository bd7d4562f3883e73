"""PyPI's `websockets` with its own `broadcast`.

`python -m tests.bench.peers.websockets_peer PORT TICK_MS DEFLATE VARIANTS`
"""

from __future__ import annotations

import asyncio
import sys
import time

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from tests.bench.peers.pace import Pace, say


async def run(port: int, tick: float, deflate: bool, variants: int) -> None:
    """Serve until stdin ends."""
    clients: list[set[ServerConnection]] = [set() for _ in range(variants)]

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        those = clients[int(connection.request.path.rpartition("/")[2])]
        those.add(connection)
        try:
            await connection.wait_closed()
        finally:
            those.discard(connection)

    loop, pace, ended = asyncio.get_running_loop(), Pace(), asyncio.Event()

    def told() -> None:
        line = sys.stdin.readline()
        if line:
            say(pace.told(line, time.monotonic()))
        else:
            ended.set()

    def look() -> None:
        for event in pace.due(time.monotonic()):
            broadcast(clients[event.number % variants], event.text, text=True)
        loop.call_later(tick, look)

    extensions = [ServerPerMessageDeflateFactory()] if deflate else []
    async with serve(handle, "127.0.0.1", port, compression=None, extensions=extensions, backlog=4096):
        loop.add_reader(sys.stdin, told)
        look()
        say("ready")
        await ended.wait()
        sys.exit(0)  # thousands of closing handshakes are nobody's wish


def main() -> None:
    """Of the command line."""
    port, tick_ms, deflate, variants = map(int, sys.argv[1:])
    asyncio.run(run(port, tick_ms / 1000, bool(deflate), variants))


if __name__ == "__main__":
    main()
