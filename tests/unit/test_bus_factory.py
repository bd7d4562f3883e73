"""From a URL to a bus."""

from __future__ import annotations

from msgspec import structs
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.address import PIKA, TXAMQP
from streamer.bus.factory import SCHEMES, bus_for_url, check_url
from streamer.bus.memory import MemoryBus
from streamer.bus.rabbitmq import RabbitBus
from streamer.interfaces import IBus
from streamer.metrics import Metrics


class FactoryTests(SynchronousTestCase):
    """Schemes."""

    def test_kinds(self) -> None:
        """Each scheme makes its bus, which is one by the interface and idle until started."""
        clock = MemoryReactorClock()
        rabbits = ("amqp://h1,h2/v", "amqps://h", "txamqp+amqp://h1,h2/v", "txamqp+amqps://h")
        for url, kind in (("memory:", MemoryBus), *((url, RabbitBus) for url in rabbits)):
            bus = bus_for_url(url, clock, Metrics(), "tests")
            self.assertIsInstance(bus, kind)
            self.assertTrue(IBus.providedBy(bus))
            self.assertFalse(bus.ready)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_as_written(self) -> None:
        """Schemes may be in capitals; blanks around a URL are named, and so is what it should begin with."""
        for url in ("AMQP://h1,h2/v", "Amqps://h", "TXAMQP+AMQP://h"):
            self.assertEqual(check_url(url), check_url(url.lower()))
        for url, words in (
            (" amqp://u:secret@h/", "has blanks around it"),
            ("memory: ", "has blanks around it"),
            ("amqp:u:secret@h", "begins with amqp:// or amqps://, and txamqp+ may stand before either"),
            ("REDIS://u:secret@h", "no bus has a URL that begins with 'redis:'"),
        ):
            error = self.assertRaises(ValueError, check_url, url)
            self.assertIn(words, str(error))
            self.assertNotIn("secret", str(error))

    def test_txamqp(self) -> None:
        """Its URLs are those of the broker with a word before them, which stands in the address's text too."""
        address = check_url("txamqp+amqps://user:secret@h1,h2:1234/v")
        plain = check_url("amqps://user:secret@h1,h2:1234/v")
        self.assertEqual(str(address), "txamqp+amqps://user@h1:5671,h2:1234/v")
        self.assertEqual((address.driver, plain.driver), (TXAMQP, PIKA))  # type: ignore[union-attr]
        self.assertEqual(structs.replace(address, driver=PIKA), plain)  # type: ignore[type-var]
        for url in ("txamqp+redis://h", "txamqp+memory:", "txamqp+txamqp+amqp://h", "txamqp://h"):
            self.assertRaises(ValueError, check_url, url)

    def test_unknown(self) -> None:
        """An unknown scheme lists the known ones, and shows nothing of what follows it."""
        error = self.assertRaises(
            ValueError, bus_for_url, "redis://u:secret@h", MemoryReactorClock(), Metrics(), "tests"
        )
        self.assertEqual(str(error), f"no bus has a URL that begins with 'redis:'; known are {', '.join(SCHEMES)}")

    def test_no_scheme(self) -> None:
        """Without a scheme nothing is shown: a login may stand in its place."""
        for url in ("secret@h:5672", "secret", "secret:@h", "secret@h://"):
            error = self.assertRaises(ValueError, check_url, url)
            self.assertEqual(str(error), f"no bus has that URL; known are {', '.join(SCHEMES)}")
