# -*- test-case-name: tests.integration.test_rabbitmq_cluster -*-
"""A private cluster of RabbitMQ nodes on the loopback interface: to kill them, and to move what they lead.

`python -m streamer.testing.cluster` runs three until it is interrupted, and prints their URL.

The nodes find each other by their configuration
(https://www.rabbitmq.com/docs/cluster-formation#peer-discovery-classic-config) and start at the same time. A node
that is cut off from the majority pauses, as it should wherever nothing may be lost
(https://www.rabbitmq.com/docs/partitions#pause-minority). Everything here blocks.
"""

from __future__ import annotations

import pathlib
import re
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import attrs

from streamer.testing.rabbitmq import NodeFailed, RabbitNode, await_true
from streamer.testing.rabbitmq_processes import Epmd
from streamer.testing.rabbitmq_queues import (
    COLUMNS,
    LAGS,
    Replicas,
    move_quorum,
    move_stream,
    read_lags,
    read_replicas,
)

SETTLE_LIMIT = 90.0  # seconds until all replicas are back; a stream's coordinator waits 5 to 10 s between its tries

MOVE_LIMIT = 60.0  # seconds
IN_STEP = 200  # entries that a replica may be behind and still count as there; traffic goes on meanwhile

SETTINGS = """\
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.discovery_retry_limit = 1
cluster_formation.discovery_retry_interval = 100
"""

_NAME = re.compile(r"streamer-\d+@localhost")


@attrs.define
class RabbitCluster:
    """Brokers of our own that form one; a context manager.

    Args:
        size: how many nodes.
        directory: where their files go; removed at the end.
    """

    size: int = 3
    directory: pathlib.Path = attrs.field(factory=lambda: pathlib.Path(tempfile.mkdtemp(prefix="streamer-cluster-")))
    nodes: Sequence[RabbitNode] = attrs.field(init=False)
    _epmd: Epmd = attrs.field(factory=Epmd)

    def __attrs_post_init__(self) -> None:
        password, cookie = secrets.token_hex(8), secrets.token_hex(16)
        self.nodes = [
            RabbitNode(
                directory=self.directory / str(number),
                password=password,
                cookie=cookie,
                epmd=self._epmd,
            )
            for number in range(self.size)
        ]
        names = (f"cluster_formation.classic_config.nodes.{n} = {node.name}\n" for n, node in enumerate(self.nodes, 1))
        settings = SETTINGS + "".join(names)
        for node in self.nodes:
            node.settings = settings

    @property
    def url(self) -> str:
        """Where to reach it: all hosts, with the password."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"amqp://streamer:{self.nodes[0].password}@{hosts}/"

    @property
    def names(self) -> frozenset[str]:
        """The nodes, as Erlang knows them."""
        return frozenset(node.name for node in self.nodes)

    def start(self) -> None:
        """Start all nodes at once, and wait until they are one cluster.

        Raises:
            NodeFailed: one did not start, or they did not find each other.
        """
        self._epmd.start(self.directory)
        for node in self.nodes:
            node.begin()
        for node in self.nodes:
            node.await_answer()
        for node in self.nodes:
            seen = frozenset(_NAME.findall(node.rabbitmqctl("eval", "rabbit_nodes:all_running().")))
            if seen != self.names:
                raise NodeFailed(f"{node.name} runs with {', '.join(seen)}, not in one cluster with all others")

    def rabbitmqctl(self, *arguments: str) -> str:
        """Run a command on the first node that runs, and return its output.

        Raises:
            NodeFailed: no node runs, or the command failed.
        """
        for node in self.nodes:
            if node.running:
                return node.rabbitmqctl(*arguments)
        raise NodeFailed("no node of the cluster runs")

    def replicas(self, vhost: str = "/") -> Mapping[str, Replicas]:
        """The replicated queues of a virtual host, by name."""
        return read_replicas(self.rabbitmqctl("list_queues", "--vhost", vhost, *COLUMNS, "--formatter", "json"))

    def unsettled(self, vhost: str = "/") -> str:
        """What is not in order yet, for a sentence; empty where every replica is there and has (nearly) everything."""
        down = [node.name for node in self.nodes if not node.running]
        if down:
            return f"{', '.join(down)} does not run"
        behind = [queue.name for queue in self.replicas(vhost).values() if not queue.whole(self.names)]
        if behind:
            return f"replicas are missing of {', '.join(behind)}"
        lags = read_lags(self.rabbitmqctl("eval", LAGS))
        late = [f"{queue} on {node} is {lag} entries behind" for (queue, node), lag in lags.items() if lag > IN_STEP]
        return ", ".join(late)

    def await_settled(self, vhost: str = "/", limit: float = SETTLE_LIMIT) -> None:
        """Wait until every queue has all its replicas again.

        Raises:
            NodeFailed: that took too long; the text says what was missing.
        """
        await_true(lambda: not self.unsettled(vhost), limit, lambda: self.unsettled(vhost))

    def settle(self) -> None:
        """See RabbitNode.settle: call it before the first `kill9`, once all queues are declared."""
        for node in self.nodes:
            node.settle()

    def move_leaders(self, number: int, queues: Collection[str] = (), vhost: str = "/") -> None:
        """Have the replicas on one node lead some queues, or all; a stream must be written to meanwhile.

        Raises:
            NodeFailed: they do not.
        """
        node, astray = self.nodes[number].name, ""

        def moved() -> bool:
            nonlocal astray
            found = self.replicas(vhost).values()
            wrong = [queue for queue in found if queue.leader != node and (not queues or queue.name in queues)]
            quorum = [queue.name for queue in wrong if queue.type == "quorum"]
            if quorum:
                self.rabbitmqctl("eval", move_quorum(vhost, quorum, node))
            for queue in wrong:
                if queue.type == "stream":
                    self.rabbitmqctl("eval", move_stream(vhost, queue.name, node))
            astray = ", ".join(f"{queue.name} ({queue.leader})" for queue in wrong)
            return not wrong

        await_true(moved, MOVE_LIMIT, lambda: f"{node} leads all queues; astray are {astray}")

    def stop(self) -> None:
        """End all nodes at once, and remove their files. May be called more than once."""
        with ThreadPoolExecutor(self.size) as pool:
            list(pool.map(RabbitNode.stop, self.nodes))
        self._epmd.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> RabbitCluster:
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


def main() -> None:
    """Run a cluster until interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with RabbitCluster() as cluster:
        print(cluster.url, flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
