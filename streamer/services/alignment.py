# -*- test-case-name: tests.unit.test_services_source -*-
"""Other predicates brought into force on an open stream, where the upstream takes them without a new connection."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from streamer.interfaces import ISource
from streamer.net.client import UpstreamClient
from streamer.policy.backoff import Backoff
from streamer.services.leg import prepare
from streamer.upstream import Ending, Prepared


@attrs.define(eq=False)
class Alignment:
    """Makes what is live what is wanted, one wish after the other.

    Args:
        delays: makes new ones, of its own.
        target: what is wanted and not live; None while they agree, or nothing is connected.
        applied: told what has become live, and by what change.
        refused: told why what is wanted can never become live; says whether something else is wanted now.
    """

    client: UpstreamClient
    clock: IReactorTime
    delays: Callable[[], Backoff]
    target: Callable[[], ISource | None]
    applied: Callable[[ISource, Prepared], None]
    refused: Callable[[Ending], bool]
    _running: Deferred[None] | None = None
    _number: int = 0  # of the run; a stopped one goes no further
    _waiting: list[tuple[ISource, Deferred[Prepared | Ending | None]]] = attrs.field(factory=list)

    log = Logger()

    @property
    def busy(self) -> bool:
        """A wish is on its way to the upstream."""
        return self._running is not None

    def begin(self) -> None:
        """Something is wanted, or the stream is open again."""
        if self._running is None and self.target() is not None:
            running = Deferred.fromCoroutine(self._align())
            if not running.called:
                self._running = running

    def outcome(self, source: ISource) -> Deferred[Prepared | Ending | None]:
        """What comes of the first attempt at a wish that is about to be made.

        Returns:
            Fires with None where something else came in between: another wish, or the end of the stream. Cancel it
            to hear no more of it; where nothing is connected it does not fire.
        """

        def forget(_: object) -> None:
            self._waiting = [row for row in self._waiting if row[1] is not found]

        found: Deferred[Prepared | Ending | None] = Deferred(forget)
        self._waiting.append((source, found))
        return found

    def stop(self) -> None:
        """The stream is closed; what is wanted will be asked for when the next one opens."""
        running, self._running = self._running, None
        self._number += 1
        if running is not None:
            running.cancel()
        self._tell(lambda wish: True, None)

    async def _align(self) -> None:
        delays, number = self.delays(), self._number
        try:
            while (source := self.target()) is not None:
                at = source
                self._tell(lambda wish: wish is not at, None)  # noqa: B023 (called at once)
                result = await prepare(source, self.client)
                if number != self._number:
                    return
                if isinstance(result, Prepared):
                    self.applied(source, result)
                    self._tell(lambda wish: wish is at, result)  # noqa: B023
                    continue
                self.log.warn("{source} has not got what is wanted: {why}", source=source.name, why=result.detail)
                delay = delays.after(result.cause, healthy=False, retry_after=result.retry_after)
                newer = self.target()
                replaced = newer is not None and newer is not source
                goes_on = delay is not None or replaced or self.refused(result)
                self._tell(lambda wish: wish is at, result)  # noqa: B023
                if delay is not None:
                    await deferLater(self.clock, delay)
                elif not goes_on:
                    break
        except CancelledError:
            return
        except Exception:
            self.log.failure("while changing predicates; this is a defect")
        if number == self._number:
            self._running = None
            self._tell(lambda wish: True, None)

    def _tell(self, about: Callable[[ISource], bool], result: Prepared | Ending | None) -> None:
        """Answer those who wait for these wishes."""
        told = [found for wish, found in self._waiting if about(wish)]
        self._waiting = [row for row in self._waiting if row[1] not in told]
        for found in told:
            found.callback(result)
