"""`conf/live.toml` with all its examples, its hosts pointed at simulations of ours: all that it names, at once."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import attrs

from streamer.message import Item
from streamer.wire.recording import Header, line_of
from tests.processes import Program, free_ports

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "conf" / "live.toml"
SECRET = "a secret of deployments"
ENVIRON = {"GITHUB_TOKEN": "simulated-token", "MASTODON_TOKEN": "simulated-token", "DEPLOYS_SECRET": SECRET}
EXAMPLE = re.compile(r"# (\[sources\..*\]|(?!dids)\w+ = .*)")
SIMULATED = {"jetstream": 5.0, "wikimedia": 5.0, "github": 2.0, "mastodon": 2.0, "feed": 0.5}  # and things a second
POST = {
    "did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
    "kind": "commit",
    "commit": {
        "rev": "3l3qo2vutsw2b",
        "operation": "create",
        "collection": "app.bsky.feed.post",
        "rkey": "3l3qo2vuowo2b",
        "record": {"$type": "app.bsky.feed.post", "text": "from a recording", "createdAt": "2024-09-09T19:46:02.102Z"},
        "cid": "bafyreidwaivazkwu67xztlmuobx35hs2lnfh3kolmgfmucldvhd3sgzcqi",
    },
}


@attrs.frozen
class Live:
    """What runs.

    Args:
        program: the three services in one process.
        simulations: their addresses, by name.
        sources: names of all that are configured.
    """

    program: Program
    page: str
    admin: str
    hooks: str
    simulations: dict[str, str]
    sources: tuple[str, ...]

    def deploy(self, number: int) -> int:
        """Call the webhook; returns the status of its answer."""
        body = json.dumps({"title": f"Deployment {number}", "text": "went well", "number": number}).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        request = urllib.request.Request(f"{self.hooks}/hooks/deploys", body, headers)
        with urllib.request.urlopen(request, timeout=15) as answer:
            return int(answer.status)


@contextlib.contextmanager
def live(folder: Path) -> Iterator[Live]:
    """Run all of it until the block ends."""
    with contextlib.ExitStack() as stack:
        simulations = {}
        for name, rate in SIMULATED.items():
            program = stack.enter_context(
                Program(folder, name, "streamer", "simulate", name, "--port", "0", "--rate", str(rate))
            )
            simulations[name] = address(program)
        record(folder / "yesterday.jsonl.zst")
        page, admin, hooks = free_ports(3)
        configuration = folder / "live.toml"
        configuration.write_text(pointed(FILE.read_text("utf-8"), simulations, page, admin, hooks), "utf-8")
        environ = {**ENVIRON, "PATH": "/usr/bin:/bin", "HOME": str(folder)}
        program = stack.enter_context(
            Program(folder, "live", "streamer", "run", "-c", str(configuration), env=environ)
        )
        program.until_ready(admin)
        sources = tuple(re.findall(r"^\[sources\.(\w+)\]", configuration.read_text("utf-8"), re.MULTILINE))
        places = (f"http://127.0.0.1:{port}" for port in (page, admin, hooks))
        yield Live(program, *places, simulations, sources)
        program.stop()


def address(program: Program) -> str:
    """Where a simulation says it listens."""
    rows = program.until(lambda: [row for row in program.said().splitlines() if row.startswith("http://")], "address")
    return str(rows[0]).strip()


def record(path: Path) -> None:
    """A recording of one post."""
    import zstandard

    body = json.dumps({**POST, "time_us": 1725911162329308}).encode()
    item = Item(source="yesterday", kind="post", id="recorded", received=1_725_911_162_329, body=body)
    lines = Header.of({"yesterday": "jetstream"}, "2026-11-21T04:00:00.000Z").line() + line_of(item)
    path.write_bytes(zstandard.ZstdCompressor().compress(lines))


def pointed(text: str, simulations: dict[str, str], page: int, admin: int, hooks: int) -> str:
    """The file with every example made true, and every host replaced by a simulation's."""
    rows: list[str] = []
    kind = ""
    for row in text.splitlines():
        found = EXAMPLE.fullmatch(row)
        row = found[1] if found else row
        if row.startswith("url = "):
            row = f'url = "{simulations["feed"]}/atom.xml?{len(rows)}"\ninterval = 2'
        elif row.startswith(("base_url = ", "interval = ")):
            continue
        elif row.startswith("path = "):
            row = 'path = "yesterday.jsonl.zst"'
        rows.append(row)
        kind = row.removeprefix('type = "').split('"')[0] if row.startswith("type = ") else ""
        if kind in simulations and kind != "feed":
            rows.append(f'base_url = "{simulations[kind]}"')
    own = {
        "relay": f'listen = "tcp:{page}:interface=127.0.0.1"\norigins = ["http://127.0.0.1:{page}"]',
        "streamer": f'admin = "tcp:{admin}:interface=127.0.0.1"\nhooks = "tcp:{hooks}:interface=127.0.0.1"',
    }
    joined = "\n".join(rows).replace("[relay]\n", f"[relay]\n{own['relay']}\n", 1)
    return f'{joined}\n[streamer]\n{own["streamer"]}\n[state]\ndirectory = "state"\n'
