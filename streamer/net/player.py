# -*- test-case-name: tests.unit.test_net_player -*-
"""A recording as a stream: carries out what a `asks.Play` asks for, at the recording's own pace or another.

A piece of the file is read a turn, and no further one before its items were handed on; whoever reads may pause it.
Its frames are the entries of `wire.recording`, and after some of them the `Place` that was reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from streamer.asks import Play
from streamer.net.client import Opened, UpstreamClient
from streamer.net.failures import Over
from streamer.net.track import Track
from streamer.policy import backoff
from streamer.policy.pace import GRAIN, Pace
from streamer.upstream import Ending, Warned
from streamer.wire.recording import Entry, Joined, Recorded, again

WAIT_LIMIT = 3600.0  # seconds of one timer; reactors cannot count to the end of time


@attrs.define(eq=False)
class Player:
    """The way of a `Play`; see `client.Way`."""

    clock: IReactorTime

    async def open(self, ask: Play, client: UpstreamClient | None = None) -> Opened:
        """Open the recording and read its header.

        Raises:
            Over: it cannot be played.
        """
        playing = Playing(Track.open(ask), self.clock, Pace(ask.speed, ask.rate))
        return Opened(playing, [playing])


@attrs.define(eq=False)
class Playing:
    """A recording that is being played. It is its answer, as `client.Answer` has it, and its transport.

    Args:
        items: played so far.
    """

    track: Track
    clock: IReactorTime
    pace: Pace
    code: int = 200
    headers: Headers = attrs.field(factory=Headers)
    items: int = 0
    _body: Any = None  # the protocol that gets the frames
    _loop: Deferred[None] | None = None
    _paused: Deferred[None] | None = None
    _closed: bool = False

    def deliverBody(self, protocol: Any) -> None:
        """Play it to this protocol."""
        self._body = protocol
        protocol.makeConnection(self)
        self._loop = Deferred.fromCoroutine(self._run())
        self._loop.addErrback(self._ended)

    def pauseProducing(self) -> None:
        """Play nothing."""
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        """Go on."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """Stop for good."""
        self.abortConnection()

    def abortConnection(self) -> None:
        """Stop for good."""
        self._closed = True
        self.track.file.close()
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.cancel()

    async def _run(self) -> None:
        track, ask = self.track, self.track.ask
        await self._turn()
        self._hand(())
        while True:
            before, whole = self.items, not track.place.number
            while (entries := track.more()) is not None:
                await self._play(entries)
                await self._turn()
            track.end()
            if not ask.loop or (whole and self.items == before):
                left_out = f"; {track.left_out}" if track.others else ""
                detail = f"{ask.path} was played to its end, {self.items} items{left_out}"
                raise Over(Ending(cause=backoff.FINISHED, detail=detail, whole=True))
            track.again(track.place.round + 1)
            self.pace.anew()

    async def _play(self, entries: Sequence[Entry | Warned]) -> None:
        ready: list[Entry | Warned] = []
        for index, entry in enumerate(entries):
            self.track.part = index / len(entries)
            if isinstance(entry, Joined):
                self.track.joined(entry.sources)
            if not isinstance(entry, Recorded):
                ready.append(entry)
                continue
            if self.track.plays(entry):
                due = self.pace.due(entry.item.received, self.clock.seconds())
                if due > self.clock.seconds() + GRAIN:
                    self._hand(ready)
                    ready = []
                    await self._until(due)
                self.items += 1
                ready.append(Recorded(entry.number, again(entry.item, self.track.place.round)))
            self.track.passed(entry)
        self.track.part = 1.0
        self._hand(ready)

    async def _until(self, due: float) -> None:
        while (left := due - self.clock.seconds()) > 0:
            await deferLater(self.clock, min(left, WAIT_LIMIT))
        await self._unpaused()

    async def _turn(self) -> None:
        """Let others have theirs."""
        await deferLater(self.clock, 0)
        await self._unpaused()

    async def _unpaused(self) -> None:
        while self._paused is not None:
            await self._paused

    def _hand(self, frames: Sequence[Any]) -> None:
        self._body.dataReceived((*frames, self.track.place))
        if self._closed:
            raise CancelledError

    def _ended(self, failure: Failure) -> None:
        self._loop = None
        self.track.file.close()
        if not self._closed:
            self._body.connectionLost(failure)
