# -*- test-case-name: tests.unit.test_bus_spool_worker -*-
"""Where the spool's blocking work is done: one thread of its own, or at once in a test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class Work(Protocol):
    """Does things one after another, in the order they were asked for, in one thread."""

    def do(self, function: Callable[[], T]) -> Deferred[T]:
        """Call a function. Fires in the caller's thread with what it returned, or fails with what it raised."""

    def stop(self) -> Deferred[None]:
        """Finish what was asked. Fires when the thread is gone; nothing may be asked any more."""


@attrs.define
class ThreadWork:
    """One thread, started with the first thing to do.

    Args:
        name: of the thread, for whoever looks at a stuck process.
    """

    _reactor: IReactorFromThreads
    name: str
    _pool: ThreadPool | None = None

    def do(self, function: Callable[[], T]) -> Deferred[T]:
        """See Work."""
        if self._pool is None:
            self._pool = ThreadPool(1, 1, self.name)
            # A process that ends without `stop` must not hang; SQLite's log outlives its thread.
            self._pool.threadFactory = partial(threading.Thread, daemon=True)  # type: ignore[assignment]
            self._pool.start()
        done: Deferred[T] = Deferred()

        def tell(ok: bool, result: Any) -> None:
            self._reactor.callFromThread(done.callback if ok else done.errback, result)

        self._pool.callInThreadWithCallback(tell, function)
        return done

    def stop(self) -> Deferred[None]:
        """See Work."""
        if self._pool is None:
            return succeed(None)
        # Joining blocks; behind everything that was asked, the thread has nothing left to do but to end.
        return self.do(lambda: None).addCallback(self._join)

    def _join(self, _: None) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool = None


@attrs.define
class InlineWork:
    """Does everything at once, in the caller's thread: for tests and for tools without a reactor."""

    stopped: bool = False

    def do(self, function: Callable[[], T]) -> Deferred[T]:
        """See Work."""
        if self.stopped:
            raise RuntimeError("nothing may be asked of work that was stopped")
        return maybeDeferred(function)

    def stop(self) -> Deferred[None]:
        """See Work."""
        self.stopped = True
        return succeed(None)
