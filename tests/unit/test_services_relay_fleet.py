"""The supervisor of several relays, on a reactor in memory that notes which processes it was to start."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectionRefusedError,
    ProcessDone,
    ProcessExitedAlready,
    ProcessTerminated,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.metrics import RELAY_RESTARTS, Metrics
from streamer.policy.respawn import FIRST
from streamer.services.relay_fleet import READY_WITHIN, STOP_MARGIN, FleetService
from streamer.tables import RelaySettings

DRAIN = 5.0
NOWHERE = "tcp:8080:interface=192.0.2.1"  # an address that is no machine's
HANGS = -1  # stands for a /ready that does not answer


@attrs.define
class FakeProcess:
    """What Twisted hands a ProcessProtocol: notes signals; `exits` ends it as the system would."""

    protocol: Any
    pid: int
    arguments: list[str]
    signals: list[str] = attrs.field(factory=list)
    gone: bool = False

    def signalProcess(self, name: str) -> None:
        if self.gone:
            raise ProcessExitedAlready()
        self.signals.append(name)

    def exits(self, code: int | None = 0, signal: int | None = None) -> None:
        self.gone = True
        error = ProcessTerminated(code, signal) if code or signal else ProcessDone(0)
        self.protocol.transport = None
        self.protocol.processEnded(Failure(error))


class ProcessClock(Clock):
    """A clock that starts processes, as `IReactorProcess` does, or says that there is no room."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[FakeProcess] = []
        self.full = False

    def spawnProcess(self, protocol: Any, executable: str, args: Any, env: Any, childFDs: Any) -> None:
        if self.full:
            raise BlockingIOError("no room")
        assert (executable, childFDs, env) == (args[0], {0: "w", 1: 1, 2: 2}, os.environ)
        process = FakeProcess(protocol, 100 + len(self.processes), args)
        self.processes.append(process)
        protocol.makeConnection(process)

    @property
    def alive(self) -> list[FakeProcess]:
        return [process for process in self.processes if not process.gone]


class FleetTestCase(SynchronousTestCase):
    """A fleet of two."""

    def setUp(self) -> None:
        self.clock = ProcessClock()
        self.clock.advance(1_000_000)
        self.metrics = Metrics()
        self.fatal: list[str] = []
        self.wrong = ""
        self.held: list[socket.socket] = []
        self.ready: dict[str, int] = {}  # what a socket's /ready answers, by default 200

    def fleet(self, listen: str = "tcp:65500:interface=127.0.0.1") -> FleetService:
        """Two relays."""
        settings = RelaySettings(listen=listen, processes=2, drain=DRAIN)
        command = self._command
        return FleetService(
            settings, command, self._check, self.clock, self.metrics, self.fatal.append, self._asked, self._hold
        )

    def start(self) -> FleetService:
        fleet = self.fleet()
        fleet.startService()
        self.assertEqual([], self.fatal)
        return fleet

    def stop(self, fleet: FleetService) -> None:
        stopped = fleet.stopService()
        for process in self.clock.alive:
            process.exits(signal=15)
        self.successResultOf(stopped)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], self.clock.alive)
        self.assertTrue(all(held.fileno() == -1 for held in self.held), "the port is given back")

    def _command(self, number: int, path: str) -> list[str]:
        return ["python", str(number), path]

    def _check(self) -> None:
        if self.wrong:
            raise ValueError(self.wrong)

    def _asked(self, path: str, reactor: Any) -> Any:
        code = self.ready.get(os.path.basename(path), 200)
        if code == HANGS:
            return lambda page: Deferred()
        return lambda page: succeed((code, b"")) if code else fail(ConnectionRefusedError())

    def _hold(self, listen: str) -> Any:
        if listen == NOWHERE:
            raise CannotListenError("192.0.2.1", 8080, OSError("no such address"))
        held = socket.socket()  # bound to nothing
        self.held.append(held)
        return held


