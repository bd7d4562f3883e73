# -*- test-case-name: tests.unit.test_services_relay_fleet -*-
"""One process of several relays: from its start to its end, which it is asked for and, in the end, made to."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure


class RelayProcess(ProcessProtocol):
    """A running child.

    Attributes:
        started: seconds since the epoch.
        ended: fires, once it has ended, with how, as a phrase for the operator.
    """

    log = Logger()

    def __init__(self, number: int, clock: Any) -> None:
        self.number = number
        self.started: float = clock.seconds()
        self.ended: Deferred[str] = Deferred()
        self._clock = clock
        self._patience: IDelayedCall | None = None

    @property
    def pid(self) -> int | None:
        """Its process id; None once it has ended."""
        return None if self.transport is None else self.transport.pid

    def end(self, patience: float) -> None:
        """Ask it to end, and end it where it has not within so many seconds."""
        self._signal("TERM")
        if self._patience is None:
            self._patience = self._clock.callLater(patience, self._kill, patience)

    def processEnded(self, reason: Failure) -> None:
        """It is gone, and its files are closed."""
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self.ended.callback(_phrase(reason.value))

    def _kill(self, patience: float) -> None:
        sentence = "Relay process {number} did not stop within {patience:g} s and is killed"
        self.log.warn(sentence, number=self.number, patience=patience)
        self._signal("KILL")

    def _signal(self, name: str) -> None:
        try:
            if self.transport is not None:
                self.transport.signalProcess(name)
        except ProcessExitedAlready:
            pass


def _phrase(error: Any) -> str:
    """How a process ended, by Twisted's exception."""
    if getattr(error, "signal", None) is not None:
        return f"by signal {error.signal}"
    return f"with exit code {getattr(error, 'exitCode', None)}"
