"""`streamer sources …` against a real admin endpoint in memory."""

from __future__ import annotations

import io
import json
import tempfile
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from click.testing import CliRunner, Result
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.cli import main
from streamer.control_cli import WAIT, connection, printable
from streamer.metrics import Metrics
from streamer.net.admin import admin_site
from streamer.secrets import Secret
from tests.unit.test_net_control import Endpoint, Sources


class Wire:
    """A socket whose other end is an admin endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.channel, self.transport = endpoint.connect()

    def sendall(self, data: bytes) -> None:
        """To the endpoint."""
        self.channel.dataReceived(data)

    def makefile(self, mode: str) -> io.BytesIO:
        """What it answered."""
        return io.BytesIO(self.transport.value())

    def close(self) -> None:
        """Hang up."""
        self.channel.connectionLost(Failure(ConnectionDone()))


class Canned(Wire):
    """A socket whose other end says the same to everybody, or is not there."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer

    def sendall(self, data: bytes) -> None:
        """To nobody."""
        if isinstance(self.answer, Exception):
            raise self.answer

    def makefile(self, mode: str) -> io.BytesIO:
        """What is said."""
        assert isinstance(self.answer, bytes)
        return io.BytesIO(self.answer)

    def close(self) -> None:
        """Nothing to do."""


