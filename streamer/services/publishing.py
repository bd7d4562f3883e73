# -*- test-case-name: tests.unit.test_services_publishing -*-
"""Hands clients' events to the bus, and says what became of each.

A client is told "published" only when the bus has confirmed: from then on the event is in the log, and outlives this
relay. Where no confirm comes in time it is told so, and cannot know: the event may still arrive, for what the bus was
given cannot be taken back. So it counts against the limits here until the bus has let go of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.errors import BusStopped, ClientError, MessageRefused
from streamer.fanout.grants import Grants
from streamer.fanout.publishing import Done, Publication, Published, event_of, outcome
from streamer.interfaces import IBus
from streamer.metrics import CLIENT_PUBLISHED, Metrics

CONFIRM_WITHIN = 10.0  # seconds
EVENTS_LIMIT = 1_000  # events that the bus has not let go of
BYTES_LIMIT = 32_000_000  # bytes of them


def random_id() -> str:
    """An id that nobody else comes upon."""
    return uuid.uuid4().hex


@attrs.define(eq=False)
class _Handed:
    """One event that the bus was given; `done` is None once it was called."""

    published: Published
    size: int
    done: Done | None
    late: IDelayedCall | None = None


@attrs.define(eq=False)
class Publisher:
    """See `fanout.publishing.Publishes`; the one of a relay.

    Args:
        make_id: for events that came without one.
    """

    log = Logger()

    _bus: IBus
    _clock: IReactorTime
    _metrics: Metrics
    _make_id: Callable[[], str] = random_id
    _handed: dict[_Handed, None] = attrs.field(factory=dict)
    _bytes: int = 0
    _stopped: bool = False

    def __len__(self) -> int:
        """Events that the bus has not let go of."""
        return len(self._handed)

    def publish(self, publication: Publication, grants: Grants, done: Done) -> None:
        """See `Publishes`."""
        try:
            published, message = event_of(publication, grants, self._clock.seconds(), self._make_id())
            self._admit(len(message.body))
        except ClientError as error:
            self._answer(done, error)
            return
        handed = _Handed(published, len(message.body), done)
        handed.late = self._clock.callLater(CONFIRM_WITHIN, self._expire, handed)
        self._handed[handed] = None
        self._bytes += handed.size
        taken = self._bus.publish(message)
        taken.addCallbacks(partial(self._taken, handed), partial(self._failed, handed))
        taken.addErrback(partial(self.log.failure, "while answering a client that published"))

    def stop(self) -> None:
        """Publish no more; whoever waits is told that the confirm did not come. Leaves no timer."""
        self._stopped = True
        for handed in list(self._handed):
            self._settle(handed, _unconfirmed(handed.published, "before the relay stopped"))

    def _admit(self, size: int) -> None:
        if self._stopped:
            raise _unavailable("the relay is stopping; publish again in a few seconds")
        if not self._bus.ready:
            raise _unavailable("the bus takes no events now; publish again in a few seconds")
        if len(self._handed) >= EVENTS_LIMIT or self._bytes + size > BYTES_LIMIT:
            sentence = "the bus is behind with the events that clients publish; publish again in a few seconds"
            raise ClientError("limit", sentence, retry=True)

    def _taken(self, handed: _Handed, _: None) -> None:
        self._let_go(handed, handed.published)

    def _failed(self, handed: _Handed, failure: Failure) -> None:
        if failure.check(MessageRefused):
            sentence = f"the bus cannot carry the event: {failure.getErrorMessage()}"
            self._let_go(handed, ClientError("bad-request", sentence))
            return
        if not failure.check(BusStopped):
            self.log.failure("while publishing {id}", failure=failure, id=handed.published.id)
        self._let_go(handed, _unconfirmed(handed.published, "before the bus stopped"))

    def _let_go(self, handed: _Handed, answer: Published | ClientError) -> None:
        del self._handed[handed]
        self._bytes -= handed.size
        self._settle(handed, answer)

    def _expire(self, handed: _Handed) -> None:
        handed.late = None
        self._settle(handed, _unconfirmed(handed.published, f"within {CONFIRM_WITHIN:g} s"))

    def _settle(self, handed: _Handed, answer: Published | ClientError) -> None:
        """Answer, unless that was done; the first answer stands."""
        late, handed.late = handed.late, None
        if late is not None:
            late.cancel()
        done, handed.done = handed.done, None
        if done is not None:
            self._answer(done, answer)

    def _answer(self, done: Done, answer: Published | ClientError) -> None:
        self._metrics.add(CLIENT_PUBLISHED, outcome(answer))
        done(answer)


def _unavailable(sentence: str) -> ClientError:
    return ClientError("unavailable", sentence, retry=True)


def _unconfirmed(published: Published, when: str) -> ClientError:
    again = f"Publish it again with the id {published.id!r}: then nobody reads it twice"
    return _unavailable(f"the bus did not confirm the event {when}; it may still arrive. {again}")
