"""From a URL to a bus."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.factory import bus_for_url, check_url
from streamer.bus.memory import MemoryBus
from streamer.bus.rabbitmq import RabbitBus
from streamer.interfaces import IBus
from streamer.metrics import Metrics


class FactoryTests(SynchronousTestCase):
    """Schemes."""

    def test_kinds(self) -> None:
        """Each scheme makes its bus, which is one by the interface and idle until started."""
        clock = MemoryReactorClock()
        for url, kind in (("memory:", MemoryBus), ("amqp://h1,h2/v", RabbitBus), ("amqps://h", RabbitBus)):
            bus = bus_for_url(url, clock, Metrics(), "tests")
            self.assertIsInstance(bus, kind)
            self.assertTrue(IBus.providedBy(bus))
            self.assertFalse(bus.ready)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_unknown(self) -> None:
        """An unknown scheme lists the known ones, and shows nothing of what follows it."""
        error = self.assertRaises(
            ValueError, bus_for_url, "redis://u:secret@h", MemoryReactorClock(), Metrics(), "tests"
        )
        self.assertEqual(
            str(error), "no bus has a URL that begins with 'redis:'; known are memory:, amqp://, amqps://"
        )

    def test_no_scheme(self) -> None:
        """Without a scheme nothing is shown: a login may stand in its place."""
        for url in ("secret@h:5672", "secret", "secret:@h", "secret@h://"):
            error = self.assertRaises(ValueError, check_url, url)
            self.assertEqual(str(error), "no bus has that URL; known are memory:, amqp://, amqps://")
