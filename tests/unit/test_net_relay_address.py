"""Where a relay is."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.relay_address import DEFAULT, read


class AddressTests(SynchronousTestCase):
    """`read`."""

    def test_written_ways(self) -> None:
        """A websocket's address, the page's, with and without path, port and brackets."""
        for written, url, port, secure in (
            (DEFAULT, DEFAULT, 8080, False),
            ("ws://h", "ws://h/ws", 80, False),
            ("http://h:81/", "ws://h:81/ws", 81, False),
            ("https://h", "wss://h/ws", 443, True),
            ("wss://h/relay/ws?a=b", "wss://h/relay/ws?a=b", 443, True),
            ("ws://[::1]:8080", "ws://[::1]:8080/ws", 8080, False),
        ):
            with self.subTest(written=written):
                address = read(written)
                self.assertEqual((url, port, secure), (address.url, address.port, address.secure))

    def test_wrong(self) -> None:
        """What is none is told so, and a password in it is not repeated."""
        for written in (
            "",
            "h",
            "ftp://h",
            "ws://",
            "ws://h:0",
            "ws://h:99999",
            "ws://h:x",
            "ws://ä",
            "ws://h /",
            "ws://unix",
        ):
            with self.subTest(written=written):
                self.assertIn(f"such as {DEFAULT}", str(self.assertRaises(ValueError, read, written)))
        self.assertNotIn("hush", str(self.assertRaises(ValueError, read, "ws://me:hush@h")))
        self.assertRaises(ValueError, read, "ws://h/#part")

    def test_token(self) -> None:
        """A token goes through TLS, or to this machine."""
        for written in ("wss://h", "ws://127.0.0.1", "ws://[::1]", "ws://localhost"):
            read(written).check_token()
        self.assertIn("in the clear", str(self.assertRaises(ValueError, read("ws://h").check_token)))

    def test_endpoint(self) -> None:
        """wss is TLS for that name."""
        self.assertIn("HostnameEndpoint", repr(type(read("ws://h").endpoint(MemoryReactorClock()))))
        self.assertIn("_WrapperEndpoint", repr(type(read("wss://h").endpoint(MemoryReactorClock()))))
