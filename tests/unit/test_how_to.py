"""The how-to pages: their code does what they say, run as by a reader, from a folder outside of the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)\n```\n", re.DOTALL)
PATIENCE = 60.0  # seconds


class AddASourceTests(SynchronousTestCase):
    """`add-a-source.md`."""

    def setUp(self) -> None:
        """Write the page's files to a folder of their own."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.page = (PAGES / "add-a-source.md").read_text(encoding="utf-8")
        for name, content in FILE.findall(self.page):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n", encoding="utf-8")

    def run_there(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the folder, with the folder on its path."""
        environ = {**os.environ, "PYTHONPATH": str(self.folder)}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def test_files(self) -> None:
        """The page brings the source, its test and a configuration."""
        self.assertEqual(
            ["ntfy.toml", "streamer/sources/ntfy.py", "test_ntfy.py"],
            sorted(name for name, _ in FILE.findall(self.page)),
        )

    def test_its_tests_pass(self) -> None:
        """The page's own tests pass."""
        done = self.run_there("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ntfy.py")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("3 passed", done.stdout)

    def test_its_configuration_is_good(self) -> None:
        """`streamer check` knows the new type, and what is wrong with a topic is said with its line."""
        done = self.run_there("-m", "streamer", "check", "ntfy.toml")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("alerts", done.stdout)
        bad = self.folder / "bad.toml"
        bad.write_text('[sources.alerts]\ntype = "ntfy"\ntopic = "no topic"\n', encoding="utf-8")
        done = self.run_there("-m", "streamer", "check", "bad.toml")
        self.assertEqual(78, done.returncode)
        self.assertIn("bad.toml:1:", done.stderr)
        self.assertIn("letters, digits, _ and -", done.stderr)

    def test_links(self) -> None:
        """What the page points at is there."""
        named = {*re.findall(r"`(sources/\w+\.py)`", self.page)}
        self.assertTrue(named)
        for name in named:
            self.assertTrue((PAGES.parents[1] / "streamer" / name).is_file(), name)
