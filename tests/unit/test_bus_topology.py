"""The topology as data."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from streamer import services
from streamer.bus import topology
from streamer.bus.topology import BINDINGS, EXCHANGES, QUEUES, STREAMS, declares


class TopologyTests(SynchronousTestCase):
    """What must be true of any change to it."""

    def test_order(self) -> None:
        """Everything is declared before something else refers to it."""
        known: set[object] = set()
        for declare in declares(QUEUES):
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
        for declare in declares(QUEUES):
            if declare.method == "queue_declare":
                arguments = declare.keywords["arguments"]
                assert isinstance(arguments, dict)
                self.assertTrue(arguments.keys() & {"x-max-length", "x-max-length-bytes"}, declare)
        for queue in QUEUES.values():
            if queue.rejects:
                exchanges = {binding.exchange for binding in BINDINGS if binding.queue == queue.name}
                beside = {binding.queue for binding in BINDINGS if binding.exchange in exchanges}
                self.assertEqual(beside, {queue.name})

    def test_drops_are_not_dead(self) -> None:
        """No queue that drops its oldest has a dead-letter exchange: the broker would dead-letter what it drops."""
        for declare in declares(QUEUES):
            if declare.method == "queue_declare":
                arguments = declare.keywords["arguments"]
                assert isinstance(arguments, dict)
                if arguments.get("x-overflow") != "reject-publish":
                    self.assertNotIn("x-dead-letter-exchange", arguments, declare)

    def test_everything_is_worked(self) -> None:
        """A queue that is always there is worked by some service, but for those an operator looks into."""
        worked = set()
        for path in Path(services.__file__).parent.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "work":
                    worked.add(getattr(topology, ast.unparse(node.args[0]).rpartition(".")[2]))
        always = {declare.keywords["queue"] for declare in declares() if declare.method == "queue_declare"}
        self.assertEqual(always - {topology.DEAD, topology.UNROUTED, topology.LOG}, worked)

    def test_optional(self) -> None:
        """An optional queue is declared, and bound, by those who work it only."""
        named = [declare for declare in declares() if declare.keywords.get("queue") == topology.TRENDS]
        self.assertEqual(named, [])
        named = [
            declare for declare in declares([topology.TRENDS]) if declare.keywords.get("queue") == topology.TRENDS
        ]
        self.assertEqual([declare.method for declare in named], ["queue_declare", "queue_bind"])
        self.assertEqual(len(declares([topology.ENRICH])), len(declares()))

    def test_nothing_vanishes(self) -> None:
        """What no binding wants has a place to go, and so has what is dead."""
        for name in (topology.RAW, topology.EVENTS):
            self.assertEqual(EXCHANGES[name].alternate, topology.UNROUTED)
        bound = {binding.queue for binding in BINDINGS}
        self.assertEqual(bound, {*QUEUES, *STREAMS})
