# -*- test-case-name: tests.unit.test_bus_factory -*-
"""From the `[bus] url` of the configuration to a bus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamer.bus.address import Address
from streamer.bus.memory import MemoryBus
from streamer.interfaces import IBus
from streamer.metrics import Metrics

SCHEMES = ("memory:", "amqp://", "amqps://")


def bus_for_url(url: str, reactor: Any, metrics: Metrics, name: str, shards: int = 0) -> IBus:
    """Make the bus a URL stands for; it is a service, and works once started.

    Args:
        url: `memory:`, or `amqp://user:password@host1:5672,host2/vhost`, or the same with `amqps`.
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
    # pika's adapter installs the default reactor where none is, so it is imported only when one is there.
    from streamer.bus.rabbitmq import RabbitBus

    return IBus(RabbitBus(address, reactor, metrics, name, shards=shards))


def check_url(url: str) -> Address | None:
    """Where a URL leads, without going there; None within this process.

    Raises:
        ValueError: as `bus_for_url`.
    """
    if url.removesuffix("//") == "memory:":
        return None
    scheme = url.partition(":")[0]
    if scheme not in ("amqp", "amqps"):
        # Shown only where it is one: without "//" it may be a login with its password.
        begins = (
            f"a URL that begins with {scheme + ':'!r}" if f"{scheme}://" in url and scheme.isalnum() else "that URL"
        )
        raise ValueError(f"no bus has {begins}; known are {', '.join(SCHEMES)}")
    address = Address.parse(url)
    if address.ca_file is not None:
        try:
            good = b"BEGIN CERTIFICATE" in Path(address.ca_file).read_bytes()
        except OSError as error:
            raise ValueError(f"ca_file {address.ca_file!r} cannot be read: {error.strerror}") from error
        if not good:
            raise ValueError(f"ca_file {address.ca_file!r} holds no certificate in PEM form")
    return address
