# -*- test-case-name: tests.unit.test_services_dead_work -*-
"""Letters that are published again, each let go of only when the broker has confirmed it.

All were taken before the first is published, and the consumer is gone. So one that dies again, which may be at once,
goes to the end of the queue and is not seen: no letter is replayed twice by one command.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from streamer.bus import deadline
from streamer.bus.dead import Letter, again
from streamer.bus.dead_publishing import Republishing
from streamer.bus.dead_queue import DeadQueue
from streamer.errors import BusError, MessageRefused
from streamer.services.dead_bodies import Bodies

WINDOW = 100  # publishes without a confirm
WINDOW_BYTES = 16_777_216  # of them together; a larger one goes alone
CONFIRM_LIMIT = 30.0  # seconds without a confirm while one is due
HOLD_LIMIT = 1_200.0  # seconds that letters are in hand; RabbitMQ closes the channel after 30 minutes


@attrs.define(eq=False)
class Replay:
    """One replay.

    Args:
        queue: in whose hand the letters are.
        bodies: of the letters.
        shards: see `dead.again`.
        rate: letters a second; None for as many as the broker takes.

    Attributes:
        done: letters confirmed and let go of.
        stuck: letters that can never be published, and why; they stay where they are.
        failure: why it stopped early; empty where it did not.
    """

    queue: DeadQueue
    bodies: Bodies
    shards: int | None
    rate: float | None
    clock: IReactorTime
    done: list[Letter] = attrs.field(factory=list)
    stuck: list[tuple[Letter, str]] = attrs.field(factory=list)
    failure: str = ""
    _under_way: int = 0
    _bytes: int = 0
    _given_up: bool = False  # what is under way is not waited for
    _woken: Deferred[None] | None = None

    async def run(self, letters: Sequence[Letter]) -> None:
        """Publish them in turn, and stop at the first failure; returns when no confirm is due any more."""
        publishing = Republishing(self.queue.link, self.clock)
        await publishing.begin()
        begun, published = self.clock.seconds(), 0
        for letter in letters:
            try:
                message = again(self.bodies.whole(letter), self.shards)
            except MessageRefused as error:
                self.stuck.append((letter, str(error)))
                continue
            if self.rate is not None and (wait := begun + published / self.rate - self.clock.seconds()) > 0:
                await deferLater(self.clock, wait)
            await self._settle(WINDOW - 1, WINDOW_BYTES - letter.size)
            if self.failure:
                break
            published += 1
            self._under_way += 1
            self._bytes += letter.size
            publishing.publish(message).addCallbacks(self._confirmed, self._failed, (letter,), {}, (letter,))
        if not self._given_up:
            await self._settle(0, 0)

    async def _settle(self, most: int, size: int) -> None:
        """Wait until there are few publishes without a confirm, and few bytes of them."""
        while self._under_way > most or (self._under_way and self._bytes > size):
            self._woken = Deferred()
            try:
                await deadline.within(self.clock, CONFIRM_LIMIT, self._woken, "confirm what was published")
            except TimeoutError as error:
                blocked = self.queue.blocked
                self.failure = self.failure or (f"the broker takes no messages: {blocked}" if blocked else str(error))
                self._given_up = True
                return
            finally:
                self._woken = None

    def _confirmed(self, _: None, letter: Letter) -> None:
        if self.queue.ack(letter.tag):
            self.done.append(letter)
        self._over(letter)

    def _failed(self, failure: Failure, letter: Letter) -> None:
        failure.trap(BusError)
        self.failure = self.failure or f"{letter.id}: {failure.getErrorMessage()}"
        self._over(letter)

    def _over(self, letter: Letter) -> None:
        self._under_way -= 1
        self._bytes -= letter.size
        if self._woken is not None and not self._woken.called:
            self._woken.callback(None)
