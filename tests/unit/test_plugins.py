"""The four twistd plugins and their options."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

from treq.testing import StubTreq
from twisted.application.service import IServiceMaker, Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from streamer.services.assembly import ROLES, assemble
from streamer.services.options import Options, PipelineOptions, StreamerOptions
from streamer.services.relay import RelayService
from streamer.services.staged import Staged
from streamer.services.streamer import StreamerService
from streamer.settings import loads

SOURCE = '[sources.{0}]\ntype = "x-filtered"\ntoken = "of-{0}"\nbase_url = "http://127.0.0.1:1"\n'
BROKER = '[bus]\nurl = "amqp://127.0.0.1/"\n'
NAMES = {"streamer", "enrich", "relay", "pipeline"}


def ours() -> dict[str, Any]:
    """Our plugins by name, as twistd sees them."""
    return {plugin.tapname: plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname in NAMES}


class PluginTests(SynchronousTestCase):
    """What twistd loads."""

    def test_found(self) -> None:
        """All four are there and say what they do."""
        self.assertEqual(NAMES, set(ours()))
        for plugin in ours().values():
            self.assertTrue(plugin.description.endswith("."))

    def test_options(self) -> None:
        """Each takes -c."""
        for plugin in ours().values():
            self.assertIn("config", plugin.options())

    def test_make_service(self) -> None:
        """Each makes a service, without touching the network or the disk."""
        for plugin in ours().values():
            options = plugin.options()
            options.settings = loads(SOURCE.format("birds"))
            self.assertIsInstance(plugin.makeService(options), Staged)


class OptionsTests(SynchronousTestCase):
    """`-c FILE` and `--source NAME`."""

    def parse(self, options: Options, text: str, *arguments: str) -> tuple[int, str]:
        """Parse with a file that holds the text; the exit code and what was printed, 0 where it did not exit."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.toml"
            path.write_text(text, encoding="utf-8")
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                try:
                    options.parseOptions(["-c", str(path), *arguments])
                except SystemExit as exit_:
                    return int(str(exit_.code)), said.getvalue().replace(folder, "")
        return 0, said.getvalue()

    def test_good(self) -> None:
        """The settings are read."""
        options = Options()
        self.assertEqual((0, ""), self.parse(options, BROKER + SOURCE.format("birds")))
        self.assertIn("birds", options.settings.sources)

    def test_bad(self) -> None:
        """A bad file ends the process with code 78 and the problem's place."""
        code, said = self.parse(Options(), "[enrich]\nlnag = 1\n")
        self.assertEqual(78, code)
        self.assertTrue(said.startswith("/x.toml:2:1: unknown key 'lnag' in [enrich]"), said)

    def test_bad_bus(self) -> None:
        """A URL that no bus answers to is a problem of the file too, and its password stays out of the message."""
        code, said = self.parse(Options(), '[bus]\nurl = "redis://u:hush@h/"\n')
        self.assertEqual(78, code)
        self.assertIn("/x.toml:2:1: bus.url: ", said)
        self.assertNotIn("hush", said)

    def test_bad_certificate(self) -> None:
        """A broker's certificate authority that is not there is found before anything connects."""
        for path in ("/nonexistent.pem", "/etc/hostname"):
            code, said = self.parse(Options(), f'[bus]\nurl = "amqps://u:hush@h/?ca_file={path}"\n')
            self.assertEqual(78, code)
            self.assertIn(f"/x.toml:2:1: bus.url: ca_file {path!r}", said)

    def test_memory_between_processes(self) -> None:
        """The in-memory bus joins nothing between processes; only the pipeline may have it."""
        for options in (Options(), StreamerOptions()):
            code, said = self.parse(options, '[bus]\nurl = "memory:"\n')
            self.assertEqual(78, code)
            self.assertIn("/x.toml:2:1: bus.url: 'memory:' joins nothing between processes", said)
        self.assertEqual((0, ""), self.parse(PipelineOptions(), ""))

    def test_processes_of_pipeline(self) -> None:
        """Several relays are for twistd relay; the pipeline says so, and a bus in memory has no use for them."""
        two = '[relay]\nprocesses = 2\nlisten = "tcp:8080"\n'
        code, said = self.parse(PipelineOptions(), BROKER + two)
        self.assertEqual(78, code)
        self.assertIn("/x.toml:4:1: relay.processes: the pipeline is one process; run twistd relay", said)
        code, said = self.parse(PipelineOptions(), two)
        self.assertEqual(78, code)
        self.assertIn("/x.toml:2:1: relay.processes: several relays meet at a broker", said)
        self.assertEqual((0, ""), self.parse(PipelineOptions(), BROKER + two.replace("= 2", "= 1")))

    def test_socket_not_handed_over(self) -> None:
        """Who is to listen on a socket that systemd did not hand over is told which, and ends; who is not, is not."""
        for table, key, options in (
            ("relay", "listen", PipelineOptions()),
            ("streamer", "admin", PipelineOptions()),
            ("streamer", "admin", StreamerOptions()),
            ("enrich", "admin", Options()),
        ):
            with self.subTest(table=table, options=type(options).__name__):
                text = f'{BROKER}[{table}]\n{key} = "systemd:domain=INET:name=our-{key}"\n'
                code, said = self.parse(options, text)
                self.assertEqual(78, code)
                sentence = f"/x.toml:4:1: {table}.{key}: systemd handed over no socket named 'our-{key}'; start the "
                self.assertIn(sentence, said)
        self.assertEqual((0, ""), self.parse(Options(), text.replace("enrich", "relay")))

    def test_sources(self) -> None:
        """--source chooses, and an unknown one lists the known."""
        text = BROKER + SOURCE.format("birds") + SOURCE.format("cats")
        options = StreamerOptions()
        self.assertEqual((0, ""), self.parse(options, text, "--source", "cats"))
        self.assertEqual(["cats"], options["sources"])
        code, said = self.parse(StreamerOptions(), text, "--source", "dogs")
        self.assertEqual((78, "/x.toml: has no source 'dogs'; there are birds, cats\n"), (code, said))

    def test_unknown_option(self) -> None:
        """Usage errors are twistd's own."""
        self.assertRaises(UsageError, Options().parseOptions, ["--nope"])


