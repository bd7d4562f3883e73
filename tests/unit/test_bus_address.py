"""A broker's URL."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.address import OPTIONS, TXAMQP, Address, Host
from streamer.bus.factory import check_url
from streamer.bus.rabbitmq import RabbitBus
from streamer.metrics import Metrics

REFERENCE = (Path(__file__).parents[2] / "conf" / "streamer.toml").read_text(encoding="utf-8")


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
            ("http://h", "begins with amqp:// or amqps://"),
            ("amqp://", "host 1 of the broker's URL has no name"),
            ("amqp://u:secret@", "host 1 of the broker's URL has no name"),
            ("amqp://u:secret@h:port", "host 1 of the broker's URL has a port that is no number"),
            ("amqp://u:secret@g,h:70000", "host 2 of the broker's URL has a port that is no number up to 65535"),
            ("amqp://u:secret@h:-1", "has a port that is no number"),
            ("amqp://u:secret@h:0", "has the port 0; leave it out for 5672"),
            ("amqp://u:secret@h1,,h2", "host 2 of the broker's URL has no name"),
            ("amqp://u:secret@h?heartbeat=1", "unknown option 'heartbeat'"),
            ("amqp://u:secret@h?ca_file=x", "ca_file in the broker's URL needs amqps"),
            ("amqp://h?auth=external", "auth in the broker's URL needs amqps"),
            ("amqps://u:secret@h?auth=plain", "auth in the broker's URL can be external; leave it out"),
            ("amqps://h?auth=external", "auth in the broker's URL needs a cert_file"),
            ("amqps://h?key_file=x", "key_file in the broker's URL needs a cert_file"),
            ("amqps://h?ca_file=", "ca_file in the broker's URL is empty"),
            ("amqp://u:secret", "host 1 of the broker's URL has a port that is no number"),
            ("amqp://u:secret@h\n", "blanks around it"),
            ("amqp:u:secret@h", "begins with amqp:// or amqps://, and txamqp+ may stand before either"),
            ("amqp://u:secret@h;g", "host 1 of the broker's URL has a ';' in it; commas alone separate hosts"),
            ("amqp://u:secret@h1, h2", "host 2 of the broker's URL has a blank in it"),
            ("amqp://u:secret@h1,u:secret@h2/", "more than one '@': give the login once, before the first host"),
            ("amqp://u:sec@secret@h/", "percent-encode / ? # @"),
            ("amqp://u:se\tcret@h", "control characters in it"),
        ):
            error = self.assertRaises(ValueError, Address.parse, url)
            self.assertIn(words, str(error))
            self.assertNotIn("secret", str(error))

    def test_password_to_encode(self) -> None:
        """A password that would end up in the path, the query or the hosts is refused, never shown."""
        for url in (
            "amqp://user:pa/secret@host/",
            "amqp://user:12/secret@host/v",
            "amqp://user:12?secret@host",
            "amqp://user:12#secret@host",
            "amqp://user:secret#",
            "amqp://user:secr\u2100et@host/",
            "amqp://user:[secret@host/",
        ):
            error = self.assertRaises(ValueError, Address.parse, url)
            self.assertIn("percent-encode / ? # @", str(error))
            self.assertNotIn("secr", str(error))
            self.assertTrue(error.__suppress_context__ or error.__context__ is None)

    @given(
        before=st.text(
            st.sampled_from("@:/?#[],%\u2100\\ &=x12") | st.characters(exclude_categories=["Cs"]), max_size=6
        ),
        after=st.text(
            st.sampled_from("@:/?#[],%\u2100\\ &=x12") | st.characters(exclude_categories=["Cs"]), max_size=6
        ),
        encoded=st.booleans(),
    )
    @settings(deadline=None)  # making a bus takes a while on a busy machine
    def test_no_password_anywhere(self, before: str, after: str, encoded: bool) -> None:
        """Whatever is in a password, no error, text or status shows it; encoded, it is always read as it is."""
        password = f"{before}S3CRET{after}"
        written = quote(password, safe="") if encoded else password
        shown: list[str] = []
        try:
            address = check_url(f"amqp://user:{written}@host/v")
            assert address is not None
            bus = RabbitBus(address, MemoryReactorClock(), Metrics())
            shown += [str(address), repr(address), f"{address!s}", bus.status, repr(bus)]
            shown += [name for name, _ in address.endpoints(MemoryReactorClock())]
            if encoded:
                self.assertEqual(address.password, password)
            self.assertEqual((address.user, address.vhost), ("user", "v"))
        except ValueError as error:
            self.assertFalse(encoded)
            shown.append("".join(traceback.format_exception_only(error)))
        self.assertNotIn("s3cret", "".join(shown).casefold())

    def test_certificates(self) -> None:
        """The options of TLS are read; a login by certificate shows, and needs, no user."""
        address = Address.parse("amqps://h/v?ca_file=/a%20b.pem&cert_file=/c.pem&key_file=/k.pem&auth=external")
        self.assertEqual((address.ca_file, address.cert_file, address.key_file), ("/a b.pem", "/c.pem", "/k.pem"))
        self.assertTrue(address.external)
        self.assertEqual(str(address), "amqps://h:5671/v")
        self.assertFalse(Address.parse("amqps://h?cert_file=/c.pem").external)

    def test_documented(self) -> None:
        """The commented configuration names each option, hosts, and both drivers; what it shows can be read."""
        section = REFERENCE.partition("[bus]\n")[2].partition("# url =")[0]
        for word in (*OPTIONS, "auth=external", "amqps://", f"{TXAMQP}+amqp://"):
            self.assertIn(word, section)
        shown = re.findall(r'"(amqp://[^"…]*)"', section)
        self.assertEqual([1, 3], [len(Address.parse(url).hosts) for url in shown])

    def test_files(self) -> None:
        """A file that cannot be used is an error before anything connects."""
        for option, url in (
            ("ca_file", "amqps://h?ca_file=/nowhere.pem"),
            ("cert_file", "amqps://h?cert_file=/nowhere.pem"),
        ):
            address = Address.parse(url)
            for check in (lambda address=address: address.endpoints(MemoryReactorClock()), address.check_files):
                error = self.assertRaises(ValueError, check)
                self.assertIn(f"{option} '/nowhere.pem' cannot be read: No such file", str(error))
        self.assertRaises(ValueError, check_url, "amqps://h?ca_file=/nowhere.pem")
        self.assertEqual(len(Address.parse("amqps://h,g").endpoints(MemoryReactorClock())), 2)
