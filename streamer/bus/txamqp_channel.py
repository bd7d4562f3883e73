# -*- test-case-name: tests.unit.test_bus_txamqp_connection -*-
"""txAMQP's channel as the bus wants it: Deferreds of our own, acks that cannot fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from txamqp.client import ChannelClosed, Closed  # type: ignore[import-untyped,import-not-found,unused-ignore]
from zope.interface import implementer

from streamer.bus.calls import Calls
from streamer.bus.deliveries import Consumer, Deliveries
from streamer.bus.driver import ChannelRefused, ConnectionLost, Depth, IChannel, Loss
from streamer.bus.txamqp_delegate import Delegate
from streamer.bus.txamqp_values import Unencodable

NAMES = {"exchange_type": "type"}  # of the topology's keywords, where txAMQP has others: those of AMQP


@attrs.define
class Questions:
    """Calls of txAMQP's methods.

    Args:
        calls: fail when the connection goes.
        abort: cuts the connection.
        refusable: the broker's closing of the channel is an answer; else it is the connection's end.
    """

    _calls: Calls
    _abort: Callable[[Loss], None]
    _refusable: bool

    def ask(self, method: Callable[..., Deferred[Any]], **fields: object) -> Deferred[Any]:
        """Call a method that the broker answers; whoever waits for the answer may cancel it."""
        asking = method(**fields)
        answer = self._calls.ask()

        def failed(failure: Failure) -> None:
            self._calls.drop(answer)
            error: Any = failure.value
            why: Exception = error
            if isinstance(error, ChannelClosed) and self._refusable:
                why = ChannelRefused(error.args[0].reply_code, error.args[0].reply_text)
            elif isinstance(error, Closed):
                why = ConnectionLost("cannot ask the broker: the channel or the connection is closed")
            elif not isinstance(error, Unencodable):
                self._abort(Loss("protocol", str(error)))
                why = ConnectionLost(str(error))
            if not answer.called:
                answer.errback(why)

        asking.addCallbacks(lambda said: self._calls.answer(answer, said), failed)
        return answer

    def tell(self, method: Callable[..., Deferred[Any]], **fields: object) -> None:
        """Call a method that has no answer."""
        # A closed channel is no error, see IChannel; and numbers and bits that the broker gave us can be encoded.
        method(**fields).addErrback(lambda failure: failure.trap(Closed) and None)


@implementer(IChannel)
@attrs.define(eq=False)
class TxChannel:
    """See IChannel. What AMQP cannot carry fails with Unencodable, before any of it is written.

    Args:
        raw: txAMQP's.
        closed: called when the broker has heard that the channel is given up.
    """

    raw: Any
    _questions: Questions
    _deliveries: Deliveries
    _delegate: Delegate
    _closed: Callable[[Any], None]

    def declare(self, method: str, keywords: Mapping[str, object]) -> Deferred[None]:
        """See IChannel."""
        named = {NAMES.get(name, name): value for name, value in keywords.items()}
        return self._questions.ask(getattr(self.raw, method), **named).addCallback(_nothing)

    def depth(self, queue: str) -> Deferred[Depth]:
        """See IChannel."""
        asking = self._questions.ask(self.raw.queue_declare, queue=queue, passive=True)
        return asking.addCallback(lambda answer: Depth(answer.message_count, answer.consumer_count))

    def prefetch(self, count: int) -> Deferred[None]:
        """See IChannel."""
        return self._questions.ask(self.raw.basic_qos, prefetch_count=count).addCallback(_nothing)

    def confirm(self, told: Callable[[int, bool, bool], None]) -> Deferred[None]:
        """See IChannel."""
        self._delegate.told = told
        return self._questions.ask(self.raw.confirm_select).addCallback(_nothing)

    def consume(self, consumer: Consumer, queue: str, arguments: Mapping[str, object]) -> Deferred[str]:
        """See IChannel."""
        self._deliveries.consumer = consumer
        asking = self._questions.ask(self.raw.basic_consume, queue=queue, arguments=arguments)
        return asking.addCallback(lambda answer: answer.consumer_tag)

    def cancel(self, tag: str) -> Deferred[None]:
        """See IChannel."""
        return self._questions.ask(self.raw.basic_cancel, consumer_tag=tag).addCallback(_nothing)

    def ack(self, tag: int, multiple: bool) -> None:
        """See IChannel."""
        self._questions.tell(self.raw.basic_ack, delivery_tag=tag, multiple=multiple)

    def nack(self, tag: int, multiple: bool) -> None:
        """See IChannel."""
        self._questions.tell(self.raw.basic_nack, delivery_tag=tag, multiple=multiple, requeue=True)

    def reject(self, tag: int, requeue: bool) -> None:
        """See IChannel."""
        self._questions.tell(self.raw.basic_reject, delivery_tag=tag, requeue=requeue)

    def close(self) -> None:
        """See IChannel."""
        leaving = self._questions.ask(self.raw.channel_close, reply_code=200, reply_text="done")
        leaving.addCallbacks(lambda _: self._closed(self.raw), _nothing)


def _nothing(_: object) -> None:
    """What the broker answers is no business of the bus."""
