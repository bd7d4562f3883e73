# -*- test-case-name: tests.unit.test_services_relay_fleet -*-
"""One place among several relays: a process is always to be there, and a successor where one ended."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from streamer.policy.respawn import Respawn
from streamer.services.relay_process import RelayProcess

Spawn = Callable[[RelayProcess, str], None]  # starts it; its admin endpoint listens at the path


class Wish(enum.Enum):
    """What is to become of a slot when its process ends."""

    RUN = enum.auto()  # a successor, after a wait
    RENEW = enum.auto()  # a successor at once; this end was asked for
    STOP = enum.auto()


class Slot:
    """Keeps one process running.

    Args:
        number: from 1.
        spawn: raises OSError where the system has no room for another process.
        path: makes the path of the next process's admin socket, of its number and how many there were before.

    Attributes:
        starts: processes started so far.
        trouble: why there is no process, while there is none.
    """

    log = Logger()

    def __init__(
        self,
        number: int,
        spawn: Spawn,
        path: Callable[[int, int], str],
        clock: Any,
        died: Callable[[int], object],
    ) -> None:
        self.number = number
        self.starts = 0
        self.trouble = "it does not run"
        self.process: RelayProcess | None = None
        self.socket = ""
        self._spawn = spawn
        self._path = path
        self._clock = clock
        self._died = died
        self._respawn = Respawn()
        self._wish = Wish.STOP
        self._running: Deferred[None] = succeed(None)

    def start(self) -> None:
        """Start a process, and one after each that ends."""
        self._wish = Wish.RUN
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._failed)

    async def stop(self, patience: float) -> None:
        """End the process, by force after so many seconds; returns when it is gone."""
        self._wish = Wish.STOP
        if self.process is None:
            self._running.cancel()
        else:
            self.process.end(patience)
        await self._running

    def renew(self, patience: float) -> None:
        """End the process so that a successor takes its place; one that waits to start anew starts when it would."""
        if self.process is not None and self._wish is Wish.RUN:
            self._wish = Wish.RENEW
            self.process.end(patience)

    async def _run(self) -> None:
        while self._wish is not Wish.STOP:
            self._wish = Wish.RUN
            lived, ended = await self._one()
            if self._wish is not Wish.RUN:
                continue
            self._died(self.number)
            wait = self._respawn.died(lived)
            self.trouble = f"it ended {ended}; its successor starts within {wait:g} s"
            sentence = "Relay process {number} ended {ended} after {lived:.0f} s; its successor starts in {wait:g} s"
            self.log.error(sentence, number=self.number, ended=ended, lived=lived, wait=wait)
            await deferLater(self._clock, wait)

    async def _one(self) -> tuple[float, str]:
        """One process: how many seconds it lived, and how it ended."""
        process = RelayProcess(self.number, self._clock)
        self.socket = self._path(self.number, self.starts)
        self.starts += 1
        try:
            self._spawn(process, self.socket)
        except OSError as error:
            return 0.0, f"before it began: {error}"
        self.process = process
        self.log.info("Relay process {number} runs, pid {pid}", number=self.number, pid=process.pid)
        ended = await process.ended
        self.process = None
        try:
            os.unlink(self.socket)
        except OSError:
            pass  # only one that was killed leaves it
        return self._clock.seconds() - process.started, ended

    def _failed(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            self.log.failure("while keeping relay process {number}", failure=failure, number=self.number)
