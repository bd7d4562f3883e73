# -*- test-case-name: tests.unit.test_bus_locks -*-
"""The lock of one source: where it is at the broker, and how it stands; see `bus.locks`."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from streamer.bus import logins
from streamer.bus.driver import ACCESS_REFUSED, RESOURCE_LOCKED, ChannelRefused, Loss
from streamer.bus.refusals import Doing, advice
from streamer.bus.topology import LOCKS
from streamer.errors import BusError, SourceTaken, StreamerError

RETRY = 2.0  # seconds between two tries; the broker logs an error for each that it refuses
BEATS = 5  # heartbeat intervals that a refusal must hold, 75 s
EXCLUSIVE = {
    "durable": False,
    "exclusive": True,
    # A virtual host may have another default type, and quorum queues cannot be exclusive.
    "arguments": {"x-queue-type": "classic"},
}

Leaving = dict[str, list[Deferred[None]]]  # sources whose queues are to be deleted, and who waits for that


def queue_of(name: str) -> str:
    """The queue that locks a source."""
    return f"{LOCKS}{name}"


@attrs.define(eq=False)
class Lock:
    """One source's, from the wish for it to its release.

    Attributes:
        waiting: whoever takes it, until it is ours for the first time.
        asked: the broker has not answered yet.
        held: it is ours on the present connection.
        refused: since when others have it, by what the broker says; None where it does not say so.
        elsewhere: others had it when the broker was asked last.
        due: when to try next.
        said: why it is not ours, as a sentence; empty where nothing is known.
    """

    _log = Logger()

    name: str
    vhost: str
    lost: Callable[[str], None]
    waiting: Deferred[None] | None
    asked: bool = False
    held: bool = False
    refused: float | None = None
    elsewhere: bool = False
    due: float = 0.0
    said: str = ""

    def forget(self) -> None:
        """The connection is gone."""
        self.asked, self.held, self.refused, self.due, self.said = False, False, None, 0.0, ""

    def granted(self) -> None:
        """The broker says that it is ours."""
        if self.refused is not None:
            self._log.info("The lock of {source} is ours.", source=self.name)
        self.held, self.refused, self.elsewhere, self.said = True, None, False, ""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.callback(None)

    def presumed(self) -> None:
        """Nobody can be asked: whoever waits is to go on as if it were ours, until somebody can."""
        if self.elsewhere:
            return
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            self.said = "its lock cannot be asked for while the broker is away; it is followed as if it were ours"
            self._log.warn("{source}: {said}.", source=self.name, said=self.said)
            waiting.callback(None)

    def denied(self, refusal: ChannelRefused, now: float) -> StreamerError | None:
        """The broker says no; returns why it is to be wanted no more, where it is not."""
        said, first, self.due = self.said, self.refused is None, now + RETRY
        if refusal.code != RESOURCE_LOCKED:
            self.refused = None
            why = advice(Loss("refused", str(refusal), refusal.code), Doing.LOCK)
            self.said = f"the broker refuses its lock: {str(refusal).rstrip('.')}{why}"
            if refusal.code == ACCESS_REFUSED and self.waiting is not None:
                return BusError(f"source {self.name!r} cannot be followed: {self.said}")
        else:
            self.refused, self.elsewhere = now if self.refused is None else self.refused, True
            patience = BEATS * logins.HEARTBEAT
            if now - self.refused >= patience:
                return SourceTaken(self._taken())
            if first:
                self.said = (
                    f"another process has its lock, the queue {queue_of(self.name)!r} of the broker; if that is still "
                    f"so after {patience:g} s, by when the broker notices whatever is gone, this one ends"
                )
        if self.said != said:
            self._log.warn("{source}: {said}", source=self.name, said=self.said)
        return None

    def end(self, error: StreamerError) -> None:
        """Tell whoever takes it, or has it, that it is not ours."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.errback(error)
        else:
            self.lost(str(error))

    def _taken(self) -> str:
        return (
            f"source {self.name!r} is followed by another process, which has the queue {queue_of(self.name)!r} in the "
            f"virtual host {self.vhost!r} for itself; stop one of the two. `rabbitmqctl list_queues -p "
            f"{shlex.quote(self.vhost)} name owner_pid` has the pid of its connection, and `rabbitmqctl "
            "list_connections pid peer_host client_properties` whose that is: its connection_name ends with machine "
            "and process. If none owns it, somebody has made a queue of that name: delete it"
        )
