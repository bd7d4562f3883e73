"""`streamer topology show|check|declare`, over a broker and an API in memory."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import attrs
from click.testing import CliRunner, Result
from pika import spec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import topology
from streamer.bus.connection import connect
from streamer.bus.definitions import definitions
from streamer.bus.topology import declares, layout
from streamer.cli import main
from streamer.services import topology_target
from tests.bus_stock import Stock
from tests.management_api import Api
from tests.unit.test_bus_survey import MARKER

BUS = "amqp://guest:hidden@rabbit/%2Ffeed"
API = "http://rabbit:15672"


@attrs.define(eq=False)
class Stage:
    """What a command runs on, in the place of a `Foreground` and of what is outside."""

    broker: Any
    api: Api
    reactor: Clock
    interrupted: bool = False
    out: io.BytesIO = attrs.field(factory=io.BytesIO)

    @property
    def endpoints(self) -> list[tuple[str, Any]]:
        return [("rabbit:5672", self.broker)]

    @property
    def connects(self) -> Any:
        return self.api.connect

    driver = staticmethod(connect)

    def foreground(self) -> Stage:
        return self

    def run(self, begin: Any) -> int:
        """See Foreground."""
        results: list[Any] = []
        running: Deferred[Any] = begin()
        running.addBoth(results.append)
        if self.interrupted:
            running.cancel()
        for _ in range(1000):
            self.reactor.advance(0 if results else 0.01)
        (result,) = results
        if self.interrupted:
            return 130
        if isinstance(result, Failure):
            result.raiseException()
        return 0


class TopologyCommandTests(SynchronousTestCase):
    """The commands."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.api = Api()
        self.stock = Stock()
        self.interrupted = False

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def topology(self, *arguments: str, version: str = "3.10.8", bus: str | None = BUS, **environ: str) -> Result:
        stage = Stage(self.stock.broker(self.clock, version), self.api, self.clock, self.interrupted)
        given = [] if bus is None else ["--bus", bus]
        result = CliRunner(env=environ).invoke(main, ["topology", *arguments, *given], obj=stage)
        self.assertTrue(result.exception is None or isinstance(result.exception, SystemExit), result.exception)
        self.assertNotIn("hidden", result.output)
        return result

    def test_show(self) -> None:
        """The definitions, for any number of shards and any virtual host; a table; Markdown."""
        shown = self.topology(
            "show", "--format", "json", "--shards", "2", "--vhost", "/x", "--without-users", bus=None
        )
        self.assertEqual(json.loads(shown.stdout), definitions(layout(2), "/x", users=False))
        for form, text in (("table", "BINDINGS\nexchange "), ("markdown", "### Bindings\n\n| exchange | topics |")):
            shown = self.topology("show", "--format", form, "--with", topology.TRENDS, bus=None)
            self.assertEqual(shown.exit_code, 0)
            self.assertIn(text, shown.stdout)
            self.assertIn("post.#", shown.stdout)
        self.assertEqual(self.topology("show", "--vhost", "/", bus=None).exit_code, 2)

    def test_show_of_a_file(self) -> None:
        """The file's shards and virtual host, unless options name others; a bus in memory has a topology, too."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "s.toml")
            for url, vhost in ((BUS, "/feed"), ("memory:", "/")):
                file.write_text(f'[bus]\nurl = "{url}"\n[enrich]\nshards = 3\n')
                shown = self.topology("show", "--format", "json", "-c", str(file), bus=None)
                self.assertEqual(json.loads(shown.stdout), definitions(layout(3), vhost))
            shown = self.topology("show", "--format", "json", "-c", str(file), "--shards", "0", bus=None)
            self.assertEqual(json.loads(shown.stdout), definitions(layout(0)))
            checked = self.topology("check", "-c", str(file), bus=None)
            self.assertEqual(checked.exit_code, 1)
            self.assertIn("which has no broker", checked.stderr)
            file.write_text("[bis]")
            self.assertEqual(self.topology("check", "-c", str(file), bus=None).exit_code, 78)
            self.assertEqual(self.topology("show", "-c", str(file), bus=None).exit_code, 78)

    def test_secrets_of_others(self) -> None:
        """Of a file with secrets that are not set, only the bus's URL is looked up, and only where that is needed."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "s.toml")
            file.write_text(
                '[bus]\nurl = "$S_BUS"\n[sources.birds]\ntype = "x-filtered"\ntoken = "$S_TOKEN"\n'
                '[relay.auth]\nsecret = "credential:relay"\n[enrich]\nshards = 2\n'
            )
            self.stock.add(declares(layout(2), layout(2).queues))
            given = ("-c", str(file))
            for bus, environ in ((BUS, {}), ("$S_DEPLOY", {"S_DEPLOY": BUS}), (None, {"S_BUS": BUS})):
                checked = self.topology("check", *given, bus=bus, **environ)
                self.assertEqual(checked.exit_code, 0, checked.output)
                self.assertIn("streamer.enrich.s01", checked.stdout)
            checked = self.topology("check", *given, bus=None)
            self.assertEqual(checked.exit_code, 78)
            self.assertIn(f"{file}:2:1: bus.url: the environment variable S_BUS is not set", checked.stderr)
            for arguments in (("--format", "json", "--vhost", "/x"), ("--format", "table")):
                shown = self.topology("show", *given, *arguments, bus=None)
                self.assertEqual(shown.exit_code, 0, shown.output)
                self.assertIn("streamer.enrich.s01", shown.stdout)
            self.assertEqual(self.topology("show", *given, "--format", "json", bus=None).exit_code, 78)

    def test_check(self) -> None:
        """Exit code 0 where nothing differs; the table shows the version's ways, and JSON says the same."""
        self.stock.add(declares(layout(), layout().queues))
        self.stock.depths[topology.DEAD] = (2, 0)
        checked = self.topology("check")
        self.assertEqual(checked.exit_code, 0, checked.output)
        self.assertIn("    ALARM: 2 messages could not be done", checked.stdout)
        self.assertIn("What RabbitMQ 3.10.8 does that other versions do not", checked.stdout)
        self.assertEqual(checked.stderr, "no differences, 1 alarm\n")
        as_json = json.loads(self.topology("check", "--json").stdout)
        self.assertTrue(as_json["good"])
        self.assertIn("RabbitMQ 3.10.8", as_json["server"])
        self.assertEqual(self.topology("check", "--strict").exit_code, 1)
        del self.stock.things["queue", topology.LOG]
        checked = self.topology("check")
        self.assertEqual((checked.exit_code, checked.stderr), (1, "1 difference, 1 alarm\n"))
        self.assertIn("    DIFFERS: it is not there", checked.stdout)

    def test_check_with_management(self) -> None:
        """The API's rows follow; an API that is not there is a sentence."""
        self.stock.things.update(MARKER)
        self.stock.add(declares(layout(), layout().queues, bare=True))
        checked = self.topology("check", "--management", API, "--json")
        self.assertEqual(checked.exit_code, 1)
        rows = {(row["kind"], row["name"]): row for row in json.loads(checked.stdout)["rows"]}
        self.assertIn("it is not there", rows["policy", topology.DEAD]["problem"])
        self.assertIn("it may do nothing", rows["user", "guest"]["problem"])
        self.assertEqual(self.api.logins[0], "guest:hidden")
        self.topology("check", "--management", "$S_API", S_API="http://admin:hidden@rabbit:15672")
        self.assertEqual(self.api.logins[-1], "admin:hidden")
        self.api.raw = ConnectionRefusedError("refused")
        checked = self.topology("check", "--management", API)
        self.assertEqual(checked.exit_code, 1)
        self.assertIn("management: the management API at", checked.stderr)

    def test_declare(self) -> None:
        """Over AMQP; a dry run prints the same lines and does nothing."""
        dry = self.topology("declare", "--dry-run", "--with", topology.TRENDS)
        self.assertEqual(self.stock.things, {})
        self.assertIn("where the broker is not prepared; where it is, without", dry.stderr)
        done = self.topology("declare", "--with", topology.TRENDS)
        self.assertEqual(done.stdout.splitlines(), [f"{line}: done" for line in dry.stdout.splitlines()])
        self.assertIn(("queue", topology.TRENDS), self.stock.things)
        self.stock.things["queue", topology.DEAD] = {}
        done = self.topology("declare")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("not everything could be declared", done.stderr)

    def test_declare_with_management(self) -> None:
        """By the API; a dry run asks it nothing; users are made where that is asked for."""
        dry = self.topology("declare", "--management", API, "--dry-run", "--users")
        self.assertIn("make user streamer-relay, without a password", dry.stdout)
        self.assertEqual(self.api.asked, [])
        self.assertEqual(self.topology("declare", "--management", API).exit_code, 0)
        self.assertIn(("exchanges", "/feed", topology.MARKER), self.api.kept)
        self.assertFalse([parts for parts in self.api.kept if parts[0] == "users"])
        self.assertEqual(self.topology("declare", "--management", API, "--users").exit_code, 0)
        self.assertIn(("users", "streamer-relay"), self.api.kept)
        self.api.refuses["policies", "/feed", topology.DEAD] = (401, "Not authorised")
        self.assertEqual(self.topology("declare", "--management", API).exit_code, 1)

    def test_too_old(self) -> None:
        """A broker too old for the house is refused before anything is asked or changed."""
        for command in ("check", "declare"):
            done = self.topology(command, version="3.9.13")
            self.assertEqual(done.exit_code, 1)
            self.assertIn("RabbitMQ 3.9.13 is too old", done.stderr)
        self.assertEqual(self.stock.asked, [])
        self.api.kept["overview",] = {"rabbitmq_version": "3.9.13"}
        done = self.topology("declare", "--management", API)
        self.assertIn("RabbitMQ 3.9.13 is too old", done.stderr)
        self.assertEqual(list(self.api.kept), [("overview",)])

    def test_interrupted(self) -> None:
        """Ctrl-C while it connects ends it with a shell's code, and leaves nothing."""
        self.interrupted = True
        self.assertEqual(self.topology("check").exit_code, 130)

    def test_refused(self) -> None:
        """A login that is refused is a sentence."""
        stage = Stage(self.stock.broker(self.clock), self.api, self.clock)
        text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
        close = spec.Connection.Close(403, text, 0, 0)
        stage.broker.answers = {spec.Connection.StartOk: lambda method: close}
        result = CliRunner().invoke(main, ["topology", "check", "--bus", BUS], obj=stage)
        self.assertEqual(result.exit_code, 1)
        self.assertIn("the broker cannot be used: rabbit:5672: ", result.stderr)
        self.assertIn("403 ACCESS_REFUSED - Login was refused", result.stderr)
        self.assertIn("password", result.stderr)

    def test_usage(self) -> None:
        """What cannot be meant is a usage error, and shows no password."""
        for arguments, bus in (
            (("declare", "--users"), BUS),
            (("check",), "amqp://a:hidden@x:y/"),
            (("check",), "$NOBODY_SET_THIS"),
            (("check", "--management", "amqp://a:hidden@x"), BUS),
            (("check", "--management", "file:/nowhere"), BUS),
            (("check", "--shards", "65"), BUS),
            (("declare", "--with", "streamer.dead"), BUS),
        ):
            with self.subTest(arguments=arguments, bus=bus):
                self.assertEqual(self.topology(*arguments, bus=bus).exit_code, 2)
        self.assertEqual(topology_target.CONFIGURATION, "conf/streamer.toml")
