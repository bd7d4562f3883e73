"""Who may use the operator's verbs."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.permission import is_here, names_here, same
from tests.unit.test_net_control import ELSEWHERE, HERE, Endpoint, Sources, request


class PermissionTests(SynchronousTestCase):
    """Who may."""

    def code(self, peer: Any = HERE, token: str | None = None, asked: str = "POST /stop", **headers: str) -> int:
        """What a request is answered with; a no has a sentence and changes nothing."""
        control = Sources("birds")
        answer = Endpoint(control, token).ask(asked, peer=peer, **headers)
        if answer.code != 200:
            self.assertIn("token", answer.json["error"])
            self.assertEqual({"birds": "following"}, control.state)
        return answer.code

    def test_peers_without_token(self) -> None:
        """Without a token only this machine may, whatever its address looks like."""
        for peer, code in (
            (HERE, 200),
            (IPv4Address("TCP", "127.8.9.10", 1), 200),
            (IPv6Address("TCP", "::1", 1), 200),
            (IPv6Address("TCP", "::ffff:127.0.0.1", 1), 200),
            (UNIXAddress(b"/run/streamer.sock"), 200),
            (UNIXAddress(None), 200),
            (ELSEWHERE, 403),
            (IPv4Address("TCP", "0.0.0.0", 1), 403),  # noqa: S104 - a peer, nothing is bound
            (IPv6Address("TCP", "::", 1), 403),
            (IPv6Address("TCP", "::ffff:192.0.2.7", 1), 403),
            (IPv6Address("TCP", "fe80::1%eth0", 1), 403),
            (HostnameAddress(b"localhost", 1), 403),
        ):
            with self.subTest(peer=peer):
                self.assertEqual(code, self.code(peer))
                self.assertEqual(code, self.code(peer, asked="GET /predicates"))
                self.assertEqual(code == 200, is_here(peer))

    def test_said_how_to_mend(self) -> None:
        """Another machine is told who it is and what to set."""
        answer = Endpoint(Sources("birds")).ask("POST /stop", peer=ELSEWHERE)
        self.assertIn("192.0.2.7", answer.json["error"])
        self.assertIn("[streamer] token", answer.json["error"])

    def test_token(self) -> None:
        """Where a token is set, everybody brings it, and it is enough."""
        for peer in (HERE, ELSEWHERE, UNIXAddress(b"/run/streamer.sock")):
            for authorization, code in (
                ("Bearer hush", 200),
                ("bearer  hush", 200),
                ("", 401),
                ("Bearer hus", 401),
                ("Bearer hush2", 401),
                ("Bearer HUSH", 401),
                ("Bearer", 401),
                ("Basic hush", 401),
                ("hush", 401),
            ):
                with self.subTest(peer=peer, authorization=authorization):
                    self.assertEqual(code, self.code(peer, "hush", Authorization=authorization))
        self.assertEqual(
            200, self.code(ELSEWHERE, "hush", Authorization="Bearer hush", Host="example.org", Origin="https://a")
        )

    def test_challenge(self) -> None:
        """A 401 says what is wanted, and whether what came was wrong (RFC 6750); it never repeats the token."""
        endpoint = Endpoint(Sources("birds"), "hush")
        none, wrong = endpoint.ask("POST /stop"), endpoint.ask("POST /stop", Authorization="Bearer loud")
        self.assertEqual('Bearer realm="streamer"', none.headers["www-authenticate"])
        self.assertEqual('Bearer realm="streamer", error="invalid_token"', wrong.headers["www-authenticate"])
        self.assertNotIn(b"loud", wrong.body)
        self.assertNotIn(b"hush", wrong.body)
        twice = request("POST /stop", Authorization="Bearer hush\r\nAuthorization: Bearer loud")
        self.assertEqual(401, endpoint.raw(twice).code)

    def test_token_first(self) -> None:
        """Who may not learns nothing of methods, sources or limits."""
        endpoint = Endpoint(Sources("birds"), "hush")
        for asked in ("GET /stop", "POST /stop?source=dogs", "POST /stop?x=1", "POST /stop/birds", "PUT /predicates"):
            self.assertEqual(401, endpoint.ask(asked).code)

    def test_pages_in_browsers(self) -> None:
        """Without a token, no page of a browser on this machine may do it, nor one that took a name of ours."""
        for headers, code in (
            ({"Origin": "https://example.org"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://127.0.0.1:8181"}, 403),
            ({"Sec_Fetch_Site": "cross-site"}, 403),
            ({"Sec_Fetch_Site": "same-site"}, 403),
            ({"Sec_Fetch_Site": "same-origin"}, 403),
            ({"Sec_Fetch_Site": "none\r\nSec-Fetch-Site: cross-site"}, 403),
            ({"Sec_Fetch_Site": "none"}, 200),
            ({"Host": "rebound.example:8181"}, 403),
            ({"Host": "127.0.0.1.example"}, 403),
            ({"Host": "192.0.2.1:8181"}, 403),
            ({"Host": "localhost\r\nHost: rebound.example"}, 403),
            ({"Host": "LOCALHOST"}, 200),
            ({"Host": "[::1]:8181"}, 200),
        ):
            with self.subTest(headers=headers):
                self.assertEqual(code, self.code(**headers))
                self.assertEqual(code, self.code(asked="GET /predicates", **headers))

    def test_no_host(self) -> None:
        """A request of HTTP/1.0 without a Host header names nothing, and is told so."""
        answer = Endpoint(Sources("birds")).raw(b"POST /stop HTTP/1.0\r\n\r\n")
        self.assertEqual(403, answer.code)
        self.assertIn("(missing)", answer.json["error"])

    def test_proxies(self) -> None:
        """A proxy on this machine speaks for others, so it needs a token."""
        for name in ("Forwarded", "X_Forwarded_For", "X_Real_IP"):
            self.assertEqual(403, self.code(**{name: "192.0.2.7"}))
            self.assertEqual(200, self.code(token="t", Authorization="Bearer t", **{name: "192.0.2.7"}))

    def test_hosts(self) -> None:
        """Names of this machine that no name server gives out."""
        for host in ("localhost", "localhost:1", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:80", " localhost "):
            self.assertTrue(names_here(host), host)
        for host in (
            "",
            ":80",
            "[]",
            "[::1",
            "::1",
            "a.localhost",
            "localhost.",
            "127.1",
            "0",
            "[::2]",
            "localhost:x",
        ):
            self.assertFalse(names_here(host), host)

    @given(st.text(max_size=30))
    def test_any_host(self, host: str) -> None:
        """Any text is judged, and what passes begins like this machine."""
        if names_here(host):
            self.assertRegex(host.strip().lower(), r"^(localhost|127\.|\[)")

    @given(st.binary(max_size=20), st.binary(max_size=20))
    def test_same(self, one: bytes, other: bytes) -> None:
        """Equal is equal, whatever the lengths."""
        self.assertEqual(one == other, same(one, other))
        self.assertTrue(same(one, one))
