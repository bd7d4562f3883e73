"""`streamer tail` and `streamer top` against a real relay and a real admin endpoint, in memory."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable
from typing import Any

import attrs
from click.testing import CliRunner, Result
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.cli import main
from streamer.errors import DecodeError
from streamer.fanout import protocol
from streamer.metrics import Metrics
from streamer.net.admin import render
from streamer.policy.event_line import line
from streamer.policy.rejoin import CAP
from streamer.services import foreground as foreground_module
from streamer.services import watch_cli
from streamer.services.foreground import Foreground
from streamer.services.top import CLEAR, HIDE, SHOW, Screen, Top
from streamer.upstream import Request, Response
from tests.unit.test_net_relay_reader import Places
from tests.unit.test_net_websocket import Relay

ADMIN = "http://127.0.0.1:8183"


@attrs.define(eq=False)
class Run:
    """In the place of a `Foreground`: the same, over a clock that a test turns while the command runs."""

    reactor: Clock
    script: Callable[[], None]
    out: io.BytesIO = attrs.field(factory=io.BytesIO)
    full_after: int | None = None  # bytes, after which nobody reads

    def write(self, data: bytes) -> None:
        """See Foreground."""
        if self.full_after is not None and self.out.tell() + len(data) > self.full_after:
            raise BrokenPipeError
        self.out.write(data)

    def run(self, begin: Callable[[], Deferred[Any]]) -> int:
        """See Foreground."""
        results: list[Any] = []
        running = begin()
        running.addBoth(results.append)
        self.script()
        if not results:
            running.cancel()
            self.script()
        (result,) = results
        if isinstance(result, Failure):
            if result.check(BrokenPipeError):
                return 0
            if result.check(CancelledError):
                return 130
            result.raiseException()
        return 0


@attrs.define(eq=False)
class Stage:
    """What a command runs on."""

    runs: Run
    places: Any = None
    client: Any = None

    def foreground(self) -> Run:
        """See `watch_cli`."""
        return self.runs

    def connects(self, address: Any) -> Any:
        """See `watch_cli`."""
        return self.places


class TailTests(SynchronousTestCase):
    """`streamer tail`."""

    def setUp(self) -> None:
        self.relay = Relay(entries=1000)
        self.relay.clock.advance(1_795_262_400 - self.relay.clock.seconds())
        self.places = Places(self.relay)
        self.meanwhile: list[Callable[[], None]] = []

    def tick(self, seconds: float = 0.02) -> None:
        """Let time pass, and carry bytes."""
        for _ in range(2):
            self.relay.clock.advance(seconds / 2)
            for pump in list(self.places.pumps):
                pump.flush()

    def script(self) -> None:
        """What happens while the command runs."""
        self.tick()
        while self.meanwhile:
            self.meanwhile.pop(0)()
            self.tick()

    def tail(self, *arguments: str, full_after: int | None = None, **environ: str) -> Result:
        """Run the command, what is in `meanwhile` happening; its stdout is in `printed`."""
        run = Run(self.relay.clock, self.script, full_after=full_after)
        stage = Stage(run, self.places)
        result = CliRunner().invoke(main, ("tail", *arguments), obj=stage, env={"STREAMER_TOKEN": None, **environ})
        self.printed = run.out.getvalue().decode().splitlines()
        self.tick(2.0)
        self.assertEqual(([], 0), (self.relay.clock.getDelayedCalls(), len(self.relay.clients)))
        return result

    def publish(self, topic: str = "post.x", count: int = 1, **more: Any) -> Callable[[], None]:
        """Something that happens meanwhile."""
        return lambda: [self.relay.publish(topic, **more) for _ in range(count)] and None

    def cut(self) -> None:
        """The network fails, and comes again."""
        self.places.pumps[-1].serverIO.abortConnection()
        self.tick()
        self.relay.publish()
        self.tick(CAP + 2)

    def test_lines(self) -> None:
        """An event is a line on stdout; what is said of the connection goes to stderr; Ctrl-C is 130."""
        self.meanwhile = [self.publish(author={"handle": "jack"}, text="one\ntwo\x1b[2J"), self.publish("geo.x")]
        result = self.tail("post.#")
        self.assertEqual(["--:--:--  post.x  @jack  one two�[2J"], self.printed)
        self.assertEqual("connected to ws://127.0.0.1:8080/ws\n", result.stderr)
        self.assertEqual(130, result.exit_code)

    def test_json(self) -> None:
        """With --json a line is the CloudEvent as it is on the bus; --count ends with 0."""
        self.meanwhile = [self.publish(count=5)]
        result = self.tail("#", "--json", "--count", "3")
        self.assertEqual((0, 3), (result.exit_code, len(self.printed)))
        self.assertEqual(["post:1", "post:2", "post:3"], [json.loads(row)["id"] for row in self.printed])
        self.assertTrue(self.printed[0].startswith('{"specversion": "1.0", "id": "post:1", "source": '))

    def test_reconnects(self) -> None:
        """A cut is told with the wait, and what came meanwhile comes once."""
        self.meanwhile = [self.publish(), self.cut, self.publish()]
        result = self.tail("post.#", "geo.#", "--url", "ws://127.0.0.1:99/ws", "--json")
        self.assertEqual(["post:1", "post:2", "post:3"], [json.loads(row)["id"] for row in self.printed])
        self.assertRegex(result.stderr, r"the connection was lost: .*; reconnecting in 0\.\d s\n")
        self.assertRegex(result.stderr, r"connected to ws://127.0.0.1:99/ws(; 1 events from before follow)?\n$")

    def test_lag_and_loss(self) -> None:
        """A loss is told by its number, or by the reason why the number is not known."""

        def slow() -> None:
            server = self.places.pumps[-1].serverIO.protocol
            server.pauseProducing()
            self.publish(count=1200)()
            self.tick()
            server.resumeProducing()

        def away() -> None:
            self.places.pumps[-1].serverIO.abortConnection()
            self.tick()
            self.publish(count=1500)()
            self.tick(CAP + 2)

        self.meanwhile = [self.publish(), slow, self.publish(), away]
        result = self.tail("#", "--json")
        self.assertRegex(result.stderr, r"\nlag: \d+ events skipped\n")
        skipped = int(result.stderr.split("lag: ")[1].split()[0])
        self.assertEqual(1202 + 500, skipped + len(self.printed))
        self.assertIn("recovered: false: the relay does not remember that far back; events may be", result.stderr)

    def test_since(self) -> None:
        """A time: all that came since then, however much it is; a position: what follows it."""
        now, journal = self.relay.clock.seconds(), self.relay.clients.hub.journal
        journal.expire(now - 401)
        for ago, count in ((400, 10), (200, 700), (100, 30)):
            self.publish(count=count)()
            journal.expire(now - ago)
        journal.expire(now)
        for since, count in (("5m", 730), ("2.5m", 30), ("0.05h", 30), ("90s", 0)):
            self.meanwhile = [self.tick] * 5
            result = self.tail("#", "--json", "--since", since)
            self.assertEqual(count, len(self.printed), since)
            self.assertNotIn("recovered", result.stderr)
        self.meanwhile = [self.tick] * 5
        self.tail("#", "--json", "--since", journal.position(735))
        self.assertEqual(
            [f"post:{number}" for number in range(736, 741)], [json.loads(row)["id"] for row in self.printed]
        )

    def test_reach(self) -> None:
        """Where a time is further back than the relay remembers, that is said, and what it remembers comes."""
        now, journal = self.relay.clock.seconds(), self.relay.clients.hub.journal
        journal.expire(now - 3001)
        self.publish(count=1600)()
        journal.expire(now - 3000)
        journal.expire(now)
        for more, count in (((), 1000), (("--last", "7"), 7)):
            self.meanwhile = [self.tick] * 5
            result = self.tail("#", "--json", "--since", "2h", *more)
            self.assertEqual(count, len(self.printed))
            self.assertIn("recovered: false: the relay does not remember that far back", result.stderr)

    def test_pipe_is_closed(self) -> None:
        """Where nobody reads any more, the end is quiet, and 0."""
        self.meanwhile = [self.publish(), self.publish(), self.publish()]
        result = self.tail("#", "--json", full_after=200)
        self.assertEqual((0, 1), (result.exit_code, len(self.printed)))
        self.assertEqual("connected to ws://127.0.0.1:8080/ws\n", result.stderr)

    def test_refused(self) -> None:
        """Nobody there, a relay that says no, and a pattern that cannot be: a sentence, and 1."""
        self.places.next = [ConnectionRefusedError()]
        result = self.tail("ws://127.0.0.1:9", "#")
        self.assertEqual(1, result.exit_code)
        self.assertIn("Error: ws://127.0.0.1:9/ws cannot be reached: ", result.stderr)
        self.assertIn("Is the relay running", result.stderr)
        result = self.tail("post..x")
        self.assertEqual(1, result.exit_code)
        self.assertIn("Error: the relay refuses: ", result.stderr)

    def test_usage(self) -> None:
        """What cannot be meant is told before anything is connected."""
        for arguments, said in (
            ((), "such as 'post.#'"),
            (["a"] * 21, "1 to 20 patterns"),
            (["ws://h"], "such as 'post.#'"),
            (["ftp://h", "#"], "such as ws://127.0.0.1:8080/ws"),
            (["#", "--since", "5"], "neither a time such as"),
            (["#", "--since", "25h"], "24h are allowed"),
            (["#", "--last", "501"], "501"),
            (["ws://example.org", "#", "--token", "secret"], "in the clear"),
            (["#", "--token", "$NOT_SET"], "NOT_SET is not set"),
        ):
            with self.subTest(arguments=arguments):
                result = self.tail(*arguments)
                self.assertEqual(2, result.exit_code, result.output)
                self.assertIn(said, " ".join(result.stderr.split()))
                self.assertNotIn("secret", result.stderr)
        self.assertEqual([], self.places.pumps)

    def test_limits(self) -> None:
        """The limits that the command checks are the protocol's."""
        self.assertEqual(
            (protocol.TOPICS_IN_LIMIT, protocol.LAST_LIMIT, protocol.AGO_LIMIT),
            (watch_cli.TOPICS_LIMIT, watch_cli.LAST_LIMIT, watch_cli.AGO_LIMIT),
        )

    def test_line_is_the_whole_event(self) -> None:
        """What is printed is what `event_line` makes."""
        self.meanwhile = [self.publish(text="x")]
        self.tail("#")
        entry = json.dumps({"topic": "post.x", "type": "streamer.post", "data": {"text": "x"}}).encode()
        self.assertEqual([line(entry)], self.printed)


