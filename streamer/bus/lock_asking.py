# -*- test-case-name: tests.unit.test_bus_locks -*-
"""Asks a broker for the locks of sources, over one connection, one question at a time; see `bus.locks`."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from streamer.bus import deadline
from streamer.bus.driver import ChannelRefused, ConnectionLost, Loss
from streamer.bus.lock import EXCLUSIVE, Leaving, Lock, queue_of
from streamer.bus.visit import Questions


@attrs.define(eq=False)
class LockAsking:
    """What goes on over one connection.

    Args:
        connection: an IConnection on which a role runs.
        wanted: the locks that are to be ours, by source; those that cannot be are taken out.
        leaving: those to be released.
    """

    _log = Logger()

    connection: Any
    _clock: IReactorTime
    _wanted: dict[str, Lock]
    _leaving: Leaving
    _questions: Questions = attrs.field(
        init=False, default=attrs.Factory(lambda self: Questions(self.connection), takes_self=True)
    )
    _busy: bool = False
    _over: bool = False
    _again: IDelayedCall | None = None

    def go_on(self) -> None:
        """Ask for what is due, and come back when something is."""
        if self._again is not None and self._again.active():
            self._again.cancel()
        self._again = None
        if self._busy or self._over or self.connection.loss is not None:
            return
        now, due = self._clock.seconds(), [lock.due for lock in _missing(self._wanted)]
        if self._leaving or any(moment <= now for moment in due):
            self._busy = True
            asking = Deferred.fromCoroutine(self._ask())
            asking.addErrback(lambda failure: self._log.failure("while locking; this is a defect", failure))
            asking.addCallback(self._asked)
        elif due:
            self._again = self._clock.callLater(min(due) - now, self.go_on)

    def stop(self) -> None:
        """The connection is gone."""
        self._over = True
        if self._again is not None and self._again.active():
            self._again.cancel()

    def _asked(self, _: object) -> None:
        self._busy = False
        self.go_on()

    async def _ask(self) -> None:
        """One question after the other, until nothing is due."""
        try:
            while not self._over and (step := self._next()) is not None:
                seconds, what, question = step
                await deadline.within(self._clock, seconds, Deferred.fromCoroutine(question), what)
        except TimeoutError as error:
            self.connection.abort(Loss("timeout", str(error)))
        except ConnectionLost as error:
            if not self._over and self.connection.loss is None:  # it goes on, but takes no question
                self.connection.abort(Loss("refused", str(error)))

    def _next(self) -> tuple[float, str, Coroutine[Any, Any, None]] | None:
        """What to ask next, after which deadline it is given up, and what that is."""
        if self._leaving:
            name = next(iter(self._leaving))
            return deadline.CLOSE, f"release the lock of {name}", self._delete(name)
        now = self._clock.seconds()
        lock = next((lock for lock in _missing(self._wanted) if lock.due <= now), None)
        return None if lock is None else (deadline.SETUP, f"take the lock of {lock.name}", self._declare(lock))

    async def _declare(self, lock: Lock) -> None:
        lock.asked = True
        try:
            await self._questions.declare("queue_declare", {"queue": queue_of(lock.name), **EXCLUSIVE})
        except ChannelRefused as refused:
            wanted = self._wanted.get(lock.name) is lock
            error = lock.denied(refused, self._clock.seconds()) if wanted else None
            if error is not None:
                del self._wanted[lock.name]
                lock.end(error)
        else:
            lock.granted()
        finally:
            lock.asked = False

    async def _delete(self, name: str) -> None:
        try:
            await self._questions.declare("queue_delete", {"queue": queue_of(name)})
        except ChannelRefused as refused:  # as after a refusal that was on its way when it was released
            self._log.debug("The lock of {source} was not released: {why}", source=name, why=str(refused))
        for gone in self._leaving.pop(name, ()):
            gone.callback(None)


def _missing(wanted: Mapping[str, Lock]) -> list[Lock]:
    return [lock for lock in wanted.values() if not lock.held]
