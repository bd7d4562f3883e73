# -*- test-case-name: tests.unit.test_services_reading -*-
"""One connection's body: bytes to items, silence to an ending."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer import metrics as m
from streamer.errors import DecodeError
from streamer.interfaces import Frame, IFramer, ISource
from streamer.message import Item
from streamer.metrics import Metrics
from streamer.net import failures
from streamer.net.client import PACKED, Opened
from streamer.net.stream import StreamBody
from streamer.policy import backoff
from streamer.policy.sample import Sample
from streamer.policy.stall import Vitals
from streamer.services.intake import Intake
from streamer.services.taking import Taking
from streamer.upstream import Ending, Mark, Missed, Undelivered, Warned, brief
from streamer.wire.gunzip import Gunzip

SAMPLE = 200  # bytes of a bad frame that go to the log

PAGE = "a web page in place of a stream; is base_url right, or is a proxy in between"
FRAME_PATIENCE = 300.0  # seconds in which a frame must be whole; a server that drips a byte a minute is not alive

Word = Undelivered | Warned | Missed | Mark


class Sink(Protocol):
    """Who takes what one connection brings."""

    def took(self, items: list[Item]) -> int:
        """Items came; returns how many were new."""

    def said(self, word: Word) -> None:
        """The upstream, or its source, says something about the stream; all items before it have been taken."""

    def heard(self, *, idle: bool) -> None:
        """Bytes came, and all items in them have been taken; `idle` where none was begun besides."""


@attrs.define(eq=False)
class Reading:
    """Reads one stream until it ends, in whatever way.

    Args:
        intake: says when nothing is to be read, because the bus is behind.
    """

    source: ISource
    sink: Sink
    intake: Intake
    clock: IReactorTime
    metrics: Metrics
    vitals: Vitals = attrs.field(init=False)
    framer: IFramer = attrs.field(init=False)
    _over: Deferred[Ending] = attrs.field(factory=Deferred, init=False)
    _bad: Sample = attrs.field(factory=Sample)
    _skipped: int = 0  # of the framer's, already counted
    _watch: IDelayedCall | None = None
    _first: bytes = b""  # what the stream began with
    _understood: bool = False  # at least one frame was
    _whole: float = attrs.field(init=False)  # when no frame was half, or we had paused

    log = Logger()

    async def run(self, opened: Opened) -> tuple[Ending, bool]:
        """Read to the end; returns why it ended and whether the connection was healthy. Cancel to hang up."""
        self.vitals = Vitals(opened=self.clock.seconds(), stall_after=self.source.stall_after)
        self._whole = self.clock.seconds()
        encoding = opened.answer.headers.getRawHeaders(b"content-encoding", [b""])[-1].strip().lower()
        framer = self.source.framer()
        self.framer = Gunzip(framer) if encoding.decode("latin-1") in PACKED else framer
        body = StreamBody(self._on_bytes, self._on_end, Taking(self.intake))
        opened.answer.deliverBody(body)
        self.intake.attach(body)
        if math.isfinite(self.source.stall_after):
            self._watch = self.clock.callLater(self.source.stall_after, self._look)
        try:
            ending = await self._over
        finally:
            self.intake.detach(body)
            body.close()
            opened.abort()
            if self._watch is not None and self._watch.active():
                self._watch.cancel()
            self._count_rest()
        return ending, self.vitals.healthy

    def _on_end(self, reason: Failure) -> None:
        if not self._understood and self._first.lstrip().startswith(b"<"):
            begins = brief(self._first.decode("utf-8", "replace"))
            self._end(Ending(cause=backoff.HTTP, detail=f"{PAGE}; it begins: {begins}"))
        elif isinstance(reason.value, failures.Refused):
            self._end(self.source.refusal(reason.value.response))
        else:
            self._end(failures.ending(reason, "while reading"))

    def _on_bytes(self, data: Any) -> None:
        if self._over.called:
            return
        now = self.clock.seconds()
        self.vitals.heard(now)
        if isinstance(data, bytes):
            size = len(data)
            if len(self._first) < SAMPLE:
                self._first += data[:SAMPLE]
        else:
            size = sum(len(frame) for frame in data if hasattr(frame, "__len__"))
        self.metrics.add(m.ITEM_BYTES, self.source.name, by=size)
        self.metrics.set(m.LAST_BYTE, self.source.name, to=now)
        try:
            frames = self.framer.feed(data)
            self._take(frames, int(now * 1000))
            self.sink.heard(idle=not self.framer.pending)
            self._look_at_frame(bool(frames), now)
        except DecodeError as error:
            self._end(Ending(cause=backoff.HTTP, detail=f"no stream that we can read: {error}"))
        except Exception as error:  # a mistake of ours; Agent would swallow it as a lost connection
            self.log.failure("while reading {source}", source=self.source.name)
            self._end(Ending(cause=backoff.UNEXPECTED, detail=f"{type(error).__name__} in our own code: {error}"))
        self._count_skipped()

    def _take(self, frames: Sequence[Frame], received_ms: int) -> None:
        items: list[Item] = []
        words: list[Word] = []
        try:
            ending = self._understand(frames, received_ms, items, words)
        finally:  # whatever one frame does, those before it are taken
            if items:
                self.vitals.items += self.sink.took(items)
            for word in words:
                self.sink.said(word)
        if ending is not None:
            self._end(ending)

    def _understand(
        self, frames: Sequence[Frame], received_ms: int, items: list[Item], words: list[Word]
    ) -> Ending | None:
        """Collect the items of frames, up to the upstream's farewell if there is one."""
        outcomes_of = self.source.outcomes
        for frame in frames:
            try:
                outcomes = outcomes_of(frame, received_ms)
            except DecodeError as error:
                self._reject(frame, str(error))
                continue
            ending: Ending | None = None
            for outcome in outcomes:
                if isinstance(outcome, Item):
                    items.append(outcome)
                elif isinstance(outcome, Ending):
                    ending = outcome
                else:
                    words.append(outcome)
            if ending is not None:
                return ending  # what comes after a farewell is not for us
            self._understood = True
        return None

    def _look_at_frame(self, progress: bool, now: float) -> None:
        if progress or not self.framer.pending or self.intake.paused:
            self._whole = now
        elif now - self._whole > FRAME_PATIENCE:
            detail = f"a frame that is not at its end after {FRAME_PATIENCE:g} s"
            self._end(Ending(cause=backoff.STALL, detail=detail))

    def _reject(self, frame: Any, reason: str) -> None:
        self.metrics.add(m.BAD_FRAMES, self.source.name, "unreadable")
        if self._bad.take("frame", self.clock.seconds()) is not None:
            self.log.warn(
                "{source} dropped a frame, {reason}: {sample}",
                source=self.source.name,
                reason=reason,
                sample=repr(frame[:SAMPLE] if isinstance(frame, bytes) else frame)[: 4 * SAMPLE],
            )

    def _end(self, ending: Ending) -> None:
        if not self._over.called:
            self._over.callback(ending)

    def _look(self) -> None:
        now = self.clock.seconds()
        if self.intake.paused:
            self.vitals.excused(now)  # we stopped reading until the bus catches up
        left = self.vitals.silence_left(now)
        if left > 0:
            self._watch = self.clock.callLater(left, self._look)
            return
        detail = f"not a byte for {self.vitals.stall_after:g} s, keep-alives included"
        self._end(Ending(cause=backoff.STALL, detail=detail))

    def _count_skipped(self) -> None:
        skipped = self.framer.skipped - self._skipped
        if skipped:
            self._skipped += skipped
            self.metrics.add(m.BAD_FRAMES, self.source.name, "too-long", by=skipped)
            self.log.warn("{source} dropped {count} frames over the limit.", source=self.source.name, count=skipped)

    def _count_rest(self) -> None:
        self._count_skipped()
        if self.framer.finish() and self._over.called:  # not when we hung up ourselves
            self.metrics.add(m.BAD_FRAMES, self.source.name, "unfinished")
