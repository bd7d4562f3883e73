# -*- test-case-name: tests.unit.test_bus_role -*-
"""The seam between the bus and an AMQP library: one connection with one channel, and what may go wrong with them.

`bus.connection` fits pika to it, `bus.txamqp_connection` txAMQP. What a driver does not do: encode publishes
(`bus.frames`) and decode deliveries (`bus.deliveries`), which is the bus's own work with both.

A connection is used once. Whatever surprises it, the broker's closing of its channel too, is its end: all that was
asked fails with `ConnectionLost`, and `ended` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from zope.interface import Attribute, Interface

from streamer.bus.deliveries import Consumer
from streamer.errors import BusError

# AMQP reply codes that the house acts on.
ACCESS_REFUSED, NOT_FOUND, RESOURCE_LOCKED, PRECONDITION_FAILED = 403, 404, 405, 406


class Loss(msgspec.Struct, frozen=True):
    """Why a connection is over: `cause` is a metric's label, `detail` a sentence, `code` of the broker or 0."""

    cause: str
    detail: str
    code: int = 0


CANCELLED = Loss("cancelled", "the broker cancelled the consumer: the queue was deleted, or its node went away")


class ConnectionLost(BusError):
    """What was asked of a connection cannot be answered any more."""


class ChannelRefused(BusError):
    """The broker closed an aside channel over what was asked: AMQP's code and text. Ask the connection for another."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are to a broker, on one connection.

    Args:
        external: the broker takes the TLS certificate for the login; user and password are not sent.
        heartbeat: seconds.
        name: shown by the broker for the connection.
        version: of ours.
    """

    vhost: str
    user: str
    password: str
    external: bool = False
    heartbeat: int
    name: str
    version: str

    def __repr__(self) -> str:
        return f"Login({self.user}@{self.vhost}, {self.name})"


class Depth(msgspec.Struct, frozen=True):
    """How many messages wait in a queue, and for how many consumers."""

    messages: int
    consumers: int


class IChannel(Interface):
    """A channel. Every Deferred fires once the broker has answered, and fails with ConnectionLost when it cannot any
    more; on a channel from `aside` with ChannelRefused, where the broker closed just that channel.
    """

    def declare(method: str, keywords: Mapping[str, object]) -> Deferred[None]:
        """Make one call of `topology.Declare`, or a like one: any method that declares or deletes."""

    def depth(queue: str) -> Deferred[Depth]:
        """Look at a queue by a passive declaration, which needs no permission up to RabbitMQ 4.2."""

    def prefetch(count: int) -> Deferred[None]:
        """Limit the unacked deliveries of each consumer begun after this."""

    def confirm(told: Callable[[int, bool, bool], None]) -> Deferred[None]:
        """Have publishes confirmed: `told` is given tag, multiple, and whether it is an ack."""

    def consume(consumer: Consumer, queue: str, arguments: Mapping[str, object]) -> Deferred[str]:
        """Begin to consume, one queue at a time; fires with the consumer's tag."""

    def cancel(tag: str) -> Deferred[None]:
        """Consume no more; what was delivered stays to be settled."""

    def ack(tag: int, multiple: bool) -> None:
        """Settle a delivery, or all up to it. On a channel that is gone nothing happens: the broker delivers again."""

    def nack(tag: int, multiple: bool) -> None:
        """Hand back a delivery, or all up to it (0 for all there are), as `ack`."""

    def reject(tag: int, requeue: bool) -> None:
        """A delivery failed, as `ack`; not requeued it is dead-lettered."""

    def close() -> None:
        """Give up a channel from `aside`."""


class IConnection(Interface):
    """One connection and its protocol (`IProtocol`), from connecting to its end; never used twice."""

    opened = Attribute("Deferred[None]: fires when the broker let us in; fails with ConnectionLost where it does not.")
    ended = Attribute("Deferred[Loss]: fires once, when the transport is gone.")
    alive = Attribute("bool: there is a transport.")
    loss = Attribute("Loss | None: the first reason given for its end.")
    gate = Attribute("Gate: whether it may be written to.")
    transport = Attribute("ITransport | None: None until it is connected.")
    frame_max = Attribute("int: bytes of the longest frame the broker takes, once open.")
    server = Attribute("str: product and version of the broker, once open: 'RabbitMQ 3.10.8'.")

    def channel() -> Coroutine[Any, Any, IChannel]:
        """Open the channel, number 1, on which `write` publishes; its end is the end of the connection."""

    def aside() -> Coroutine[Any, Any, IChannel]:
        """Open a channel for questions that may be refused, number 2; one at a time."""

    def write(frames: bytes) -> None:
        """Write whole frames, after all that was written before."""

    def close() -> None:
        """Take leave of the broker; cut the connection when that takes longer than `deadline.CLOSE`."""

    def abort(loss: Loss) -> None:
        """Cut the connection now."""


def reached(endpoint: Any, connection: Any) -> Deferred[Any]:
    """Connect an IConnection by an endpoint; we tell of connections ourselves, so its factory is quiet."""
    factory = Factory.forProtocol(lambda: connection)
    factory.noisy = False
    connecting: Deferred[Any] = endpoint.connect(factory)
    return connecting


Connect = Callable[[str], Any]  # a role's name → an IConnection, not yet connected
Driver = Callable[[Login, IReactorTime], Any]
