# -*- test-case-name: tests.unit.test_bus_publishers -*-
"""The publishing side of a bus: a connection for each exchange that is published to.

RabbitMQ before 4.0 loses confirmed messages to a stream, when its leader changes, on a channel that publishes
elsewhere too: it sends again what is unconfirmed under the channel's numbers where the stream counts its own, and then
takes as many new messages for repeats, which it confirms and does not write
(https://github.com/rabbitmq/rabbitmq-server/pull/12236). On a channel of which every message goes to the stream both
numbers are the same.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, gatherResults

from streamer.bus.publisher import Publisher
from streamer.bus.role import Broker, Role
from streamer.bus.topology import EXCHANGES
from streamer.message import RAW, Message


@attrs.define
class Publishers:
    """The first one connects at the start and belongs to whichever exchange comes first; others come when needed."""

    _broker: Broker
    _shards: int = 0
    _first: Publisher = attrs.field(
        init=False, default=attrs.Factory(lambda self: Publisher(self._broker, shards=self._shards), takes_self=True)
    )
    _by_exchange: dict[str, Publisher] = attrs.field(factory=dict)
    _started: bool = False
    _stopped: bool = False

    @property
    def roles(self) -> list[Role]:
        """Of each."""
        return [publisher.role for publisher in self._all]

    @property
    def ready(self) -> bool:
        """Whether all are, and the queues are there for what they publish: it is better kept than unrouted."""
        return all(publisher.ready for publisher in self._all) and not self._missed

    @property
    def trouble(self) -> str:
        """See Publisher; of each that has some, and of the queues."""
        said = [publisher.trouble for publisher in self._all] + [self._missed]
        return "; ".join(sentence for sentence in said if sentence)

    @property
    def unrouted(self) -> str:
        """See Watch. Nobody can tell whose messages these are, so it is for whoever publishes items to say."""
        return self._first.watch.unrouted if RAW in self._by_exchange else ""

    def start(self) -> None:
        """Connect."""
        self._started = True
        for role in self.roles:
            role.start()

    def publish(self, message: Message) -> Deferred[None]:
        """See IBus."""
        publisher = self._by_exchange.get(message.exchange) or self._claim(message.exchange)
        return publisher.publish(message)

    async def stop(self) -> None:
        """See Publisher."""
        self._stopped = True
        await gatherResults([Deferred.fromCoroutine(publisher.stop()) for publisher in self._all])

    @property
    def _missed(self) -> str:
        bindings = self._broker.layout.bindings
        return self._first.watch.missing({one.queue for one in bindings if one.exchange in self._by_exchange})

    @property
    def _all(self) -> list[Publisher]:
        return list(self._by_exchange.values()) or [self._first]

    def _claim(self, exchange: str) -> Publisher:
        if exchange not in EXCHANGES or self._stopped:
            return self._first  # which refuses it
        if not self._by_exchange:
            publisher = self._first
        else:
            publisher = Publisher(self._broker, shards=self._shards, name=f"publish {exchange}", watching=False)
            if self._started:
                publisher.role.start()
        self._by_exchange[exchange] = publisher
        return publisher
