"""Who is let in and how fast, whose address counts, and what becomes of those who send what nobody would."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from streamer.metrics import HANDSHAKES
from streamer.net import admission as module
from streamer.net import channel, websocket
from streamer.net.admission import Admission, TooFast
from streamer.net.forwarded import Trusted
from streamer.testing.relay_client import RelayClient
from tests.unit import test_net_websocket
from tests.unit.facing import FacesTestCase

NOW = 1_000_000.0
EVENTS = "/events?topics=%23"


def greeted(admission: Admission, address: str, now: float, times: int) -> int:
    """How many of so many handshakes pass."""
    passed = 0
    for _ in range(times):
        try:
            admission.greet(address, now)
        except TooFast:
            continue
        passed += 1
    return passed


class HandshakeRateTests(SynchronousTestCase):
    """`Admission.greet`."""

    def test_overall(self) -> None:
        """A second's worth may come at once, at least fifty; then as many as the rate says."""
        for rate, burst in ((10.0, 50), (60.0, 60)):
            admission = Admission(10_000, 10_000, rate)
            with self.subTest(rate=rate):
                self.assertEqual(burst, greeted(admission, "192.0.2.1", NOW, 200))
                self.assertEqual(rate, greeted(admission, "192.0.2.2", NOW + 1, 200))

    def test_one_address(self) -> None:
        """All clients that one address may have may come at once, and again some time later; others besides."""
        admission = Admission(10_000, 300)
        for again in range(3):
            now = NOW + again * module.RETURN_WITHIN
            self.assertEqual(300, greeted(admission, "192.0.2.1", now, 1000))
            self.assertEqual(300, greeted(admission, "192.0.2.2", now, 300))

    def test_one_address_costs_others_nothing(self) -> None:
        """Who is refused for its own rate uses up nothing of what is there for all."""
        admission = Admission(10_000, 100, 200.0)
        self.assertEqual(100, greeted(admission, "192.0.2.1", NOW, 10_000))
        self.assertEqual(100, greeted(admission, "192.0.2.2", NOW, 100))

    def test_no_address(self) -> None:
        """Behind a UNIX socket nobody has an address; then only the rate of all holds."""
        admission = Admission(10_000, 1, 1000.0)
        self.assertEqual(1000, greeted(admission, "", NOW, 2000))

    def test_after(self) -> None:
        """How long to wait is drawn for each, from one second to ten."""
        for drawn, seconds in ((0.0, 1), (0.0999, 1), (0.5, 6), (0.9999, 10), (1.0, 10)):
            admission = Admission(10, 10, jitter=lambda drawn=drawn: drawn)
            greeted(admission, "192.0.2.1", NOW, 50)
            with self.assertRaises(TooFast) as caught, self.subTest(drawn=drawn):
                admission.greet("192.0.2.1", NOW)
            found = caught.exception
            self.assertEqual(("rate", True, seconds), (found.code, found.retry, found.after))

    def test_addresses_are_forgotten(self) -> None:
        """No more addresses are remembered than there is room for; the longest unheard goes first."""
        self.patch(module, "ADDRESSES_KEPT", 2)
        admission = Admission(10_000, 50)
        greeted(admission, "192.0.2.1", NOW, 50)
        greeted(admission, "192.0.2.2", NOW, 50)
        self.assertEqual(0, greeted(admission, "192.0.2.1", NOW, 1))
        greeted(admission, "192.0.2.3", NOW, 1)
        self.assertEqual(2, len(admission._paces))
        self.assertEqual(0, greeted(admission, "192.0.2.1", NOW, 1))

    @settings(max_examples=50)
    @given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2), st.integers(1, 60)), max_size=30))
    def test_never_more(self, herds: list[tuple[str, float, int]]) -> None:
        """However they come, neither one address nor all together get more than burst and rate allow."""
        admission, now = Admission(1000, 70, 90.0), NOW
        passed: dict[str, int] = {}
        for address, pause, size in herds:
            now += pause
            passed[address] = passed.get(address, 0) + greeted(admission, address, now, size)
            self.assertLessEqual(sum(passed.values()), 90 + 90 * (now - NOW) + 1e-6)
            self.assertLessEqual(passed[address], 70 + 7 * (now - NOW) + 1e-6)


