"""Whose connection it is behind proxies."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.forwarded import HOPS_LIMIT, Trusted

PROXIES = ("127.0.0.1", "10.0.0.0/8", "2001:db8::/32")
# peer, headers → client
CASES = [
    ("192.0.2.7", ["203.0.113.9"], "192.0.2.7", "a stranger's word is not taken"),
    ("127.0.0.1", [], "127.0.0.1", "a proxy that says nothing counts for itself"),
    ("127.0.0.1", ["203.0.113.9"], "203.0.113.9", "a proxy's word is"),
    ("127.0.0.1", ["1.2.3.4, 203.0.113.9"], "203.0.113.9", "what the client made up stands further left"),
    ("127.0.0.1", ["1.2.3.4", "203.0.113.9"], "203.0.113.9", "several headers are one list"),
    ("127.0.0.1", ["203.0.113.9, 10.1.2.3"], "203.0.113.9", "proxies in a row"),
    ("127.0.0.1", ["1.2.3.4, 203.0.113.9, 10.1.2.3,10.1.2.4"], "203.0.113.9", "the rightmost that is not trusted"),
    ("127.0.0.1", ["10.1.2.3"], "10.1.2.3", "all of them proxies: the first one"),
    ("127.0.0.1", ["203.0.113.9, unknown"], "127.0.0.1", "what cannot be read ends the search"),
    ("127.0.0.1", ["203.0.113.9, "], "127.0.0.1", "nothing cannot be read either"),
    ("127.0.0.1", ["203.0.113.9:4711"], "203.0.113.9", "with a port"),
    ("127.0.0.1", ["[2001:db9::1]:4711"], "2001:db9::1", "IPv6 with a port"),
    ("127.0.0.1", ["2001:DB9::0:1"], "2001:db9::1", "IPv6, written in another way"),
    ("2001:db8::5", ["2001:db8::6"], "2001:db8::6", "networks of IPv6"),
    ("::ffff:127.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9", "IPv4 in IPv6 is the same address"),
    ("", ["203.0.113.9"], "", "a UNIX socket's peer, unless it is named"),
]


class TrustedTests(SynchronousTestCase):
    """`Trusted`."""

    def test_cases(self) -> None:
        """The rightmost address that is no proxy's, and never from a stranger."""
        trusted = Trusted(PROXIES)
        for peer, headers, client, why in CASES:
            with self.subTest(why):
                self.assertEqual(client, trusted.client(peer, headers))

    def test_unix(self) -> None:
        """A proxy that connects by a UNIX socket can be trusted by that word."""
        self.assertEqual("203.0.113.9", Trusted(["unix"]).client("", ["203.0.113.9"]))

    def test_nobody(self) -> None:
        """By default there is no proxy."""
        self.assertEqual("127.0.0.1", Trusted([]).client("127.0.0.1", ["203.0.113.9"]))

    def test_warned(self) -> None:
        """A proxy nearby that nobody named is told of once; a stranger who makes the header up is not."""
        said: list[Any] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        trusted = Trusted(["10.0.0.1"])
        for peer, headers in (
            ("127.0.0.1", []),
            ("10.0.0.1", ["203.0.113.9"]),
            ("203.0.113.7", ["203.0.113.9"]),
            ("2001:db8::1", ["203.0.113.9"]),
            ("", ["203.0.113.9"]),
        ):
            trusted.client(peer, headers)
        self.assertEqual([], said)
        for peer in ("10.0.0.2", "10.0.0.2", "127.0.0.1"):
            self.assertEqual(peer, trusted.client(peer, ["203.0.113.9"]))
        (warning,) = said
        self.assertEqual(("warn", "10.0.0.2"), (warning["log_level"].name, warning["peer"]))
        for peer in ("127.0.0.1", "::1", "::ffff:192.168.1.1", "172.16.0.1", "fd00::1"):
            Trusted([]).client(peer, ["203.0.113.9"])
        self.assertEqual(6, len(said))

    def test_wrong(self) -> None:
        """What is neither an address nor a network is refused at the start."""
        for wrong in ("proxy.example", "10.0.0.1/8", ""):
            self.assertRaises(ValueError, Trusted, [wrong])

    def test_long_lists(self) -> None:
        """A list without end is not read to its end."""
        hops = ", ".join(["203.0.113.9", *["10.0.0.1"] * HOPS_LIMIT])
        self.assertEqual("10.0.0.1", Trusted(PROXIES).client("127.0.0.1", [hops]))

    @given(st.text("0123456789abcdef.:[], \x00é", max_size=60), st.ip_addresses().map(str))
    def test_forgery(self, forged: str, client: str) -> None:
        """Whatever a client writes, it counts as the address that the first trusted proxy saw."""
        trusted = Trusted(PROXIES)
        if client in trusted:
            return
        expected = ip_address(client)
        expected = getattr(expected, "ipv4_mapped", None) or expected
        self.assertEqual(str(expected), trusted.client("127.0.0.1", [forged, client]))
        self.assertEqual(str(expected), trusted.client("127.0.0.1", [f"{forged},{client}"]))
        self.assertEqual("192.0.2.7", trusted.client("192.0.2.7", [forged]))
