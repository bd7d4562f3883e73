"""The topology as data."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import topology
from streamer.bus.topology import BINDINGS, EXCHANGES, QUEUES, STREAMS, declares


class TopologyTests(SynchronousTestCase):
    """What must be true of any change to it."""

    def test_order(self) -> None:
        """Everything is declared before something else refers to it."""
        known: set[object] = set()
        for declare in declares():
            arguments = declare.keywords.get("arguments") or {}
            assert isinstance(arguments, dict)
            for reference in ("alternate-exchange", "x-dead-letter-exchange"):
                self.assertIn(arguments.get(reference), {None, *known})
            if declare.method == "queue_bind":
                self.assertIn(declare.keywords["queue"], known)
                self.assertIn(declare.keywords["exchange"], known)
            known |= {declare.keywords.get("exchange"), declare.keywords.get("queue")}

    def test_bounded(self) -> None:
        """Every queue has a limit, and no queue nacks beside another one on its exchange."""
        for declare in declares():
            if declare.method == "queue_declare":
                arguments = declare.keywords["arguments"]
                assert isinstance(arguments, dict)
                self.assertTrue(arguments.keys() & {"x-max-length", "x-max-length-bytes"}, declare)
        for queue in QUEUES.values():
            if queue.rejects:
                exchanges = {binding.exchange for binding in BINDINGS if binding.queue == queue.name}
                beside = {binding.queue for binding in BINDINGS if binding.exchange in exchanges}
                self.assertEqual(beside, {queue.name})

    def test_nothing_vanishes(self) -> None:
        """What no binding wants has a place to go, and so has what is dead."""
        for name in (topology.RAW, topology.EVENTS):
            self.assertEqual(EXCHANGES[name].alternate, topology.UNROUTED)
        bound = {binding.queue for binding in BINDINGS}
        self.assertEqual(bound, {*QUEUES, *STREAMS})