class AddressTests(FacesTestCase):
    """`client_address` and the faces that count by it."""

    def test_refused(self) -> None:
        """A stream that comes too soon is answered 503, keeps no place, and counts; a poll is none."""
        admission = self.relay.admission
        greeted(admission, "192.0.2.1", self.relay.clock.seconds(), 100)
        answer = self.relay.get(EVENTS)
        self.assertEqual((503, "rate"), (answer.code, answer.json["error"]["code"]))
        self.assertIn(answer.headers["retry-after"], [str(seconds) for seconds in range(1, 11)])
        self.assertEqual(1, self.relay.metrics.value(HANDSHAKES, "sse", "rate"))
        client = RelayClient()
        pump = self.relay.connect(client)
        assert client.head is not None
        self.assertTrue(client.head.startswith("HTTP/1.1 503 "), client.head)
        self.assertIn("Retry-After: ", client.head)
        self.assertEqual(1, self.relay.metrics.value(HANDSHAKES, "websocket", "rate"))
        client.transport.loseConnection()
        pump.flush()
        self.assertEqual(200, self.relay.get("/poll?topics=%23&wait=0").code)
        self.relay.clock.advance(30)
        self.assertEqual(200, self.relay.get(EVENTS).code)
        self.assert_quiet("sse")

    def test_proxy(self) -> None:
        """What a trusted proxy brings counts for the addresses that it tells, and goes off their account again."""
        admission = self.relay.admission
        admission.trusted = Trusted(["10.0.0.0/8"])
        asked = [
            self.relay.ask(path, host="10.0.0.7", X_Forwarded_For=f"203.0.113.9, 198.51.100.{number % 2}")
            for number, path in enumerate([EVENTS, EVENTS, EVENTS, "/poll?topics=%23"])
        ]
        self.assertEqual({"198.51.100.0": 2, "198.51.100.1": 2}, admission._addresses)
        self.assertEqual({"10.0.0.7": 4}, admission._connected)
        client = RelayClient(offer="relay.v1.json\r\nX-Forwarded-For: 198.51.100.0")
        pump = self.relay.connect(client, "10.0.0.7")
        self.assertTrue(client.accepted)
        self.assertEqual(3, admission._addresses["198.51.100.0"])
        client.transport.loseConnection()
        pump.flush()
        self.assertEqual((2, 4), (admission._addresses["198.51.100.0"], admission.connections))
        for one in asked:
            one.hang_up()
        self.assertEqual(({}, {}), (admission._addresses, admission._connected))
        self.assert_quiet("sse")

    def test_stranger(self) -> None:
        """Nobody else's word counts."""
        self.relay.admission.trusted = Trusted(["10.0.0.0/8"])
        asked = self.relay.ask(EVENTS, host="192.0.2.1", X_Forwarded_For="198.51.100.1")
        self.assertEqual({"192.0.2.1": 1}, self.relay.admission._addresses)
        asked.hang_up()

    def test_accounts(self) -> None:
        """An IPv6 host has a network full of addresses, and is one all the same; IPv4 within IPv6 is IPv4."""
        for address, counted in (
            ("192.0.2.1", "192.0.2.1"),
            ("", ""),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::", "2001:db8:1:3::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
            ("a:b", "a:b"),
        ):
            with self.subTest(address=address):
                self.assertEqual(counted, module.account(address))
        admission = Admission(100, 2)
        hosts = [f"2001:db8::{number:x}" for number in range(100)]
        self.assertEqual(22, sum(admission.arrive(host) for host in hosts))
        for host in reversed(hosts[:22]):
            admission.leave(host)
        self.assertEqual((0, {}), (admission.connections, admission._connected))
        self.relay.admission.trusted = Trusted(["10.0.0.7"])
        asked = self.relay.ask(EVENTS, host="10.0.0.7", X_Forwarded_For="[2001:db8::5]:4711")
        self.assertEqual({"2001:db8::/64": 1}, self.relay.admission._addresses)
        asked.hang_up()
        self.assert_quiet("sse")

    def test_proxys_connections(self) -> None:
        """A trusted proxy may have as many connections as there are; others only those of one address."""
        admission = Admission(500, 10, trusted=Trusted(["10.0.0.7"]))
        self.assertEqual(400, sum(admission.arrive("10.0.0.7") for _ in range(400)))
        self.assertEqual(30, sum(admission.arrive("10.0.0.8") for _ in range(400)))
        self.assertEqual(170, sum(admission.arrive("10.0.0.7") for _ in range(400)))

    def test_pipelined(self) -> None:
        """Of many requests in one go a few are answered, then the connection ends; one after the other all are."""
        asking = self.relay.ask("/status.json")
        asking.transport.clear()
        asking.send("/status.json HTTP/1.1\r\n\r\n" + "GET /status.json HTTP/1.1\r\n\r\n" * 50 + "GET /status.json")
        self.assertEqual(channel.PIPELINED_LIMIT, asking.transport.value().count(b"HTTP/1.1 200 OK"))
        self.assertTrue(asking.transport.disconnecting)
        asking.hang_up()
        asking = self.relay.ask("/status.json")
        for _ in range(50):
            asking.send("/status.json")
        self.assertEqual(51, asking.transport.value().count(b"HTTP/1.1 200 OK"))
        asking.hang_up()
        self.assert_quiet("sse")

    def test_long_feed(self) -> None:
        """However many and long the events are that a feed asks for, it has the newest that there is room for."""
        for number in range(30):
            self.relay.publish("post.x", text=f"{number}", size=100_000)
        answer = self.relay.get("/feed.json?last=500")
        self.assertEqual(
            [f"{29 - number}" for number in range(9)], [one["content_text"] for one in answer.json["items"]]
        )

    def test_long_head(self) -> None:
        """A target or a header that is too long is answered by 431, and the connection ends."""
        for path, headers in (("/" + "x" * 20_000, {}), ("/", {"Cookie": "x" * 20_000})):
            asking = self.relay.ask(path, **headers)
            assert asking.answer is not None
            self.assertEqual((431, True), (asking.answer.code, asking.transport.disconnecting))
            asking.hang_up()
        self.assert_quiet("sse")


