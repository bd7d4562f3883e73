"""A broker's URL."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.address import Address, Host


class AddressTests(SynchronousTestCase):
    """Parts, defaults, errors."""

    def test_whole(self) -> None:
        """Login, several hosts, ports and the percent-encoded vhost are read."""
        address = Address.parse("amqp://us%40er:p%2Fss:w@h1:5673,[::1],h2:1/feed%2Fone")
        self.assertEqual(address.hosts, (Host("h1", 5673), Host("::1", 5672), Host("h2", 1)))
        self.assertEqual((address.user, address.password, address.vhost), ("us@er", "p/ss:w", "feed/one"))
        self.assertEqual(str(address), "amqp://us@er@h1:5673,[::1]:5672,h2:1/feed/one")
        self.assertNotIn("p/ss", repr(address))

    def test_defaults(self) -> None:
        """Without them: guest, the default vhost, the protocol's port."""
        self.assertEqual(Address.parse("amqp://localhost"), Address(hosts=(Host("localhost", 5672),)))
        secure = Address.parse("amqps://localhost/")
        self.assertEqual((secure.hosts[0].port, secure.tls, secure.vhost), (5671, True, "/"))

    def test_errors(self) -> None:
        """What cannot be read is named; the password is not."""
        for url, words in (
            ("http://h", "begins with amqp:// or amqps://, not 'http'"),
            ("amqp://u:secret@", "name is missing"),
            ("amqp://u:secret@h:port", "cannot read the host 'h:port'"),
            ("amqp://u:secret@h1,,h2", "cannot read the host ''"),
            ("amqp://u:secret@h?heartbeat=1", "unknown option 'heartbeat'"),
            ("amqp://u:secret@h?ca_file=x", "needs amqps"),
        ):
            error = self.assertRaises(ValueError, Address.parse, url)
            self.assertIn(words, str(error))
            self.assertNotIn("secret", str(error))

    def test_ca_file(self) -> None:
        """A file of an authority that cannot be read is an error before anything connects."""
        address = Address.parse("amqps://h?ca_file=/nowhere.pem")
        error = self.assertRaises(ValueError, address.endpoints, MemoryReactorClock())
        self.assertIn("ca_file '/nowhere.pem' of the broker's URL cannot be used", str(error))
