# -*- test-case-name: tests.unit.test_bus_role -*-
"""Keeps one connection of one role: connects, declares the topology, sets the role up, and does it all again when it
is lost.

A role is publishing, one `work` or one `log`. Connection, channel and consumer live and die together: whatever
surprises us ends the connection, for starting anew has far fewer states than repairing. Publishing has a connection of
its own, because the broker stops reading from connections that publish when it runs out of memory or disk.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.bus import deadline, versions
from streamer.bus.driver import ACCESS_REFUSED, ChannelRefused, Connect, IChannel, IConnection, Loss, reached
from streamer.bus.hosts import Hosts
from streamer.bus.pulse import Pulse
from streamer.bus.refusals import Doing, advice
from streamer.bus.tls import TLS, SecureEndpoint
from streamer.bus.topology import MARKER, Layout, declares, layout
from streamer.errors import BusError
from streamer.metrics import BUS_BLOCKED, BUS_CONNECTED, BUS_ENDINGS, Metrics
from streamer.policy.delivery import STEADY_AFTER, Reconnect

EXPLAINED = 16  # kinds of losses that the log was told how to mend, and which are remembered
NEXT, AFTER = " to connect to ", " after: "  # in the status of a role that waits: which host, and the loss

Setup = Callable[[IConnection, IChannel], Awaitable[None]]


class State(enum.Enum):
    """Where a role is; `Role` moves through them in this order, and from any to WAITING or STOPPED."""

    IDLE = "not started"
    CONNECTING = "connecting"
    OPENING = "logging in"
    DECLARING = "declaring the topology"
    RUNNING = "connected"
    WAITING = "waiting"
    STOPPED = "stopped"


@attrs.define
class Broker:
    """What all roles of a bus share.

    Args:
        endpoints: name and client endpoint of each host; see `Hosts` for the order.
        connect: makes a connection of that name.
        random: jitter, a number from 0 up to 1.
        layout: the topology.
    """

    endpoints: Sequence[tuple[str, Any]]
    connect: Connect
    clock: IReactorTime
    metrics: Metrics
    random: Callable[[], float]
    layout: Layout = attrs.field(factory=layout)


@attrs.define(eq=False)
class Role:
    """A supervised connection.

    Args:
        name: bounded, for metrics and logs: `publish`, `work streamer.enrich`, `log`.
        setup: given the connection and a channel on which the topology stands; when it returns, the role is ready.
        changed: called when the role became ready, lost its connection, or the connection's gate changed.
        worked: queues that the role works, declared by it where they are optional.

    Attributes:
        prepared: an operator has installed the topology, as the last connection found.
        left: called when the role has stopped and all is quiet.
    """

    _log = Logger()

    name: str
    _broker: Broker
    _setup: Setup
    _changed: Callable[[], None]
    _worked: Sequence[str] = ()
    prepared: bool = False
    left: Callable[[], object] = lambda: None
    connection: IConnection | None = None
    state: State = State.IDLE
    _detail: str = ""
    _doing: Doing = Doing.LOGIN
    _pulse: Pulse | None = None
    _since: float = 0.0
    _loop: Deferred[None] | None = None

    @property
    def ready(self) -> bool:
        """Set up, and the broker at the other end is alive."""
        return self.state is State.RUNNING and not (self._pulse is not None and self._pulse.silent)

    @property
    def status(self) -> str:
        """A sentence for the operator."""
        silent = self._pulse.word if self._pulse is not None else ""
        return f"{self.name}: {self.state.value}{self._detail}{silent}"

    def start(self) -> None:
        """Begin; a role that has begun or stopped stays as it is."""
        if self.state is State.IDLE:
            self.state = State.CONNECTING
            self._loop = Deferred.fromCoroutine(self._run()).addErrback(self._broken)

    def stop(self) -> Deferred[None]:
        """Take leave of the broker, with a deadline, and fire when all is quiet."""
        was, self.state = self.state, State.STOPPED
        self._detail = ""
        finished: Deferred[None] = Deferred()
        finished.addCallback(lambda _: self.left()).addCallback(lambda _: None)
        if self._loop is None:
            finished.callback(None)
            return finished
        loop, connection = self._loop, self.connection
        loop.addBoth(lambda _: finished.callback(None))
        if connection is None or connection.transport is None:
            loop.cancel()
        elif not connection.alive:
            pass  # its end is being told this very moment, and the loop ends with it
        elif was is State.RUNNING:
            connection.close()
        else:
            connection.abort(Loss("stopped", "stopped while connecting"))
        return finished

    @property
    def _stopped(self) -> bool:
        return self.state is State.STOPPED

    async def _run(self) -> None:
        reconnect = Reconnect(self._broker.random)
        hosts = Hosts(self._broker.endpoints, self._broker.random)
        explained: set[str] = set()  # what the log need not be told again
        while not self._stopped:
            self._since = 0.0
            host, endpoint = hosts.next()
            loss = await self._connect(host, endpoint, hosts.patience)
            if self._stopped:
                return
            self._broker.metrics.add(BUS_ENDINGS, self.name, loss.cause)
            ran = self._broker.clock.seconds() - self._since if self._since else 0.0
            delay = reconnect.delay(ran, hosts.failed(host, ran >= STEADY_AFTER))
            why = (loss.detail if host in loss.detail else f"{host}: {loss.detail}").rstrip(".")
            help_ = advice(loss, self._doing)
            if loss.cause == TLS and isinstance(endpoint, SecureEndpoint) and endpoint.shown:
                help_ += f"; {endpoint.shown}"
            self._become(State.WAITING, f"{NEXT}{hosts.upcoming}{AFTER}{why}{help_}")
            if ran >= STEADY_AFTER or len(explained) >= EXPLAINED:
                explained.clear()
            self._log.warn(
                "{role}: {loss}; next is {host} in {delay:.1f} s",
                role=self.name,
                loss=why if help_ in explained else why + help_,
                host=hosts.upcoming,
                delay=delay,
            )
            explained.add(help_)
            await deferLater(self._broker.clock, delay)

    async def _connect(self, host: str, endpoint: Any, patience: float) -> Loss:
        """One connection, from its first packet to its end. Never fails, but for cancellation."""
        self._doing = Doing.LOGIN
        self.connection = connection = self._broker.connect(self.name)
        connection.gate.changed = self._gate_changed
        clock = self._broker.clock
        try:
            self._become(State.CONNECTING, f" to {host}")
            await deadline.within(clock, patience, reached(endpoint, connection), f"connect to {host}")
            self._become(State.OPENING, f" at {host}")
            await deadline.within(
                clock, deadline.HANDSHAKE, connection.opened, f"the login at {host}, which hangs, or is no broker"
            )
            if (old := versions.refusal(connection.server)) is not None:
                raise BusError(old)
            self._become(State.DECLARING, f" at {host}")
            setting_up = Deferred.fromCoroutine(self._set_up(connection))
            channel = await deadline.within(clock, deadline.SETUP, setting_up, f"declare the topology at {host}")
            self._since = clock.seconds()
            self._pulse = Pulse(connection, channel, clock, self._changed)
            self._pulse.begin()
            self._log.info("{role}: connected to {host}", role=self.name, host=host)
            self._broker.metrics.set(BUS_CONNECTED, self.name, to=1)
            self._become(State.RUNNING, f" to {host}")
            self._doing = Doing.RUN
            loss: Loss = await connection.ended
            return loss
        except CancelledError:
            connection.abort(Loss("stopped", "stopped while connecting"))
            raise
        except TimeoutError as error:
            connection.abort(Loss("timeout", str(error)))
            return connection.loss or Loss("timeout", str(error))
        except Exception as error:
            connection.abort(Loss("refused", f"cannot use {host}: {error}"))
            return connection.loss or Loss("refused", str(error))
        finally:
            if self._pulse is not None:
                self._pulse.end()
                self._pulse = None
            if connection.transport is not None:
                await connection.ended
            self.connection = None
            self._broker.metrics.set(BUS_CONNECTED, self.name, to=0)
            self._broker.metrics.set(BUS_BLOCKED, self.name, to=0)
            if self.state is State.RUNNING:
                self.state = State.WAITING
            self._changed()

    async def _set_up(self, connection: IConnection) -> IChannel:
        installed = self.prepared = await prepared(connection)
        channel = await connection.channel()
        for declare in () if installed else declares(self._broker.layout, self._worked):
            self._doing = Doing(declare.method)
            await channel.declare(declare.method, declare.keywords)
        self._doing = Doing.SET_UP
        await self._setup(connection, channel)
        return channel

    def _become(self, state: State, detail: str) -> None:
        if self.state is not State.STOPPED:
            self.state, self._detail = state, detail
            if state is State.RUNNING:
                self._changed()

    def _gate_changed(self) -> None:
        if self.connection is not None:
            self._broker.metrics.set(BUS_BLOCKED, self.name, to=float(self.connection.gate.blocked is not None))
        self._changed()

    def _broken(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("{role}: the supervisor broke; this is a defect", failure=failure, role=self.name)
            self.state, self._detail = State.STOPPED, f" by a defect: {failure.getErrorMessage()}"


async def prepared(connection: IConnection) -> bool:
    """Whether an operator has installed the topology, as the marker exchange tells."""
    aside = await connection.aside()
    try:
        await aside.declare("exchange_declare", {"exchange": MARKER, "passive": True})
    except ChannelRefused as refused:
        # 403, by RabbitMQ 4.3.0 alone: who may not even ask may declare nothing either.
        return refused.code == ACCESS_REFUSED
    aside.close()
    return True
