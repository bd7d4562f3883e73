# -*- test-case-name: tests.unit.test_services_recovery -*-
"""A span of the past, fetched beside the live stream from an upstream that repeats it on request."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.asks import Ask
from streamer.gap import Gap
from streamer.interfaces import ISource
from streamer.message import Item
from streamer.metrics import Metrics
from streamer.net import failures
from streamer.net.client import UpstreamClient
from streamer.policy.backoff import Backoff
from streamer.services.intake import Intake
from streamer.services.reading import Reading, Word
from streamer.upstream import Ending, Missed

SETTLE = 5.0  # seconds after the live stream opened; no upstream repeats what is still to come
ATTEMPTS = 5  # at one span, with the delays of the upstream's profile between them


@attrs.define(eq=False)
class Recovery:
    """Fetches one span at a time; a wider one takes the place of one under way.

    Args:
        delays: of its own, so that its failures do not keep the live stream away.
        take: hands items on, and says how many were new.
        done: told when it is over, with the gap that is left, if any.
    """

    client: UpstreamClient
    intake: Intake
    clock: IReactorTime
    metrics: Metrics
    delays: Backoff
    take: Callable[[list[Item]], int]
    done: Callable[[Gap | None], None]
    _job: Deferred[None] | None = None
    _span: tuple[int, int] | None = None
    _cursor: str | None = None
    _missed: list[Missed] = attrs.field(factory=list)  # what the source says that it cannot fetch, of one attempt
    _number: int = 0  # of the job; an older one's end is not to be heard of

    log = Logger()

    def begin(self, source: ISource, start_ms: int, end_ms: int, cause: str, cursor: str | None = None) -> bool:
        """Fetch what was posted between; False where the source cannot repeat it.

        Args:
            cursor: of the last item before.
        """
        if self._span is not None:
            cursor = self._cursor
            start_ms, end_ms = min(start_ms, self._span[0]), max(end_ms, self._span[1])
        request = source.recovery(start_ms, end_ms, cursor)
        if request is None:
            return False
        self.cancel()
        self._span, self._cursor = (start_ms, end_ms), cursor
        self._job = Deferred.fromCoroutine(self._fetch(source, request, start_ms, end_ms, cause))
        return True

    def cancel(self) -> None:
        """Stop at once; `done` is not told."""
        job, self._job, self._span = self._job, None, None
        self._number += 1
        if job is not None:
            job.cancel()

    def took(self, items: list[Item]) -> int:
        """See `reading.Sink`."""
        return self.take(items)

    def heard(self, *, idle: bool) -> None:
        """See `reading.Sink`."""

    def said(self, word: Word) -> None:
        """See `reading.Sink`; of the past there is nothing to warn about."""
        if isinstance(word, Missed):
            self._missed.append(word)

    async def _fetch(self, source: ISource, request: Ask, start_ms: int, end_ms: int, cause: str) -> None:
        name, number = source.name, self._number
        gap: Gap | None = Gap(start=start_ms, end=end_ms, cause=cause)
        try:
            await deferLater(self.clock, SETTLE)
            for attempt in range(1, ATTEMPTS + 1):
                self._missed.clear()
                ending, healthy = await self._attempt(source, request, number)
                if ending.whole:
                    gap = self._left(request, start_ms, cause)
                    self.log.info("{source} has fetched what it had missed.", source=name)
                    break
                delay = self.delays.after(ending.cause, healthy=healthy, retry_after=ending.retry_after)
                self.log.warn("{source} could not fetch what it missed: {why}", source=name, why=ending.detail)
                if delay is None or attempt == ATTEMPTS:
                    break
                await deferLater(self.clock, delay)
        except CancelledError:
            return
        except Exception:
            self.log.failure("while fetching what {source} missed; this is a defect", source=name)
        if number == self._number:
            self._span = None
            self.done(gap)

    def _left(self, request: Ask, start_ms: int, cause: str) -> Gap | None:
        """What a whole answer did not bring."""
        since = request.replays_from
        spans = [(one.start, one.end) for one in self._missed]
        if since is not None and since > start_ms:
            spans.append((start_ms, since))
        if not spans:
            return None
        return Gap(start=min(start for start, _ in spans), end=max(end for _, end in spans), cause=cause)

    async def _attempt(self, source: ISource, request: Ask, number: int) -> tuple[Ending, bool]:
        try:
            opened = await self.client.open(request)
            if opened.answer.code != 200:
                return source.refusal(await self.client.read(opened)), False
        except Exception as error:
            if number != self._number:  # our own doing; Agent wraps the cancellation in errors of its own
                raise CancelledError from error
            return failures.ending(Failure(), "while fetching"), False
        return await Reading(source, self, self.intake, self.clock, self.metrics).run(opened)