class SourcesCommandTests(SynchronousTestCase):
    """The commands."""

    def setUp(self) -> None:
        self.control = Sources("birds", "cats")
        self.endpoint = self.make(None)
        self.asked: list[str] = []

    def make(self, token: str | None, running: bool = True) -> Endpoint:
        """An endpoint whose /status is that of a streamer."""
        endpoint = Endpoint(self.control, token)
        status = {"bus": {}, "streamer": self.control.standing(())} if running else {"bus": {}}
        endpoint.site = admin_site(Metrics(), lambda: status, list, self.control, token and Secret(token))
        return endpoint

    def run_sources(self, *arguments: str, given: bytes = b"", wire: Any = None, **environ: str) -> Result:
        """Run a command."""

        def connect(url: Any) -> HTTPConnection:
            self.asked.append(url.geturl())
            made = HTTPConnection(url.hostname, url.port)
            made.sock = wire or Wire(self.endpoint)
            return made

        arguments = ("sources", *arguments)
        result = CliRunner().invoke(main, arguments, obj=connect, input=given, env={"STREAMER_TOKEN": None, **environ})
        self.assertEqual([], self.endpoint.clock.getDelayedCalls())
        return result

    def failed(self, result: Result, code: int, *words: str) -> None:
        """It ended with this code, and said these words to stderr alone."""
        self.assertEqual((code, ""), (result.exit_code, result.stdout), result.output)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_help(self) -> None:
        """Each command has help."""
        for command in ([], ["status"], ["stop"], ["start"], ["update"], ["predicates"]):
            result = self.run_sources(*command, "--help")
            self.assertEqual((0, True), (result.exit_code, "Usage:" in result.stdout))

    def test_status(self) -> None:
        """A line a source; some by name; as JSON for programs."""
        result = self.run_sources("status")
        self.assertEqual(
            (
                0,
                "source  type  state      items/s  last  reconn  cursor\n"
                "birds   -     following        -     -       -  -\n"
                "cats    -     following        -     -       -  -\n",
            ),
            (result.exit_code, result.stdout),
        )
        self.assertEqual(result.stdout, self.run_sources().stdout)
        self.assertEqual(self.run_sources("status", "--json").stdout, self.run_sources("--json").stdout)
        self.assertEqual(2, self.run_sources("status", "cats").stdout.count("\n"))
        rows = json.loads(self.run_sources("status", "cats", "--json").stdout)
        self.assertEqual({"cats": {"state": "following", "items": 0}}, rows)
        self.failed(self.run_sources("status", "dogs"), 1, "'dogs'", "birds, cats")

    def test_control_characters(self) -> None:
        """Nothing that moves a cursor reaches the terminal, whatever a source's row says."""
        self.control.state["cats"] = "\x1b[31mred"
        self.endpoint = self.make(None)
        for arguments in ((), ("--json",), ("start", "birds")):
            result = self.run_sources(*arguments)
            self.assertEqual((0, False), (result.exit_code, "\x1b" in result.stdout))

    def test_status_elsewhere(self) -> None:
        """Another service's endpoint is recognised as such."""
        self.endpoint = self.make(None, running=False)
        self.failed(self.run_sources("status"), 1, "no streamer runs at that endpoint")

    def test_verbs(self) -> None:
        """stop, start and update act on what is named, and show how it stands."""
        for verb, state in (("stop", "stopped"), ("start", "following"), ("stop", "stopped"), ("update", "following")):
            result = self.run_sources(verb, "cats")
            self.assertEqual(0, result.exit_code, result.output)
            self.assertEqual([["cats", "-", state]], [line.split()[:3] for line in result.stdout.splitlines()[1:]])
            self.assertEqual({"birds": "following", "cats": state}, self.control.state)
        result = self.run_sources("stop", "--json")
        self.assertEqual(["stopped"] * 2, [row["state"] for row in json.loads(result.stdout).values()])

    def test_refused(self) -> None:
        """A no of the endpoint is printed with its reason."""
        self.failed(self.run_sources("stop", "dogs"), 1, "answers 404", "'dogs'", "birds, cats")
        self.failed(self.run_sources("stop", ""), 1, "answers 400", "source is empty")
        self.assertEqual({"birds": "following", "cats": "following"}, self.control.state)

    def test_predicates(self) -> None:
        """They are shown as JSON."""
        shown = json.loads(self.run_sources("predicates", "cats").stdout)
        self.assertEqual({"cats": {"wanted": {"rules": []}}}, shown)

    def test_put(self) -> None:
        """They are taken from a file or stdin; a dry run changes nothing."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "rules.json")
            path.write_text('{"rules": ["cat"]}', encoding="utf-8")
            result = self.run_sources("predicates", "cats", "--put", str(path), "--dry-run")
            self.assertEqual((0, True), (result.exit_code, json.loads(result.stdout)["dry_run"]))
            self.assertEqual({"rules": []}, self.control.wanted["cats"])
            self.assertEqual(0, self.run_sources("predicates", "cats", "--put", str(path)).exit_code)
        self.assertEqual({"rules": ["cat"]}, self.control.wanted["cats"])
        self.assertEqual(0, self.run_sources("predicates", "birds", "--put", "-", given=b'{"rules": [1]}').exit_code)
        self.assertEqual({"rules": [1]}, self.control.wanted["birds"])
        self.failed(self.run_sources("predicates", "--put", "-", given=b"{}"), 1, "answers 400", "birds, cats")
        self.failed(self.run_sources("predicates", "cats", "--put", "-", given=b"{}"), 1, "answers 422", "'rules'")

    def test_token(self) -> None:
        """It comes from the option, a file or the environment, and is never printed."""
        self.endpoint = self.make("hush")
        self.failed(self.run_sources("stop"), 1, "answers 401", "token")
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("hush\n")
            file.flush()
            for arguments, environ in (
                (["--token", "hush"], {}),
                (["--token", "$T"], {"T": "hush"}),
                (["--token", f"file:{file.name}"], {}),
                ([], {"STREAMER_TOKEN": "hush"}),
            ):
                result = self.run_sources("stop", *arguments, **environ)
                self.assertEqual((0, False), (result.exit_code, "hush" in result.output))
        self.assertEqual(0, self.run_sources("status").exit_code)

    def test_usage(self) -> None:
        """What cannot be asked is said before anything is sent, with code 2."""
        for arguments, word in (
            (["status", "--admin", "127.0.0.1:8181"], "--admin"),
            (["status", "--admin", "ftp://127.0.0.1"], "--admin"),
            (["status", "--admin", "http://"], "--admin"),
            (["status", "--admin", "http://a:b"], "--admin"),
            (["status", "--admin", "http://[::1"], "--admin"),
            (["status", "--admin", "http://user@a"], "--admin"),
            (["status", "--admin", "http://a/?x=1"], "--admin"),
            (["stop", "--token", "$UNSET_IN_TESTS"], "UNSET_IN_TESTS"),
            (["stop", "--token", "a\r\nb"], "printable"),
            (["predicates", "--dry-run"], "--put"),
            (["predicates", "--put", "/nonexistent/file"], "--put"),
            (["frobnicate"], "frobnicate"),
            (["--admin", "http://a", "stop"], "--admin stands after the command"),
            (["--json", "status"], "--json stands after the command"),
            (["--admin", "ftp://127.0.0.1"], "--admin"),
        ):
            with self.subTest(arguments=arguments):
                self.failed(self.run_sources(*arguments), 2, word)
        self.assertEqual([], self.asked)

    def test_unreachable(self) -> None:
        """No answer, a late one or one that is none of ours is a sentence, with code 1."""
        ok = b"HTTP/1.1 200 OK\r\nContent-Length: "
        for answer, word in (
            (ConnectionRefusedError(111, "Connection refused"), "Is the streamer running"),
            (TimeoutError(), f"{WAIT:g} s"),
            (b"", "closed connection without response"),
            (b"SSH-2.0-x\r\n", "SSH-2.0"),
            (ok + b"2\r\n\r\n[]", "no JSON object"),
            (ok + b"4\r\n\r\n<p/>", "no JSON object"),
            (ok + b"400000\r\n\r\n" + b"[" * 400_000, "no JSON object"),
            (ok + b"9\r\n\r\n{", "no JSON object"),
            (b"HTTP/1.1 302 Found\r\nLocation: http://x\r\nContent-Length: 0\r\n\r\n", "answers 302: Found"),
            (b"HTTP/1.1 500 x\x1b[2J\a\r\nContent-Length: 1\r\n\r\nx", "answers 500"),
        ):
            with self.subTest(answer=answer if isinstance(answer, Exception) else answer[:60]):
                result = self.run_sources("status", wire=Canned(answer))
                self.failed(result, 1, word, "http://127.0.0.1:8181")
                self.assertNotRegex(result.stderr, "[\x1b\a]")

    def test_address(self) -> None:
        """Scheme, host and port are those of --admin; what stands in its path goes before each page's."""
        wire = Wire(self.endpoint)
        self.failed(self.run_sources("status", "--admin", "http://h:9/live/", wire=wire), 1, "no JSON object")
        self.assertEqual(["http://h:9/live/"], self.asked)
        plain, secure = connection(urlsplit("http://[::1]:81")), connection(urlsplit("https://example.org"))
        self.assertEqual(("::1", 81, WAIT), (plain.host, plain.port, plain.timeout))
        self.assertIsInstance(secure, HTTPSConnection)
        self.assertEqual(("example.org", 443), (secure.host, secure.port))


class TableTests(SynchronousTestCase):
    """What a terminal shows."""

    def test_printable(self) -> None:
        """Nothing that an upstream said moves the cursor; other scripts are shown."""
        self.assertEqual("kākāpō �[2J�", printable("kākāpō \x1b[2J\n"))
