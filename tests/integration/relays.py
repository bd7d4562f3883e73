"""What the tests of relays in front of a real broker share: events at a steady rate, and clients that come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
import pika
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol

from streamer.message import EVENTS
from streamer.testing.relay_events import entry
from tests.bus_broker import pika_properties
from tests.processes import DEADLINE, Program, get

RETRY = 0.1  # seconds between two tries to connect
LOST = (ConnectionClosed, InvalidHandshake, InvalidMessage, OSError, TimeoutError)


def relay(folder: Path, name: str, bus: str, page: int, admin: int, more: str = "") -> Program:
    """`twistd relay`; `more` are lines of its table."""
    path = folder / f"{name}.toml"
    path.write_text(
        f'[bus]\nurl = "{bus}"\n[relay]\nlisten = "tcp:{page}:interface=127.0.0.1"\n'
        f'admin = "tcp:{admin}:interface=127.0.0.1"\n{more}\n'
    )
    return Program(folder, name, "twistd", "-n", "--pidfile", "", "relay", "-c", str(path))


def numbers(admin: int, name: str) -> dict[str, float]:
    """The samples of one metric, by what stands between the braces."""
    _, body = get(f"http://127.0.0.1:{admin}/metrics")
    found = {}
    for line in body.decode().splitlines():
        sample, _, number = line.rpartition(" ")
        if sample.partition("{")[0] == name:
            found[sample.partition("{")[2].rstrip("}")] = float(number)
    return found


class Events(threading.Thread):
    """Publishes numbered events, confirmed, until it is told to stop.

    Attributes:
        published: so many, numbered from 1.
    """

    def __init__(self, url: str, rate: float) -> None:
        super().__init__(daemon=True)
        self.published = 0
        self._rate = rate
        self._over = threading.Event()
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()

    def publish(self) -> None:
        """Publish one, in the caller's thread."""
        number = self.published + 1
        made = entry(number, topic=f"post.x.en.{number % 3}", n=number).message
        made = msgspec.structs.replace(made, timestamp_ms=int(time.time() * 1000))
        self._channel.basic_publish(EVENTS, made.topic, made.body, pika_properties(made))
        self.published = number

    def run(self) -> None:
        """Publish steadily."""
        began = time.monotonic()
        while not self._over.wait(max(0.0, began + self.published / self._rate - time.monotonic())):
            self.publish()

    def close(self) -> None:
        """As `finish`."""
        self.finish()

    def finish(self) -> int:
        """Stop, if it was started; returns how many there were."""
        self._over.set()
        if self.is_alive():
            self.join(DEADLINE)
        if self._connection.is_open:
            self._connection.close()
        return self.published


class Follower:
    """One client: connects, follows everything, comes back where it was when its connection ends.

    Attributes:
        seen: the numbers of the events, in order of arrival.
        welcomes: connections so far.
        codes: with which they were closed.
        troubles: frames that tell of a loss.
    """

    def __init__(self, urls: Iterator[str]) -> None:
        self.seen: list[int] = []
        self.welcomes = 0
        self.codes: Counter[int | None] = Counter()
        self.troubles: list[Any] = []
        self.drains: list[float] = []
        self._urls = urls
        self._position: str | None = None
        self._move = 0.0  # seconds to stay on a connection after `draining`

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            with contextlib.suppress(*LOST):
                async with connect(
                    next(self._urls), subprotocols=[Subprotocol("relay.v1.json")], ping_interval=None, open_timeout=5
                ) as socket:
                    await self._follow(socket)
            await asyncio.sleep(RETRY)

    async def _follow(self, socket: ClientConnection) -> None:
        hello = {} if self._position is None else {"resume": self._position}
        await socket.send(json.dumps(["hello", hello]))
        await socket.send(json.dumps(["sub", 1, {"id": "all", "topics": ["#"]}]))
        try:
            async for frame in socket:
                self._take(json.loads(frame))
        finally:
            self.codes[socket.close_code] += 1

    def _take(self, frame: list[Any]) -> None:
        kind, body = frame[0], frame[1]
        if kind == "ev":
            self.seen += [event["data"]["n"] for event in frame[2]]
        if kind in ("ev", "pos"):
            self._position = body
        elif kind == "subd":
            self.welcomes += 1
            if self._position is None:
                self._position = frame[2]["position"]
            if not frame[2]["recovered"]:
                self.troubles.append(frame)
        elif kind in ("lag", "err"):
            self.troubles.append(frame)
        elif kind == "draining":
            self.drains.append(body["in_ms"] / 1000)


class Crowd:
    """Followers in a thread of their own; a context manager."""

    def __init__(self, urls: Callable[[int], Iterator[str]], count: int) -> None:
        self.followers = [Follower(urls(number)) for number in range(count)]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: list[asyncio.Task[None]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result(DEADLINE)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    def until(self, true: Callable[[Follower], Any], what: str) -> None:
        """Wait until something holds for all."""
        end = time.monotonic() + DEADLINE
        while not all(true(one) for one in self.followers):
            late = [one for one in self.followers if not true(one)]
            assert time.monotonic() < end, f"no {what}: {len(late)} of them, {late[0].__dict__}"[:2000]
            time.sleep(0.05)

    def assert_whole(self, count: int) -> None:
        """Each has seen every event since its first, once and in order, and was told of no loss."""
        self.until(lambda one: one.seen and one.seen[-1] == count, f"event {count}")
        for one in self.followers:
            assert one.seen == list(range(one.seen[0], count + 1))
            assert not one.troubles

    async def _begin(self) -> None:
        self._tasks = [self._loop.create_task(one.run()) for one in self.followers]

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
