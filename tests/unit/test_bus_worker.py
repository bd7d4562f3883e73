"""Working a queue of a broker that does as the test says."""

from __future__ import annotations

from typing import Any

from pika import ConnectionParameters, spec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import deadline, role, topology
from streamer.bus.acks import FLUSH_AFTER
from streamer.bus.connection import BrokerConnection
from streamer.bus.crew import Crew
from streamer.bus.lanes import Lanes
from streamer.bus.worker import Worker
from streamer.message import Decision, Delivery
from streamer.metrics import BUS_ENDINGS, Metrics
from tests.bus_broker import Broker, pika_properties
from tests.bus_contract import raw

# What makes the broker serve the next worker of an ordered queue before it has everything back.
UNWANTED = spec.Basic.Cancel | spec.Basic.Nack | spec.Basic.Reject | spec.Channel.Close | spec.Connection.Close


class WorkerTests(SynchronousTestCase):
    """Handlers that run across a lost connection, and which queues are declared."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.metrics = Metrics()
        self.broker = Broker(self.clock)
        self.running: list[tuple[str, Deferred[Decision]]] = []

    def worker(self, queue: str = topology.ENRICH) -> Worker:
        shared = role.Broker(
            [("here", self.broker)],
            lambda name: BrokerConnection(ConnectionParameters(heartbeat=0), self.clock),
            self.clock,
            self.metrics,
            lambda: 0.5,
            topology.layout(1),
        )

        async def handler(delivery: Delivery) -> Decision:
            decision: Deferred[Decision] = Deferred()
            self.running.append((delivery.message.message_id, decision))
            return await decision

        found = shared.layout.queues[queue]
        lanes = Lanes.of(found, handler, lambda attempt: 0.0, self.clock, self.metrics)
        crew = Crew(queue, lanes or handler, 2, self.clock, self.metrics, lambda attempt: 0.0)
        worker = Worker(shared, queue, crew, 2, lanes)
        worker.role.start()
        self.clock.advance(0)
        self.assertTrue(worker.ready)
        return worker

    def deliver(self, *numbers: int) -> None:
        for tag, number in enumerate(numbers, 1):
            message = raw(number)
            self.broker.deliver(tag, pika_properties(message), message.body)

    def lose(self) -> None:
        self.broker.link.abortConnection()
        self.clock.pump([0, 0.1, 0.1, 0.2])

    def told(self) -> list[tuple[type, int]]:
        kinds = (spec.Basic.Ack, spec.Basic.Reject)
        return [(type(method), method.delivery_tag) for method in self.broker.methods if isinstance(method, kinds)]

    def ack_timers(self) -> list[object]:
        return [call for call in self.clock.getDelayedCalls() if "Acks" in repr(call.func)]

    def stop(self, worker: Worker) -> None:
        stopping = worker.stop()
        self.clock.pump([0, 0])
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_with_handlers_running(self) -> None:
        """What was delivered to lost connections and never begun is handled once, from the last one."""
        worker = self.worker()
        self.deliver(1, 2)
        self.lose()
        self.deliver(1, 2)
        self.lose()
        self.assertTrue(worker.ready)
        self.assertEqual(self.metrics.total(BUS_ENDINGS), 2)
        self.deliver(1, 2)
        for _, decision in self.running[:2]:
            decision.callback(Decision.ACK)
        self.assertEqual([name for name, _ in self.running], ["birds/1", "birds/2"] * 2)
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual(self.told(), [])  # what the lost channel delivered is not acked on this one
        for _, decision in self.running[2:]:
            decision.callback(Decision.ACK)
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual({tag for _, tag in self.told()}, {1, 2})
        self.assertEqual(len(self.running), 4)
        self.stop(worker)

    def test_no_acks_for_a_lost_channel(self) -> None:
        """An ack that was held back, or comes later, for a lost channel starts nothing and is told to nobody."""
        worker = self.worker()
        self.deliver(1, 2)
        self.lose()
        self.running[0][1].callback(Decision.ACK)
        self.running[1][1].callback(Decision.RETRY)
        self.assertEqual(self.ack_timers(), [])
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual(self.told(), [])
        self.stop(worker)

    def test_held_back_ack(self) -> None:
        """An ack that is held back when the connection goes leaves no timer behind."""
        worker = self.worker()
        worker._acks._batch = 10  # type: ignore[union-attr]  # as with a larger prefetch
        self.deliver(1)
        self.running[0][1].callback(Decision.ACK)
        self.assertEqual(len(self.ack_timers()), 1)
        self.broker.link.abortConnection()
        self.clock.advance(0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)  # that of the next attempt
        self.lose()
        self.assertEqual(self.told(), [])
        self.stop(worker)

    def test_returned(self) -> None:
        """What is handed back is nacked, and so is at a stop whatever was delivered and not settled."""
        worker = self.worker()
        self.deliver(1, 2)
        self.running[0][1].callback(Decision.RETURN)
        self.clock.advance(0)
        self.assertEqual([m.delivery_tag for m in self.nacks()], [1])
        stopping = worker.stop()
        self.clock.pump([0, 0])
        self.clock.advance(deadline.DRAIN)
        self.clock.pump([0, 0])
        self.successResultOf(stopping)
        self.assertEqual([(m.delivery_tag, m.multiple, m.requeue) for m in self.nacks()[1:]], [(2, True, True)])
        self.running[1][1].callback(Decision.ACK)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def nacks(self) -> list[Any]:
        return [method for method in self.broker.methods if isinstance(method, spec.Basic.Nack)]

    def test_optional_queue(self) -> None:
        """Working streamer.trends declares it; working another queue does not."""
        for queue, expected in ((topology.ENRICH, False), (topology.TRENDS, True)):
            self.broker.methods.clear()
            worker = self.worker(queue)
            declared = {method.queue for method in self.broker.methods if isinstance(method, spec.Queue.Declare)}
            self.assertEqual(topology.TRENDS in declared, expected)
            self.stop(worker)

    def test_leaves_in_order(self) -> None:
        """The worker of an ordered queue cuts its connection when its handlers are done and its acks were heard: it
        neither cancels nor hands back, after which the broker would serve the next worker too early."""
        worker = self.worker(topology.shard_queue(0))
        self.deliver(1, 2)
        stopping = worker.stop()
        self.clock.advance(0)
        self.running[0][1].callback(Decision.ACK)
        self.assertNoResult(stopping)
        self.running[1][1].callback(Decision.RETRY)
        self.clock.pump([0, 0, 0])
        self.successResultOf(stopping)
        told = [type(m) for m in self.broker.methods if isinstance(m, spec.Basic.Ack | spec.Basic.Qos | UNWANTED)]
        self.assertEqual(told, [spec.Basic.Qos, spec.Basic.Ack, spec.Basic.Qos])
        self.assertEqual(self.clock.getDelayedCalls(), [])
