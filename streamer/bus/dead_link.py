# -*- test-case-name: tests.unit.test_bus_dead_queue -*-
"""The way to a queue of dead letters: one connection, made once, that says soon and in words why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from streamer.bus import deadline
from streamer.bus.address import Address
from streamer.bus.driver import (
    ACCESS_REFUSED,
    NOT_FOUND,
    ChannelRefused,
    ConnectionLost,
    Driver,
    IChannel,
    IConnection,
    Loss,
    reached,
)
from streamer.bus.logins import login_of
from streamer.bus.permissions import USERS
from streamer.bus.refusals import Doing, advice
from streamer.errors import BusError

OPEN_LIMIT = 10.0  # seconds to reach the broker, all hosts together
OPERATOR = "streamer-operator"  # of permissions.USERS, made for this


class QueueUnreachable(BusError):
    """No letter can be had; the text gives the broker's reason."""


class Link(msgspec.Struct, frozen=True):
    """A queue in reach.

    Args:
        connection: an IConnection.
        channel: its IChannel.
        depth: letters that wait.
    """

    connection: Any
    channel: Any
    depth: int


async def reach(
    queue: str, address: Address, endpoints: Sequence[tuple[str, Any]], driver: Driver, clock: IReactorTime
) -> Link:
    """Connect to the first host that answers, and look how many messages the queue holds.

    Args:
        endpoints: name and client endpoint of each host.

    Raises:
        QueueUnreachable: none answers within `OPEN_LIMIT`, or it has no such queue.
    """
    reasons = []
    for host, endpoint in endpoints:
        connecting = Deferred.fromCoroutine(_open(queue, address, endpoint, driver, clock))
        try:
            return await deadline.within(clock, OPEN_LIMIT / len(endpoints), connecting, f"connect to {host}")
        except ChannelRefused as refused:
            where = f"{host}, virtual host {address.vhost!r}"
            raise QueueUnreachable(_explained(refused, queue, where)) from refused
        except CancelledError:
            raise
        except Exception as error:
            reasons.append(f"{host}: {error or type(error).__name__}")
    raise QueueUnreachable(f"the broker cannot be reached: {'; '.join(reasons)}")


async def _open(queue: str, address: Address, endpoint: Any, driver: Driver, clock: IReactorTime) -> Link:
    connection: Any = IConnection(driver(login_of(address, f"streamer dead {queue}"), clock))
    try:
        await reached(endpoint, connection)
        await connection.opened
        # Asked aside, for on the channel itself a refusal would be the end of the connection.
        aside = await connection.aside()
        depth = await aside.depth(queue)
        aside.close()
        return Link(connection, IChannel(await connection.channel()), depth.messages)
    except BaseException as error:  # its cancellation, too
        loss = connection.loss
        connection.abort(Loss("refused", str(error)))
        if connection.transport is not None:
            await ended(connection)
        if loss is not None and isinstance(error, ConnectionLost):
            raise ConnectionLost(explained(loss, Doing.LOGIN)) from error
        raise


def ended(connection: Any) -> Deferred[None]:
    """Fires when a connection is gone; whoever cancels it leaves `IConnection.ended` alone."""
    gone: Deferred[None] = Deferred()

    def told(loss: Loss) -> Loss:
        if not gone.called:
            gone.callback(None)
        return loss

    connection.ended.addCallback(told)
    return gone


def lost_error(connection: Any, doing: Doing = Doing.SET_UP) -> ConnectionLost:
    """What fails when a connection is gone.

    Args:
        doing: what was under way.
    """
    return ConnectionLost(explained(connection.loss or Loss("stopped", "the connection is gone"), doing))


def explained(loss: Loss, doing: Doing) -> str:
    """The broker's reason and how it is mended, as the services have it; but no right is added to a user of ours.

    Those have the rights that their services need, and one of them has been made for this.
    """
    for user in USERS:
        if loss.code == ACCESS_REFUSED and f"for user '{user.name}'" in loss.detail and user.name != OPERATOR:
            return f"{loss.detail.rstrip('.')}: that user is of {user.who.partition(':')[0]}; log in as {OPERATOR}"
    return loss.detail.rstrip(".") + advice(loss, doing)


def _explained(refused: ChannelRefused, queue: str, where: str) -> str:
    if refused.code == NOT_FOUND:
        return f"there is no queue {queue} at {where}; no service has run there, or it is another broker"
    loss = Loss("refused", str(refused), refused.code)
    return f"{queue} at {where} cannot be looked into: {explained(loss, Doing.SET_UP)}"
