"""The reader of `make bench-relay` sees what a server does wrong: else its figures would be worth nothing."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection, serve

from tests.bench.peers.pace import FIRST
from tests.bench.relay_reader import Reader, Received, compiled

EVENTS, CLIENTS = 60, 7
LATE = 20_000_000  # nanoseconds by which the events here are older than they are

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or not Path("/usr/include/zlib.h").exists(), reason="needs a C compiler and zlib"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader, compiled."""
    return compiled(tmp_path_factory.mktemp("reader"))


@contextmanager
def serving(send: Callable[[ServerConnection], None], compression: str | None) -> Iterator[int]:
    """A server that does `send` for each client, once all are there; its port."""
    all_there = threading.Barrier(CLIENTS + 1)

    def handle(connection: ServerConnection) -> None:
        all_there.wait(20)
        time.sleep(0.3)  # the window begins
        send(connection)
        for _ in connection:
            pass

    with serve(handle, "127.0.0.1", 0, compression=compression) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        threading.Thread(target=all_there.wait, args=(20,), daemon=True).start()
        yield server.socket.getsockname()[1]
        server.shutdown()


def event(number: int) -> str:
    """As the servers of the bench send it, but for what the reader does not look at."""
    return f'{{"data":{{"n":{FIRST + number},"t":{time.monotonic_ns() - LATE}}}}}'


def received(
    tmp_path: Path, program: Path, send: Callable[[ServerConnection], None], *, deflate: bool = False
) -> Received:
    """What the reader says of it."""
    options = ("-d",) if deflate else ()
    with (
        serving(send, "deflate" if deflate else None) as port,
        Reader(tmp_path, program, *options, str(port)) as reader,
    ):
        assert reader.open(CLIENTS).deflated == (CLIENTS if deflate else 0)
        return reader.measure(1.0)


class TestReader:
    """reader.c, against an independent server."""

    @pytest.mark.parametrize("deflate", [False, True])
    def test_all(self, tmp_path: Path, program: Path, deflate: bool) -> None:
        """Every event is counted once, alone in a frame and beside others, compressed or not; and its age."""

        def send(connection: ServerConnection) -> None:
            for number in range(0, EVENTS, 4):
                connection.send(event(number))
                connection.send(f'["ev","p",[{",".join(map(event, range(number + 1, number + 4)))}]]')

        found = received(tmp_path, program, send, deflate=deflate)
        assert (found.events, found.least, found.most) == (EVENTS * CLIENTS, EVENTS, EVENTS)
        assert found.frames == EVENTS // 2 * CLIENTS
        assert (found.gaps, found.repeats, found.wrong, found.broken, found.closed) == (0, 0, 0, 0, 0)
        assert LATE / 1e6 <= found.p50 <= found.p99 <= found.max < LATE / 1e6 + 500
        assert found.newest == FIRST + EVENTS - 1

    def test_wrong(self, tmp_path: Path, program: Path) -> None:
        """Events that are missing, sent again or out of order in a frame are told from each other."""

        def send(connection: ServerConnection) -> None:
            for number in (0, 1, 4, 4, 5):  # two are missing, one comes twice
                connection.send(event(number))
            connection.send(f"[{event(6)},{event(8)}]")

        found = received(tmp_path, program, send)
        assert (found.gaps, found.repeats, found.wrong) == (2 * CLIENTS, CLIENTS, CLIENTS)

    def test_closed(self, tmp_path: Path, program: Path) -> None:
        """Connections that the server closes are counted; its pings are answered before."""

        def send(connection: ServerConnection) -> None:
            assert connection.ping().wait(5)
            connection.send(event(0))
            connection.close()

        found = received(tmp_path, program, send)
        assert (found.events, found.closed, found.clients) == (CLIENTS, CLIENTS, 0)

    def test_refused(self, tmp_path: Path, program: Path) -> None:
        """A server that is not there is said to be."""
        with Reader(tmp_path, program, "9") as reader, pytest.raises(AssertionError, match=f"{CLIENTS} were refused"):
            reader.open(CLIENTS)
