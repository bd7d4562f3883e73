"""`make run CONF=conf/live.toml` in a real browser: every upstream that the file names, simulated, on one page."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.browser.test_browser import HERE, LIMIT, ROOT
from tests.live import live
from tests.processes import BIN


def test_everything_on_one_page(tmp_path: Path) -> None:
    """Posts and changes of all sources are seen at once, and each source is listed."""
    with live(tmp_path) as running:
        assert running.deploy(1) == 202
        environ = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "STREAMER_URL": f"{running.page}/",
            "STREAMER_SIMULATION": running.simulations["mastodon"],
            "STREAMER_SOURCES": " ".join(running.sources),
        }
        done = subprocess.run(
            ["node", "--test", str(HERE / "live.page.mjs")],
            cwd=ROOT / "web",
            env=environ,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{running.program.said()[-2000:]}"
        assert "pass 1" in done.stdout, done.stdout
        assert "Traceback" not in running.program.said(), running.program.said()
