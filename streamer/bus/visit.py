# -*- test-case-name: tests.unit.test_bus_survey -*-
"""One connection for one errand: what a command does at the broker, unlike a service, once and with an end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from streamer.bus import deadline
from streamer.bus.driver import ChannelRefused, ConnectionLost, IChannel, IConnection, Loss, reached
from streamer.bus.refusals import Doing, advice
from streamer.errors import BusError

T = TypeVar("T")

ERRAND = 60.0  # seconds for all that is done with a connection


@attrs.define
class Questions:
    """Asks what may be refused: each refusal costs the channel, so the next question has another."""

    _connection: IConnection
    _channel: IChannel | None = None

    async def ask(self, question: Callable[[IChannel], Awaitable[T]]) -> T:
        """The broker's answer.

        Raises:
            ChannelRefused: its no.
        """
        if self._channel is None:
            self._channel = await self._connection.aside()
        try:
            return await question(self._channel)
        except ChannelRefused:
            self._channel = None
            raise

    async def declare(self, method: str, keywords: Mapping[str, object]) -> None:
        """Make one call of `topology.Declare`; as `ask`."""
        await self.ask(lambda channel: channel.declare(method, keywords))


async def visit(
    endpoints: Sequence[tuple[str, Any]],
    connect: Callable[[], Any],
    clock: IReactorTime,
    errand: Callable[[IConnection], Awaitable[T]],
) -> T:
    """Run an errand over a connection to the first host that lets us in.

    Args:
        endpoints: name and client endpoint of each host.
        connect: makes a connection.

    Raises:
        BusError: no host let us in, with the reason of each; or the connection was lost, or the errand took too long.
    """
    reasons = []
    for host, endpoint in endpoints:
        connection, let_in = connect(), False
        try:
            try:
                await _open(host, endpoint, connection, clock)
            except CancelledError:
                raise
            except Exception as error:
                loss = connection.loss or Loss("refused", str(error) or type(error).__name__)
                reasons.append(f"{host}: {loss.detail.rstrip('.')}{advice(loss, Doing.LOGIN)}")
                continue
            let_in = True
            running = Deferred.fromCoroutine(_run(errand, connection))
            return await deadline.within(clock, ERRAND, running, f"what was asked of {host}")
        except (TimeoutError, ConnectionLost) as error:
            raise BusError(f"{host}: {error}") from error
        finally:
            await _leave(connection, let_in)
    raise BusError(f"the broker cannot be used: {'; '.join(reasons)}")


async def _run(errand: Callable[[IConnection], Awaitable[T]], connection: IConnection) -> T:
    return await errand(connection)


async def _open(host: str, endpoint: Any, connection: Any, clock: IReactorTime) -> None:
    await deadline.within(clock, deadline.CONNECT, reached(endpoint, connection), f"connect to {host}")
    await deadline.within(clock, deadline.HANDSHAKE, connection.opened, f"the login at {host}")


async def _leave(connection: Any, let_in: bool) -> None:
    """Take leave where there is somebody to take it of, and wait until the transport is gone."""
    if connection.transport is None:
        return
    if let_in:
        connection.close()
    else:
        connection.abort(Loss("stopped", "not let in"))
    await connection.ended
