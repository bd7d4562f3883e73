"""The `streamer` program."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from streamer.cli import main
from streamer.demo import demo_settings

REFERENCE = Path(__file__).resolve().parents[2] / "conf" / "streamer.toml"


def run(*arguments: str, **environ: str) -> Result:
    """Run the program in this process."""
    return CliRunner().invoke(main, list(arguments), env=environ)


class CliTests(SynchronousTestCase):
    """Commands that do not run the reactor."""

    def test_help(self) -> None:
        """Every command has help, without configuration or network."""
        for command in ((), ("check",), ("run",), ("simulate",), ("simulate", "x")):
            result = run(*command, "--help")
            self.assertEqual(0, result.exit_code)
            self.assertIn("Usage:", result.output)

    def test_version(self) -> None:
        """Ours, and Twisted's."""
        self.assertRegex(run("--version").output, r"^streamer \d+\.\d+\S*, Twisted \d+")

    def test_check_good(self) -> None:
        """A good file is said to be so, on stdout."""
        result = run("check", str(REFERENCE), X_BEARER_TOKEN="t")
        self.assertEqual(0, result.exit_code, result.output)
        self.assertIn("good; sources: birds", result.stdout)

    def test_check_bad(self) -> None:
        """Problems go to stderr with their place, all files are looked at, and the code is 78."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.toml").write_text("[enrich]\nlnag = 1\n", encoding="utf-8")
            Path(folder, "b.toml").write_text('[bus]\nurl = "redis:"\n', encoding="utf-8")
            result = run("check", *(f"{folder}/{name}.toml" for name in ("a", "b", "none")))
        self.assertEqual(78, result.exit_code)
        self.assertEqual("", result.stdout)
        first, second, third = result.stderr.replace(folder, "").strip().split("\n")
        self.assertTrue(first.startswith("/a.toml:2:1: unknown key 'lnag' in [enrich]"))
        self.assertTrue(second.startswith("/b.toml:2:1: bus.url: "))
        self.assertTrue(third.startswith("/none.toml: cannot be read: "))

    def test_check_relay(self) -> None:
        """Keys that sign nothing, patterns that match nothing and proxies that are none are found before the start."""
        text = '[relay]\ntrusted_proxies = ["10.0.0.0/8", "10.0.0.1/8"]\n[relay.auth]\nsecret = "hush"\n'
        text += 'jwks = "http://keys.example"\nanonymous_read = ["post.#", "a..b"]\n'
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.toml").write_text(text, encoding="utf-8")
            result = run("check", f"{folder}/a.toml")
        self.assertEqual((78, ""), (result.exit_code, result.stdout))
        self.assertNotIn("hush", result.stderr)
        lines = result.stderr.replace(folder, "").strip().split("\n")
        for line, start in zip(
            sorted(lines),
            (
                "/a.toml:2:34: relay.trusted_proxies.1: ",
                "/a.toml:4:1: relay.auth.secret ",
                "/a.toml:5:1: relay.auth.jwks ",
                "/a.toml:6:29: relay.auth.anonymous_read.1 ",
            ),
            strict=True,
        ):
            self.assertTrue(line.startswith(start), (line, start))

    def test_run_usage(self) -> None:
        """`run` wants to know what to run, and a bad file is no traceback."""
        self.assertEqual(2, run("run").exit_code)
        self.assertEqual(2, run("run", "--demo", "-c", "x").exit_code)
        result = run("run", "-c", "none.toml")
        self.assertEqual((78, True), (result.exit_code, result.stderr.startswith("none.toml: cannot be read")))

    def test_demo_settings(self) -> None:
        """The demonstration's configuration is a good one."""
        settings = demo_settings(1, 2, 3)
        self.assertEqual("http://127.0.0.1:1", settings.sources["demo"].own.base_url)
        self.assertEqual("tcp:2:interface=127.0.0.1", settings.relay.listen)

    def test_help_needs_no_reactor(self) -> None:
        """Importing the program does not install a reactor, for a command may want another."""
        self.assertNotIn("reactor", vars(sys.modules["streamer.cli"]))