class Slow(Service):
    """What takes its time to stop."""

    def __init__(self) -> None:
        self.quiet: Deferred[None] = Deferred()

    def stopService(self) -> Deferred[None]:
        return self.quiet


class AssemblyTests(SynchronousTestCase):
    """Which services a process holds, and in what order."""

    def test_pipeline(self) -> None:
        """The bus first, then from the browser's end to the upstream's.

        Between them stands the admin endpoint: it stops after all roles, so that a drain shows in /ready and /metrics.
        """
        whole = assemble(loads(SOURCE.format("birds")), MemoryReactorClock(), list(ROLES))
        names = [type(service).__name__ for service in whole.services]
        expected = ["Garbage", "MemoryBus", "ListeningService", "RelayService", "EnrichService", "StreamerService"]
        self.assertEqual(expected, names)

    def test_chosen_sources(self) -> None:
        """A streamer follows the sources it was told to."""
        settings = loads(SOURCE.format("birds") + SOURCE.format("cats"))
        whole = assemble(settings, MemoryReactorClock(), ["streamer"], ["cats"])
        (streamer,) = (service for service in whole.services if isinstance(service, StreamerService))
        self.assertEqual(["cats"], list(streamer.sources))

    def test_troubles(self) -> None:
        """Before it starts nothing is ready, and each part says why."""
        whole = assemble(loads(""), MemoryReactorClock(), list(ROLES))
        found = [trouble for part in whole.services[3:6] for trouble in part.troubles()]
        self.assertEqual({"relay", "enrich", "streamer"}, {trouble.partition(":")[0] for trouble in found})
        self.assertIn("streamer: the configuration names no source", found)

    def test_start_and_stop(self) -> None:
        """A pipeline starts, listens where it was told, stops, and leaves no timer and no port."""
        reactor = MemoryReactorClock()
        settings = loads(
            '[state]\ndirectory = ""\n[relay]\nlisten = "tcp:8080:interface=127.0.0.1"\n' + SOURCE.format("birds")
        )
        whole = assemble(settings, reactor, list(ROLES))
        whole.startService()
        reactor.pump([0.0] * 10)
        (relay,) = (service for service in whole.services if isinstance(service, RelayService))
        self.assertEqual([], relay.troubles())
        self.assertEqual({8080, 8181}, {server[0] for server in reactor.tcpServers})
        stopping = whole.stopService()
        reactor.pump([0.0] * 10)
        for _ in range(30):
            reactor.advance(1)
        self.successResultOf(stopping)
        self.assertEqual([], reactor.getDelayedCalls())

    def test_drain_shows(self) -> None:
        """While a process stops its admin endpoint says so from the first turn to the last, and changes nothing."""
        for place, sentence in (
            (6, b"process: stopping\n"),
            (3, b"relay: stopping; its clients are being sent away\n"),
        ):
            with self.subTest(sentence):
                reactor = MemoryReactorClock()
                text = '[state]\ndirectory = ""\n[streamer]\ntoken = "t"\n' + SOURCE.format("birds")
                whole = assemble(loads(text), reactor, list(ROLES))
                whole.startService()
                reactor.pump([0.0] * 10)
                site = next(factory for port, factory, *_ in reactor.tcpServers if port == 8181).wrappedFactory
                pages = StubTreq(site.resource)

                def asked(method: str, page: str, pages: Any = pages) -> tuple[int, bytes]:
                    headers, body = {"authorization": "Bearer t"}, b"{}" if method == "PUT" else b""
                    asking = pages.request(method, f"http://admin/{page}", headers=headers, data=body)
                    answer = self.successResultOf(asking)
                    return answer.code, self.successResultOf(answer.content())

                self.assertEqual(200, asked("POST", "stop")[0])
                self.assertEqual((200, b"ready\n"), asked("GET", "ready"))
                slow = Slow()
                whole.services.insert(place, slow)
                stopping = whole.stopService()
                for _ in range(30):
                    reactor.advance(1)
                self.assertNoResult(stopping)
                self.assertTrue(whole.services[2].running, "the admin endpoint")
                code, said = asked("GET", "ready")
                self.assertEqual(503, code)
                self.assertIn(sentence, said)
                self.assertEqual(200, asked("GET", "metrics")[0])
                self.assertEqual(200, asked("GET", "status")[0])
                self.assertEqual(200, asked("GET", "predicates")[0])
                for method, page in (("POST", "start"), ("POST", "update"), ("POST", "stop"), ("PUT", "predicates")):
                    code, said = asked(method, page)
                    self.assertEqual(409, code, page)
                    self.assertIn(b"the streamer is stopping; ask the process that takes its place", said)
                slow.quiet.callback(None)
                for _ in range(30):
                    reactor.advance(1)
                self.successResultOf(stopping)
                self.assertEqual([], reactor.getDelayedCalls())
