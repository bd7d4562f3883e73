# -*- test-case-name: tests.unit.test_bus_factory -*-
"""From the `[bus] url` of the configuration to a bus."""

from __future__ import annotations

from typing import Any

from streamer.bus.address import TXAMQP, Address, check_text
from streamer.bus.driver import Driver
from streamer.bus.memory import MemoryBus
from streamer.bus.txamqp_spec import check_installed
from streamer.interfaces import IBus
from streamer.metrics import Metrics

SCHEMES = ("memory:", "amqp://", "amqps://", "txamqp+amqp://", "txamqp+amqps://")


def bus_for_url(url: str, reactor: Any, metrics: Metrics, name: str, shards: int = 0) -> IBus:
    """Make the bus a URL stands for; it is a service, and works once started.

    Args:
        url: `memory:`, or `amqp://user:password@host1:5672,host2/vhost`, or the same with `amqps`, or with `txamqp+`
            before either.
        reactor: of the process.
        metrics: where counts go.
        name: of this service; the broker shows it for each connection.
        shards: see `bus.shards`.

    Raises:
        ValueError: no bus answers to that URL, or a part of it cannot be read. Show it to the operator; it holds no
            password.
    """
    address = check_url(url)
    if address is None:
        return IBus(MemoryBus(reactor, metrics, shards=shards))
    # Drivers install the default reactor where none is, so they are imported only when one is there.
    from streamer.bus.rabbitmq import RabbitBus

    driver: Driver | None = None
    if address.driver == TXAMQP:
        from streamer.bus.txamqp_connection import connect

        driver = connect
    return IBus(RabbitBus(address, reactor, metrics, name, driver=driver, shards=shards))


def check_url(url: str) -> Address | None:
    """Where a URL leads, without going there; None within this process.

    Raises:
        ValueError: as `bus_for_url`.
    """
    check_text(url)
    if url.removesuffix("//") == "memory:":
        return None
    scheme = url.partition(":")[0].lower()
    if f"{scheme}://" not in SCHEMES:
        # Shown only where it is one: without "//" it may be a login with its password.
        begins = (
            f"a URL that begins with {scheme + ':'!r}"
            if f"{scheme}://" in url.lower() and scheme.isalnum()
            else "that URL"
        )
        raise ValueError(f"no bus has {begins}; known are {', '.join(SCHEMES)}")
    address = Address.parse(url)
    if address.driver == TXAMQP:
        check_installed()
    address.check_files()
    return address
