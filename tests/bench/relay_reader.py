"""The reader of `make bench-relay` (reader.c): compiled here, told what to do, its answers decoded."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import msgspec

from tests.bench.relay_process import Piped

SOURCE = Path(__file__).with_name("reader.c")
OPENING = 30  # seconds in which all clients must be open


class Opened(msgspec.Struct, frozen=True):
    """What `open` answers."""

    seconds: float
    clients: int
    refused: int
    deflated: int  # clients that were granted permessage-deflate
    why: str  # the first refusal
    mute: int  # clients that wait for an answer still


class Received(msgspec.Struct, frozen=True):
    """What `measure` answers; latencies in milliseconds."""

    seconds: float
    clients: int
    frames: int
    bytes: int
    events: int
    least: int  # events of the client that got the fewest
    most: int
    p50: float
    p99: float
    max: float
    gaps: int  # events that a client missed
    repeats: int  # frames that began with an event a client had
    wrong: int  # frames with an event that the client had not asked for, or events out of order in one
    fragments: int
    broken: int  # frames that were not understood
    closed: int  # connections that the server closed
    newest: int
    cpu: float  # cores that the reader used


class _Drained(msgspec.Struct, frozen=True):
    quiet: bool


def compiled(folder: Path) -> Path:
    """The reader as a program."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise AssertionError("there is no C compiler; `tests/provision bench` installs one")
    program = folder / "reader"
    subprocess.run([compiler, "-O2", "-Wall", "-o", str(program), str(SOURCE), "-lz"], check=True)
    return program


class Reader:
    """The clients of one server.

    Args:
        options: see the head of reader.c.
    """

    def __init__(self, folder: Path, program: Path, *options: str) -> None:
        self._piped = Piped(folder, "reader", str(program), *options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._piped.__exit__()

    def open(self, clients: int) -> Opened:
        """Connect until there are so many.

        Raises:
            AssertionError: the server refused some.
        """
        found: Opened = self._ask(f"open {clients} {OPENING}", OPENING + 30, Opened)
        if found.refused or found.clients != clients:
            raise AssertionError(
                f"{found.clients} of {clients} clients are open, {found.refused} were refused ({found.why}), "
                f"of {found.mute} the server has the request and does not answer"
            )
        return found

    def measure(self, seconds: float) -> Received:
        """What comes from now on."""
        found: Received = self._ask(f"measure {seconds}", seconds + 30, Received)
        return found

    def drain(self, seconds: float) -> bool:
        """Wait until nothing comes any more; false where that takes longer."""
        found: _Drained = self._ask(f"drain {seconds}", seconds + 30, _Drained)
        return found.quiet

    def _ask(self, line: str, deadline: float, kind: type) -> Any:
        return msgspec.json.decode(self._piped.ask(line, deadline), type=kind)
