# -*- test-case-name: tests.integration.test_bus_contract -*-
"""A private RabbitMQ node: for the integration tests, for measurements, and for people.

`python -m streamer.testing.rabbitmq` runs one until it is interrupted, and prints its URL.

It needs the `rabbitmq-server` package installed, not running: the node has its own name, ports, directory, cookie and
epmd, listens on the loopback interface only, loads no plugin, and leaves nothing behind. Everything here blocks.
"""

from __future__ import annotations

import atexit
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from types import TracebackType

import attrs

SCRIPTS = pathlib.Path("/usr/lib/rabbitmq/bin")  # of Debian's package; those in /usr/sbin switch to another user
START_LIMIT = 60.0  # seconds a node may take to answer
POLL = 0.05  # seconds between two looks
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"  # a node that is up answers it with connection.start

CONFIGURATION = """\
listeners.tcp.default = 127.0.0.1:{port}
default_user = streamer
default_pass = {password}
disk_free_limit.absolute = 50MB
log.console = false
log.file.level = info
"""


class NodeFailed(Exception):
    """The node did not start, or a command failed; the text holds what it said."""


@attrs.define
class RabbitNode:
    """One broker of our own; a context manager.

    Args:
        scripts: folder of `rabbitmq-server` and `rabbitmqctl`.
    """

    scripts: pathlib.Path = SCRIPTS
    port: int = attrs.field(factory=lambda: free_port())
    password: str = attrs.field(factory=lambda: secrets.token_hex(8), repr=False)
    directory: pathlib.Path = attrs.field(factory=lambda: pathlib.Path(tempfile.mkdtemp(prefix="streamer-rabbitmq-")))
    _epmd_port: int = attrs.field(factory=lambda: free_port())
    _dist_port: int = attrs.field(factory=lambda: free_port())
    _epmd: subprocess.Popen[bytes] | None = None
    _server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where to reach it, with the password."""
        return f"amqp://streamer:{self.password}@127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """Process id of the running node."""
        if self._server is None:
            raise NodeFailed("the node does not run")
        return self._server.pid

    @classmethod
    def available(cls, scripts: pathlib.Path = SCRIPTS) -> bool:
        """Whether RabbitMQ and Erlang are installed here."""
        return (scripts / "rabbitmq-server").exists() and all(map(shutil.which, ("erl", "epmd")))

    def start(self) -> None:
        """Start the node, or start it again, and wait until it answers.

        Raises:
            NodeFailed: it ended, or did not answer in time; the end of its log is in the text.
        """
        write_configuration(self.directory, self.port, self.password)
        atexit.register(self.stop)
        if self._epmd is None:
            self._epmd = self._spawn("epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1")
        self._server = self._spawn(str(self.scripts / "rabbitmq-server"))
        self._await_answer()

    def rabbitmqctl(self, *arguments: str) -> str:
        """Run a command on the node and return its output.

        Raises:
            NodeFailed: the command failed.
        """
        done = subprocess.run(
            [str(self.scripts / "rabbitmqctl"), "--quiet", *arguments],
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=START_LIMIT,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        if done.returncode:
            raise NodeFailed(f"rabbitmqctl {' '.join(arguments)} failed ({done.returncode}): {output}")
        return output

    def settle(self) -> None:
        """Have the node write what it keeps in memory for minutes: call it before `kill9`.

        RabbitMQ 3.10.8 notes where its stream coordinator is in a table that it does not sync; a node killed within
        the first minutes of its life never finds its streams again ("home node … is down or inaccessible").
        """
        self.rabbitmqctl("eval", "[dets:sync(Table) || Table <- dets:all()].")

    def kill9(self) -> None:
        """End the node as a crash would; `start` brings it back with what it had on disk."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def stop(self) -> None:
        """End the node and its epmd, and remove its files. May be called more than once."""
        atexit.unregister(self.stop)
        if self._server is not None:
            self._server.terminate()  # Erlang shuts down in order
            try:
                self._server.wait(10)
            except subprocess.TimeoutExpired:
                pass
        self.kill9()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> RabbitNode:
        """Start it; whatever was begun is ended where that fails."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def _environment(self) -> dict[str, str]:
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        place = self.directory
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(place),  # where Erlang looks for the cookie
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "true",  # no shell in between: the process we signal is the node
            "RABBITMQ_NODENAME": f"streamer-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONF_ENV_FILE": str(place / "none"),  # not the system's
            "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(place / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(place / "data"),
            "RABBITMQ_LOG_BASE": str(place / "log"),
            "RABBITMQ_PID_FILE": str(place / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": loopback,
            "RABBITMQ_CTL_ERL_ARGS": loopback,
        }

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.directory / "output").open("ab") as output:
            return subprocess.Popen(
                command,
                env=self._environment(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # an interrupt from the keyboard is for whoever runs us
            )

    def _await_answer(self) -> None:
        limit = time.monotonic() + START_LIMIT
        while not answers(self.port):
            if self._server is None or self._server.poll() is not None:
                raise NodeFailed(f"the RabbitMQ node ended while starting:\n{said(self.directory)}")
            if time.monotonic() > limit:
                raise NodeFailed(f"the RabbitMQ node did not answer within {START_LIMIT:g} s:\n{said(self.directory)}")
            time.sleep(POLL)


def write_configuration(directory: pathlib.Path, port: int, password: str) -> None:
    """All that a node reads, so that nothing of the system's own RabbitMQ is touched."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "rabbitmq.conf").write_text(CONFIGURATION.format(port=port, password=password))
    (directory / "plugins").write_text("[].\n")
    cookie = directory / ".erlang.cookie"
    if not cookie.exists():
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)


def said(directory: pathlib.Path) -> str:
    """The ends of what a node printed and logged."""
    texts = [directory / "output", *sorted((directory / "log").glob("*.log"))]
    return "\n".join(path.read_text(errors="replace")[-2000:] for path in texts if path.exists())


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether an AMQP broker on the loopback interface greets us."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(PROTOCOL_HEADER)
            return bool(connection.recv(1))
    except OSError:
        return False


def main() -> None:
    """Run a node until interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with RabbitNode() as node:
        print(node.url, flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
