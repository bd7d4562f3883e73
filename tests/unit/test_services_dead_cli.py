"""`streamer dead …` against a broker in memory: options, exit codes, what goes to stdout and what to stderr."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from click.testing import CliRunner
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.dead import QUEUES
from streamer.bus.dead_queue import MOST
from streamer.cli import main
from streamer.services import dead_cli
from tests.bus_contract import raw
from tests.unit.dead_shelf import Shelf, buried, opened, shelf
from tests.unit.test_services_dead_decoding import FILE, POST
from tests.unit.test_watch_cli import Run

BUS = "amqp://birdy:secret@here/birds"


@attrs.define(eq=False)
class Stage:
    """What a command runs on."""

    run: Run
    broker: Shelf
    asked: list[tuple[str, str]] = attrs.field(factory=list)

    def foreground(self) -> Run:
        """See `dead_cli`."""
        return self.run

    def reach(self, queue: str, address: Any, reactor: Any) -> Awaitable[Any]:
        """See `dead_cli`."""
        self.asked.append((queue, str(address)))
        return opened(self.broker, queue)


@attrs.frozen
class Ended:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


class DeadTests(SynchronousTestCase):
    """`streamer dead`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.broker = shelf(
            self.clock, *range(3), buried(raw(9, POST, headers={"received": 5}), reason="delivery_limit")
        )
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.full_after: int | None = None
        self.script: Callable[[], None] = lambda: self.clock.pump([0] * 80)

    def dead(self, *arguments: str, bus: str | None = BUS, **environ: str) -> Ended:
        """Run a command; every letter is acked or handed back, and all is quiet."""
        run = Run(self.clock, self.script, full_after=self.full_after)
        self.stage = Stage(run, self.broker)
        given = ("dead", *arguments, *(("--bus", bus) if bus else ()))
        result = CliRunner().invoke(main, given, obj=self.stage, env=environ)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.clock.pump([0] * 10)
        self.assertEqual(([], {}), (self.clock.getDelayedCalls(), self.broker.unacked))
        self.assertNotIn("secret", result.output)
        self.assertEqual("", result.stdout)
        return Ended(result.exit_code, run.out.getvalue().decode(), result.stderr)

    def test_list(self) -> None:
        """Lines go to stdout, the count to stderr; nothing is changed."""
        result = self.dead("list", "--limit", "2")
        self.assertEqual(0, result.exit_code, result.stderr)
        head, first, second = result.stdout.splitlines()
        self.assertTrue(head.startswith("id "))
        self.assertEqual(["birds/0", "birds/9"], [first.split()[0], second.split()[0]])
        self.assertEqual("streamer.dead holds 4; 2 shown.\n", result.stderr)
        self.assertEqual((4, []), (len(self.broker.returned), self.broker.acked))
        self.assertEqual([("streamer.dead", "amqp://birdy@here:5672/birds")], self.stage.asked)

    def test_list_filtered(self) -> None:
        """Filters narrow; --json gives a line a letter."""
        result = self.dead(
            "list", "--json", "--reason", "delivery_limit", "--topic", "raw.*.post", "--source", "birds"
        )
        (row,) = map(json.loads, result.stdout.splitlines())
        self.assertEqual(("birds/9", "delivery_limit"), (row["id"], row["reason"]))
        self.assertEqual("", self.dead("list", "--source", "trees", "--queue", "unrouted").stdout)
        self.assertEqual("streamer.unrouted", self.stage.asked[0][0])

    def test_show(self) -> None:
        """One letter whole; a configuration's source says what it thinks of it now."""
        path = self.folder / "x.toml"
        path.write_text(f'[bus]\nurl = "{BUS}"\n{FILE}')
        result = self.dead("show", "birds/9", "-c", str(path), bus=None)
        self.assertEqual(0, result.exit_code, result.stderr)
        self.assertIn("it decodes now", result.stdout)
        self.assertIn('    "text": "kakapo",', result.stdout)
        self.broker = shelf(self.clock, buried(raw(9, POST, headers={"received": 5})))
        row = json.loads(self.dead("show", "birds/9", "--json").stdout)
        self.assertEqual((POST.decode(), {"received": 5}), (row["body"], row["headers"]))
        self.assertIn("--config", row["now"])

    def test_show_missing(self) -> None:
        """An id that nobody has is exit 1."""
        result = self.dead("show", "nobody")
        self.assertEqual((1, "Error: there is no letter 'nobody'\n"), (result.exit_code, result.stderr))

    def test_dry(self) -> None:
        """Without --yes replay and drop change nothing, and say what they would do."""
        for verb, said in (("replay", "4 would be replayed"), ("drop", "4 would be dropped")):
            self.setUp()
            result = self.dead(verb, "--all")
            self.assertEqual(0, result.exit_code, result.stderr)
            self.assertIn(said, result.stderr)
            self.assertEqual(5, len(result.stdout.splitlines()))
            self.assertEqual(([], [], 4), (self.broker.acked, self.broker.published, len(self.broker.returned)))

    def test_replay(self) -> None:
        """With --yes the chosen are replayed; an id that nobody has is exit 1, but stops no other."""
        result = self.dead("replay", "birds/1", "gone", "--yes")
        self.assertEqual(1, result.exit_code)
        self.assertEqual(["birds/1"], [line.split()[0] for line in result.stdout.splitlines()[1:]])
        self.assertIn("1 of 1 replayed", result.stderr)
        self.assertIn("Error: there is no letter 'gone'", result.stderr)
        self.assertEqual((["birds/1"], 3), (self.broker.acked, len(self.broker.returned)))

    def test_replay_cannot(self) -> None:
        """One that can never be published is named with the reason, in a dry run too."""
        for more in ((), ("--yes",), ("--json",)):
            self.setUp()
            self.broker.ready.append(buried(raw(5, exchange="theirs")))
            result = self.dead("replay", "--all", *more)
            self.assertEqual(1, result.exit_code)
            self.assertIn("birds/5 cannot be replayed: ", result.stderr)
        rows = {row["id"]: row for row in map(json.loads, result.stdout.splitlines())}
        self.assertEqual(["birds/5"], [id_ for id_, row in rows.items() if "stays" in row])
        self.assertIn("'theirs'", rows["birds/5"]["stays"])

    def test_replay_fails(self) -> None:
        """A broker that refuses ends it with its reason, and exit 1."""
        self.broker.confirms = False
        result = self.dead("replay", "--all", "--yes")
        self.assertEqual((1, ""), (result.exit_code, result.stdout))
        self.assertIn("the broker refused it", result.stderr)
        self.assertEqual([], self.broker.acked)

    def test_drop(self) -> None:
        """With --yes the chosen are gone, and in the file; a file that is there already is left alone."""
        path = self.folder / "saved.jsonl"
        result = self.dead("drop", "--all", "--reason", "rejected", "--yes", "--save", str(path))
        self.assertEqual(0, result.exit_code, result.stderr)
        self.assertIn("3 of 3 dropped.", result.stderr)
        self.assertEqual((3, ["birds/9"]), (len(path.read_text().splitlines()), self.broker.returned))
        self.setUp()
        result = self.dead("drop", "--all", "--yes", "--save", str(path))
        self.assertEqual(1, result.exit_code)
        self.assertIn(f"{path} cannot be written: File exists", result.stderr)
        self.assertEqual((3, []), (len(path.read_text().splitlines()), self.broker.acked))

    def test_interrupted(self) -> None:
        """Ctrl-C is exit 130, and hands everything back."""
        self.broker.confirms = None
        self.assertEqual(130, self.dead("replay", "--all", "--yes").exit_code)
        self.assertEqual((4, []), (len(self.broker.returned), self.broker.acked))

    def test_unreachable(self) -> None:
        """No queue, no broker: a sentence, and exit 1."""
        self.broker.refusal = 404
        result = self.dead("list")
        self.assertEqual(1, result.exit_code)
        self.assertIn("Error: there is no queue streamer.dead at here, virtual host 'birds'", result.stderr)
        self.broker.refuses = 1
        result = self.dead("list")
        self.assertEqual(1, result.exit_code)
        self.assertIn("Error: the broker cannot be reached: here: ", result.stderr)

    def test_usage(self) -> None:
        """What is wrong before anything is asked: 2 for usage, 78 for the file, 1 for a bus in memory."""
        for arguments, bus, code, words in (
            (("list",), None, 2, "give --config FILE or --bus URL"),
            (("list",), "redis://x", 2, "no bus has"),
            (("list",), "$NOT_THERE", 2, "NOT_THERE is not set"),
            (("list",), "memory:", 1, "in-process bus cannot be reached from outside"),
            (("list", "--limit", "0"), BUS, 2, "--limit"),
            (("list", "--queue", "enrich"), BUS, 2, "--queue"),
            (("list", "-c", "none.toml"), None, 78, "none.toml: cannot be read"),
            (("replay",), BUS, 2, "give the IDs of letters, or --all"),
            (("drop", "birds/1", "--all"), BUS, 2, "give the IDs of letters, or --all"),
            (("replay", "--all", "--rate", "0"), BUS, 2, "--rate"),
            (("show",), BUS, 2, "Missing argument"),
        ):
            with self.subTest(arguments=arguments, bus=bus):
                result = self.dead(*arguments, bus=bus)
                self.assertEqual(code, result.exit_code)
                self.assertIn(words, result.stderr)
                self.assertEqual("", result.stdout)

    def test_secret(self) -> None:
        """The URL may come from the environment, as in the file; it goes before the file's."""
        path = self.folder / "x.toml"
        path.write_text('[bus]\nurl = "memory:"\n')
        self.assertEqual(0, self.dead("list", "-c", str(path), bus="$BROKER", BROKER=BUS).exit_code)
        self.assertIn("in-process", self.dead("list", "-c", str(path), bus=None).stderr)

    def test_read_by_nobody(self) -> None:
        """`| head` ends nothing but the output."""
        self.full_after = 10
        result = self.dead("replay", "birds/1", "--yes")
        self.assertEqual((0, "", ["birds/1"]), (result.exit_code, result.stdout, self.broker.acked))

    def test_constants(self) -> None:
        """What is repeated here, so that --help need not import the bus, is the same there."""
        self.assertEqual((tuple(QUEUES), MOST), (dead_cli.QUEUE_NAMES, dead_cli.SHOWN_LIMIT))
