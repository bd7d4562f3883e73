"""`twistd relay`: which services its process holds, alone, as one of several, and as their supervisor."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ConfigurationError
from streamer.services.options import check_processes, read
from streamer.services.relay import RelayService
from streamer.services.relay_tap import Options, check_renewal, child, child_command, makeService, share
from streamer.settings import loads
from streamer.tables import RelaySettings

BROKER = '[bus]\nurl = "amqp://127.0.0.1/"\n'
TWO = BROKER + '[relay]\nprocesses = 2\nlisten = "tcp:8080:interface=127.0.0.1"\n'


def names(whole: Any) -> list[str]:
    return [type(service).__name__ for service in whole.services]


class TapTests(SynchronousTestCase):
    """`makeService` and its parts."""

    def made(self, text: str, **options: str) -> Any:
        """What the plugin makes, without starting it."""
        chosen = Options()
        chosen.settings = loads(text)
        chosen.update(options)
        return makeService(chosen)

    def test_alone(self) -> None:
        """One process by default."""
        expected = ["Hangup", "Garbage", "RabbitBus", "ListeningService", "RelayService"]
        self.assertEqual(expected, names(self.made(BROKER)))

    def test_several(self) -> None:
        """With more it is a supervisor, which serves nobody; its admin endpoint starts before them, and stops after.

        SIGHUP is heard for longer still, for while the others stop it must not end the supervisor.
        """
        self.assertEqual(["Hangup", "ListeningService", "FleetService"], names(self.made(TWO)))

    def test_one_of_several(self) -> None:
        """A child is a relay on a tether, whatever the file says of how many there are."""
        whole = self.made(TWO, process="1", socket="/run/x/1-0")
        expected = ["Hangup", "Garbage", "RabbitBus", "ListeningService", "RelayService", "Tether"]
        self.assertEqual(expected, names(whole))

    def test_hangup_alone(self) -> None:
        """A single process goes on after a SIGHUP, and says why nothing happened."""
        hangup = self.made(BROKER).services[0]
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        turns: list[Any] = []
        self.patch(hangup._reactor, "callFromThread", turns.append)
        hangup.startService()
        os.kill(os.getpid(), signal.SIGHUP)
        (turn,) = turns
        with capturedLogs() as said:
            turn()
        hangup.stopService()
        sentences = [formatEvent(event) for event in said]
        self.assertEqual(["SIGHUP: one process has nobody to take its clients; restart it instead"], sentences)

    def test_share(self) -> None:
        """The limits in all are divided, a quarter more for each; none is above what the file says, nor below 1."""
        for processes, clients, handshakes, expected in (
            (1, 10_000, 2_000.0, (10_000, 2_000.0)),
            (2, 10_000, 2_000.0, (6_250, 1_250.0)),
            (3, 10_000, 2_000.0, (4_167, 2_000 * 1.25 / 3)),
            (256, 10, 0.5, (1, 0.5 * 1.25 / 256)),
        ):
            whole = RelaySettings(processes=processes, clients=clients, handshakes=handshakes)
            own = share(whole)
            self.assertEqual(expected, (own.clients, own.handshakes))
            self.assertEqual(whole.clients_per_address, own.clients_per_address)

    def test_child_has_its_share(self) -> None:
        """What a child lets in goes by its share; a process that is alone has all of it."""
        for text, options, limit in ((TWO, {"process": "1", "socket": "/run/x"}, 63), (BROKER + "[relay]\n", {}, 100)):
            (relay,) = (one for one in self.made(text + "clients = 100\n", **options) if isinstance(one, RelayService))
            self.assertEqual(limit, relay._admission.limit)

    def test_child_listens_where_it_was_told(self) -> None:
        """Its admin endpoint is the supervisor's business, not the file's, and for nobody else."""
        reactor = MemoryReactorClock()
        path = "/run/odd:name\\/1-0"
        whole = child(loads(TWO), path, reactor)
        admin = whole.services[3]
        admin.startService()
        ((address, _, _, mode, lock),) = reactor.unixServers
        self.assertEqual((path, 0o600, False), (address, mode, bool(lock)))
        self.assertEqual([], reactor.tcpServers)
        self.successResultOf(admin.stopService())

    def test_child_command(self) -> None:
        """A child is this program again, in the foreground, with the same file, its number and its socket."""
        command = child_command("/etc/streamer.toml")(2, "/run/x/2-0")
        self.assertEqual(sys.executable, command[0])
        place = command.index("relay")
        self.assertIn("-n", command[:place])
        self.assertEqual(["-c", "/etc/streamer.toml"], command[place + 1 : place + 3])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.toml"
            path.write_text(TWO)
            options = Options()
            options.parseOptions(["-c", str(path), *command[place + 3 :]])
        self.assertEqual(("2", "/run/x/2-0"), (options["process"], options["socket"]))

    def test_renewal(self) -> None:
        """A changed file may be read by new relays, unless it is wrong or changes what the supervisor holds."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.toml"
            for text, problem in (
                (TWO, ""),
                (TWO + "heartbeat = 3.0\n", ""),
                (TWO.replace("8080", "8081"), "x.toml:5:1: relay.listen: has changed; that takes a restart"),
                (TWO.replace("= 2", "= 3"), "x.toml:4:1: relay.processes: has changed"),
                (TWO + 'admin = "tcp:1"\n', "x.toml:6:1: relay.admin: has changed"),
                (TWO + "lnag = 1\n", "unknown key 'lnag'"),
                ("", "'memory:' joins nothing"),
            ):
                path.write_text(text)
                with self.subTest(text):
                    if problem:
                        error = self.assertRaises(ConfigurationError, check_renewal, loads(TWO), str(path))
                        self.assertIn(problem, str(error))
                    else:
                        check_renewal(loads(TWO), str(path))

    def test_socket(self) -> None:
        """A socket of systemd's passes a check made anywhere, and is missed by the process that is to listen on it."""
        text = BROKER + '[relay]\nlisten = "systemd:domain=INET:name=relay"\n'
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.toml"
            path.write_text(text)
            read(str(path))
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                ended = self.assertRaises(SystemExit, Options().parseOptions, ["-c", str(path)])
            self.assertEqual(78, ended.code)
            self.assertIn("x.toml:4:1: relay.listen: systemd handed over no socket named 'relay'; ", said.getvalue())
            path.write_text(TWO + 'admin = "systemd:domain=UNIX:name=admin"\n')  # the supervisor's alone
            Options().parseOptions(["-c", str(path), "--process", "1", "--socket", "/run/x"])
            with contextlib.redirect_stderr(said):
                self.assertRaises(SystemExit, Options().parseOptions, ["-c", str(path)])
            self.assertIn("relay.admin: systemd handed over no socket named 'admin'", said.getvalue())

    def test_unshareable(self) -> None:
        """What several cannot share is a problem of the file, at its place, with exit code 78."""
        for listen in ("tcp:0", "systemd:domain=INET:name=relay", "unix:/run/x"):
            text = TWO.replace("tcp:8080:interface=127.0.0.1", listen)
            error = self.assertRaises(ConfigurationError, check_processes, loads(text))
            self.assertTrue(str(error).startswith("<string>:5:1: relay.listen: several processes"), error)
            check_processes(loads(text.replace("processes = 2", "processes = 1")))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.toml"
            path.write_text(text)
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                ended = self.assertRaises(SystemExit, Options().parseOptions, ["-c", str(path)])
            error = self.assertRaises(ConfigurationError, read, str(path))  # as `streamer check` does
            self.assertIn("x.toml:5:1: relay.listen: several processes can share", str(error))
        self.assertEqual(78, ended.code)
        self.assertIn("x.toml:5:1: relay.listen: several processes can share", said.getvalue())
