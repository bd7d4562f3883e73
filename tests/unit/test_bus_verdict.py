"""What a survey means."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import topology
from streamer.bus.driver import Depth
from streamer.bus.survey import Declared, Found, Presence, Survey
from streamer.bus.topology import layout
from streamer.bus.verdict import Row, rows
from streamer.bus.versions import TESTED

HOUSE = layout(1)


def judged(
    *found: Found, marker: Presence = Presence.THERE, server: str = f"RabbitMQ {TESTED}", surplus: Any = ()
) -> dict[str, Row]:
    survey = Survey(server=server, marker=marker, found=found, surplus=tuple(surplus))
    return {f"{row.kind} {row.name}": row for row in rows(HOUSE, survey)}


def queue(name: str, declared: Declared = Declared.BARE, *, messages: int = 0, consumers: int = 1) -> Found:
    depth = Depth(messages, consumers)
    return Found(kind="queue", name=name, presence=Presence.THERE, declared=declared, depth=depth)


class VerdictTests(SynchronousTestCase):
    """A row for each thing."""

    def test_declared(self) -> None:
        """Whether what is there was declared rightly depends on the marker."""
        for declared, marker, wrong in (
            (Declared.BARE, Presence.THERE, None),
            (Declared.FULL, Presence.MISSING, None),
            (Declared.BOTH, Presence.MISSING, None),
            (Declared.BOTH, Presence.THERE, None),
            (Declared.UNKNOWN, Presence.THERE, None),
            (Declared.BARE, Presence.UNKNOWN, None),
            (Declared.FULL, Presence.THERE, "only as far as it is stricter"),
            (Declared.BARE, Presence.MISSING, "will be refused (406)"),
            (Declared.OTHER, Presence.THERE, "it was declared otherwise"),
        ):
            with self.subTest(declared=declared, marker=marker):
                row = judged(queue(topology.DEAD, declared), marker=marker)["queue streamer.dead"]
                if wrong is None:
                    self.assertIsNone(row.problem)
                else:
                    self.assertIn(wrong, row.problem or "")

    def test_missing(self) -> None:
        """What is missing is a problem, but for an optional queue; where services make it themselves, that is said."""
        missing = [
            Found(kind="queue", name=name, presence=Presence.MISSING) for name in (topology.LOG, topology.TRENDS)
        ]
        found = judged(*missing, marker=Presence.MISSING)
        self.assertIn("services make it when they start", found["queue streamer.log"].problem or "")
        self.assertIsNone(found["queue streamer.trends"].problem)
        self.assertNotIn("services", judged(*missing)["queue streamer.log"].problem or "")

    def test_unknown(self) -> None:
        """What cannot be told is no problem, and its reason is shown."""
        found = judged(
            Found(kind="queue", name=topology.LOG, presence=Presence.UNKNOWN, detail="404 home node is down")
        )
        row = found["queue streamer.log"]
        self.assertEqual((row.problem, row.note, row.state), (None, "404 home node is down", "cannot be told"))

    def test_alarms(self) -> None:
        """Messages nobody wanted, could do, or works are alarms; what waits for a worker is none."""
        for name, messages, consumers, alarm in (
            (topology.DEAD, 1, 0, "1 message could not be done"),
            (topology.UNROUTED, 2, 0, "2 messages found no queue"),
            (topology.ENRICH, 3, 0, "nobody works it, and 3 messages wait"),
            (topology.ENRICH, 3, 1, None),
            (topology.ENRICH, 0, 0, None),
            (topology.DEAD, 0, 0, None),
            (topology.LOG, 5, 0, None),
        ):
            with self.subTest(name=name, messages=messages, consumers=consumers):
                row = judged(queue(name, messages=messages, consumers=consumers))[f"queue {name}"]
                self.assertIsNone(row.problem)
                if alarm is None:
                    self.assertIsNone(row.alarm)
                else:
                    self.assertIn(alarm, row.alarm or "")

    def test_surplus(self) -> None:
        """A shard too many is a problem; what is in it must be worked off first."""
        several = [queue(topology.shard_queue(1), messages=4), queue(topology.shard_queue(2))]
        found = judged(surplus=several)
        self.assertIn(
            "there are to be 1; once nobody publishes to it any more work off",
            found["queue streamer.enrich.s01"].problem or "",
        )
        self.assertIn(
            "any more delete it once `rabbitmqctl list_queues", found["queue streamer.enrich.s02"].problem or ""
        )

    def test_broker(self) -> None:
        """A broker too old is a problem; one that was not tested is noted; the tested one needs no word."""
        for server, problem, note in (
            (f"RabbitMQ {TESTED}", False, None),
            ("RabbitMQ 3.9.1", True, f"tested with {TESTED}"),
            ("RabbitMQ 4.2.0", False, f"tested with {TESTED}"),
            ("Other 1.0", False, "not RabbitMQ"),
        ):
            with self.subTest(server=server):
                row = judged(server=server)[f"broker {server}"]
                self.assertEqual(row.problem is not None, problem)
                self.assertTrue((row.note or "").startswith(note) if note else row.note is None)

    def test_marker(self) -> None:
        """The marker's absence is no problem, but says who declares."""
        for marker, word in (
            (Presence.THERE, "prepared"),
            (Presence.MISSING, "fresh"),
            (Presence.UNKNOWN, "services take"),
        ):
            row = judged(marker=marker)[f"exchange {topology.MARKER}"]
            self.assertIsNone(row.problem)
            self.assertIn(word, row.note or "")
