# -*- test-case-name: tests.unit.test_bus_role -*-
"""pika's channel as the bus wants it: Deferreds of our own, acks that cannot fail, deliveries past pika's decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from pika.exceptions import AMQPError
from pika.spec import Basic
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from streamer.bus.calls import Calls
from streamer.bus.deliveries import Consumer, Deliveries
from streamer.bus.driver import ConnectionLost, Depth, IChannel


@implementer(IChannel)
@attrs.define(eq=False)
class PikaChannel:
    """See IChannel.

    Args:
        raw: pika's.
        calls: fail when the channel goes, or its connection.
    """

    raw: Any
    _calls: Calls
    _deliveries: Deliveries

    def declare(self, method: str, keywords: Mapping[str, object]) -> Deferred[None]:
        """See IChannel."""
        return self._call(getattr(self.raw, method), **keywords).addCallback(_nothing)

    def depth(self, queue: str) -> Deferred[Depth]:
        """See IChannel."""
        asking = self._call(self.raw.queue_declare, queue=queue, passive=True)
        return asking.addCallback(lambda frame: Depth(frame.method.message_count, frame.method.consumer_count))

    def prefetch(self, count: int) -> Deferred[None]:
        """See IChannel."""
        return self._call(self.raw.basic_qos, prefetch_count=count).addCallback(_nothing)

    def confirm(self, told: Callable[[int, bool, bool], None]) -> Deferred[None]:
        """See IChannel."""

        def tell(frame: Any) -> None:
            method = frame.method
            told(method.delivery_tag, method.multiple, isinstance(method, Basic.Ack))

        return self._call(self.raw.confirm_delivery, ack_nack_callback=tell).addCallback(_nothing)

    def consume(self, consumer: Consumer, queue: str, arguments: Mapping[str, object]) -> Deferred[str]:
        """See IChannel."""
        self._deliveries.consumer = consumer
        asking = self._call(
            self.raw.basic_consume, queue=queue, arguments=dict(arguments), on_message_callback=_not_asked
        )
        return asking.addCallback(lambda frame: frame.method.consumer_tag)

    def cancel(self, tag: str) -> Deferred[None]:
        """See IChannel."""
        return self._call(self.raw.basic_cancel, consumer_tag=tag).addCallback(_nothing)

    def ack(self, tag: int, multiple: bool) -> None:
        """See IChannel."""
        _tell(self.raw.basic_ack, tag, multiple)

    def nack(self, tag: int, multiple: bool) -> None:
        """See IChannel."""
        _tell(self.raw.basic_nack, tag, multiple, True)

    def reject(self, tag: int, requeue: bool) -> None:
        """See IChannel."""
        _tell(self.raw.basic_reject, tag, requeue)

    def close(self) -> None:
        """See IChannel."""
        _tell(self.raw.close)

    def _call(self, method: Callable[..., Any], **keywords: Any) -> Deferred[Any]:
        """Call a method that takes a callback; not with pika's Deferreds, which break when they are cancelled."""
        answer = self._calls.ask()
        try:
            method(callback=lambda frame: self._calls.answer(answer, frame), **keywords)
        except AMQPError as error:
            self._calls.drop(answer)
            return fail(ConnectionLost(f"cannot ask the broker: {error!r}"))
        return answer


def _tell(method: Callable[..., Any], *arguments: Any) -> None:
    try:
        method(*arguments)
    except AMQPError:
        pass  # the channel is gone


def _nothing(_: object) -> None:
    """What pika answers is no business of the bus."""


def _not_asked(*_: Any) -> None:
    """Deliveries are cut out before pika sees them."""
    raise AssertionError("pika was given a delivery")
