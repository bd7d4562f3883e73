"""A client that was away for long, a relay that remembers little, and RabbitMQ, which has it all."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from streamer.bus.address import Address
from streamer.bus.rabbitmq import RabbitBus
from streamer.fanout.position import START, written
from streamer.metrics import COLD_READS, Metrics
from streamer.services.relay import RelayService
from streamer.tables import RelaySettings
from streamer.testing.relay_events import entry

EVENTS = 5_000
LIVE = 200
DEADLINE = 30.0  # seconds


def followed(port: int, since: str, topic: str, count: int) -> tuple[dict[str, Any], list[int]]:
    """What a client is told when it subscribes, and the numbers of the first so many events it gets."""
    numbers: list[int] = []
    facts: dict[str, Any] = {}
    with connect(
        f"ws://127.0.0.1:{port}/ws",
        subprotocols=[Subprotocol("relay.v1.json")],
        origin="http://127.0.0.1:8080",  # type: ignore[arg-type]
    ) as socket:
        socket.send(json.dumps(["sub", 1, {"id": "all", "topics": [topic], "since": since}]))
        end = time.monotonic() + DEADLINE
        while len(numbers) < count or not facts:
            frame = json.loads(socket.recv(timeout=end - time.monotonic()))
            if frame[0] == "subd":
                facts = frame[2]
            elif frame[0] == "ev":
                numbers += [int(event["id"][5:]) for event in frame[2]]
            assert frame[0] not in ("lag", "err"), frame
    return facts, numbers


@pytest.mark.parametrize("history", [600.0, 0.0])
@pytest_twisted.ensureDeferred
async def test_everything_is_honoured(history: float, rabbit_url: str) -> None:
    """From any position still in the log all events come, in order, while more are published; `replayed` is exact."""
    from twisted.internet import reactor  # an integration test runs on the real one

    metrics, fatal = Metrics(), list[str]()
    bus = RabbitBus(Address.parse(rabbit_url), reactor, metrics)
    settings = RelaySettings(listen="tcp:0:interface=127.0.0.1", journal_entries=100, history=history)
    relay = RelayService(bus, settings, reactor, metrics, fatal.append, Path("nonexistent"))
    before = set(reactor.getDelayedCalls())
    bus.startService()

    async def publish(start: int, stop: int) -> None:
        for first in range(start, stop, 500):
            events = (entry(number, "ab"[number % 2], size=300) for number in range(first, min(stop, first + 500)))
            await gatherResults([bus.publish(event.message) for event in events])

    try:
        await publish(0, EVENTS)
        relay.startService()
        while not relay.ready:
            assert not fatal, fatal
            await deferLater(reactor, 0.02)
        port = relay.port.port
        first = deferToThread(followed, port, written("/sources/x#post:0", 0), "#", EVENTS + LIVE - 1)
        others = [
            deferToThread(followed, port, written("/sources/x#post:2999", 2999), "#", EVENTS + LIVE - 3000),
            deferToThread(followed, port, START, "a", (EVENTS + LIVE) // 2),
            deferToThread(followed, port, written("another", 17), "#", 0),
        ]
        await publish(EVENTS, EVENTS + LIVE)
        facts, numbers = await first
        assert numbers == list(range(1, EVENTS + LIVE))
        assert facts["recovered"] is True
        assert EVENTS - 1 <= facts["replayed"] <= EVENTS + LIVE - 1
        part, evens, wrong = await gatherResults(others)
        assert part[1] == list(range(3000, EVENTS + LIVE))
        assert evens[1] == list(range(0, EVENTS + LIVE, 2))
        assert part[0]["recovered"] is evens[0]["recovered"] is True
        assert (wrong[0]["recovered"], wrong[0]["reason"]) == (False, "unknown")
        assert metrics.value(COLD_READS, "read") >= 1
    finally:
        await relay.stopService()
        await bus.stopService()
    left = [call for call in set(reactor.getDelayedCalls()) - before if call.active()]
    assert left == []
