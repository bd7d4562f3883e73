"""The topology as data."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from streamer import services
from streamer.bus import topology
from streamer.bus.patterns import matches
from streamer.bus.topology import EXCHANGES, declares, layout

PLAIN = ["raw.birds.post", "raw.birds.gap"]
SHARD_TOPICS = [f"raw.birds.post.s0{number}" for number in range(6)]
HOUSE = layout()
SHARDED = layout(4)


class TopologyTests(SynchronousTestCase):
    """What must be true of any change to it."""

    def test_order(self) -> None:
        """Everything is declared before something else refers to it."""
        known: set[object] = set()
        for declare in declares(SHARDED, SHARDED.queues):
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
        for declare in declares(SHARDED, SHARDED.queues):
            if declare.method == "queue_declare":
                arguments = declare.keywords["arguments"]
                assert isinstance(arguments, dict)
                self.assertTrue(arguments.keys() & {"x-max-length", "x-max-length-bytes"}, declare)
        for of, topics in ((HOUSE, PLAIN + SHARD_TOPICS), (SHARDED, PLAIN + SHARD_TOPICS[:4])):
            for topic in topics:
                bound = [b.queue for b in of.bindings if b.exchange == topology.RAW and matches(b.pattern, topic)]
                self.assertEqual(len(bound), 1, topic)
                self.assertTrue(of.queues[bound[0]].rejects)
        nacking = {queue.name for queue in SHARDED.queues.values() if queue.rejects}
        others = {binding.queue for binding in SHARDED.bindings if binding.exchange != topology.RAW}
        self.assertEqual(nacking & others, set())

    def test_shards(self) -> None:
        """Each shard has a queue with one active consumer; the binding that would double its items is taken off."""
        self.assertEqual(
            SHARDED.bindings[3:7],
            tuple(
                topology.Binding(topology.RAW, f"streamer.enrich.s0{number}", f"raw.*.*.s0{number}")
                for number in range(4)
            ),
        )
        for name in topology.worked_for_items(4)[1:]:
            self.assertTrue(SHARDED.queues[name].single_active)
        taken_off = [declare.keywords["routing_key"] for declare in declares(SHARDED) if "unbind" in declare.method]
        self.assertEqual(taken_off, ["raw.#"])
        self.assertEqual(topology.worked_for_items(0), (topology.ENRICH,))

    def test_bare(self) -> None:
        """On a prepared broker a declaration has what no policy can carry, and the policies have the rest."""
        for name, queue in {**SHARDED.queues, **SHARDED.streams}.items():
            bare, full = (
                next(
                    d.keywords["arguments"]
                    for d in declares(SHARDED, SHARDED.queues, bare=b)
                    if d.keywords.get("queue") == name and d.method == "queue_declare"
                )
                for b in (True, False)
            )
            assert isinstance(bare, dict)
            assert isinstance(full, dict)
            self.assertEqual(full, {**bare, **{f"x-{key}": value for key, value in queue.policies().items()}})
            self.assertEqual(bare, queue.required())

    def test_drops_are_not_dead(self) -> None:
        """No queue that drops its oldest has a dead-letter exchange: the broker would dead-letter what it drops."""
        for declare in declares(SHARDED, SHARDED.queues):
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
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "worked_for_items":
                    worked |= set(topology.worked_for_items(0))
        always = {declare.keywords["queue"] for declare in declares(HOUSE) if declare.method == "queue_declare"}
        self.assertEqual(always - {topology.DEAD, topology.UNROUTED, topology.LOG}, worked)

    def test_optional(self) -> None:
        """An optional queue is declared, and bound, by those who work it only."""
        named = [declare for declare in declares(HOUSE) if declare.keywords.get("queue") == topology.TRENDS]
        self.assertEqual(named, [])
        named = [
            declare
            for declare in declares(HOUSE, [topology.TRENDS])
            if declare.keywords.get("queue") == topology.TRENDS
        ]
        self.assertEqual([declare.method for declare in named], ["queue_declare", "queue_bind"])
        self.assertEqual(len(declares(HOUSE, [topology.ENRICH])), len(declares(HOUSE)))

    def test_nothing_vanishes(self) -> None:
        """What no binding wants has a place to go, and so has what is dead."""
        for name in (topology.RAW, topology.EVENTS):
            self.assertEqual(EXCHANGES[name].alternate, topology.UNROUTED)
        bound = {binding.queue for binding in SHARDED.bindings}
        self.assertEqual(bound, {*SHARDED.queues, *SHARDED.streams})
