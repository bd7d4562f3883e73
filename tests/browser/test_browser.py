"""The whole product in a real browser: starts the demonstration, then runs the Node tests beside this file.

The tests are `*.test.mjs`; they drive Debian's headless Chromium through playwright-core.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import BIN, Program, free_ports

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
RATE = 20  # posts/s
LIMIT = 300  # seconds for one file of tests


def test_files_are_found() -> None:
    """A renamed folder must not look like a pass."""
    assert list(HERE.glob("*.test.mjs"))


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_in_chromium(name: str, tmp_path: Path) -> None:
    """Each file gets a product of its own."""
    if not (shutil.which("chromium-headless-shell") or shutil.which("chromium")):
        pytest.fail("no Chromium: run `make system`, or install Debian's package chromium-headless-shell")
    page, admin, upstream = free_ports(3)
    command = ["streamer", "run", "--demo", "--rate", str(RATE), "--port", str(page), "--admin", str(admin)]
    with Program(tmp_path, "demo", *command, "--upstream-port", str(upstream)) as demo:
        demo.until_ready(admin)
        environ = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "STREAMER_URL": f"http://127.0.0.1:{page}/",
            "STREAMER_SIMULATION": f"http://127.0.0.1:{upstream}",
            "STREAMER_SCREENSHOT": os.environ.get("STREAMER_SCREENSHOT", str(HERE / "out" / "page.png")),
        }
        done = subprocess.run(
            ["node", "--test", str(HERE / name)],
            cwd=ROOT / "web",
            env=environ,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{demo.said()[-2000:]}"
        assert "# pass 0" not in done.stdout, "no test ran"
        assert "Traceback" not in demo.said(), demo.said()
