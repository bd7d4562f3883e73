"""A broker with a queue of dead letters, in memory: see `tests.bus_broker`, to which it adds what a queue does."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import attrs
from pika import ConnectionParameters, frame, spec
from twisted.internet.defer import Deferred

from streamer.bus.address import Address
from streamer.bus.connection import BrokerConnection
from streamer.bus.dead_link import reach
from streamer.bus.dead_queue import DeadQueue
from streamer.bus.topology import DEAD
from streamer.message import RAW, Message
from tests.bus_broker import Broker, pika_properties
from tests.bus_contract import raw

DIED = 1_794_999_000  # seconds since the epoch
ADDRESS = Address.parse("amqp://birdy:secret@here/birds")


def buried(message: Message, died: int = DIED, reason: str = "rejected") -> tuple[spec.BasicProperties, bytes, str]:
    """A message as `streamer.dead` has it."""
    properties = pika_properties(message)
    properties.headers |= {
        "x-first-death-exchange": message.exchange,
        "x-first-death-queue": "streamer.enrich",
        "x-first-death-reason": reason,
        "x-death": [
            {
                "count": 1,
                "reason": reason,
                "queue": "streamer.enrich",
                "time": datetime.fromtimestamp(died, UTC),
                "exchange": RAW,
                "routing-keys": [message.topic],
            }
        ],
    }
    return properties, message.body, message.topic


@attrs.define
class Shelf(Broker):
    """Serves one consumer after the other, and keeps account of every letter.

    Attributes:
        ready: letters that wait, the first one first.
        unacked: by tag, as delivered.
        returned: ids handed back, in order.
        acked: ids let go of, in order.
        confirms: whether publishes are acked (True), nacked (False) or not answered (None).
        refusal: code with which a look at the queue is refused.
        stolen: letters handed back that somebody else takes at once.
        stingy: letters that it does not deliver, though they are there.
    """

    ready: list[Any] = attrs.field(factory=list)
    unacked: dict[int, Any] = attrs.field(factory=dict)
    returned: list[str] = attrs.field(factory=list)
    acked: list[str] = attrs.field(factory=list)
    confirms: bool | None = True
    refusal: int = 0
    stolen: int = 0
    stingy: int = 0
    pages: list[int] = attrs.field(factory=list)
    log: list[str] = attrs.field(factory=list)  # what was published and acked, in order
    bodies: dict[str, bytes] = attrs.field(factory=dict)  # that were published, by id
    _tag: int = 0
    _prefetch: int = 0

    def take(self, link: Any, found: Any) -> None:
        """See Broker."""
        if link is not self.link or link.gone or self.frozen:
            return
        method = getattr(found, "method", None)
        if isinstance(method, spec.Queue.Declare):
            self._look(method, found.channel_number)
        else:
            super().take(link, found)
            if isinstance(method, spec.Basic.Qos):
                self._prefetch = method.prefetch_count
            elif isinstance(method, spec.Basic.Consume):
                self._serve(method.consumer_tag)
            elif isinstance(method, spec.Basic.Ack):
                self.acked.append(self.unacked.pop(method.delivery_tag)[0].message_id)
                self.log.append(f"ack {self.acked[-1]}")
            elif isinstance(method, spec.Basic.Nack):
                assert method.requeue
                assert method.delivery_tag in self.unacked, "a real broker closes the channel"
                tags = [tag for tag in self.unacked if tag == method.delivery_tag or method.multiple]
                for tag in [tag for tag in tags if tag <= method.delivery_tag]:
                    self.returned.append(self.unacked.pop(tag)[0].message_id)
            elif isinstance(found, frame.Header):
                self._published(found.properties.message_id)
            elif isinstance(found, frame.Body):
                self.bodies[self.published[-1]] = self.bodies.get(self.published[-1], b"") + found.fragment

    def _look(self, method: Any, channel: int) -> None:
        assert method.passive
        if self.refusal:
            self.say(spec.Channel.Close(self.refusal, "NO", 50, 10), channel=channel)
        else:
            self.say(
                spec.Queue.DeclareOk(method.queue, len(self.ready) + max(0, len(self.returned) - self.stolen), 0),
                channel=channel,
            )

    def _serve(self, consumer: str) -> None:
        self.pages.append(self._prefetch)
        packet = b""
        for _ in range(min(self._prefetch, len(self.ready) - self.stingy)):
            self._tag += 1
            self.unacked[self._tag] = properties, body, topic = self.ready.pop(0)
            method = spec.Basic.Deliver(consumer, self._tag, exchange=DEAD, routing_key=topic)
            parts: list[Any] = [frame.Method(1, method), frame.Header(1, len(body), properties)]
            parts += [frame.Body(1, body[at : at + 100_000]) for at in range(0, len(body), 100_000)]
            packet += b"".join(part.marshal() for part in parts)
        self.link.protocol.dataReceived(packet)

    def _published(self, message_id: str) -> None:
        self.log.append(f"publish {message_id}")
        number = len(self.published)
        if self.confirms is not None:
            self.say(spec.Basic.Ack(number) if self.confirms else spec.Basic.Nack(number))


def shelf(clock: Any, *letters: Any) -> Shelf:
    """A broker with these letters; a number stands for `raw` of it."""
    ready = [buried(raw(letter), DIED + letter) if isinstance(letter, int) else letter for letter in letters]
    return Shelf(clock, ready=ready)


async def opened(broker: Any, name: str = DEAD, endpoints: Any = None) -> DeadQueue:
    """The way to it."""
    link = await reach(name, ADDRESS, endpoints or [("here", broker)], _connect, broker.clock)
    return DeadQueue(name, link, broker.clock)


def _connect(_: Any, clock: Any) -> BrokerConnection:
    return BrokerConnection(ConnectionParameters(heartbeat=0), clock)


def turning(clock: Any, coroutine: Coroutine[Any, Any, Any], seconds: float = 0.0, turns: int = 60) -> Deferred[Any]:
    """Let a coroutine run, for so many seconds."""
    running = Deferred.fromCoroutine(coroutine)
    clock.pump([seconds / turns] * turns)
    return running
