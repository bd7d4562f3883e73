"""What the contestants of `make bench-bus` that run on Twisted's reactor have in common."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from tests.bench.bus_load import PACE, Delays, obey


def run(make: Callable[[str], Awaitable[object]]) -> None:
    """Be the contestant that `make` makes of the broker's URL, the program's only argument."""
    clock: Any = reactor
    code: list[int] = []

    async def work() -> None:
        contestant = await make(sys.argv[1])
        await obey(contestant, lambda: deferToThread(sys.stdin.readline))

    def failed(failure: Failure) -> None:
        failure.printTraceback(sys.stderr)
        code.append(1)

    def begin() -> None:
        Deferred.fromCoroutine(work()).addErrback(failed).addBoth(lambda _: clock.stop())

    clock.callWhenRunning(begin)
    clock.run()
    sys.exit(code[0] if code else 0)


class Paced:
    """Publishes one message each PACE seconds, and times each until it is handled.

    Args:
        publish: given a message's number.
    """

    def __init__(self, count: int, publish: Callable[[int], object]) -> None:
        self._publish = publish
        self._begun = [0.0] * count
        self._delays = [0.0] * count
        self._missing = count
        self._done: Deferred[None] = Deferred()

    async def run(self) -> Delays:
        """All of them."""
        clock: Any = reactor
        start = time.perf_counter()
        for number in range(len(self._begun)):
            await deferLater(clock, max(0.0, start + number * PACE - time.perf_counter()))
            self._begun[number] = time.perf_counter()
            self._publish(number)
        await self._done
        return Delays(self._delays)

    def handled(self, number: int) -> None:
        """Here it is."""
        self._delays[number] = (time.perf_counter() - self._begun[number]) * 1e6
        self._missing -= 1
        if not self._missing:
            clock: Any = reactor
            clock.callLater(0, self._done.callback, None)  # whoever calls has an ack to send first

    def failed(self, failure: Failure) -> None:
        """Nothing more will come."""
        if self._missing:
            self._done.errback(failure)
