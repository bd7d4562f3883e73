# -*- test-case-name: tests.unit.test_testing_cluster -*-
"""The processes around a private RabbitMQ node: how each is started, Erlang's port mapper, and ports to listen on."""

from __future__ import annotations

import os
import pathlib
import random
import socket
import subprocess
from collections.abc import Mapping

import attrs

EPHEMERAL = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_000  # no well-known service, and no other program's default, should be above
TRIES = 100


@attrs.define
class Epmd:
    """Erlang's port mapper daemon, by which nodes find each other: our own, not the system's."""

    port: int = attrs.field(factory=lambda: free_port())
    _process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """By which nodes and commands find it, and no other."""
        return {"ERL_EPMD_PORT": str(self.port), "ERL_EPMD_ADDRESS": "127.0.0.1"}

    def start(self, directory: pathlib.Path) -> None:
        """Start it, if it does not run."""
        if self._process is None:
            self._process = spawn(
                directory, self.environment, "epmd", "-port", str(self.port), "-address", "127.0.0.1"
            )

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def spawn(directory: pathlib.Path, environment: Mapping[str, str], *command: str) -> subprocess.Popen[bytes]:
    """Start a process that writes what it says to `output` in a directory."""
    with (directory / "output").open("ab") as output:
        return subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], **environment},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # an interrupt from the keyboard is for whoever runs us
        )


def free_port() -> int:
    """A loopback port nobody listens on now, and that the kernel gives to no outgoing connection.

    So it is still free when a node that was killed comes back to it.

    Raises:
        OSError: there is none.
    """
    numbers = random.SystemRandom()  # tests seed the other one, and two of us must not agree
    highest = int(EPHEMERAL.read_text().split()[0]) - 1
    for _ in range(TRIES):
        port = numbers.randint(LOWEST, max(LOWEST, highest))
        try:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
    raise OSError(f"no free port from {LOWEST} to {highest} on the loopback interface, in {TRIES} tries")
