"""Our programs as a user meets them: bad configurations, taken ports, signals."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.processes import DEADLINE, Program, free_ports, get

BAD = "[enrich]\nhydrator = 1\n"
EXPECTED = "bad.toml:2:1: unknown key 'hydrator' in [enrich] (did you mean 'hydrators'?)"
TWISTD = ("twistd", "-n", "--pidfile", "")


def ended(program: Program) -> int:
    """Its exit code, once it has ended."""
    with program:
        return program.process.wait(DEADLINE)


def refused(program: Program, admin: int) -> bytes:
    """What /ready says once it says that somebody refused the connection."""

    def reason() -> bytes:
        status, said = get(f"http://127.0.0.1:{admin}/ready")
        return said if status == 503 and b"refused" in said else b""

    found: bytes = program.until(reason, "a reason")
    return found


@pytest.mark.parametrize(
    "command",
    [("streamer", "check"), *((*TWISTD, role, "-c") for role in ("streamer", "enrich", "relay", "pipeline"))],
    ids=["check", "streamer", "enrich", "relay", "pipeline"],
)
def test_bad_configuration(command: tuple[str, ...], tmp_path: Path) -> None:
    """The same message everywhere, exit code 78, nothing else on the screen."""
    (tmp_path / "bad.toml").write_text(BAD)
    program = Program(tmp_path, "bad", *command, "bad.toml")
    assert ended(program) == 78
    assert program.said().strip() == EXPECTED


@pytest.mark.parametrize(("role", "key"), [("enrich", "[enrich] admin"), ("pipeline", "[relay] listen")])
def test_taken_port(role: str, key: str, tmp_path: Path) -> None:
    """A port that somebody else has ends the process with a sentence that names it and the key to change."""
    nobody, free = free_ports(2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        table, _, name = key.partition(" ")
        bus = f"amqp://127.0.0.1:{nobody}/" if role == "enrich" else "memory:"
        (tmp_path / "x.toml").write_text(
            f'[bus]\nurl = "{bus}"\n'
            f'{table}\n{name} = "tcp:{port}:interface=127.0.0.1"\n'
            f'[streamer]\nadmin = "tcp:{free}:interface=127.0.0.1"\n'
        )
        program = Program(tmp_path, role, *TWISTD, role, "-c", "x.toml")
        assert ended(program) == 1
    said = program.said()
    assert f"cannot listen on 'tcp:{port}:interface=127.0.0.1'" in said
    assert f"Change {key}" in said
    assert "Traceback" not in said


def test_demonstration(tmp_path: Path) -> None:
    """`streamer run --demo` serves the page and the client, and Ctrl-C ends it quietly, leaving nothing behind."""
    page, admin = free_ports(2)
    before = set(os.listdir(tmp_path))
    with Program(tmp_path, "demo", "streamer", "run", "--demo", "--port", str(page), "--admin", str(admin)) as demo:
        demo.until_ready(admin)
        assert get(f"http://127.0.0.1:{page}/")[0] == 200
        assert get(f"http://127.0.0.1:{page}/client/v1/client.js")[0] == 200
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(DEADLINE) in (0, -signal.SIGINT)
        assert "Traceback" not in demo.said()
        assert get(f"http://127.0.0.1:{page}/")[0] == 0
    assert set(os.listdir(tmp_path)) - before == {"demo.log"}


def test_unreachable_upstream(tmp_path: Path) -> None:
    """A source that cannot be reached is named by /ready with its reason and the next try; nothing else is harmed."""
    nobody, admin, page = free_ports(3)
    (tmp_path / "x.toml").write_text(
        f'[sources.birds]\ntype = "x-filtered"\ntoken = "t"\nbase_url = "http://127.0.0.1:{nobody}"\n'
        f'[streamer]\nadmin = "tcp:{admin}:interface=127.0.0.1"\n'
        f'[relay]\nlisten = "tcp:{page}:interface=127.0.0.1"\n'
    )
    with Program(tmp_path, "pipeline", *TWISTD, "pipeline", "-c", "x.toml") as pipeline:
        said = refused(pipeline, admin)
        assert b"source birds: network: " in said
        assert b"next try in" in said
        assert get(f"http://127.0.0.1:{admin}/live")[0] == 200
        assert get(f"http://127.0.0.1:{page}/status.json")[0] == 200
        assert pipeline.stop() in (0, -signal.SIGTERM)
        assert "Traceback" not in pipeline.said()


def test_unreachable_broker(tmp_path: Path) -> None:
    """A broker that is away is named by /ready, and a stop does not wait for it."""
    nobody, admin = free_ports(2)
    (tmp_path / "x.toml").write_text(
        f'[bus]\nurl = "amqp://u:hush@127.0.0.1:{nobody}/"\n[enrich]\nadmin = "tcp:{admin}:interface=127.0.0.1"\n'
    )
    with Program(tmp_path, "enrich", *TWISTD, "enrich", "-c", "x.toml") as enrich:
        said = refused(enrich, admin)
        assert f"127.0.0.1:{nobody}".encode() in said
        assert enrich.stop() in (0, -signal.SIGTERM)
        assert "Traceback" not in enrich.said()
        assert "hush" not in enrich.said()
