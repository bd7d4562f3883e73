"""`twistd relay`: which services its process holds, alone, as one of several, and as their supervisor."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ConfigurationError
from streamer.services.relay_tap import Options, check_processes, check_renewal, child, child_command, makeService
from streamer.settings import loads

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
        self.assertEqual(["Garbage", "RabbitBus", "RelayService", "ListeningService"], names(self.made(BROKER)))

    def test_several(self) -> None:
        """With more it is a supervisor, which serves nobody; its admin endpoint starts first and stops last."""
        self.assertEqual(["ListeningService", "FleetService", "Hangup"], names(self.made(TWO)))

    def test_one_of_several(self) -> None:
        """A child is a relay on a tether, whatever the file says of how many there are."""
        whole = self.made(TWO, process="1", socket="/run/x/1-0")
        self.assertEqual(
            ["Garbage", "RabbitBus", "RelayService", "ListeningService", "Tether", "Hangup"], names(whole)
        )

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

    def test_unshareable(self) -> None:
        """What several cannot share is a problem of the file, at its place, with exit code 78."""
        for listen in ("tcp:0", "unix:/run/x"):
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
        self.assertEqual(78, ended.code)
        self.assertIn("x.toml:5:1: relay.listen: several processes can share", said.getvalue())
