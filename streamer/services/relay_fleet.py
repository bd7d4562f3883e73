# -*- test-case-name: tests.unit.test_services_relay_fleet -*-
"""`[relay] processes` > 1: a supervisor that starts so many relays on one port and keeps them running.

A relay uses one core. Each process has its own journal and broker connection, and the kernel deals the connections out
(`net.listen`), so they share nothing that could fail together; as positions are valid on all of them, a client whose
process ends goes on at whichever takes its next connection.

The supervisor serves no clients. It holds the port, without listening, so that nobody else gets it between two
processes; and each child holds the end of a pipe (`tether`), so that none is left alone.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.metrics import RELAY_RESTARTS, Metrics
from streamer.net.gathered import Ask, Member, unix_pages
from streamer.net.listen import Place
from streamer.services.fatal import Fatal
from streamer.services.relay_process import RelayProcess
from streamer.services.relay_slot import Slot
from streamer.tables import RelaySettings

STOP_MARGIN = 15.0  # seconds beyond the drain in which a relay must have stopped, its broker connection too
READY_WITHIN = 120.0  # seconds a successor has to become ready before the next process is renewed
LOOK_EVERY = 0.25  # seconds between two questions whether it is


Command = Callable[[int, str], list[str]]  # number, path of the admin socket → program and arguments


class FleetService(Service):
    """Runs `settings.processes` relays, from its start to its stop.

    Args:
        command: of one relay.
        check: raises where the configuration that a successor would read is no good; asked before `renew` begins.
        reactor: starts processes and keeps time.
        fatal: told a sentence where the port cannot be had.
        asked: how to ask the admin endpoint at a path.
        hold: takes the port without listening, and raises where it cannot be had.
    """

    log = Logger()

    def __init__(
        self,
        settings: RelaySettings,
        command: Command,
        check: Callable[[], object],
        reactor: Any,
        metrics: Metrics,
        fatal: Fatal,
        asked: Callable[[str, Any], Ask] = unix_pages,
        hold: Callable[[str], socket.socket] = lambda listen: Place.of(listen).open(),
    ) -> None:
        self._settings = settings
        self._command = command
        self._check = check
        self._reactor = reactor
        self._metrics = metrics
        self._fatal = fatal
        self._asked = asked
        self._hold = hold
        self._slots: list[Slot] = []
        self._folder = ""
        self._port: socket.socket | None = None
        self._renewing: Deferred[None] | None = None

    @property
    def stopping(self) -> bool:
        """Whether it is not meant to serve."""
        return not self.running

    def members(self) -> list[Member]:
        """The processes, for the admin endpoint."""
        return [_member(slot, partial(self._asked, slot.socket, self._reactor)) for slot in self._slots]

    def startService(self) -> None:
        """Take the port and start the processes."""
        Service.startService(self)
        listen = self._settings.listen
        try:
            self._port = self._hold(listen)
        except Exception as error:  # whatever it is, an operator must see where it comes from
            self._fatal(f"The relay cannot listen on {listen!r}: {error} Change [relay] listen.")
            return
        self._folder = tempfile.mkdtemp(prefix="streamer-relay-")
        for number in range(1, self._settings.processes + 1):
            slot = Slot(number, self._spawn, self._path, self._reactor, self._died)
            self._slots.append(slot)
            slot.start()

    def stopService(self) -> Deferred[None]:
        """Have all processes drain and stop; fires when none is left."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    def renew(self) -> None:
        """Replace the processes by new ones, one after the other, each when the one before is ready.

        They read the configuration anew.
        """
        if self._renewing is not None or self.stopping:
            return
        try:
            self._check()
        except Exception as error:
            self.log.error("The relays are not renewed, for they could not start:\n{error}", error=error)
            return
        self._renewing = Deferred.fromCoroutine(self._renew())
        self._renewing.addBoth(self._renewed)

    async def _renew(self) -> None:
        self.log.info("The relays are renewed, one after the other")
        for slot in self._slots:
            before = slot.starts
            slot.renew(self._patience)
            if not await self._until_ready(slot, before):
                sentence = "Relay process {number} was not ready within {within:g} s; the others are left as they are"
                self.log.error(sentence, number=slot.number, within=READY_WITHIN)
                return
        self.log.info("All relays are renewed")

    async def _until_ready(self, slot: Slot, before: int) -> bool:
        """Wait for the slot's next process; False where it takes too long."""
        limit = self._reactor.seconds() + self._patience + READY_WITHIN
        while self._reactor.seconds() < limit:
            if slot.process is not None and slot.starts > before:
                try:
                    code, _ = await self._asked(slot.socket, self._reactor)("ready")
                except CancelledError:
                    raise
                except Exception as error:  # it does not listen yet
                    self.log.debug("process {number} does not answer: {error}", number=slot.number, error=error)
                    code = 0
                if code == 200:
                    return True
            await deferLater(self._reactor, LOOK_EVERY)
        return False

    def _renewed(self, result: Any) -> None:
        self._renewing = None
        if isinstance(result, Failure) and not result.check(CancelledError):
            self.log.failure("while renewing the relays", failure=result)

    async def _stop(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        stopped = [Deferred.fromCoroutine(slot.stop(self._patience)) for slot in self._slots]
        await DeferredList(stopped)
        self._slots.clear()
        if self._port is not None:
            self._port.close()
            self._port = None
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _patience(self) -> float:
        return self._settings.drain + STOP_MARGIN

    def _spawn(self, process: RelayProcess, path: str) -> None:
        program, *arguments = self._command(process.number, path)
        descriptors: Any = {0: "w", 1: 1, 2: 2}  # what it says goes where what we say goes
        self._reactor.spawnProcess(process, program, [program, *arguments], env=os.environ, childFDs=descriptors)

    def _path(self, number: int, start: int) -> str:
        return os.path.join(self._folder, f"{number}-{start}")

    def _died(self, number: int) -> None:
        self._metrics.add(RELAY_RESTARTS, str(number))


def _member(slot: Slot, ask: Callable[[], Ask]) -> Member:
    """What is known of a slot's process."""
    process = slot.process
    facts: dict[str, Any] = {"pid": None, "started": None, "starts": slot.starts}
    if process is None:
        return Member(slot.number, facts, None, slot.trouble)
    facts |= {"pid": process.pid, "started": process.started}
    return Member(slot.number, facts, ask())
