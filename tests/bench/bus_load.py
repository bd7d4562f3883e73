"""What each contestant of `make bench-bus` sends, is told and answers; the same for all of them.

A contestant is a process. It is told verbs on its stdin, one a line, and answers each by one line of JSON:

    publish EXCHANGE TOPIC COUNT        publish so many with confirms, WINDOW of them under way  ->  Taken
    consume QUEUE COUNT                 take so many off a queue that has them, and ack them     ->  Taken
    delays EXCHANGE TOPIC QUEUE COUNT   publish one each PACE seconds and wait for it            ->  Delays
    both EXCHANGE TOPIC QUEUE COUNT     publish and consume so many at once (in-process bus)     ->  Taken

Where it cannot, the answer is Failed.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

WINDOW = 1_000  # publishes without their confirm, at most
PREFETCH = 256  # deliveries without their ack, at most; the enricher's
ACKED = 64  # deliveries acked together, by those who do it by hand
PACE = 0.01  # seconds between two messages whose delay is measured
WARM = 24  # one delivery in so many goes by before consuming is timed

KIND, CONTENT_TYPE = "post", "application/json"
SOURCE = "bench"
BODY = b'{"text":"' + b"kakapo " * 141 + b'.."}'  # 1,000 bytes, about what a short post has


class Taken(msgspec.Struct, frozen=True):
    """So many messages, in that time; `cpu` is user and system time of the contestant's process, in seconds."""

    count: int
    seconds: float
    cpu: float


class Delays(msgspec.Struct, frozen=True):
    """From before publishing a message until its handler had it, microseconds."""

    delays: list[float]


class Failed(msgspec.Struct, frozen=True):
    """What went wrong instead."""

    error: str


class Contestant(Protocol):
    """One who can do the verbs with a broker."""

    async def publish(self, exchange: str, topic: str, count: int) -> Taken:
        """See above."""

    async def consume(self, queue: str, count: int) -> Taken:
        """See above."""

    async def delays(self, exchange: str, topic: str, queue: str, count: int) -> Delays:
        """See above."""


def message_id(number: int) -> str:
    """What an item of ours would have."""
    return f"{SOURCE}/{number}"


def headers(number: int, now_ms: int) -> dict[str, str | int]:
    """What an item of ours has; who writes to the broker itself adds `timestamp_in_ms`, as our bus does."""
    return {"received": now_ms, "cursor": str(number), "partitionkey": f"author-{number % 1000}"}


def wire_headers(number: int, now_ms: int) -> dict[str, str | int]:
    """All headers of an item as it goes over the wire."""
    return {**headers(number, now_ms), "timestamp_in_ms": now_ms}


class Stopwatch:
    """Started when it is made."""

    def __init__(self) -> None:
        self._at, self._cpu = time.perf_counter(), time.process_time()

    def taken(self, count: int) -> Taken:
        """What so many took, until now."""
        return Taken(count, time.perf_counter() - self._at, time.process_time() - self._cpu)


class Arrivals:
    """Counts deliveries, and times them from the first few on.

    Args:
        count: of all that will come.
        done: called with the result when they have.
    """

    def __init__(self, count: int, done: Callable[[Taken], object]) -> None:
        self._count, self._done = count, done
        self._skipped = self._next = max(1, count // WARM)
        self._watch: Stopwatch | None = None
        self.seen = 0

    def one(self) -> None:
        """Came in."""
        self.seen += 1
        if self.seen == self._next:
            self._reached()

    def _reached(self) -> None:
        if self._watch is None:
            self._watch, self._next = Stopwatch(), self._count
        else:
            self._done(self._watch.taken(self._count - self._skipped))


async def obey(contestant: object, read_line: Callable[[], Awaitable[str]]) -> None:
    """Do what stdin says, until its end."""
    answer("ready")
    while line := await read_line():
        verb, *words = line.split()
        *names, count = words
        try:
            do: Callable[..., Awaitable[Any]] = getattr(contestant, verb)
            answer(await do(*names, int(count)))
        except Exception as error:
            answer(Failed(f"{type(error).__name__}: {error}"))


def answer(what: object) -> None:
    """Say it to who asked."""
    print(msgspec.json.encode(what).decode(), flush=True)