class HostileFramesTests(test_net_websocket.WebsocketTestCase):
    """What a websocket may cost whose client means no good."""

    def test_too_many_frames(self) -> None:
        """Pongs that nobody asked for and pieces of messages are counted as pings are; who floods us is closed."""
        mask = b"\0\0\0\0"
        for first, again in (
            (b"", b"\x89\x80" + mask),  # pings
            (b"", b"\x8a\x80" + mask),  # pongs
            (b"\x01\x80" + mask, b"\x00\x80" + mask),  # a text that does not end
        ):
            client = self.client()
            client.write(first + again * 40)
            client.pump.flush()
            self.assertIsNone(client.code)
            client.write(again * 20)
            client.pump.flush()
            with self.subTest(frame=again):
                self.assertEqual(4129, client.code)
            self.hang_up(client)
        self.assert_quiet()

    def test_bit_by_bit(self) -> None:
        """A message of many small pieces is kept as few objects, and understood in the end."""
        client = self.client()
        server = self.server(client)
        text = b'["ping",1]' + b" " * 4000
        client.write(b"\x81\xfe" + len(text).to_bytes(2, "big") + b"\0\0\0\0")
        client.pump.flush()
        for at in range(0, len(text) - 2, 2):
            server.dataReceived(text[at : at + 2])
            self.assertLessEqual(len(server.frame_data), websocket.PIECES_LIMIT)
        server.dataReceived(text[-2:])
        client.pump.flush()
        self.assertEqual(["pong", 1], client.frames[-1])
        self.hang_up(client)

    @settings(max_examples=40)
    @given(st.lists(st.integers(0, 20), max_size=6), st.lists(st.integers(1, 40), max_size=12), st.booleans())
    def test_any_pieces(self, frames: list[int], segments: list[int], pings: bool) -> None:
        """However a message is cut into frames, and its bytes into segments, it is the same message."""
        text, data = b'["ping",12345]', b""
        for index, size in enumerate([*frames, len(text)]):
            last = index == len(frames)
            payload, text = (text, b"") if last else (text[:size], text[size:])
            data += bytes(((0x80 if last else 0) | (0 if index else 1), 0x80 | len(payload))) + b"\0\0\0\0" + payload
            data += b"\x89\x81\0\0\0\0p" if pings and not last else b""
        client = self.client()
        server = self.server(client)
        for size in segments:
            server.dataReceived(data[:size])
            data = data[size:]
        server.dataReceived(data)
        client.pump.flush()
        self.assertEqual([["pong", 12345]], client.named("pong"))
        self.assertEqual([b"p"] * len(frames) * pings, client.pongs)
        self.hang_up(client)
        self.assert_quiet()

    def test_data_after_the_end(self) -> None:
        """Little of what comes after our close frame is read, and nothing of it kept when that is too much."""
        for begin in (b"\x89\xff" + (2**40).to_bytes(8, "big") + b"\0\0\0\0", b"\x82\x80\0\0\0\0"):
            client = self.client()
            server = self.server(client)
            client.write(begin)
            client.pump.flush()
            self.assertTrue(server.closing)
            for _ in range(websocket.IGNORED_LIMIT // 10_000 + 1):
                server.dataReceived(b"\x7f" * 10_000)
            client.pump.flush()
            self.assertTrue(client.lost)
        self.assert_quiet()

    def test_quiet(self) -> None:
        """What a client breaks is not logged; what we break is."""
        logged: list[Any] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        client = self.client()
        client.write(b"\xf1\x80\0\0\0\0")
        client.pump.flush()
        self.assertEqual((1002, []), (client.code, [one for one in logged if one["log_level"] >= LogLevel.info]))
        self.server(client).log.error("{what} is broken", what="Autobahn")
        self.assertEqual(["Autobahn"], [one["what"] for one in logged if "what" in one])
        self.hang_up(client)
