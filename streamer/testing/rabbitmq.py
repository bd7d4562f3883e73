# -*- test-case-name: tests.integration.test_bus_contract -*-
"""A private RabbitMQ node: for the integration tests, for measurements, and for people.

`python -m streamer.testing.rabbitmq` runs one until it is interrupted, and prints its URL.

It needs the `rabbitmq-server` package installed, not running: the node has its own name, ports, directory, cookie and
epmd, listens on loopback only, loads no plugin but those given, and leaves nothing behind. Everything here blocks.
Several that form one cluster are in `cluster.py`.
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
from collections.abc import Callable
from types import TracebackType

import attrs

from streamer.testing.rabbitmq_processes import Epmd, free_port, spawn

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
    """One broker of our own; a context manager. Erlang knows it by its `name`.

    Args:
        scripts: folder of `rabbitmq-server` and `rabbitmqctl`.
        settings: further lines of its `rabbitmq.conf`.
        plugins: to be enabled, by name; those they need come along.
        cookie: Erlang's password; nodes of a cluster have the same.
        epmd: where its name is registered; nodes of a cluster have the same. Who gives one starts and stops it.
    """

    scripts: pathlib.Path = SCRIPTS
    port: int = attrs.field(factory=free_port)
    password: str = attrs.field(factory=lambda: secrets.token_hex(8), repr=False)
    directory: pathlib.Path = attrs.field(factory=lambda: pathlib.Path(tempfile.mkdtemp(prefix="streamer-rabbitmq-")))
    settings: str = ""
    plugins: tuple[str, ...] = ()
    cookie: str = attrs.field(factory=lambda: secrets.token_hex(16), repr=False)
    epmd: Epmd | None = None
    own_epmd: Epmd = attrs.field(factory=Epmd)
    name: str = attrs.field(
        init=False, default=attrs.Factory(lambda self: f"streamer-{self.port}@localhost", takes_self=True)
    )
    dist_port: int = attrs.field(factory=free_port)
    _server: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._server is not None and self._server.poll() is None

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
        self.begin()
        self.await_answer()

    def begin(self) -> None:
        """Start its process; `await_answer` waits until it is up."""
        write_configuration(self)
        atexit.register(self.stop)
        if self.epmd is None:
            self.own_epmd.start(self.directory)
        self._server = spawn(self.directory, environment(self), str(self.scripts / "rabbitmq-server"))

    def await_answer(self) -> None:
        """Wait until it answers.

        Raises:
            NodeFailed: as `start`.
        """

        def up() -> bool:
            if not self.running:
                raise NodeFailed(f"the RabbitMQ node ended while starting:\n{said(self.directory)}")
            return answers(self.port)

        await_true(up, START_LIMIT, lambda: f"the RabbitMQ node does not answer:\n{said(self.directory)}")

    def rabbitmqctl(self, *arguments: str) -> str:
        """Run a command on the node and return its output.

        Raises:
            NodeFailed: the command failed.
        """
        done = subprocess.run(
            [str(self.scripts / "rabbitmqctl"), "--quiet", *arguments],
            env=environment(self),
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
        self.own_epmd.stop()
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


def environment(node: RabbitNode) -> dict[str, str]:
    """What a node's processes and commands are to see of ours, and where all that is theirs lies."""
    loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
    place = node.directory
    epmd = node.epmd or node.own_epmd
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(place),  # where Erlang looks for the cookie
        **epmd.environment,
        "RUNNING_UNDER_SYSTEMD": "true",  # no shell in between: the process we signal is the node
        "RABBITMQ_NODENAME": node.name,
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(node.port),
        "RABBITMQ_DIST_PORT": str(node.dist_port),
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


def write_configuration(node: RabbitNode) -> None:
    """All that a node reads, so that nothing of the system's own RabbitMQ is touched."""
    place = node.directory
    place.mkdir(parents=True, exist_ok=True)
    (place / "rabbitmq.conf").write_text(CONFIGURATION.format(port=node.port, password=node.password) + node.settings)
    (place / "plugins").write_text(f"[{', '.join(node.plugins)}].\n")
    cookie = place / ".erlang.cookie"
    if not cookie.exists():
        cookie.write_text(node.cookie)
        cookie.chmod(0o400)


def said(directory: pathlib.Path) -> str:
    """The ends of what a node printed and logged."""
    texts = [directory / "output", *sorted((directory / "log").glob("*.log"))]
    return "\n".join(path.read_text(errors="replace")[-2000:] for path in texts if path.exists())


def await_true(predicate: Callable[[], bool], limit: float, what: Callable[[], str]) -> None:
    """Look again and again until something is true.

    Raises:
        NodeFailed: it was not within `limit` seconds; `what` says what is wrong.
    """
    end = time.monotonic() + limit
    while not predicate():
        if time.monotonic() > end:
            raise NodeFailed(f"not within {limit:g} s: {what()}")
        time.sleep(POLL)


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
