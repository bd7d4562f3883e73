# -*- test-case-name: tests.unit.test_watch_cli -*-
"""A command that runs in the foreground until it is done or a signal ends it, with the exit code a shell expects.

Whoever reads our output may stop reading: `| head` closes the pipe, which ends the command quietly, and a pager that
is not scrolled leaves a write waiting for ever, in which only a signal handler still runs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, BinaryIO

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

SIGNALLED = 128  # a shell's exit code for the end by a signal is this and its number
SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 0.3  # seconds after a signal in which a write may be done


@attrs.define(eq=False)
class Foreground:
    """One command's run.

    Args:
        reactor: not yet running.
        out: where the data goes.
    """

    reactor: Any
    out: BinaryIO
    _writing: bool = False
    _signal: int = 0
    _running: Deferred[Any] | None = None
    _result: Any = None

    def write(self, data: bytes) -> None:
        """Write data, and wait until it is out.

        Raises:
            OSError: BrokenPipeError where nobody reads any more.
        """
        self._writing = True
        self.out.write(data)
        self.out.flush()
        self._writing = False

    def run(self, begin: Callable[[], Deferred[Any]]) -> int:
        """Run until the Deferred fires.

        Returns:
            The exit code: 0 where it fired or nobody reads any more, 128 and the signal's number where one came.

        Raises:
            Exception: whatever the Deferred failed with.
        """
        _log_what_is_broken()
        for number in SIGNALS:
            signal.signal(number, self._signalled)
        signal.signal(signal.SIGALRM, self._stuck)
        self.reactor.callWhenRunning(self._begin, begin)
        try:
            self.reactor.run(installSignalHandlers=False)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        if not isinstance(self._result, Failure):
            return 0
        if self._result.check(BrokenPipeError):
            _read_by_nobody(self.out)
            return 0
        if self._signal and self._result.check(CancelledError):
            return SIGNALLED + self._signal
        self._result.raiseException()
        raise AssertionError("a failure holds an exception")

    def _begin(self, begin: Callable[[], Deferred[Any]]) -> None:
        self._running = begin()
        self._running.addBoth(self._done)

    def _done(self, result: Any) -> None:
        self._result = result
        self.reactor.callLater(0, self.reactor.stop)  # it may not have begun to run

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """The first signal asks to end; a second one, or a write that stays where it is, ends it at once."""
        if self._signal or self._running is None:
            os._exit(SIGNALLED + number)
        self._signal = number
        self.reactor.callFromThread(self._running.cancel)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)

    def _stuck(self, number: int, frame: FrameType | None) -> None:
        if self._writing:
            os._exit(SIGNALLED + self._signal)


def _log_what_is_broken() -> None:
    """Mistakes of ours go to stderr; what libraries tell of connections is none of a user's business."""
    predicate = LogLevelFilterPredicate(LogLevel.critical)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [predicate])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)


def _read_by_nobody(out: BinaryIO) -> None:
    """Let the interpreter flush what is left into nothing when it exits, instead of complaining."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, out.fileno())
    os.close(nothing)
