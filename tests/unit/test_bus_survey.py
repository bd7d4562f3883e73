"""What of the topology a broker has, asked over AMQP; and one connection for one errand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import deadline, topology
from streamer.bus.survey import Declared, Found, Presence, Survey, survey
from streamer.bus.topology import declares, layout
from streamer.bus.visit import ERRAND, visit
from streamer.errors import BusError
from tests.bus_stock import Stock, connection

HOUSE = layout(2)
MARKER = {("exchange", topology.MARKER): {"type": "fanout"}}


class Turned(SynchronousTestCase):
    """A clock that is turned while something is under way; at the end it is quiet."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def visit(self, errand: Callable[[Any], Any], *endpoints: Any) -> Deferred[Any]:
        places = [(f"host{number}", endpoint) for number, endpoint in enumerate(endpoints)]
        return Deferred.fromCoroutine(visit(places, partial(connection, self.clock), self.clock, errand))

    def turn(self, running: Deferred[Any]) -> Any:
        for _ in range(1000):
            if running.called:
                break
            self.clock.advance(0)
        return self.successResultOf(running)


class SurveyTests(Turned):
    """Everything is looked at, and nothing changed."""

    def survey(self, stock: Stock, version: str = "3.10.8") -> tuple[Survey, dict[tuple[str, str], Found]]:
        before = dict(stock.things)
        broker = stock.broker(self.clock, version)
        found: Survey = self.turn(self.visit(partial(survey, HOUSE), broker))
        self.assertEqual(stock.things, before)
        self.clock.advance(0)
        self.assertTrue(broker.link.gone)
        return found, {(one.kind, one.name): one for one in found.found}

    def test_empty(self) -> None:
        """On an empty broker all is missing, and nothing but questions is asked."""
        stock = Stock()
        found, things = self.survey(stock)
        self.assertEqual(found.server, "RabbitMQ 3.10.8")
        self.assertEqual({one.presence for one in things.values()}, {Presence.MISSING})
        self.assertEqual(found.marker, Presence.MISSING)
        self.assertTrue(all(passive for _, _, passive in stock.asked))
        self.assertEqual(len(things), len(HOUSE.exchanges) + len(HOUSE.queues) + 1)
        self.assertEqual(found.surplus, ())

    def test_installed(self) -> None:
        """Both ways to install are told apart, and how many messages and consumers there are."""
        for bare, how in ((True, Declared.BARE), (False, Declared.FULL)):
            stock = Stock(MARKER if bare else {}, depths={topology.ENRICH: (7, 2)})
            stock.add(declares(HOUSE, HOUSE.queues, bare=bare))
            found, things = self.survey(stock)
            self.assertEqual(found.marker, Presence.THERE if bare else Presence.MISSING)
            self.assertEqual({one.declared for one in things.values()}, {how, Declared.BOTH})
            self.assertEqual(things["exchange", topology.DEAD].declared, Declared.BOTH)
            enrich = things["queue", topology.ENRICH]
            assert enrich.depth is not None
            self.assertEqual((enrich.declared, enrich.depth.messages, enrich.depth.consumers), (how, 7, 2))

    def test_otherwise(self) -> None:
        """What was declared otherwise is named with the broker's words; an exchange of another type, too."""
        stock = Stock()
        stock.add(declares(HOUSE, HOUSE.queues))
        stock.things["queue", topology.DEAD]["x-max-length"] = 5
        stock.things["exchange", topology.DEAD]["type"] = "topic"
        _, things = self.survey(stock)
        for kind, key in (("queue", "x-max-length"), ("exchange", "type")):
            one = things[kind, topology.DEAD]
            self.assertEqual(one.declared, Declared.OTHER)
            self.assertIn(f"406 PRECONDITION_FAILED - inequivalent arg '{key}'", one.detail)

    def test_cannot_be_told(self) -> None:
        """Who may not declare cannot learn how it was declared; who may not look, whether it is there; nor can anybody
        while a queue's node is down.
        """
        stock = Stock(configures=False, down={topology.LOG}, hidden={topology.UNROUTED, topology.MARKER})
        stock.add(declares(HOUSE, HOUSE.queues))
        found, things = self.survey(stock, "4.3.0")
        self.assertEqual(things["queue", topology.DEAD].declared, Declared.UNKNOWN)
        self.assertIn("403 ACCESS_REFUSED", things["queue", topology.DEAD].detail)
        self.assertEqual(things["queue", topology.LOG].presence, Presence.UNKNOWN)
        self.assertIn("home node", things["queue", topology.LOG].detail)
        hidden = things["queue", topology.UNROUTED]
        self.assertEqual((hidden.presence, hidden.declared), (Presence.UNKNOWN, None))
        self.assertIn("asks for the right to configure even to look", hidden.detail)
        self.assertEqual(found.marker, Presence.UNKNOWN)

    def test_surplus(self) -> None:
        """Shards too many are found up to the first that is missing; the broker logs each question for one that is."""
        stock = Stock(depths={topology.shard_queue(3): (9, 0)})
        stock.add(declares(layout(4), HOUSE.queues))
        found, _ = self.survey(stock)
        self.assertEqual([one.name for one in found.surplus], [topology.shard_queue(2), topology.shard_queue(3)])
        self.assertEqual(found.surplus[1].depth and found.surplus[1].depth.messages, 9)
        self.assertNotIn(("queue", topology.shard_queue(5), True), stock.asked)


