"""Who is let in by the simulated Twitter."""

from __future__ import annotations

from io import BytesIO

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from streamer.testing.oauth1 import base_string, escape, read_form, read_header, signature
from streamer.testing.twitter_auth import SKEW, Credentials, Gate, address, parameters
from tests.unit.simulated_twitter import NOW, oauth

URL = "http://simulated.example/1.1/statuses/filter.json"


class SignatureTests(SynchronousTestCase):
    """HMAC-SHA1 over what RFC 5849 says."""

    def test_documented(self) -> None:
        """The signatures that the documentation computes for its example come out, for each of the hosts it had."""
        pairs = [
            (b"status", b"Hello Ladies + Gentlemen, a signed OAuth request!"),
            (b"include_entities", b"true"),
            (b"oauth_consumer_key", b"xvz1evFS4wEEPTGEFPHBog"),
            (b"oauth_nonce", b"kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"),
            (b"oauth_signature_method", b"HMAC-SHA1"),
            (b"oauth_timestamp", b"1318622958"),
            (b"oauth_token", b"370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"),
            (b"oauth_version", b"1.0"),
        ]
        secrets = ("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE")
        for host, expected in (
            ("api.x.com/1.1", "Ls93hJiZbQ3akF3HF3x1Bz8/zU4="),
            ("api.twitter.com/1.1", "hCtSmYh+iHYCEqBWrE7C7hYmtUk="),
            ("api.twitter.com/1", "tnnArxj06cWHq44gCs1OSKk/jLY="),
        ):
            self.assertEqual(expected, signature("post", f"https://{host}/statuses/update.json", pairs, *secrets))

    def test_base_string(self) -> None:
        """Host and scheme in lower case, default ports left out, parameters sorted by their encoded form."""
        expected = "GET&http%3A%2F%2Fa.example%2Fx&a%3D1%26a%3D2%26b%3D%252B"
        for url in ("http://a.example/x", "HTTP://A.Example:80/x"):
            self.assertEqual(expected, base_string("get", url, [(b"b", b"+"), (b"a", b"2"), (b"a", b"1")]))
        self.assertIn("%3A8080%2F", base_string("GET", "http://a.example:8080/", []))
        self.assertIn("https%3A%2F%2Fa.example%2F&", base_string("GET", "https://a.example:443", []))

    @given(st.binary(max_size=20), st.binary(max_size=20))
    def test_form(self, name: bytes, value: bytes) -> None:
        """What is encoded is decoded again, and the base string has exactly two ampersands."""
        self.assertEqual([(name, value)], read_form(f"{escape(name)}={escape(value)}".encode()))
        self.assertEqual(2, base_string("GET", URL, [(name, value)]).count("&"))

    def test_header(self) -> None:
        """Parameters are found with or without blanks; the realm and what is malformed are not."""
        header = 'OAuth realm="x", oauth_nonce="a%2Fb",oauth_token = "t", oauth_x, oauth_version="1.0"'
        self.assertEqual({"oauth_nonce": "a/b", "oauth_version": "1.0"}, read_header(header))


class GateTests(SynchronousTestCase):
    """OAuth 1.0a, Basic, or nothing."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = NOW
        self.gate = Gate(self.clock, Credentials())

    def account(
        self, authorization: str | None, url: str = URL, body: bytes = b"", method: str = "POST"
    ) -> str | None:
        """Ask, by a request as twisted.web makes it."""
        request = Request(DummyChannel(), False)
        request.method = method.encode()
        request.uri = url.removeprefix("http://simulated.example").encode()
        request.requestHeaders.setRawHeaders("host", ["simulated.example"])
        if body:
            request.requestHeaders.setRawHeaders("content-type", ["application/x-www-form-urlencoded; charset=utf-8"])
        request.content = BytesIO(body)
        if authorization is not None:
            request.requestHeaders.setRawHeaders("authorization", [authorization])
        self.assertEqual(url.partition("?")[0], address(request))
        return self.gate.account(request, parameters(request))

    def test_oauth(self) -> None:
        """A signed request is let in, the parameters of form and query being signed."""
        self.assertEqual(
            "7-simulated-token", self.account(oauth("POST", URL, b"track=a%20b+c"), body=b"track=a%20b+c")
        )
        query = URL + "?track=caf%C3%A9&count=5"
        self.assertEqual("7-simulated-token", self.account(oauth("GET", query), url=query, method="GET"))

    def test_tampered(self) -> None:
        """Another method, path, parameter or secret than was signed is refused."""
        signed = oauth("POST", URL, b"track=a")
        self.assertIsNone(self.account(signed, body=b"track=b"))
        self.assertIsNone(self.account(signed, body=b"track=a", method="GET"))
        self.assertIsNone(self.account(signed, url=URL + "?x=1", body=b"track=a"))
        self.assertIsNone(self.account(signed, url=URL.replace("filter", "sample"), body=b"track=a"))
        for name in ("consumer_key", "consumer_secret", "token", "token_secret"):
            wrong = attrs.evolve(Credentials(), **{name: "wrong"})
            self.assertIsNone(self.account(oauth("POST", URL, b"track=a", credentials=wrong), body=b"track=a"), name)
        self.assertIsNotNone(self.account(signed, body=b"track=a"))

    def test_clock(self) -> None:
        """A timestamp of more than five minutes off is refused, in either direction."""
        for off, let_in in ((0, True), (SKEW, True), (-SKEW, True), (SKEW + 1, False), (-SKEW - 1, False)):
            signed = oauth("GET", URL, timestamp=str(int(NOW + off)))
            self.assertEqual(let_in, self.account(signed, method="GET") is not None, off)
        self.assertIsNone(self.account(oauth("GET", URL, timestamp="now"), method="GET"))

    def test_nonce(self) -> None:
        """A nonce may be used once; a refused request does not use it up."""
        signed = oauth("GET", URL, nonce="once")
        self.assertIsNone(self.account(signed, method="POST"))
        self.assertIsNotNone(self.account(signed, method="GET"))
        self.assertIsNone(self.account(signed, method="GET"))
        self.assertIsNone(self.account(oauth("GET", URL, nonce=""), method="GET"))

    def test_other_methods(self) -> None:
        """Only HMAC-SHA1 and version 1.0 are known; the version may be left out."""
        self.assertIsNone(self.account(oauth("GET", URL, method_name="PLAINTEXT"), method="GET"))
        self.assertIsNone(self.account(oauth("GET", URL, version="2.0"), method="GET"))
        self.assertIsNotNone(self.account(oauth("GET", URL, version=None), method="GET"))

    def test_basic(self) -> None:
        """A user with the right password is let in; anything else is not."""
        self.assertEqual("simulated", self.account("Basic c2ltdWxhdGVkOnNpbXVsYXRlZC1wYXNzd29yZA=="))
        for header in (
            None,
            "",
            "Basic",
            "Basic !",
            "Basic c2ltdWxhdGVkOng=",
            "Bearer x",
            "OAuth",
            "OAuth oauth_token",
        ):
            self.assertIsNone(self.account(header), header)

    def test_ways_closed(self) -> None:
        """A way in without credentials is closed; without any everybody is let in."""
        self.gate = Gate(self.clock, Credentials(user="", consumer_key=""))
        self.assertIsNone(self.account("Basic OnNpbXVsYXRlZC1wYXNzd29yZA=="))
        self.assertIsNone(self.account(oauth("GET", URL), method="GET"))
        self.gate = Gate(self.clock, None)
        self.assertEqual("anybody", self.account(None))
