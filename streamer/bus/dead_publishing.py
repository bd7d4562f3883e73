# -*- test-case-name: tests.unit.test_bus_dead_queue -*-
"""Publishing over the connection by which dead letters were taken: so both end together, and whatever the broker has
not confirmed when that happens is still in its queue.

Unlike `Publisher` this one never tries again: a letter whose message is refused is better off where it is.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from streamer.bus import deadline, frames
from streamer.bus.confirms import Confirms
from streamer.bus.dead_link import Link, ended, lost_error
from streamer.bus.dead_queue import ANSWER_LIMIT
from streamer.bus.refusals import Doing
from streamer.errors import BusError
from streamer.message import Message


class NotTaken(BusError):
    """The broker refused a message."""


@attrs.define(eq=False)
class Republishing:
    """The publishing side of a link; `begin`, then `publish`."""

    _link: Link
    _clock: IReactorTime
    _confirms: Confirms[Deferred[None]] = attrs.field(factory=Confirms)

    async def begin(self) -> None:
        """Have publishes confirmed."""
        asking = self._link.channel.confirm(self._told)
        await deadline.within(self._clock, ANSWER_LIMIT, asking, "confirm what is published")
        ended(self._link.connection).addCallback(lambda _: self._lost())

    def publish(self, message: Message) -> Deferred[None]:
        """Write a checked message. Fires once the broker has confirmed it; fails with NotTaken, or ConnectionLost."""
        connection = self._link.connection
        confirmed: Deferred[None] = Deferred()
        self._confirms.sent([confirmed], self._clock.seconds())
        if connection.alive and connection.loss is None:
            connection.write(frames.joined([(frames.head(message), message.body)], connection.frame_max))
        else:
            self._lost()
        return confirmed

    def _told(self, tag: int, multiple: bool, acked: bool) -> None:
        for confirmed in self._confirms.settle(tag, multiple):
            if acked:
                confirmed.callback(None)
            else:
                confirmed.errback(NotTaken("the broker refused it: a queue it goes to is full, or has no leader"))

    def _lost(self) -> None:
        for confirmed in self._confirms.clear():
            confirmed.errback(lost_error(self._link.connection, Doing.RUN))
