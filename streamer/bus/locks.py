# -*- test-case-name: tests.unit.test_bus_locks -*-
"""One process a source, wherever it runs: RabbitMQ's locks.

A lock is an exclusive queue (https://www.rabbitmq.com/docs/queues#exclusive-queues). The broker gives it to one
connection, refuses it to every other by 405 RESOURCE_LOCKED, on all nodes of a cluster, and deletes it with that
connection: nothing has to be prepared, nothing is left behind, and nobody can take it away. An exclusive consumer
would need a queue that is there before, and is no lock at all on a quorum queue: RabbitMQ 3.10.8 lets two have it.

Whoever ends, by a crash too, is noticed at once, for the kernel closes its sockets. A machine or a link that falls
silent is noticed by the missing heartbeats, for which RabbitMQ waits three intervals, and a node that hangs is noticed
by the others of its cluster after 45 to 75 s (https://www.rabbitmq.com/docs/nettick): so a refusal counts only when it
has held for that long. It may be our own connection from before that has the lock, when we come back.

All locks of a process have one connection. While the broker is away we go on as if they were ours, and begin so after
`GRACE`, for what is not followed is lost while a spool could hold it: one of two that then follow the same source has
to go when the broker is back, and that is the one which does not get its lock.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from streamer.bus.driver import IConnection
from streamer.bus.lock import Leaving, Lock
from streamer.bus.lock_asking import LockAsking
from streamer.bus.role import Broker, Role, State
from streamer.errors import BusStopped, SourceTaken
from streamer.operating import ILocks

GRACE = 10.0  # seconds without a broker, after which a source is followed all the same


@implementer(ILocks)
@attrs.define(eq=False)
class RabbitLocks:
    """See ILocks. It connects when the first lock is taken.

    Args:
        broker: of the bus.
        vhost: for sentences.
    """

    _broker: Broker
    _vhost: str
    role: Role = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: Role("locks", self._broker, self._set_up, self._changed), takes_self=True),
    )
    _wanted: dict[str, Lock] = attrs.field(factory=dict)
    _leaving: Leaving = attrs.field(factory=dict)
    _asking: LockAsking | None = None  # of the connection, while there is one
    _started: bool = False
    _stopped: bool = False

    def start(self) -> None:
        """The bus starts."""
        self._started = True
        if self._wanted:
            self.role.start()

    def take(self, name: str, lost: Callable[[str], None]) -> Deferred[None]:
        """See ILocks."""
        if self._stopped:
            return fail(BusStopped("the bus is stopped"))
        if name in self._wanted:
            return fail(SourceTaken(f"source {name!r} is followed by this process already; stop one of the two"))
        waiting: Deferred[None] = Deferred(lambda _: self._forgo(lock))
        self._wanted[name] = lock = Lock(name, self._vhost, lost, waiting)
        self._watch(lock, waiting)
        if self._started:
            self.role.start()
        if self._asking is not None:
            self._asking.go_on()
        return waiting

    def release(self, name: str) -> Deferred[None]:
        """See ILocks."""
        lock = self._wanted.get(name)
        if lock is None:
            return succeed(None)
        waiting = lock.waiting
        if waiting is not None:
            waiting.cancel()
        return self._drop(lock)

    def waits(self, name: str) -> str:
        """See ILocks."""
        lock = self._wanted.get(name)
        if lock is None or lock.held:
            return ""
        if lock.said or lock.waiting is None:
            return lock.said
        return f"waiting for its lock at the broker ({self.role.status})"

    async def stop(self) -> None:
        """The bus stops: whatever is ours is free once this is done."""
        self._stopped = True
        wanted = list(self._wanted.values())
        self._wanted.clear()
        for lock in wanted:
            waiting, lock.waiting = lock.waiting, None
            if waiting is not None:
                waiting.errback(BusStopped("the bus stopped before the lock was ours"))
        if self.role.state is not State.IDLE:
            await self.role.stop()

    async def _set_up(self, connection: IConnection, channel: object) -> None:
        """Nothing has to be there. What is wanted is asked for aside, since a refusal costs the channel."""

    def _changed(self) -> None:
        connection: Any = self.role.connection if self.role.state is State.RUNNING else None
        if self._asking is not None and self._asking.connection is not connection:
            self._asking.stop()
            self._asking = None
            for lock in self._wanted.values():
                lock.forget()
            leaving = list(itertools.chain.from_iterable(self._leaving.values()))
            self._leaving.clear()  # with the connection
            for gone in leaving:
                gone.callback(None)
        if connection is not None and self._asking is None:
            self._asking = LockAsking(connection, self._broker.clock, self._wanted, self._leaving)
            self._asking.go_on()

    def _forgo(self, lock: Lock) -> None:
        self._drop(lock)

    def _watch(self, lock: Lock, waiting: Deferred[None]) -> None:
        """Go on without the lock where there is no broker to ask for it."""

        def look() -> None:
            timers.append(clock.callLater(GRACE, look))
            if self._asking is None:
                lock.presumed()

        def done(result: Any) -> Any:
            timers.pop().cancel()
            return result

        clock = self._broker.clock
        timers = deque([clock.callLater(GRACE, look)], maxlen=1)
        waiting.addBoth(done)

    def _drop(self, lock: Lock) -> Deferred[None]:
        """Want a lock no more; fires when another can have it."""
        if self._wanted.get(lock.name) is lock:
            del self._wanted[lock.name]
        lock.waiting = None
        gone: Deferred[None] = Deferred()
        if self._asking is None or not (lock.held or lock.asked):
            gone.callback(None)
        else:
            self._leaving.setdefault(lock.name, []).append(gone)
            self._asking.go_on()
        return gone
