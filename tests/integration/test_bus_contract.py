"""The contract of the bus, on a real reactor: over RabbitMQ, and in memory."""

from __future__ import annotations

import pytest
import pytest_twisted

from streamer.bus.address import Address
from streamer.bus.memory import MemoryBus
from streamer.bus.rabbitmq import RabbitBus
from tests import bus_contract
from tests.bus_contract import Kit


@pytest.mark.parametrize("check", bus_contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", ["rabbitmq", "memory"])
@pytest_twisted.ensureDeferred
async def test_contract(check: bus_contract.Check, kind: str, request: pytest.FixtureRequest) -> None:
    """Each bus keeps each promise, and leaves no timer behind."""
    from twisted.internet import reactor  # an integration test runs on the real one

    if kind == "rabbitmq":
        address = Address.parse(request.getfixturevalue("rabbit_url"))
        kit = Kit(reactor, lambda metrics, delay: RabbitBus(address, reactor, metrics, check.__name__, delay=delay))
    else:
        one: list[MemoryBus] = []

        def make(metrics: object, delay: object) -> MemoryBus:
            if not one:
                one.append(MemoryBus(reactor, metrics, delay=delay))  # type: ignore[arg-type]
            return one[0]

        kit = Kit(reactor, make)
    before = set(reactor.getDelayedCalls())
    try:
        await check(kit)
    finally:
        await kit.stop()
    left = [call for call in set(reactor.getDelayedCalls()) - before if call.active()]
    assert left == []