class FleetTests(FleetTestCase):
    """Starts, deaths and stops."""

    def test_start_and_stop(self) -> None:
        """Each process has its number and a socket in a folder of ours; all are asked to stop, and nothing is left."""
        fleet = self.fleet()
        self.assertTrue(fleet.stopping)
        fleet.startService()
        self.assertFalse(fleet.stopping)
        arguments = [process.arguments for process in self.clock.processes]
        folder = os.path.dirname(arguments[0][2])
        self.assertEqual([["python", "1", f"{folder}/1-0"], ["python", "2", f"{folder}/2-0"]], arguments)
        self.assertEqual(0o700, os.stat(folder).st_mode & 0o777)
        self.assertEqual([(1, 100), (2, 101)], [(one.number, one.facts["pid"]) for one in fleet.members()])
        stopped = fleet.stopService()
        self.assertTrue(fleet.stopping)
        self.assertEqual([["TERM"], ["TERM"]], [process.signals for process in self.clock.processes])
        self.clock.processes[0].exits()
        self.assertNoResult(stopped)
        self.clock.processes[1].exits(signal=15)
        self.successResultOf(stopped)
        self.assertFalse(os.path.exists(folder))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_address_not_ours(self) -> None:
        """Where the port cannot be had nothing is started, and the operator is told what to change."""
        fleet = self.fleet(NOWHERE)
        fleet.startService()
        (sentence,) = self.fatal
        self.assertTrue(sentence.startswith(f"The relay cannot listen on {NOWHERE!r}: "), sentence)
        self.assertTrue(sentence.endswith("Change [relay] listen."), sentence)
        self.assertEqual(([], []), (self.clock.processes, fleet.members()))
        self.stop(fleet)

    def test_death(self) -> None:
        """One that ends has a successor after a wait, on another socket; until then its trouble is told."""
        fleet = self.start()
        left = Path(self.clock.processes[0].arguments[2])
        left.touch()  # the socket of one that could not tidy up
        self.clock.processes[0].exits(signal=9)
        self.assertFalse(left.exists())
        self.assertEqual(1, self.metrics.value(RELAY_RESTARTS, "1"))
        trouble = fleet.members()[0]
        self.assertIsNone(trouble.ask)
        self.assertIn("it ended by signal 9", trouble.trouble)
        self.clock.advance(FIRST)
        self.assertEqual("1-1", os.path.basename(self.clock.processes[2].arguments[2]))
        self.assertIsNotNone(fleet.members()[0].ask)
        self.clock.processes[2].exits(code=1)
        self.assertIn("it ended with exit code 1", fleet.members()[0].trouble)
        self.clock.advance(FIRST)
        self.assertEqual(3, len(self.clock.processes), "the second wait is longer")
        self.clock.advance(FIRST)
        self.assertEqual(4, len(self.clock.processes))
        self.assertEqual([], self.clock.processes[1].signals, "the other one goes on")
        self.stop(fleet)

    def test_no_room(self) -> None:
        """A system that cannot start a process is asked again, ever more slowly."""
        self.clock.full = True
        fleet = self.start()
        self.assertIn("no room", fleet.members()[0].trouble)
        self.clock.advance(FIRST)
        self.clock.full = False
        self.clock.advance(2 * FIRST)
        self.assertEqual(2, len(self.clock.processes))
        self.stop(fleet)

    def test_stop_while_waiting(self) -> None:
        """A successor that is due is not started any more."""
        fleet = self.start()
        self.clock.processes[0].exits(signal=9)
        self.stop(fleet)
        self.assertEqual(2, len(self.clock.processes))

    def test_deaf_process(self) -> None:
        """One that does not stop within the drain and a margin is killed."""
        fleet = self.start()
        stopped = fleet.stopService()
        self.clock.processes[0].exits()
        self.clock.advance(DRAIN + STOP_MARGIN - 0.1)
        self.assertEqual(["TERM"], self.clock.processes[1].signals)
        self.clock.advance(0.1)
        self.assertEqual(["TERM", "KILL"], self.clock.processes[1].signals)
        self.assertNoResult(stopped)
        self.clock.processes[1].exits(signal=9)
        self.successResultOf(stopped)
        self.assertEqual([], self.clock.getDelayedCalls())


