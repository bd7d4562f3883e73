"""Every upstream at once: `conf/live.toml` with all its examples, against simulations, in one process."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.live import live
from tests.processes import BIN, get_json

KINDS = {"streamer.post", "streamer.change"}


def test_all_sources(tmp_path: Path) -> None:
    """Each source that the file names brings events to a client; `streamer sources` tells how each is doing."""
    with live(tmp_path) as running:
        program = running.program
        seen: dict[str, set[str]] = {}
        begin = "last=500"

        def brought() -> bool:
            nonlocal begin
            answer = get_json(f"{running.page}/poll?topics=post.%23&topics=change.%23&{begin}&wait=1")
            begin = f"since={answer['position']}"
            for event in answer["events"]:
                seen.setdefault(event["source"].removeprefix("/sources/"), set()).add(event["type"])
            return set(running.sources) <= set(seen)

        assert running.deploy(1) == 202
        program.until(brought, f"events of all of {running.sources}; seen {seen}", deadline=90)
        assert {kind for kinds in seen.values() for kind in kinds} == KINDS
        assert seen["yesterday"] == {"streamer.post"}
        rows = sources(running.admin)
        assert set(rows) == set(running.sources)
        for name, row in rows.items():
            assert row["items"] > 0, name
            assert row["reconnects"] == 0, (name, row)
            assert row["last_item"] is not None, name
            assert (row["cursor"] is None) == (name == "deploys"), (name, row["cursor"])
        finished = {name for name, row in rows.items() if row["state"] != "streaming"}
        assert finished == {"yesterday"}
        table = command("sources", "--admin", running.admin)
        for name in running.sources:
            assert name in table
        assert "Traceback" not in program.said(), program.said()


def sources(admin: str) -> dict[str, Any]:
    """What `streamer sources --json` says."""
    found: dict[str, Any] = json.loads(command("sources", "--json", "--admin", admin))
    return found


def command(*arguments: str) -> str:
    """What a command of ours prints."""
    done = subprocess.run([str(BIN / "streamer"), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
