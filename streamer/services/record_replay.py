# -*- test-case-name: tests.unit.test_recording_cli -*-
"""`streamer replay`: the items of a recording → the bus, just as they were recorded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from streamer.asks import Play
from streamer.errors import MessageRefused, StreamerError
from streamer.interfaces import IBus
from streamer.message import Item
from streamer.net.client import Opened
from streamer.net.failures import Over
from streamer.net.player import Player, Playing
from streamer.policy import backoff
from streamer.services.meter import Meter
from streamer.tables import SourceSettings
from streamer.upstream import Warned, brief
from streamer.wire.recording import CutOff, Damaged, Joined, Recorded

BYTES_LIMIT = 16_000_000  # of bodies that are not confirmed, beyond which no more is read
LOOK = 1.0  # seconds between two looks at how things stand
AWAY = 5.0  # seconds without the bus after which it is said
PATIENCE = 5.0  # seconds that an interrupted replay waits for what is under way
SHOWN = 10  # damaged lines, and refused items, that are told one by one


class ReplayFailed(StreamerError):
    """Not everything was replayed. Print it and exit 1."""


@attrs.define(eq=False)
class Republisher:
    """Who reads the recording: publishes each item, and reads no further while too much is not confirmed.

    Args:
        joined: told which sources a further header names.
    """

    bus: IBus
    meter: Meter
    joined: Callable[[Mapping[str, str]], None] = lambda sources: None
    confirmed: int = 0
    refused: int = 0
    damaged: int = 0
    over: Deferred[str] = attrs.field(factory=Deferred)  # why it ended otherwise than it should, or empty
    _playing: Any = None
    _items: int = 0  # not confirmed
    _bytes: int = 0
    _paused: bool = False
    _ended: str | None = None

    def makeConnection(self, transport: Any) -> None:
        """Keep who plays."""
        self._playing = transport

    def dataReceived(self, frames: Sequence[Any]) -> None:
        """Publish."""
        for frame in frames:
            match frame:
                case Recorded():
                    self._publish(frame.item)
                case Damaged():
                    self.damaged += 1
                    if self.damaged <= SHOWN:
                        self.meter.say(brief(f"Left out: {frame}"))
                case Joined():
                    self.joined(frame.sources)
                case CutOff() | Warned():
                    self.meter.say(brief(f"The recording: {frame.detail if isinstance(frame, Warned) else frame}"))
        if self._items >= self.bus.window or self._bytes >= BYTES_LIMIT:
            self._paused = True
            self._playing.pauseProducing()

    def connectionLost(self, reason: Failure) -> None:
        """There is no more."""
        whole = isinstance(reason.value, Over) and reason.value.ending.cause == backoff.FINISHED
        self._ended = "" if whole else reason.getErrorMessage()
        self._look()

    def quiet(self) -> Deferred[str]:
        """Read no more; `over` fires once all that was published is answered for."""
        if self._ended is None:
            self._playing.stopProducing()
            self._ended = "interrupted"
        self._look()
        return self.over

    def _publish(self, item: Item) -> None:
        size = len(item.body)
        self._items += 1
        self._bytes += size
        publishing = maybeDeferred(self.bus.publish, item.message())
        publishing.addCallbacks(self._done, self._failed, errbackArgs=(item,))
        publishing.addBoth(self._settled, size)

    def _done(self, _: object) -> None:
        self.confirmed += 1

    def _failed(self, failure: Failure, item: Item) -> None:
        self.refused += 1
        if failure.check(MessageRefused) and self.refused <= SHOWN:
            self.meter.say(brief(f"{item.source}/{item.id} was refused: {failure.getErrorMessage()}"))

    def _settled(self, _: object, size: int) -> None:
        self._items -= 1
        self._bytes -= size
        if self._paused and self._items <= self.bus.window // 2 and self._bytes <= BYTES_LIMIT // 2:
            self._paused = False
            self._playing.resumeProducing()
        self._look()

    def _look(self) -> None:
        if self._ended is not None and not self._items and not self.over.called:
            self.over.callback(self._ended)


@attrs.define(eq=False)
class Replayer:
    """One replay.

    Args:
        bus: not started.
        tables: of the configured sources.
        only: names of recorded sources; all where empty.
    """

    bus: IBus
    clock: IReactorTime
    meter: Meter
    play: Play
    tables: Mapping[str, SourceSettings] = attrs.field(factory=dict)
    only: Sequence[str] = ()
    _compared: set[str] = attrs.field(factory=set)  # the recording's sources with those of the configuration
    _away: float | None = None  # since when the bus is not ready
    _said: bool = False  # that it is not

    async def run(self) -> None:
        """Replay to the end.

        Raises:
            ReplayFailed: not everything is with the bus.
            CancelledError: somebody interrupted it.
        """
        try:
            opened = await Player(self.clock).open(attrs.evolve(self.play, choose=self._chosen))
        except Over as error:
            raise ReplayFailed(str(error)) from error
        self.bus.startService()
        try:
            await self._publish(opened)
        finally:
            self.meter.clear()
            await maybeDeferred(self.bus.stopService)

    async def _publish(self, opened: Opened) -> None:
        body, began = Republisher(self.bus, self.meter, self._compare), self.clock.seconds()
        opened.answer.deliverBody(body)
        looking = LoopingCall(self._look, body, opened.answer, began)
        looking.clock = self.clock
        looking.start(LOOK, now=False)
        interrupted = False
        try:
            failure = await body.over
        except CancelledError:
            interrupted = True
            failure = await self._interrupted(body)
        finally:
            looking.stop()
            opened.abort()
        seconds = self.clock.seconds() - began
        self.meter.say(f"{body.confirmed:,} items were confirmed by the bus in {seconds:,.1f} s.")
        if isinstance(opened.answer, Playing) and opened.answer.track.others:
            self.meter.say(f"{opened.answer.track.left_out}.")
        if body.damaged > SHOWN:
            self.meter.say(f"{body.damaged:,} damaged lines were left out.")
        if interrupted:
            raise CancelledError
        if failure:
            raise ReplayFailed(failure)
        if body.refused:
            raise ReplayFailed(f"{body.refused:,} items were refused by the bus")

    async def _interrupted(self, body: Republisher) -> str:
        body.over = Deferred()
        try:
            return await body.quiet().addTimeout(PATIENCE, self.clock)
        except TimedOut:
            return "what was under way is not confirmed"

    def _chosen(self, recorded: Mapping[str, str]) -> Collection[str] | None:
        self._compare(recorded)
        return self.only or None

    def _compare(self, recorded: Mapping[str, str]) -> None:
        """Say, once and not in each round, which sources will be foreign to an enricher."""
        for name, type_ in recorded.items():
            if name in self._compared or (self.only and name not in self.only):
                continue
            self._compared.add(name)
            table = self.tables.get(name)
            if table is None:
                self.meter.say(
                    f"The configuration names no source {name!r}: an enricher with it cannot decode these items. "
                    f"Add [sources.{name}] with type = {type_!r}."
                )
            elif type_ not in (table.kind.name, "replay") and table.kind.name != "replay":
                self.meter.say(
                    f"[sources.{name}] is of type {table.kind.name!r}; what was recorded is of type {type_!r}."
                )

    def _look(self, body: Republisher, playing: Any, began: float) -> None:
        now = self.clock.seconds()
        if self.bus.ready:
            self._away, self._said = None, False
        elif self._away is None:
            self._away = now
        elif not self._said and now - self._away >= AWAY:
            self._said = True
            self.meter.say(brief(f"Waiting for the bus: {self.bus.status}"))
        share = playing.track.share if isinstance(playing, Playing) and not self.play.loop else None
        self.meter.show(f"{body.confirmed:,} items", body.confirmed, now - began, share=share)
