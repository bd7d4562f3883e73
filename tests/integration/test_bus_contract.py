"""The contract of the bus, on a real reactor: over RabbitMQ by either driver, and in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from streamer.bus.address import Address
from streamer.bus.connection import connect as connect_by_pika
from streamer.bus.rabbitmq import RabbitBus
from streamer.bus.txamqp_connection import connect as connect_by_txamqp
from streamer.testing.rabbitmq import RabbitNode
from tests import bus_contract
from tests.bus_contract import Kit

DRIVERS = {"pika": connect_by_pika, "txamqp": connect_by_txamqp}


@pytest.mark.parametrize("check", bus_contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", [*DRIVERS, "memory"])
@pytest_twisted.ensureDeferred
async def test_contract(check: bus_contract.Check, kind: str, request: pytest.FixtureRequest) -> None:
    """Each bus keeps each promise, and leaves no timer behind."""
    from twisted.internet import reactor  # an integration test runs on the real one

    if kind in DRIVERS:
        node, url = request.getfixturevalue("rabbit_node"), request.getfixturevalue("rabbit_url")
        kit = rabbit_kit(reactor, node, Address.parse(url), DRIVERS[kind], check.__name__)
    else:
        kit = bus_contract.memory_kit(reactor)
    before = set(reactor.getDelayedCalls())
    try:
        await check(kit)
    finally:
        await kit.stop()
    left = [call for call in set(reactor.getDelayedCalls()) - before if call.active()]
    assert left == []


def rabbit_kit(reactor: Any, node: RabbitNode, address: Address, driver: Any, name: str) -> Kit:
    """Buses over a real broker; tighter bounds are policies, of which and of the queue's own the lower one counts."""

    def make(metrics: Any, delay: Callable[[int], float], shards: int = 0) -> RabbitBus:
        return RabbitBus(address, reactor, metrics, name, delay=delay, driver=driver, shards=shards)

    async def bound(queue: str, key: str, most: int) -> None:
        policy = ("tighter", f"^{queue}$".replace(".", "[.]"), json.dumps({key: most}))
        await deferToThread(node.rabbitmqctl, "set_policy", "-p", address.vhost, "--apply-to", "queues", *policy)

    return Kit(reactor, make, bound, counts_returned=True)
