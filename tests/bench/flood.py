"""An upstream that is never the slower one: X's filtered stream as fast as a socket takes it.

`python -m tests.bench.flood` prints its address and serves until it is ended. One thread a connection; each sends
prepared chunks in which only the ids are rewritten, and waits in `send` while its reader is slower. The rules
endpoint knows what our streamer and tweepy ask of it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator

from tests.bench.ingest_posts import ID_LENGTH, Template, post_id, templates

STREAM = "/2/tweets/search/stream"
RULES = f"{STREAM}/rules"
TOGETHER = 16  # lines in a chunk: a server that is behind writes what its buffer of some 64 kB holds
TICK = 0.01  # seconds between two sends at a fixed rate
KEEP_ALIVE = 10.0  # seconds; X promises at most 20
HEAD_LIMIT = 65_536  # bytes of a request's head

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\nCache-Control: no-cache\r\n\r\n"
)


class Block:
    """All templates once, as HTTP chunks ready to send; a connection has its own."""

    def __init__(self, posts: list[Template], together: int) -> None:
        self.buffer = bytearray()
        self.ends: list[int] = []  # where each chunk ends
        self._ids: list[int] = []  # where each id begins
        for first in range(0, len(posts), together):
            lines = [post.with_id(b"0" * ID_LENGTH) + b"\r\n" for post in posts[first : first + together]]
            self.buffer += b"%x\r\n" % sum(map(len, lines))
            for post, line in zip(posts[first : first + together], lines, strict=True):
                self._ids.append(len(self.buffer) + len(post.before))
                self.buffer += line
            self.buffer += b"\r\n"
            self.ends.append(len(self.buffer))
        self._digits = slice(1, ID_LENGTH - 4)  # of the block's number within an id
        for place, begin in enumerate(self._ids):
            self.buffer[begin : begin + ID_LENGTH] = post_id(0, place)

    def renumber(self, number: int) -> None:
        """Give every post a new id."""
        digits, buffer = post_id(number, 0)[self._digits], self.buffer
        size = len(digits)
        for begin in self._ids:
            buffer[begin + 1 : begin + 1 + size] = digits


class Rules:
    """The rules of all clients; nothing is matched against them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: dict[str, dict[str, str]] = {}
        self._numbers = itertools.count(1)

    def answer(self, body: bytes) -> object:
        """What X says to a GET (no body) or a POST."""
        with self._lock:
            wanted = json.loads(body) if body else {}
            for id_ in wanted.get("delete", {}).get("ids", ()):
                self._rules.pop(str(id_), None)
            made = []
            for rule in wanted.get("add", ()):
                id_ = str(next(self._numbers))
                self._rules[id_] = {"id": id_, **rule}
                made.append(self._rules[id_])
            shown = made if body else list(self._rules.values())
            meta = {"sent": "2026-11-21T04:00:00.000Z", "result_count": len(shown)}
            return {"data": shown, "meta": meta} if shown else {"meta": meta}


class Flood:
    """The server."""

    def __init__(self, rate: float | None, count: int | None, together: int) -> None:
        self._posts = templates()
        self._rate, self._count = rate, count
        self._together = 1 if rate or count else together  # cut exactly where asked
        self._numbers = itertools.count(1)  # of blocks; next() is atomic
        self._rules = Rules()
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Until the process is ended."""
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            try:
                for method, path, body in requests(connection):
                    if path == RULES:
                        connection.sendall(whole("200 OK", self._rules.answer(body if method == "POST" else b"")))
                    elif path == STREAM and method == "GET":
                        connection.sendall(STREAM_HEAD)
                        self._stream(connection)
                    else:
                        connection.sendall(whole("404 Not Found", {"title": "Not Found", "status": 404}))
            except OSError:
                pass  # the reader has gone

    def _stream(self, connection: socket.socket) -> None:
        block = Block(self._posts, self._together)
        if self._rate is None and self._count is None:
            while True:
                block.renumber(next(self._numbers))
                connection.sendall(block.buffer)
        self._measured(connection, block)
        while True:
            time.sleep(KEEP_ALIVE)
            connection.sendall(b"2\r\n\r\n\r\n")

    def _measured(self, connection: socket.socket, block: Block) -> None:
        """One line a chunk, `count` lines in all, so many a second."""
        sent, place, began = 0, len(block.ends), time.monotonic()
        while self._count is None or sent < self._count:
            if place == len(block.ends):
                block.renumber(next(self._numbers))
                place = 0
            due = (
                place + len(block.ends) if self._rate is None else int((time.monotonic() - began) * self._rate) - sent
            )
            if self._count is not None:
                due = min(due, self._count - sent)
            if due <= 0:
                time.sleep(TICK)
                continue
            last = min(place + due, len(block.ends))
            connection.sendall(memoryview(block.buffer)[block.ends[place - 1] if place else 0 : block.ends[last - 1]])
            sent, place = sent + last - place, last


def requests(connection: socket.socket) -> Iterator[tuple[str, str, bytes]]:
    """Method, path and body of each request of a connection, until its end."""
    held = b""
    while True:
        while b"\r\n\r\n" not in held:
            more = connection.recv(65_536)
            if not more or len(held) > HEAD_LIMIT:
                return
            held += more
        head, _, held = held.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        while len(held) < length:
            more = connection.recv(65_536)
            if not more:
                return
            held += more
        yield method, target.partition("?")[0], held[:length]
        held = held[length:]


def whole(status: str, body: object) -> bytes:
    """A short answer."""
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def main() -> None:
    """Serve until ended."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rate", type=float, help="posts a second and connection; as fast as they are read without")
    options.add_argument("--count", type=int, help="posts a connection, then keep-alives; endless without")
    options.add_argument("--together", type=int, default=TOGETHER, help="posts in one HTTP chunk")
    chosen = options.parse_args()
    flood = Flood(chosen.rate, chosen.count, chosen.together)
    print(flood.url, flush=True)
    flood.serve()


if __name__ == "__main__":
    main()
