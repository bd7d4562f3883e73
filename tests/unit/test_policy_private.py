"""Which hosts no stranger may send us to."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.private import is_private

PRIVATE = (
    *("localhost", "LOCALHOST", "localhost.", "x.localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1"),
    *("017700000001", "0", "0.0.0", "0x0", "10.1.2.3", "10.1", "192.168.0.1", "172.16.5.5", "169.254.169.254"),
    *("100.64.0.1", "::1", "[::1]", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "[::ffff:7f00:1]", "fe80::1"),
    *("fc00::1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "::127.0.0.1", "224.0.0.1", "ff02::1"),
    *("255.255.255.255", "240.0.0.1"),
)
PUBLIC = (
    *("example.org", "notlocalhost", "localhost.example.org", "8.8.8.8", "8.8", "2606:4700::1111", "", "a.b.c.d.e"),
    *("::ffff:8.8.8.8", "127.0.0.1.example.org", "0x7f.example.org", "1.2.3.4.5", "256.1.1.1", "09.1", "0xzz"),
)


class Hosts(SynchronousTestCase):
    """`is_private`."""

    def test_private(self) -> None:
        """This machine and private networks are known in every spelling that resolvers take."""
        for host in PRIVATE:
            self.assertTrue(is_private(host), host)

    def test_public(self) -> None:
        """Names and public addresses are none of them."""
        for host in PUBLIC:
            self.assertFalse(is_private(host), host)

    @given(st.lists(st.from_regex(r"(0[xX][0-9a-fA-F]{0,4}|0[0-7]{0,3}|[1-9][0-9]{0,3})", fullmatch=True), max_size=4))
    def test_as_resolvers_read_it(self, parts: list[str]) -> None:
        """Whatever the C library takes for an address on this machine is taken for one here."""
        host = ".".join(parts)
        try:
            packed = socket.inet_aton(host)
        except OSError:
            return
        if packed[0] in (0, 10, 127):
            self.assertTrue(is_private(host), host)

    @given(st.text(max_size=40))
    def test_anything(self, host: str) -> None:
        """No text makes it fail."""
        self.assertIsInstance(is_private(host), bool)
