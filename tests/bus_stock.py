"""A fake broker with things in stock: it answers declarations as RabbitMQ does, by what was declared before."""

from __future__ import annotations

from typing import Any

import attrs
from pika import spec
from twisted.internet.task import Clock

from streamer.bus.connection import connect
from streamer.bus.driver import Login
from streamer.bus.topology import Declare
from streamer.testing.broker import REPLIES, Broker

LOGIN = Login(vhost="/", user="guest", password="guest", heartbeat=15, name="test", version="0")


@attrs.define
class Stock:
    """What a broker has, and what we may.

    Attributes:
        things: kind and name to the type and arguments it was declared with.
        depths: messages and consumers of queues.
        configures: we may declare.
        down: names of queues whose node is away.
        hidden: names we may not look at.
    """

    things: dict[tuple[str, str], dict[str, Any]] = attrs.field(factory=dict)
    depths: dict[str, tuple[int, int]] = attrs.field(factory=dict)
    configures: bool = True
    down: set[str] = attrs.field(factory=set)
    hidden: set[str] = attrs.field(factory=set)
    asked: list[tuple[str, str, bool]] = attrs.field(factory=list)  # kind, name, passive

    def broker(self, clock: Clock, version: str = "3.10.8") -> Broker:
        """A broker with this stock."""
        return Broker(
            clock,
            prepared=True,
            about={"product": "RabbitMQ", "version": version},
            answers={
                spec.Exchange.Declare: lambda method: self._declared("exchange", method.exchange, method),
                spec.Queue.Declare: lambda method: self._declared("queue", method.queue, method),
            },
        )

    def add(self, declares: list[Declare]) -> None:
        """Have what these make."""
        for declare in declares:
            words: Any = declare.keywords
            if declare.method == "exchange_declare":
                self.things["exchange", words["exchange"]] = {"type": words["exchange_type"], **words["arguments"]}
            elif declare.method == "queue_declare":
                self.things["queue", words["queue"]] = {**words["arguments"]}

    def _declared(self, kind: str, name: str, method: Any) -> Any:
        self.asked.append((kind, name, method.passive))
        found = self.things.get((kind, name))
        if name in self.hidden or not (self.configures or method.passive):
            return _close(403, f"ACCESS_REFUSED - access to {kind} '{name}' in vhost '/' refused for user 'guest'")
        if name in self.down:
            return _close(404, f"NOT_FOUND - home node of {kind} '{name}' in vhost '/' is down or inaccessible")
        if found is None and method.passive:
            return _close(404, f"NOT_FOUND - no {kind} '{name}' in vhost '/'")
        given = dict(method.arguments or {})
        if kind == "exchange" and not method.passive:
            given["type"] = method.type
        if found is None:
            self.things[kind, name] = found = given
        for key in sorted({*found, *given}):
            if not method.passive and found.get(key) != given.get(key):
                return _close(406, f"PRECONDITION_FAILED - inequivalent arg '{key}' for {kind} '{name}' in vhost '/'")
        if kind == "exchange":
            return REPLIES[spec.Exchange.Declare](method)
        return spec.Queue.DeclareOk(name, *self.depths.get(name, (0, 0)))


def _close(code: int, text: str) -> Any:
    return spec.Channel.Close(code, text, 50, 10)


def connection(clock: Clock) -> Any:
    """One of ours, not yet connected."""
    return connect(LOGIN, clock)