class RenewTests(FleetTestCase):
    """SIGHUP."""

    def test_one_after_the_other(self) -> None:
        """The second is asked to go when the first one's successor is ready; none of it counts as a death."""
        fleet = self.start()
        first, second = self.clock.processes
        self.ready["1-1"] = 0
        fleet.renew()
        fleet.renew()
        self.assertEqual((["TERM"], []), (first.signals, second.signals))
        first.exits(signal=15)
        for code in (0, 503):
            self.ready["1-1"] = code
            self.clock.advance(1)
            self.assertEqual((3, []), (len(self.clock.processes), second.signals))
        self.ready["1-1"] = 200
        self.clock.advance(1)
        self.assertEqual(["TERM"], second.signals)
        second.exits(signal=15)
        self.clock.advance(1)
        self.assertEqual(["1-1", "2-1"], [os.path.basename(one.arguments[2]) for one in self.clock.alive])
        self.assertEqual(0, self.metrics.value(RELAY_RESTARTS, "1"))
        self.assertEqual([], self.clock.getDelayedCalls())
        self.stop(fleet)

    def test_bad_configuration(self) -> None:
        """With a configuration that they could not start with nothing is renewed."""
        fleet = self.start()
        self.wrong = "x.toml:1:1: unknown key"
        fleet.renew()
        self.assertEqual([[], []], [process.signals for process in self.clock.processes])
        self.stop(fleet)

    def test_never_ready(self) -> None:
        """When a successor does not become ready the others are left alone; later one may try again."""
        fleet = self.start()
        self.ready["1-1"] = 503
        fleet.renew()
        self.clock.processes[0].exits(signal=15)
        for _ in range(int(DRAIN + STOP_MARGIN + READY_WITHIN) + 2):
            self.clock.advance(1)
        self.assertEqual([], self.clock.processes[1].signals)
        self.assertEqual([], self.clock.getDelayedCalls())
        fleet.renew()
        self.assertEqual(["TERM"], self.clock.processes[2].signals)
        self.stop(fleet)

    def test_stop_meanwhile(self) -> None:
        """A stop ends a renewal, too; and one that stops is not renewed."""
        fleet = self.start()
        fleet.renew()
        self.stop(fleet)
        fleet.renew()
        self.assertEqual(2, len(self.clock.processes))

    def test_stop_while_asking(self) -> None:
        """A stop does not wait for an answer that a renewal waits for, nor does the renewal go on."""
        fleet = self.start()
        self.ready["1-1"] = HANGS
        fleet.renew()
        self.clock.processes[0].exits(signal=15)
        self.clock.advance(1)
        self.stop(fleet)

    @given(st.lists(st.sampled_from(["die 0", "die 1", "renew", "wait", "long", "full", "room"]), max_size=25))
    def test_any_order(self, acts: list[str]) -> None:
        """Whatever happens in whatever order: never two processes in one place, and in the end two that run."""
        self.setUp()
        fleet = self.start()
        for act in [*acts, "room"]:
            name, _, which = act.partition(" ")
            if name == "die" and len(self.clock.alive) > int(which):
                self.clock.alive[int(which)].exits(signal=9)
            elif name == "renew":
                fleet.renew()
            elif name in ("wait", "long"):
                self.clock.advance(0.3 if name == "wait" else 31)
            self.clock.full = {"full": True, "room": False}.get(name, self.clock.full)
            numbers = [process.arguments[1] for process in self.clock.alive]
            self.assertEqual(sorted(set(numbers)), sorted(numbers))
        for _ in range(8):  # who was asked to go goes; whatever waits has its time
            for process in self.clock.alive:
                if process.signals:
                    process.exits(signal=15)
            self.clock.advance(31)
        self.assertEqual(["1", "2"], sorted(process.arguments[1] for process in self.clock.alive))
        self.stop(fleet)
