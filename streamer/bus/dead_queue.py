# -*- test-case-name: tests.unit.test_bus_dead_queue -*-
"""One look into a queue of dead letters, over a connection of its own, from the first letter to handing back.

`IBus.work` is made for services: it connects again for ever, keeps every body that a handler holds, and does not say
whether an ack arrived. Who looks into a queue once wants the opposite: a broker's reason at once, bodies that are let
go of, and to be sure.

A queue of RabbitMQ has no pages: whoever wants to see its thousandth message must hold the first 999, all of which it
would send at once, for AMQP's limit by bytes is not there. So letters are taken by one consumer after the other, of
few enough letters each, and stay in hand until `close`. Then what was not acked is handed back in the order in which
it was taken. A queue with a delivery limit (`topology.LOOKED_AT_LIMIT`) serves what it was handed back before the
rest, in the order of handing back; so all keep their places where all were taken, and where only some were, they come
after what somebody handed back before. When the connection fails the broker hands back by itself, page by page in an
order of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from streamer.bus import dead, deadline
from streamer.bus.address import Address
from streamer.bus.dead import Letter
from streamer.bus.dead_hand import hand_back
from streamer.bus.dead_link import Link, ended, lost_error, reach
from streamer.bus.deliveries import Deliver, Properties
from streamer.bus.driver import ConnectionLost
from streamer.errors import BusError

MOST = 10_000  # letters in hand; as many as such a queue holds
LOOK_LIMIT = 2_000_000_000  # bytes of bodies that are looked at; more are left in the queue
PAGE = 500  # letters a consumer gets at most
FIRST_PAGE = 16  # letters, while nothing is known of their sizes
PAGE_BYTES = 16_777_216  # that letters of a page should have together, by the sizes seen so far
ANSWER_LIMIT = 30.0  # seconds for an answer; it comes behind letters that are under way
QUIET = 1.0  # seconds without a letter, after which the broker is asked whether there are more
QUIETS = 3  # so often in a row; there are letters, and the broker does not send them

Receive = Callable[[Letter], None]


@attrs.define(eq=False)
class DeadQueue:
    """A queue, looked into once: `take` at most once, then `ack` as wanted, at last `close`.

    All but `close` fail with ConnectionLost when the connection is lost; whatever was not acked is in the queue then.

    Args:
        name: of the queue.
        link: to it.

    Attributes:
        taken: letters received.
    """

    name: str
    link: Link
    _clock: IReactorTime
    taken: int = 0
    _bytes: int = 0
    _hand: dict[int, int] = attrs.field(factory=dict)  # rising tags, and the page of each
    _page: int = 0
    _consumer: str = ""
    _receive: Receive | None = None
    _done: Deferred[None] = attrs.field(factory=Deferred)
    _due: int = 0  # letters of this page still to be received

    async def take(self, receive: Receive) -> None:
        """Take every letter that there was when the link was made, the first in the queue first.

        `MOST` at most, and no page more once they have `LOOK_LIMIT` bytes.

        Args:
            receive: called for each. What it raises ends the taking, and is raised.
        """
        self._receive = receive
        most = min(self.link.depth, MOST)
        if not most:
            # How many wait is told to those, too, who may take none.
            self._receive = None  # a letter that comes meanwhile is handed back
            await self._take_page(0)
        while self.taken < most and self._bytes < LOOK_LIMIT:
            fitting = PAGE_BYTES * self.taken // max(self._bytes, 1) if self.taken else FIRST_PAGE
            if not await self._take_page(max(1, min(fitting, PAGE, most - self.taken))):
                break
        self._receive = None

    async def _take_page(self, count: int) -> bool:
        """Take so many, or only begin to where it is none; returns False where there were not as many."""
        self._page += 1
        self._due, self._done = count, Deferred()
        channel = self.link.channel
        await self._within(channel.prefetch(max(count, 1)), "limit what it sends")
        self._consumer = await self._within(channel.consume(self._deliver, self.name, {}), "consume")
        if not count:
            self._finish()
        connection = self.link.connection
        lost = ended(connection).addCallback(lambda _: self._finish(lost_error(connection)))
        watching = Deferred.fromCoroutine(self._until_quiet()).addCallback(lambda _: self._finish())
        watching.addErrback(lambda failure: self._finish(failure.value))
        try:
            await self._done
        finally:
            watching.cancel()
            lost.addErrback(lambda failure: None).cancel()
        await self._cancel()
        return not self._due

    def _deliver(self, method: Deliver, found: Properties, body: bytes) -> None:
        self._hand[method.delivery_tag] = self._page
        if self._receive is None:
            return
        self._due -= 1
        self.taken += 1
        self._bytes += len(body)
        try:
            self._receive(dead.letter(method, found, body))
        except Exception as error:
            self._receive = None
            self._finish(error)
        else:
            if not self._due:
                self._finish()

    def _finish(self, error: BaseException | None = None) -> None:
        if not self._done.called:
            self._done.callback(None) if error is None else self._done.errback(error)

    async def _until_quiet(self) -> None:
        """Until no more comes: somebody else took some of what was there, or the oldest were dropped."""
        quiet = 0
        while quiet < QUIETS:
            before = self.taken
            await deferLater(self._clock, QUIET)
            asking = self.link.channel.depth(self.name)  # answered behind what is under way
            depth = await self._within(asking, "send letters")
            came = self.taken != before
            quiet = 0 if came else quiet + 1 if depth.messages else QUIETS

    async def _cancel(self) -> None:
        consumer, self._consumer = self._consumer, ""
        if consumer:
            await self._within(self.link.channel.cancel(consumer), "end the consumer")

    def ack(self, tag: int) -> bool:
        """A letter may go; returns False where it is not in hand any more."""
        if self._hand.pop(tag, None) is None:
            return False
        self.link.channel.ack(tag, multiple=False)
        return True

    @property
    def blocked(self) -> str | None:
        """Why the broker reads nothing from us any more, as it may once we have published; None while it does."""
        blocked: str | None = self.link.connection.gate.blocked
        return blocked

    async def told(self) -> int:
        """Wait until the broker has read every ack; returns how many letters wait in the queue, not in our hand."""
        depth = await self._within(self.link.channel.depth(self.name), "take the acks")
        return int(depth.messages)

    async def close(self) -> None:
        """Hand back what was not acked, take leave, and return when the connection is gone; never fails."""
        connection = self.link.connection
        self._receive = None
        if connection.alive and connection.loss is None and not self.blocked:
            try:
                leaving = Deferred.fromCoroutine(self._cancel())
                await deadline.within(self._clock, deadline.CLOSE, leaving, "end the consumer")
                handing_back = Deferred.fromCoroutine(hand_back(self.link.channel, self.name, self._hand, self._clock))
                await deadline.within(self._clock, ANSWER_LIMIT, handing_back, "hand back")
            except (BusError, TimeoutError):
                pass  # the broker hands back by itself what the connection leaves
        self._hand.clear()
        connection.close()
        await ended(connection)

    def _within(self, waiting: Deferred[Any], what: str) -> Deferred[Any]:
        def lost(failure: Failure) -> None:
            failure.trap(ConnectionLost)
            raise lost_error(self.link.connection) from failure.value

        return deadline.within(self._clock, ANSWER_LIMIT, waiting.addErrback(lost), what)


async def open_queue(name: str, address: Address, reactor: Any) -> DeadQueue:
    """Reach a queue by pika's driver.

    Raises:
        ValueError: the address names a file that cannot be used.
        QueueUnreachable: see `dead_link.reach`.
    """
    # pika's adapter installs the default reactor where none is, so it is imported only when one is there.
    from streamer.bus.connection import connect

    return DeadQueue(name, await reach(name, address, address.endpoints(reactor), connect, reactor), reactor)
