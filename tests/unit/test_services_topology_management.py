"""RabbitMQ's management API as a client sees it."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import unquote, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import BusError
from streamer.services.topology_management import Management, Refused, Request, connection, path
from tests.management_api import Api


class ManagementTests(SynchronousTestCase):
    """Requests and their answers."""

    def setUp(self) -> None:
        self.api = Api()

    def at(self, url: str = "http://rabbit:15672/base/") -> Management:
        return Management.at(url, "guest", "secret", self.api.connect)

    def test_login(self) -> None:
        """The bus's login, unless the URL has one; neither is shown."""
        for url, login in (("http://rabbit:15672", "guest:secret"), ("http://a%40b:p%3Aw@rabbit:15672", "a@b:p:w")):
            management = self.at(url)
            management.get("whoami")
            self.assertEqual(self.api.logins.pop(), login)
            for hidden in ("secret", "p%3Aw", "p:w"):
                self.assertNotIn(hidden, repr(management))

    def test_get(self) -> None:
        """A document, or None where there is none; a virtual host may be called anything."""
        self.api.kept["queues", "/feed", "a b"] = {"name": "a b"}
        self.assertEqual(self.at().get("queues", "/feed", "a b"), {"name": "a b"})
        self.assertIsNone(self.at().get("queues", "/feed", "other"))

    def test_refused(self) -> None:
        """The API's own reason, or HTTP's where it gives none."""
        self.api.refuses["whoami",] = (401, "Login failed")
        with self.assertRaisesRegex(Refused, "401 Login failed"):
            self.at().get("whoami")
        self.api.raw = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        with self.assertRaisesRegex(Refused, "503 Service Unavailable"):
            self.at().send(Request("PUT", "x", {}))

    def test_no_api(self) -> None:
        """Nobody there, or somebody else, is a sentence with the address and no password."""
        for raw, sentence in (
            (ConnectionRefusedError("refused"), "does not answer: refused. Is the plugin"),
            (TimeoutError(), "does not answer: TimeoutError"),
            (b"AMQP\x00\x00\x09\x01", "does not answer: "),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", "is no JSON; is it the management API?"),
        ):
            self.api.raw = raw
            with self.assertRaisesRegex(BusError, "http://rabbit:15672") as caught:
                self.at("http://a:hidden@rabbit:15672").get("whoami")
            self.assertIn(sentence, str(caught.exception))
            self.assertNotIn("hidden", str(caught.exception))

    def test_bad_url(self) -> None:
        """What is no address of an API is refused, without showing what may be a password."""
        for url in (
            "amqp://rabbit",
            "rabbit:15672",
            "http://",
            "http://a:hidden@rabbit:0",
            "http://rabbit?x=1",
            " http://r",
            "http://r:99999",
        ):
            with self.subTest(url=url), self.assertRaisesRegex(ValueError, "such as http://127.0.0.1:15672") as caught:
                self.at(url)
            self.assertNotIn("hidden", str(caught.exception))

    def test_connection(self) -> None:
        """https is TLS; neither is open yet, and both have a deadline."""
        for url, kind in (("http://rabbit:1", HTTPConnection), ("https://rabbit", HTTPSConnection)):
            made = connection(urlsplit(url))
            self.assertIs(type(made), kind)
            self.assertIsNone(made.sock)
            self.assertEqual(made.timeout, 20)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
    def test_path(self, parts: list[str]) -> None:
        """A path gives its parts back, whatever they hold."""
        self.assertEqual([unquote(part) for part in path(*parts).split("/")], parts)
