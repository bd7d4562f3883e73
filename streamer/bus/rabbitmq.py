# -*- test-case-name: tests.unit.test_bus_rabbitmq -*-
"""The bus over RabbitMQ. Three verbs, each with roles (connections) of its own."""

from __future__ import annotations

import os
import platform
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from zope.interface import implementer

from streamer.bus import topology
from streamer.bus.address import Address
from streamer.bus.crew import Crew
from streamer.bus.driver import Driver
from streamer.bus.lanes import Lanes
from streamer.bus.locks import RabbitLocks
from streamer.bus.logins import login_of
from streamer.bus.publisher import WINDOW
from streamer.bus.publishers import Publishers
from streamer.bus.reader import Reader
from streamer.bus.role import AFTER, Broker, Role, State
from streamer.bus.worker import Worker
from streamer.errors import BusStopped
from streamer.interfaces import Handler, IBus, ILog, IWork, Offset, Receiver
from streamer.message import Message
from streamer.metrics import Metrics
from streamer.policy.delivery import retry_delay


@implementer(IBus)
class RabbitBus(Service):
    """See IBus.

    Args:
        address: where the broker is.
        reactor: of the process.
        metrics: where counts go.
        name: shown by the broker for our connections, before the role.
        jitter: gives numbers from 0 up to 1.
        delay: attempt number to the seconds a failed delivery is held.
        driver: makes a connection; pika's by default.
        shards: see `bus.shards`; every process of the house must be given the same number.

    Raises:
        ValueError: the address names a file that cannot be used.
    """

    durable = True
    window = WINDOW

    def __init__(
        self,
        address: Address,
        reactor: Any,
        metrics: Metrics,
        name: str = "streamer",
        *,
        jitter: Callable[[], float] = random.random,
        delay: Callable[[int], float] = retry_delay,
        driver: Driver | None = None,
        shards: int = 0,
    ) -> None:
        if driver is None:
            # pika's adapter installs the default reactor where none is, so it is imported only when one is there.
            from streamer.bus.connection import connect

            driver = connect
        self._driver: Driver = driver
        self._layout = topology.layout(shards)
        self._address = address
        self._metrics = metrics
        self._client = name
        self._delay = delay
        self._broker = Broker(address.endpoints(reactor), self._connect, reactor, metrics, jitter, self._layout)
        self._publishers = Publishers(self._broker, shards)
        self.locks = RabbitLocks(attrs.evolve(self._broker, connect=self._connect_locks), address.vhost)
        self._subscriptions: dict[Worker | Reader, None] = {}  # those not stopped, in order
        self._stopped = False

    @property
    def ready(self) -> bool:
        """Whether a message published now would go on the wire."""
        return self._publishers.ready

    @property
    def trouble(self) -> str:
        """See IBus."""
        return self._publishers.unrouted

    @property
    def status(self) -> str:
        """One sentence for each connection, with the broker's reason where one is not well; each reason once."""
        said = [trouble] if (trouble := self._publishers.trouble) else []
        first: dict[str, str] = {}  # by what was lost, whichever the host: the role that tells of it
        for role in self._roles:
            head, after, loss = role.status.partition(AFTER)
            for host, _ in self._broker.endpoints:
                loss = loss.replace(host, "")
            teller = first.setdefault(loss, role.name)
            said.append(role.status if not after or teller == role.name else f"{head}, as {teller}")
        return "; ".join(said)

    def startService(self) -> None:
        """Connect all roles."""
        Service.startService(self)
        self._publishers.start()
        self.locks.start()
        for subscription in self._subscriptions:
            subscription.role.start()

    def stopService(self) -> Deferred[None]:
        """Stop taking, let handlers finish (they may publish), wait for confirms, close; each with a deadline."""
        return Deferred.fromCoroutine(self._stop())

    def publish(self, message: Message) -> Deferred[None]:
        """See IBus."""
        return self._publishers.publish(message)

    def work(self, queue: str, handler: Handler, prefetch: int) -> IWork:
        """See IBus."""
        if queue not in self._layout.queues:
            raise ValueError(f"there is no queue {queue!r}; known are {', '.join(self._layout.queues)}")
        if not 1 <= prefetch <= 65535:
            raise ValueError(f"prefetch must be 1 to 65535, not {prefetch}")
        clock, found = self._broker.clock, self._layout.queues[queue]
        lanes = Lanes.of(found, handler, self._delay, clock, self._metrics)
        crew = Crew(queue, lanes or handler, prefetch, clock, self._metrics, self._delay)
        worker = Worker(self._broker, queue, crew, prefetch, lanes)
        self._subscribe(worker)
        return IWork(worker)

    def log(self, start: float | Offset, receive: Receiver) -> ILog:
        """See IBus."""
        reader = Reader(self._broker, start, receive)
        self._subscribe(reader)
        return ILog(reader)

    def _subscribe(self, subscription: Worker | Reader) -> None:
        if self._stopped:
            raise BusStopped("the bus is stopped")
        self._subscriptions[subscription] = None
        subscription.role.left = partial(self._subscriptions.pop, subscription, None)
        if self.running:
            subscription.role.start()

    async def _stop(self) -> None:
        self._stopped = True
        await gatherResults([subscription.stop() for subscription in tuple(self._subscriptions)])
        await self._publishers.stop()
        await self.locks.stop()
        Service.stopService(self)

    @property
    def _roles(self) -> list[Role]:
        locks = [self.locks.role] if self.locks.role.state is not State.IDLE else []
        return [*self._publishers.roles, *locks, *(subscription.role for subscription in self._subscriptions)]

    def _connect_locks(self, role: str) -> Any:
        """With a name that says who has the locks, wherever it runs."""
        return self._connect(f"{role} {platform.node()} {os.getpid()}")

    def _connect(self, role: str) -> Any:
        return self._driver(login_of(self._address, f"{self._client} {role}"), self._broker.clock)
