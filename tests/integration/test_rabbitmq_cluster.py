"""Three clustered nodes under fire: nothing confirmed is lost, no log entry comes twice, everybody comes back.

It takes two to three minutes. `CLUSTER=600` goes on with further rounds for as many seconds, and
`STREAMER_CLUSTER_REPORT=file` writes what was measured as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from streamer.bus.address import Address
from streamer.testing.cluster import RabbitCluster
from streamer.testing.rabbitmq import RabbitNode
from tests.integration.cluster_run import RATE, Cast

STEADY = 2.0  # seconds of traffic before, between and after what happens
DOWN = 4.0  # seconds that a killed node stays away
PAUSE_LIMIT = 30.0  # seconds without a confirm or a delivery, after which the cluster was not worth its nodes

_names = itertools.count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RabbitCluster]:
    """A running cluster, removed at the end."""
    if not RabbitNode.available():
        pytest.skip("RabbitMQ is not installed here (Debian's package rabbitmq-server)")
    with RabbitCluster() as cluster:
        yield cluster


@attrs.define
class Run:
    """A cast on a cluster, and the phases of what happens to it."""

    cast: Cast
    cluster: RabbitCluster
    vhost: str
    phases: list[dict[str, Any]] = attrs.field(factory=list)

    async def phase(self, name: str, happen: Callable[[], Awaitable[object]]) -> None:
        """Let something happen, wait until everybody is ready, and note how long nothing went through."""
        begun, reconnects = self.cast.reactor.seconds(), self.cast.reconnects
        pauses = self.cast.ledger.pauses
        for each in pauses.values():
            each.turn(begun)
        await happen()
        await self.cast.wait(STEADY)
        await self.cast.until(lambda: self.cast.ready, f"everybody is ready after {name}")
        now = self.cast.reactor.seconds()
        self.phases.append(
            {
                "name": name,
                "seconds": round(now - begun, 2),
                "reconnects": self.cast.reconnects - reconnects,
                "longest_pause": {what: round(each.turn(now), 2) for what, each in pauses.items()},
            }
        )
        print(self.phases[-1], flush=True)

    async def round(self) -> None:
        """Each node in turn leads every queue, is killed, and comes back."""
        for number in range(len(self.cluster.nodes)):
            await self.phase(f"node {number} leads", lambda number=number: self._lead(number))
            await self.phase(f"node {number} is killed", lambda number=number: self._kill(number))
            await self.phase(f"node {number} is back", lambda number=number: self._revive(number))

    async def _lead(self, number: int) -> None:
        await deferToThread(self.cluster.move_leaders, number, (), self.vhost)

    async def _kill(self, number: int) -> None:
        await deferToThread(self.cluster.nodes[number].kill9)
        await self.cast.newcomer(f"newcomer {len(self.phases)}")
        await self.cast.wait(DOWN)

    async def _revive(self, number: int) -> None:
        await deferToThread(self.cluster.nodes[number].start)
        await deferToThread(self.cluster.await_settled, self.vhost)

    async def lose_majority(self) -> None:
        """All nodes but one are killed; that one pauses, nobody gets anything confirmed, until the others are back."""
        _, *others = self.cluster.nodes
        for node in others:
            await deferToThread(node.kill9)
        publisher = self.cast.traffic.items
        await self.cast.until(lambda: not publisher.ready, "the publisher says that it is not ready")
        await self.cast.wait(DOWN)
        confirmed = len(self.cast.ledger.confirmed)
        await self.cast.wait(STEADY)
        assert len(self.cast.ledger.confirmed) == confirmed, "a minority confirmed"
        for node in others:
            node.begin()
        for node in others:
            await deferToThread(node.await_answer)
        await deferToThread(self.cluster.await_settled, self.vhost)

    def report(self, seconds: float) -> dict[str, Any]:
        """All that was measured."""
        cast = self.cast
        return {
            "nodes": len(self.cluster.nodes),
            "seconds": round(seconds, 1),
            "rate": {"items": RATE, "events": RATE},
            "workers": cast.workers,
            "shards": cast.shards,
            **cast.ledger.numbers(),
            **cast.counts(),
            "phases": self.phases,
        }


@pytest_twisted.async_yield_fixture
async def run(cluster: RabbitCluster) -> AsyncIterator[Run]:
    """A cast that has begun; it leaves afterwards, and no timer of the bus is left."""
    from twisted.internet import reactor  # an integration test runs on the real one

    vhost = f"test{next(_names)}"
    await deferToThread(cluster.rabbitmqctl, "add_vhost", vhost)
    await deferToThread(cluster.rabbitmqctl, "set_permissions", "--vhost", vhost, "streamer", ".*", ".*", ".*")
    cast = Cast(Address.parse(cluster.url + vhost), reactor)
    try:
        await cast.start()
        await deferToThread(cluster.settle)
        yield Run(cast, cluster, vhost)
    finally:
        await cast.stop()
    await deferToThread(cluster.rabbitmqctl, "delete_vhost", vhost)
    assert [call for call in reactor.getDelayedCalls() if "streamer.bus" in repr(call)] == []


@pytest_twisted.ensureDeferred
async def test_under_fire(run: Run) -> None:
    """Each node leads all queues, dies and comes back, under steady traffic: every promise is kept."""
    cast, begun = run.cast, run.cast.reactor.seconds()
    await cast.wait(STEADY)
    end = begun + float(os.environ.get("CLUSTER") or 0)
    await run.round()
    while cast.reactor.seconds() < end:
        await run.round()
    await cast.drain()
    report = run.report(cast.reactor.seconds() - begun)
    print(json.dumps(report, indent=2))
    if path := os.environ.get("STREAMER_CLUSTER_REPORT"):
        Path(path).write_text(json.dumps(report, indent=2) + "\n")
    assert cast.ledger.complaints(ordered=cast.shards > 0) == []
    assert report["entries_skipped"] == report["log_resets"] == 0
    assert report["reconnects"], "nobody noticed anything"
    assert max(report["longest_pause"].values()) < PAUSE_LIMIT


@pytest_twisted.ensureDeferred
async def test_majority_lost(run: Run) -> None:
    """Two of three nodes die: nothing is confirmed until they are back, and then nothing has been lost."""
    await run.cast.wait(STEADY)
    await run.phase("the majority is lost", run.lose_majority)
    await run.cast.drain()
    print(json.dumps(run.report(run.phases[0]["seconds"]), indent=2))
    assert run.cast.ledger.complaints(ordered=run.cast.shards > 0) == []