class Nobody:
    """An endpoint where nobody answers, or somebody who says no."""

    def __init__(self, answer: Callable[[], Deferred[Any]]) -> None:
        self.answer = answer

    def connect(self, factory: Any) -> Deferred[Any]:
        return self.answer()


async def server(connection: Any) -> str:
    """An errand."""
    return str(connection.server)


class VisitTests(Turned):
    """One connection, from its beginning to its end."""

    def test_next_host(self) -> None:
        """A host that refuses, and one that never answers, are passed over."""
        hosts = (Nobody(lambda: fail(ConnectionRefusedError())), Nobody(Deferred), Stock().broker(self.clock))
        running = self.visit(server, *hosts)
        self.clock.advance(deadline.CONNECT)
        self.assertEqual(self.turn(running), "RabbitMQ 3.10.8")

    def test_no_host(self) -> None:
        """Where none lets us in the reasons of all are given."""
        frozen = Stock().broker(self.clock)
        frozen.frozen = True
        running = self.visit(server, Nobody(lambda: fail(ConnectionRefusedError())), frozen)
        self.clock.advance(deadline.HANDSHAKE)
        self.clock.advance(0)  # whoever has not let us in is not taken leave of
        error = self.failureResultOf(running, BusError)
        self.assertIn("host0: Connection was refused", error.getErrorMessage())
        self.assertIn("host1: ", error.getErrorMessage())

    def test_errand_ends(self) -> None:
        """An errand that never ends is ended, and so is one whose connection is lost; it is told which host it was."""

        async def endless(connection: Any) -> None:
            await Deferred()

        broker = Stock().broker(self.clock)
        running = self.visit(endless, broker)
        for _ in range(10):
            self.clock.advance(0)
        for _ in range(int(ERRAND / 10) + 1):
            broker.beat()
            self.clock.advance(10)
        self.assertIn("host0: no answer within 60 s", self.failureResultOf(running, BusError).getErrorMessage())

        async def asks(connection: Any) -> None:
            await connection.aside()
            broker.link.lose(ConnectionRefusedError())
            await connection.channel()

        broker = Stock().broker(self.clock)
        running = self.visit(asks, broker)
        for _ in range(10):
            self.clock.advance(0)
        self.assertIn("host0: ", self.failureResultOf(running, BusError).getErrorMessage())

    def test_cancelled(self) -> None:
        """Whoever cancels it while it connects leaves nothing behind."""
        running = self.visit(server, Nobody(Deferred))
        running.cancel()
        self.failureResultOf(running, CancelledError)
        broker = Stock().broker(self.clock)
        running = self.visit(server, broker)
        running.cancel()
        self.clock.advance(0)
        self.failureResultOf(running, CancelledError)
        self.assertTrue(broker.link.gone)
