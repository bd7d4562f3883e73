"""Items on their way in: repeats, pauses, shedding; and services that stop in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.bus.spool_file import SpoolFile
from streamer.message import Item
from streamer.metrics import Metrics
from streamer.services.intake import Intake, Limits
from streamer.services.staged import Staged
from tests.unit.spooling import folder, spool_at
from tests.unit.test_services_outflow import HeldBus


class Body:
    """A connection's body, as far as it can be paused."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        """Note it."""
        self.told.append("pause")

    def resume(self) -> None:
        """Note it."""
        self.told.append("resume")


def item(number: int, kind: str = "post", size: int = 2) -> Item:
    """An item received at that millisecond."""
    return Item(source="birds", kind=kind, id=f"{kind}{number}", received=number, body=b"x" * size)


class IntakeTests(SynchronousTestCase):
    """What it does about a bus that is behind, and a disk that is full."""

    def made(self, limits: Limits | None = None) -> Intake:
        """An intake with a connection attached."""
        self.bus, self.metrics, self.clock, self.body = HeldBus(), Metrics(), Clock(), Body()
        self.intake = Intake.of("birds", self.bus, self.clock, self.metrics, limits or Limits())  # type: ignore[arg-type]
        self.intake.attach(self.body)  # type: ignore[arg-type]
        if limits is not None:
            spool = spool_at(folder(self) / "birds.spool")
            stored = self.successResultOf(spool.open())
            self.intake.outflow.use(spool, stored.number, None)
            self.addCleanup(
                lambda: self.successResultOf(Deferred.fromCoroutine(self.intake.outflow.close(1)))
            )  # fmt: skip
        return self.intake

    def take(self, *numbers: int) -> None:
        """Take items, each as a read of its own."""
        for number in numbers:
            self.intake.take([item(number)], number)

    def test_window(self) -> None:
        """Without a disk reading stops at the window and goes on at half of it, once each."""
        self.made()
        self.take(1, 2, 3)
        self.assertEqual([], self.body.told)
        self.take(4, 5)
        self.assertEqual(["pause"], self.body.told)
        self.bus.confirm(2)
        self.assertEqual(["pause"], self.body.told)
        self.bus.confirm(1)
        self.assertEqual(["pause", "resume"], self.body.told)
        self.assertEqual(1, self.metrics.value(m.PAUSES, "birds"))

    def test_new_connection_while_full(self) -> None:
        """A connection made while there is no room starts paused, and is resumed with the others."""
        self.made()
        self.take(1, 2, 3, 4)
        self.intake.detach(self.body)  # type: ignore[arg-type]
        other = Body()
        self.intake.attach(other)  # type: ignore[arg-type]
        self.bus.confirm(4)
        self.assertEqual((["pause"], ["pause", "resume"]), (self.body.told, other.told))

    def test_repeats(self) -> None:
        """An item that came twice is published once, and only the new ones are counted as new."""
        intake = self.made()
        self.assertEqual(2, intake.take([item(1), item(1), item(2)], None))
        self.assertEqual(0, intake.take([item(2)], None))
        self.assertEqual(2, len(self.bus.held))
        self.assertEqual(2, self.metrics.value(m.REPEATED_ITEMS, "birds"))
        self.assertEqual(2, self.metrics.value(m.ITEMS, "birds", "post"))

    def test_remembered(self) -> None:
        """What an earlier process has on disk is not taken again."""
        intake = self.made()
        intake.remember(["post1"])
        self.assertEqual(1, intake.take([item(1), item(2)], None))

    def test_cursor(self) -> None:
        """The cursor is that of the last item which has one."""
        intake = self.made()
        intake.take([Item(source="birds", kind="post", id="1", received=1, body=b"{}", cursor="c1"), item(2)], 5)
        self.assertEqual("c1", intake.cursor)

    def test_full_disk_pauses(self) -> None:
        """At the spool's limit reading pauses, and goes on once a tenth of it is free again."""
        self.made(Limits(bytes=1000))
        self.bus.ready = False
        self.intake.take([item(1, size=900)], None)
        self.assertEqual([], self.body.told)
        self.intake.take([item(2, size=200)], None)
        self.assertEqual(["pause"], self.body.told)
        self.clock.advance(1)
        self.assertEqual(["pause"], self.body.told)
        self.bus.ready = True
        self.clock.advance(1)
        self.bus.confirm()
        self.clock.advance(1)
        self.assertEqual(["pause", "resume"], self.body.told)
        self.assertEqual(2, len(self.bus.published))

    def test_troubles(self) -> None:
        """Why reading is paused: the spool's limit, or a disk that refuses, by its path and its own reason."""
        intake = self.made(Limits(bytes=1000))
        self.bus.ready = False
        self.assertEqual("", intake.trouble)
        commit, full = SpoolFile._commit, [True]

        def committing(itself: SpoolFile, operations: Sequence[Any]) -> Any:
            if full:
                raise OSError(28, "No space left on device")
            return commit(itself, operations)

        self.patch(SpoolFile, "_commit", committing)
        intake.take([item(1)], None)
        self.clock.advance(1)
        self.assertEqual(["pause"], self.body.told)
        self.assertRegex(
            intake.trouble,
            r"^reading is paused: cannot write the spool /.*/birds\.spool: .*No space left on device; free",
        )
        full.clear()
        self.clock.advance(1)
        self.assertEqual(("", ["pause", "resume"]), (intake.trouble, self.body.told))
        intake.take([item(2, size=1000)], None)
        self.assertEqual("its spool is full", intake.trouble)

    def test_full_disk_sheds(self) -> None:
        """Kinds that may be shed are dropped at the limit, counted and told; the others still find room."""
        lost: list[tuple[str, int]] = []
        intake = self.made(Limits(bytes=1000, shed=frozenset({"post"})))
        intake.lost = lambda *what: lost.append(what)
        self.bus.ready = False
        intake.take([item(1, size=1000)], None)
        self.assertEqual(2, intake.take([item(2), item(3, "delete")], None))
        self.assertEqual(([("shed", 1)], []), (lost, self.body.told))
        self.assertEqual(1, self.metrics.value(m.SHED, "birds", "post"))
        self.assertEqual(1, self.metrics.value(m.ITEMS, "birds", "delete"))
        intake.take([item(4, "delete", size=200)], None)
        self.assertEqual(["pause"], self.body.told)
        self.bus.ready = True
        self.clock.pump([0.25] * 4)
        self.bus.confirm()
        self.assertEqual(["post1", "delete3", "delete4"], self.bus.confirmed)


class Slow(Service):
    """A service that stops when told."""

    def __init__(self, name: str, said: list[str]) -> None:
        self.name = name
        self.said = said
        self.quiet: Deferred[None] = Deferred()

    def startService(self) -> None:
        """Say so."""
        Service.startService(self)
        self.said.append(f"start {self.name}")

    def stopService(self) -> Deferred[None]:
        """Say so, and take a while."""
        Service.stopService(self)
        self.said.append(f"stop {self.name}")
        return self.quiet


class StagedTests(SynchronousTestCase):
    """Order."""

    def test_order(self) -> None:
        """Children start in order, and stop in reverse, each only after the one before is quiet."""
        said: list[str] = []
        whole = Staged()
        bus, worker = Slow("bus", said), Slow("worker", said)
        for service in (bus, worker):
            whole.addService(service)
        whole.startService()
        stopping = whole.stopService()
        self.assertEqual(["start bus", "start worker", "stop worker"], said)
        worker.quiet.callback(None)
        self.assertEqual("stop bus", said[-1])
        self.assertNoResult(stopping)
        bus.quiet.callback(None)
        self.successResultOf(stopping)
