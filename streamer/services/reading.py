# -*- test-case-name: tests.unit.test_services_reading -*-
"""One connection's body: bytes to items, silence to an ending."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from streamer import metrics as m
from streamer.errors import DecodeError
from streamer.interfaces import ISource
from streamer.metrics import Metrics
from streamer.net import failures
from streamer.net.client import Opened
from streamer.net.stream import StreamBody
from streamer.policy import backoff
from streamer.policy.stall import Vitals
from streamer.services.intake import Intake
from streamer.upstream import Ending

BAD_FRAMES_LOGGED = 10  # a connection; the rest is only counted
SAMPLE = 200  # bytes of a bad frame that go to the log


@attrs.define(eq=False)
class Reading:
    """Reads one stream until it ends, in whatever way."""

    source: ISource
    intake: Intake
    clock: IReactorTime
    metrics: Metrics
    vitals: Vitals = attrs.field(init=False)
    body: StreamBody = attrs.field(init=False)
    _over: Deferred[Ending] = attrs.field(factory=Deferred, init=False)
    _bad: int = 0
    _skipped: int = 0  # of the framer's, already counted
    _watch: IDelayedCall | None = None

    log = Logger()

    async def run(self, opened: Opened) -> tuple[Ending, bool]:
        """Read to the end; returns why it ended and whether the connection was healthy. Cancel to hang up."""
        self.vitals = Vitals(opened=self.clock.seconds(), stall_after=self.source.stall_after)
        self.body = StreamBody(
            self.source.framer(),
            self._on_data,
            lambda reason: self._end(failures.ending(reason, "while reading")),
        )
        opened.answer.deliverBody(self.body)
        self.intake.attach(self.body.pause, self.body.resume)
        self._arm(self.source.stall_after)
        try:
            ending = await self._over
        finally:
            self.intake.detach()
            self.body.close()
            opened.abort()
            if self._watch is not None and self._watch.active():
                self._watch.cancel()
            self._count_rest()
        return ending, self.vitals.healthy

    def _on_data(self, frames: list[bytes], size: int) -> None:
        now = self.clock.seconds()
        self.vitals.heard(now)
        self.metrics.add(m.ITEM_BYTES, self.source.name, by=size)
        self.metrics.set(m.LAST_BYTE, self.source.name, to=now)
        if frames:
            self.metrics.set(m.LAST_ITEM, self.source.name, to=now)
        self._count_skipped()
        received_ms = int(now * 1000)
        try:
            for frame in frames:
                if self._over.called:
                    return
                self._frame(frame, received_ms)
        except Exception as error:  # a mistake of ours; Agent would swallow it as a lost connection
            self.log.failure("while reading {source}", source=self.source.name)
            self._end(Ending(cause=backoff.UNEXPECTED, detail=f"{type(error).__name__} in our own code: {error}"))

    def _frame(self, frame: bytes, received_ms: int) -> None:
        try:
            outcomes = self.source.outcomes(frame, received_ms)
        except DecodeError as error:
            self._reject(frame, str(error))
            return
        for outcome in outcomes:
            if isinstance(outcome, Ending):
                self._end(outcome)
                return
            if self.intake.take(outcome):
                self.vitals.items += 1

    def _reject(self, frame: bytes, reason: str) -> None:
        self.metrics.add(m.BAD_FRAMES, self.source.name, "unreadable")
        self._bad += 1
        if self._bad <= BAD_FRAMES_LOGGED:
            self.log.warn(
                "{source} dropped a frame of {size} bytes, {reason}: {sample!r}",
                source=self.source.name,
                size=len(frame),
                reason=reason,
                sample=frame[:SAMPLE],
            )

    def _end(self, ending: Ending) -> None:
        if not self._over.called:
            self._over.callback(ending)

    def _arm(self, seconds: float) -> None:
        self._watch = self.clock.callLater(seconds, self._look)

    def _look(self) -> None:
        now = self.clock.seconds()
        if self.intake.paused:
            self.vitals.heard(now)  # the silence is ours: we stopped reading until the bus catches up
        left = self.vitals.silence_left(now)
        if left > 0:
            self._arm(left)
            return
        detail = f"not a byte for {self.vitals.stall_after:g} s, keep-alives included"
        self._end(Ending(cause=backoff.STALL, detail=detail))

    def _count_skipped(self) -> None:
        skipped = self.body.framer.skipped - self._skipped
        if skipped:
            self._skipped += skipped
            self.metrics.add(m.BAD_FRAMES, self.source.name, "too-long", by=skipped)
            self.log.warn("{source} dropped {count} frames over the limit.", source=self.source.name, count=skipped)

    def _count_rest(self) -> None:
        self._count_skipped()
        if self.body.framer.finish() and self._over.called:  # not when we hung up ourselves
            self.metrics.add(m.BAD_FRAMES, self.source.name, "unfinished")