class Admins:
    """In the place of an `UpstreamClient`: the pages of processes in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.away: dict[str, Any] = {}
        self.status: dict[str, Any] = {"relay": {"ready": True}}

    async def fetch(self, request: Request) -> Response:
        """As an UpstreamClient does."""
        for url, instead in self.away.items():
            if request.url.startswith(url):
                return await instead()
        pages = {"status": json.dumps(self.status), "metrics": render(self.metrics)}
        body = pages[request.url.rpartition("/")[2]]
        return Response(status=200, received=self.clock.seconds(), body=body.encode())


class TopTests(SynchronousTestCase):
    """`streamer top`."""

    def setUp(self) -> None:
        self.admins = Admins()
        self.out: list[bytes] = []

    def grow(self) -> None:
        """Time passes, and something is delivered meanwhile."""
        self.admins.metrics.add(m.DELIVERED, by=100)
        self.admins.clock.advance(0.5)

    def top(self, *arguments: str) -> Result:
        """Run the command once."""
        run = Run(self.admins.clock, self.grow)
        result = CliRunner().invoke(main, ("top", *arguments), obj=Stage(run, client=self.admins))
        self.printed = run.out.getvalue().decode()
        self.assertEqual([], self.admins.clock.getDelayedCalls())
        return result

    def test_once(self) -> None:
        """Where stdout is no terminal, it is one table, of two looks half a second apart, without escapes."""
        for arguments in ((ADMIN,), (ADMIN, "--once")):
            result = self.top(*arguments)
            self.assertEqual(0, result.exit_code, result.output)
            self.assertIn("127.0.0.1:8183        0       0          200          0  ready\n", self.printed)
            self.assertNotIn("\x1b", self.printed)

    def test_away(self) -> None:
        """Who does not answer, or is no admin endpoint, has a row with the reason."""

        async def no_status() -> Response:
            return Response(status=404, received=0.0)

        async def no_json() -> Response:
            return Response(status=200, received=0.0, body=b"<html>")

        for instead, said in (
            (lambda: fail(ConnectionRefusedError()), "does not answer: the connection was refused"),
            (lambda: fail(DecodeError("too long")), "is no admin endpoint of ours: too long"),
            (lambda: fail(ValueError("odd")), "cannot be asked: ValueError: odd"),
            (no_status, "answers 404"),
            (no_json, "is no admin endpoint of ours: "),
        ):
            with self.subTest(said=said):
                self.admins.away = {"http://127.0.0.1:8181": instead}
                result = self.top()
                self.assertEqual(0, result.exit_code, result.output)
                self.assertRegex(self.printed, f"(?m)^127.0.0.1:8181  .*{said}")
                self.assertIn("127.0.0.1:8183", self.printed)

    def test_hangs(self) -> None:
        """An endpoint that never answers holds up the others for three seconds, no more."""
        asked: list[Deferred[Any]] = []

        def never() -> Deferred[Any]:
            asked.append(Deferred())
            return asked[-1]

        self.admins.away = {"http://a": never}
        showing = self.live("http://a", "http://b").start()
        for _ in range(8):
            self.admins.clock.advance(1)
        self.assertIn("has not answered within 3 s", self.out[-1].decode())
        showing.cancel()
        self.failureResultOf(showing, CancelledError)
        self.assertEqual([], self.admins.clock.getDelayedCalls())

    def live(self, *urls: str, size: tuple[int, int] = (60, 10)) -> Top:
        """On a terminal."""
        return Top(urls, self.admins, self.admins.clock, Screen(self.out.append, True, lambda: size))  # type: ignore[arg-type]

    def test_live(self) -> None:
        """A terminal is redrawn once a second, never beyond its size, and left with its cursor."""
        showing = self.live(ADMIN).start()
        for _ in range(3):
            self.admins.clock.advance(1)
        frames = [data for data in self.out if data.startswith(b"\x1b[H")]
        self.assertEqual(HIDE + CLEAR, self.out[0])
        self.assertEqual(3, len(frames))
        rows = frames[0].decode().replace("\x1b[H", "").replace("\x1b[K", "").split("\n")
        self.assertLessEqual(max(map(len, rows)), 60)
        self.assertLessEqual(len(rows) - 1, 9)
        showing.cancel()
        self.failureResultOf(showing, CancelledError)
        self.assertEqual(SHOW, self.out[-1])
        self.assertEqual([], self.admins.clock.getDelayedCalls())

    def test_usage(self) -> None:
        """What is no address is told so."""
        for url in ("127.0.0.1:8181", "ws://h", "http://h/?a", "http://u@h", "http://h:0", "http://h:x", " http://h"):
            with self.subTest(url=url):
                result = self.top(url)
                self.assertEqual(2, result.exit_code)
                self.assertIn("is no admin endpoint such as", " ".join(result.stderr.split()))


class ForegroundTests(SynchronousTestCase):
    """The part that the tests above have in memory: signals, the pipe, exit codes."""

    def setUp(self) -> None:
        self.patch(foreground_module, "_log_what_is_broken", lambda: None)  # there is one log a process
        kept = {number: signal.getsignal(number) for number in (*foreground_module.SIGNALS, signal.SIGALRM)}
        self.addCleanup(lambda: [signal.signal(number, handler) for number, handler in kept.items()])
        self.reactor = Turning()

    def run_with(self, begin: Callable[[], Deferred[Any]], out: Any = None) -> int:
        """The exit code."""
        self.foreground = Foreground(self.reactor, out or io.BytesIO())
        return self.foreground.run(begin)

    def test_done(self) -> None:
        """Where all is done the code is 0; a failure is raised."""
        self.assertEqual(0, self.run_with(lambda: succeed(None)))
        self.assertRaises(ZeroDivisionError, self.run_with, lambda: fail(ZeroDivisionError()))

    def test_signals(self) -> None:
        """A signal cancels, and the code is the shell's for it."""
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            self.reactor.then = lambda number=number: signal.raise_signal(number)
            self.assertEqual(code, self.run_with(Deferred))

    def test_pipe(self) -> None:
        """A closed pipe is a quiet end, also when the interpreter flushes what is left."""
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "wb") as out:
            code = self.run_with(lambda: Deferred.fromCoroutine(self.print(b"x")), out)
            self.assertEqual(0, code)
            out.write(b"left over")

    async def print(self, data: bytes) -> None:
        """Write something."""
        self.foreground.write(data)


class Turning(MemoryReactorClock):  # type: ignore[misc]  # Twisted has no annotations here
    """A reactor that runs what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], None] = lambda: None

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run, and what happens then."""
        self.hasStopped = False
        super().run()
        self.whenRunningHooks.clear()
        self.then()
        self.advance(0)

    def callFromThread(self, function: Callable[[], None]) -> None:
        """Soon."""
        self.callLater(0, function)
