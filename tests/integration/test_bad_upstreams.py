"""Upstreams that are none, each kind of source against each of them: a clear word about it, and nobody else harmed."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration.certificates import Authority
from tests.live import address
from tests.processes import BIN, Program, free_ports

HTML = b"<!doctype html><html><head><title>Welcome</title></head><body><p>Please log in</p></body></html>"
OWN = {
    "feed": 'url = "{base}/atom.xml"',
    "github": 'base_url = "{base}"',
    "jetstream": 'base_url = "{base}"',
    "mastodon": 'base_url = "{base}"\ntoken = "t"',
    "wikimedia": 'base_url = "{base}"\ncontact = "ops@example.org"',
    "x-sample": 'base_url = "{base}"\ntoken = "t"',
}
# What each kind of trouble is called, in the sentence about the source.
WORDS = {
    "expired": "expired",
    "nowhere": "DNSLookupError",
    "html": ("web page", "a page", "no list of events"),
    "loop": ("redirects", "points to", "moved to"),
}


class Rude(BaseHTTPRequestHandler):
    """Answers everything with a page, or with a redirect to itself."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """By the path's first word."""
        if self.path.startswith("/loop"):
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(HTML)))
        self.end_headers()
        self.wfile.write(HTML)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody wants to know."""


class Server(ThreadingHTTPServer):
    """A thread a connection."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not like our certificate are what this is about."""


@contextlib.contextmanager
def rude(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Such a server; its port."""
    server = Server(("127.0.0.1", 0), Rude)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_bad_upstreams(tmp_path: Path) -> None:
    """An expired certificate, no such host, a page instead of a stream, a redirect loop: each is told, none harms."""
    authority = Authority(tmp_path)
    expired = authority.sign("server", ends=-timedelta(minutes=5))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(expired.certificate, expired.key)
    page, admin = free_ports(2)
    with (
        rude() as plain,
        rude(context) as secure,
        Program(tmp_path, "good", "streamer", "simulate", "jetstream", "--port", "0") as good,
    ):
        bases = {
            "expired": f"https://localhost:{secure}",
            "nowhere": "https://upstream.invalid",
            "html": f"http://127.0.0.1:{plain}/page",
            "loop": f"http://127.0.0.1:{plain}/loop",
        }
        tables = [
            f'[relay]\nlisten = "tcp:{page}:interface=127.0.0.1"',
            f'[streamer]\nadmin = "tcp:{admin}:interface=127.0.0.1"',
            '[state]\ndirectory = ""',
            f'[sources.good]\ntype = "jetstream"\nbase_url = "{address(good)}"',
        ]
        for trouble, base in bases.items():
            for kind, own in OWN.items():
                name = f"{kind}-{trouble}"
                tables.append(f'[sources.{name}]\ntype = "{kind}"\n{own.format(base=base)}')
        configuration = tmp_path / "bad.toml"
        configuration.write_text("\n".join(tables))
        environ = {**os.environ, "SSL_CERT_FILE": str(authority.path)}
        with Program(tmp_path, "streamer", "streamer", "run", "-c", str(configuration), env=environ) as program:

            def told() -> bool:
                rows = sources(admin)
                return bool(rows) and all(row["said"] for name, row in rows.items() if name != "good")

            program.until(told, "word about every source")
            rows = sources(admin)
            for trouble, words in WORDS.items():
                for kind in OWN:
                    said = rows[f"{kind}-{trouble}"]["said"]
                    wanted = (words,) if isinstance(words, str) else words
                    assert any(word in said for word in wanted), f"{kind}-{trouble}: {said}"
            before = rows["good"]["items"]
            program.until(lambda: sources(admin)["good"]["items"] > before + 20, "items of the good one")
            assert rows["good"]["said"] == ""
            assert "Traceback" not in program.said(), program.said()
            assert program.stop() == 0


def sources(admin: int) -> dict[str, Any]:
    """What `streamer sources --json` says; nothing while nobody answers."""
    done = subprocess.run(
        [str(BIN / "streamer"), "sources", "--json", "--admin", f"http://127.0.0.1:{admin}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found
