"""Items to the bus within its window; and services that stop in order."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.errors import BusStopped, MessageRefused
from streamer.message import Item, Message
from streamer.metrics import Metrics
from streamer.services.intake import Intake
from streamer.services.staged import Staged


class HeldBus:
    """A bus that takes responsibility when the test says so."""

    window = 4

    def __init__(self) -> None:
        self.held: list[tuple[Message, Deferred[None]]] = []

    def publish(self, message: Message) -> Deferred[None]:
        """Hold it."""
        waiting: Deferred[None] = Deferred()
        self.held.append((message, waiting))
        return waiting

    def confirm(self, count: int) -> None:
        """Take the oldest ones."""
        for _ in range(count):
            self.held.pop(0)[1].callback(None)


def item(number: int) -> Item:
    """An item received at that millisecond."""
    return Item(source="birds", kind="post", id=str(number), received=number, body=b"{}")


class IntakeTests(SynchronousTestCase):
    """What it does about a bus that is behind."""

    def setUp(self) -> None:
        """An intake with a connection attached."""
        self.bus = HeldBus()
        self.metrics = Metrics()
        self.intake = Intake("birds", self.bus, self.metrics)  # type: ignore[arg-type]
        self.told: list[str] = []
        self.intake.attach(lambda: self.told.append("pause"), lambda: self.told.append("resume"))

    def take(self, *numbers: int) -> None:
        """Take items."""
        for number in numbers:
            self.intake.take(item(number))

    def test_window(self) -> None:
        """At the window reading stops, at half of it reading goes on, once each."""
        self.take(1, 2, 3)
        self.assertEqual([], self.told)
        self.take(4, 5)
        self.assertEqual(["pause"], self.told)
        self.bus.confirm(2)
        self.assertEqual(["pause"], self.told)
        self.bus.confirm(1)
        self.assertEqual(["pause", "resume"], self.told)
        self.assertEqual(1, self.metrics.value(m.PAUSES, "birds"))

    def test_new_connection_while_full(self) -> None:
        """A connection made while the window is full starts paused, and is the one that is resumed."""
        self.take(1, 2, 3, 4)
        self.intake.detach()
        other: list[str] = []
        self.intake.attach(lambda: other.append("pause"), lambda: other.append("resume"))
        self.bus.confirm(4)
        self.assertEqual((["pause"], ["pause", "resume"]), (self.told, other))

    def test_repeats(self) -> None:
        """An item that came twice is published once."""
        self.take(1, 1, 2)
        self.assertEqual(2, len(self.bus.held))
        self.assertEqual(1, self.metrics.value(m.REPEATED_ITEMS, "birds"))

    def test_checkpoint(self) -> None:
        """The place to resume from moves over the contiguous confirmed prefix only."""
        self.take(1, 2, 3)
        self.bus.held.pop(1)[1].callback(None)
        self.assertIsNone(self.intake.checkpoint.reached)
        self.bus.confirm(1)
        self.assertEqual(2, self.intake.checkpoint.reached)

    def test_drained(self) -> None:
        """It says when the bus has answered for everything."""
        self.successResultOf(self.intake.drained())
        self.take(1, 2)
        waiting = self.intake.drained()
        self.bus.confirm(1)
        self.assertNoResult(waiting)
        self.bus.confirm(1)
        self.successResultOf(waiting)

    def test_refused(self) -> None:
        """A message that no bus can carry is dropped, and does not hold up the checkpoint."""
        self.take(1)
        self.bus.held.pop()[1].errback(MessageRefused("too long"))
        self.assertEqual(1, self.intake.checkpoint.reached)

    def test_bus_stopped(self) -> None:
        """What the bus did not take stays before the checkpoint and may come again."""
        self.take(1)
        self.bus.held.pop()[1].errback(BusStopped("stopped"))
        self.assertIsNone(self.intake.checkpoint.reached)
        self.take(1)
        self.assertEqual(1, len(self.bus.held))


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
