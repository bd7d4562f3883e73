"""txAMQP as the driver on a real broker: faults that a driver has to notice, refusals it has to tell, and TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_twisted
from twisted.internet.defer import DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.protocols.portforward import ProxyFactory

from streamer.bus.address import Address
from streamer.bus.driver import ChannelRefused, Login
from streamer.bus.rabbitmq import RabbitBus
from streamer.bus.txamqp_connection import connect
from streamer.interfaces import IBus
from streamer.metrics import BUS_ENDINGS
from streamer.testing.rabbitmq import RabbitNode
from tests.bus_contract import Kit, raw
from tests.integration import test_rabbitmq_faults as faults
from tests.integration.certificates import certified
from tests.integration.test_bus_contract import DRIVERS
from tests.integration.test_rabbitmq_faults import Scene

# With the scene below.
test_connections_closed = faults.test_connections_closed
test_memory_alarm = faults.test_memory_alarm
test_queue_deleted = faults.test_queue_deleted
test_frozen_broker = faults.test_frozen_broker


@pytest_twisted.async_yield_fixture
async def scene(rabbit_node: RabbitNode, rabbit_url: str) -> AsyncIterator[Scene]:
    """A kit whose buses use txAMQP, and whose broker can be made to fail."""
    from twisted.internet import reactor  # an integration test runs on the real one

    address = Address.parse(rabbit_url)
    kit = Kit(
        reactor,
        lambda metrics, delay: RabbitBus(
            address, reactor, metrics, "faults", delay=delay, jitter=faults.small, driver=connect
        ),
    )
    yield Scene(kit, rabbit_node, address)
    await kit.stop()
    left = [call for call in reactor.getDelayedCalls() if "streamer.bus" in repr(call) or "txamqp" in repr(call)]
    assert left == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("streamer:", "nobody:", "403 ACCESS_REFUSED - Login was refused"),
        ("/test", "/nowhere", "530 NOT_ALLOWED - vhost nowhere"),
    ],
    ids=["login", "vhost"],
)
@pytest_twisted.ensureDeferred
async def test_reason(scene: Scene, rabbit_url: str, old: str, new: str, words: str) -> None:
    """Where we are not let in, the status gives the broker's reason."""
    assert old in rabbit_url
    address = Address.parse(rabbit_url.replace(old, new))
    bus = RabbitBus(address, scene.kit.clock, scene.kit.metrics, jitter=faults.small, driver=connect)
    bus.startService()
    await scene.kit.until(lambda: words in bus.status, f"the status has {words!r}")
    await bus.stopService()
    assert scene.kit.metrics.value(BUS_ENDINGS, "publish", "broker") >= 1


@pytest.mark.parametrize("driver", DRIVERS)
@pytest_twisted.ensureDeferred
async def test_aside(rabbit_url: str, driver: str) -> None:
    """Each driver can ask what may be refused, again and again, and its connection lives on."""
    from twisted.internet import reactor  # an integration test runs on the real one

    address = Address.parse(rabbit_url)
    login = Login(
        vhost=address.vhost, user=address.user, password=address.password, heartbeat=15, name="aside", version="0"
    )
    connection = DRIVERS[driver](login, reactor)
    ((_, endpoint),) = address.endpoints(reactor)
    await endpoint.connect(Factory.forProtocol(lambda: connection))
    try:
        await connection.opened
        assert connection.server.startswith("RabbitMQ 3")
        for _ in range(3):
            aside = await connection.aside()
            await aside.declare("exchange_declare", {"exchange": "amq.topic", "passive": True})
            aside.close()
            aside = await connection.aside()
            with pytest.raises(ChannelRefused, match="404 NOT_FOUND - no exchange 'nothing'"):
                await aside.declare("exchange_declare", {"exchange": "nothing", "passive": True})
        channel = await connection.channel()
        await channel.prefetch(10)
        assert connection.loss is None
    finally:
        connection.close()
        assert (await connection.ended).cause == "stopped"


@pytest.mark.parametrize("driver", DRIVERS)
@pytest_twisted.ensureDeferred
async def test_tls(rabbit_url: str, tmp_path: Path, driver: str) -> None:
    """Over TLS each driver carries long bodies and many short ones; who is not certified is refused."""
    from twisted.internet import reactor  # an integration test runs on the real one

    plain, pem = Address.parse(rabbit_url), certified(tmp_path)
    front = serverFromString(reactor, f"ssl:0:interface=127.0.0.1:privateKey={pem}")
    port = await front.listen(ProxyFactory(plain.hosts[0].name, plain.hosts[0].port))
    url = f"amqps://{plain.user}:{plain.password}@localhost:{port.getHost().port}/{plain.vhost}"
    address = Address.parse(f"{url}?ca_file={quote(str(pem))}")
    kit = Kit(reactor, lambda metrics, delay: RabbitBus(address, reactor, metrics, driver=DRIVERS[driver]))
    try:
        bus, entries = await kit.bus(), []
        await kit.reading(bus, 0.0, entries.append)
        bodies = [b"x" * 1_000_000, b"", *(b"%d" % number for number in range(500))]
        messages = [raw(number, body, exchange="streamer.events") for number, body in enumerate(bodies)]
        await DeferredList([bus.publish(message) for message in messages])
        await kit.until(lambda: len(entries) >= len(bodies), "all are read")
        assert [entry.message.body for entry in entries] == bodies

        stranger = IBus(RabbitBus(Address.parse(url), reactor, kit.metrics, driver=DRIVERS[driver]))
        kit.buses.append(stranger)
        stranger.startService()
        await kit.until(lambda: "certificate" in stranger.status, "the certificate is refused")
        assert not stranger.ready
    finally:
        await kit.stop()
        await port.stopListening()
