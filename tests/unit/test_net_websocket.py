"""Websocket clients of a relay, in memory: the site, Autobahn and the fan-out, wired as they are for real."""

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, TCPTimedOutError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.position import written
from streamer.fanout.protocol import Close
from streamer.metrics import CLIENTS, CLIENTS_BEHIND, CLOSED, DELIVERED, DRAINED, HANDSHAKES, Metrics
from streamer.net import clients as clients_module
from streamer.net import websocket
from streamer.net.admission import Admission
from streamer.net.clients import Clients
from streamer.net.compression import usable
from streamer.net.flush import CREDIT
from streamer.net.site import relay_site
from streamer.net.upgrade import Upgrade
from streamer.net.websocket_factory import RelayFactory
from streamer.testing.relay_client import BINARY, CLOSE, KEY, MASK, PING, PONG, RelayClient
from streamer.testing.relay_events import entry

ORIGIN = "https://relay.example"


class Relay:
    """A relay without a port."""

    def __init__(self, limit: int = 10, per_address: int = 5, entries: int = 1000) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.metrics = Metrics()
        self.clients = Clients(Hub(Journal(entries_limit=entries), self.metrics), self.clock)
        self.admission = Admission(limit, per_address)
        factory = RelayFactory(self.clients, self.admission, self.clock)
        upgrade = Upgrade(factory, self.admission, [ORIGIN, "null"], self.metrics)
        self.site = relay_site(FilePath("/nonexistent"), {}, dict, upgrade, [ORIGIN], self.clock, self.admission)
        self.offset = 0

    def connect(self, client: RelayClient, host: str = "192.0.2.1") -> IOPump:
        address = IPv4Address("TCP", host, 4711)
        server = self.site.buildProtocol(address)
        server.callLater = self.clock.callLater
        pump = connect(server, FakeTransport(server, True, peerAddress=address), client, FakeTransport(client, False))
        pump.flush()
        client.pump = pump
        return pump

    def publish(self, topic: str = "post.x", **more: Any) -> None:
        self.offset += 1
        self.clients.append(entry(self.offset, topic, **more))


class WebsocketTestCase(SynchronousTestCase):
    """Makes relays, and looks for what they leave behind."""

    def setUp(self) -> None:
        self.relay = Relay()

    def client(self, **arguments: Any) -> RelayClient:
        client = RelayClient(**arguments)
        self.relay.connect(client)
        return client

    def tell(self, client: RelayClient, *frame: Any) -> None:
        client.send(*frame)
        client.pump.flush()

    def tick(self, client: RelayClient, seconds: float = 0.01) -> None:
        self.relay.clock.advance(seconds)
        client.pump.flush()

    def server(self, client: RelayClient) -> Any:
        """The protocol at the other end."""
        return client.pump.serverIO.protocol

    def hang_up(self, client: RelayClient) -> None:
        client.transport.loseConnection()
        client.pump.flush()

    def assert_quiet(self) -> None:
        self.assertEqual(self.relay.clock.getDelayedCalls(), [])
        self.assertEqual((self.relay.admission.total, self.relay.admission.connections), (0, 0))
        self.assertEqual(self.relay.clients.hub.cohorts, 0)
        self.assertEqual(self.relay.metrics.value(CLIENTS, "websocket"), 0)


class HandshakeTests(WebsocketTestCase):
    """Who gets a websocket."""

    def refused(self, code: int, outcome: str, **arguments: Any) -> str:
        client = self.client(**arguments)
        assert client.head is not None
        self.assertTrue(client.head.startswith(f"HTTP/1.1 {code} "), client.head)
        self.assertIn("Content-Security-Policy", client.head)
        self.assertEqual(self.relay.metrics.value(HANDSHAKES, "websocket", outcome), 1)
        self.hang_up(client)
        self.assert_quiet()
        return client.head

    def test_accepted(self) -> None:
        """The subprotocol is chosen, other offers are not echoed, and no extension is named that was not offered."""
        client = self.client(origin=ORIGIN, offer="relay.bearer.c2VjcmV0, relay.v1.json")
        self.assertTrue(client.accepted)
        self.assertIn("Sec-WebSocket-Protocol: relay.v1.json\r\n", client.head + "\r\n")
        self.assertNotIn("bearer", client.head)
        self.assertNotIn("Extensions", client.head)
        self.assertEqual(self.relay.metrics.value(HANDSHAKES, "websocket", "accepted"), 1)
        self.hang_up(client)
        self.assert_quiet()

    def test_deflate(self) -> None:
        """Who offers compression gets long frames deflated, short ones plain, and reads both."""
        client = self.client(deflate=True)
        self.assertIn("Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover", client.head)
        self.tell(client, "sub", 1, {"id": "a", "topics": ["#"]})
        for number in range(3):
            self.relay.publish(text=f"kakapo {number} " * 50)
            self.tick(client)
        self.assertEqual(client.deflated, 3)
        self.assertEqual(
            [event["data"]["text"][:8] for event in client.events()], ["kakapo 0", "kakapo 1", "kakapo 2"]
        )
        self.tell(client, "ping", 2)
        self.assertEqual(client.frames[-1], ["pong", 2])
        self.hang_up(client)

    def test_offers_that_cannot_be_accepted(self) -> None:
        """An offer that is unusable, or that nobody knows, is declined; another beside it is taken all the same."""
        good = "permessage-deflate; client_max_window_bits"
        for offered, usable_ in (
            (good, good),
            ("permessage-deflate; server_max_window_bits=8", ""),
            ("permessage-deflate; server_max_window_bits=15; server_no_context_takeover", None),
            ("permessage-deflate; hurry=1, permessage-deflate", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits=8", ""),
            ("permessage-deflate; client_max_window_bits; client_max_window_bits", ""),
            ("x-webkit-deflate-frame, , ;", ""),
            ('permessage-deflate; client_max_window_bits="12"', None),
        ):
            self.assertEqual(usable(offered), offered if usable_ is None else usable_, offered)
        client = RelayClient(deflate=True)
        client.extensions = "permessage-deflate; server_max_window_bits=9, nonsense"
        self.relay.connect(client)
        self.assertTrue(client.accepted)
        self.assertNotIn("Extensions", client.head)
        self.hang_up(client)

    def test_nothing_follows_a_close_frame(self) -> None:
        """Also where Autobahn itself ends the connection, for what the client sent is no websocket."""
        client = self.client()
        self.tell(client, "sub", 1, {"id": "a", "topics": ["#"]})
        client.write(b"\xf1\x80" + MASK)
        client.pump.flush()
        self.assertEqual(client.code, 1002)
        heard = len(client.frames)
        for _ in range(3):
            self.relay.publish()
            self.tick(client, 1)
        self.assertEqual(len(client.frames), heard)

    def test_program(self) -> None:
        """A program sends no origin and is let in."""
        self.assertTrue(self.client().accepted)

    def test_origins(self) -> None:
        """Any origin that is not exactly on the list is refused, `null` always."""
        self.refused(403, "origin", origin="https://relay.example.evil")

    def test_null_origin(self) -> None:
        """A sandboxed frame's origin is refused even when it was configured."""
        self.refused(403, "origin", origin="null")

    def test_subprotocol(self) -> None:
        """A client that does not offer the subprotocol is told which."""
        self.refused(400, "subprotocol", offer="chat")

    def test_no_subprotocol(self) -> None:
        """As above where it offers none."""
        self.refused(400, "subprotocol", offer=None)

    def test_bytes_that_are_no_text(self) -> None:
        """Whatever bytes stand in the headers, they are compared, not decoded."""
        for header, answer in (
            (b"Origin: https://\xff", b" 403 "),
            (b"Sec-WebSocket-Protocol: \xff, relay.v1.json", b" 101 "),
            (b"Sec-WebSocket-Protocol: \xff", b" 400 "),
        ):
            server = self.relay.site.buildProtocol(IPv4Address("TCP", "192.0.2.9", 1))
            transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.9", 1))
            transport.protocol = server
            server.makeConnection(transport)
            lines = [b"GET /ws HTTP/1.1", b"Host: x", b"Upgrade: websocket", b"Connection: Upgrade"]
            lines += [b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY.encode(), header]
            if b"Origin" in header:
                lines.append(b"Sec-WebSocket-Protocol: relay.v1.json")
            server.dataReceived(b"\r\n".join([*lines, b"", b""]))
            with self.subTest(header=header):
                self.assertIn(answer, transport.value().partition(b"\r\n")[0] + b" ")
            transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assert_quiet()

    def test_limit_per_address(self) -> None:
        """The sixth connection from an address finds no place; another address does, until all are taken."""
        for _ in range(5):
            self.assertTrue(self.client().accepted)
        sixth = self.client()
        self.assertIn(" 503 ", sixth.head)
        self.assertIn("Retry-After: 10", sixth.head)
        for _ in range(5):
            other = RelayClient()
            self.relay.connect(other, host="192.0.2.2")
            self.assertTrue(other.accepted)
        last = RelayClient()
        self.relay.connect(last, host="192.0.2.3")
        self.assertIn(" 503 ", last.head)

    def test_place_is_given_back(self) -> None:
        """A connection that is lost makes room for another."""
        for _ in range(12):
            self.hang_up(self.client())
        self.assertTrue(self.client().accepted)


class ConversationTests(WebsocketTestCase):
    """Talking."""

    def test_events(self) -> None:
        """A subscription brings what matches, as it is published, and a position after it."""
        client = self.client()
        self.tell(client, "sub", 1, {"id": "a", "topics": ["post.#"]})
        self.assertEqual([frame[0] for frame in client.frames], ["welcome", "subd"])
        self.relay.publish("post.x", text="hello")
        self.relay.publish("geo.x")
        self.tick(client)
        self.assertEqual([event["data"]["text"] for event in client.events()], ["hello"])
        self.assertEqual(self.relay.metrics.value(DELIVERED), 1)
        self.hang_up(client)
        self.assert_quiet()

    def test_history_at_once(self) -> None:
        """History comes with the answer; it does not wait for the next event."""
        for _ in range(3):
            self.relay.publish()
        client = self.client()
        self.tell(client, "sub", 1, {"id": "a", "topics": ["#"], "last": 2})
        self.assertEqual(client.frames[1][2]["replayed"], 2)
        self.assertEqual(len(client.events()), 2)

    def test_much_history(self) -> None:
        """More than fits into one turn comes in several, without an event having to wake it."""
        for _ in range(20):
            self.relay.publish(size=50_000)
        client = self.client()
        self.tell(client, "sub", 1, {"id": "a", "topics": ["#"], "last": 20})
        self.assertLess(len(client.events()), 20)
        for _ in range(20):
            self.tick(client)
        self.assertEqual(len(client.events()), 20)

    def test_coalesced(self) -> None:
        """Events after a pause go out in the next turn; where many come, those within a tick share a frame."""
        client = self.client()
        self.tell(client, "sub", 1, {"id": "a", "topics": ["#"]})
        for number in range(CREDIT):
            self.relay.publish()
            self.tick(client, 0)
            self.assertEqual(len(client.named("ev")), number + 1)
        self.relay.publish()
        self.relay.publish()
        self.tick(client, 0.009)
        self.assertEqual(len(client.named("ev")), CREDIT)
        self.tick(client, 0.001)
        self.assertEqual([len(frame[2]) for frame in client.named("ev")], [*[1] * CREDIT, 2])

    def test_shared_frames(self) -> None:
        """Clients with the same subscriptions are sent the very same bytes."""
        written = []
        for _ in range(2):
            client = self.client()
            self.tell(client, "sub", 1, {"id": "a", "topics": ["#"]})
            self.patch(client.pump.serverIO, "write", written.append)
        self.relay.publish()
        self.relay.clock.advance(0)
        self.assertEqual(len(written), 2)
        self.assertIs(written[0], written[1])

    def test_closing(self) -> None:
        """What is no frame of ours ends the connection with its code, and a client that does not answer is aborted."""
        for code, opcode, payload in (
            (4000, BINARY, b"x"),
            (4000, 1, b"no json"),
            (1009, 1, b"x" * 20_000),
            (1007, 1, b"\xff"),
        ):
            with self.subTest(code=code, opcode=opcode):
                client = self.client()
                client.send_frame(opcode, payload)
                client.pump.flush()
                self.assertEqual(client.code, code)
                self.assertGreaterEqual(self.relay.metrics.value(CLOSED, str(code)), 1)
                self.tick(client, clients_module.ABORT_AFTER + 1)
                self.assertTrue(client.lost)
                self.assert_quiet()

    def test_closed_by_client(self) -> None:
        """A close frame is answered, and the connection ends."""
        client = self.client()
        client.send_frame(CLOSE, b"\x03\xe8")
        client.pump.flush()
        self.assertEqual(client.code, 1000)
        self.assertTrue(client.lost)
        self.assert_quiet()

    def test_too_fast(self) -> None:
        """The frame after the burst ends the connection with 4129; websocket pings count."""
        client = self.client()
        for number in range(49):
            client.send("ping", number)
        client.send_frame(PING, b"hello")
        client.pump.flush()
        self.assertEqual((len(client.named("pong")), client.pongs, client.code), (49, [b"hello"], None))
        self.tell(client, "ping", 50)
        self.assertEqual(client.code, 4129)


class TimeTests(WebsocketTestCase):
    """What time alone does."""

    def test_welcome_unasked(self) -> None:
        """A client that says nothing is welcomed after a second or two."""
        client = self.client()
        self.tick(client, 1)
        self.tick(client, 1)
        self.assertEqual([frame[0] for frame in client.frames], ["welcome"])

    def test_heartbeat(self) -> None:
        """A position is told at least every heartbeat, also when nothing matched."""
        client = self.client()
        self.tell(client, "sub", 1, {"id": "a", "topics": ["none"]})
        told = 0
        for second in range(1, 101):
            self.relay.publish()
            self.tick(client, 1)
            if len(client.named("pos")) > told:
                told += 1
                last = second
                self.assertEqual(client.frames[-1][1], self.relay.clients.hub.journal.position(self.relay.offset))
            elif told:
                self.assertLess(second - last, 25)
            if client.pings:
                client.pings.clear()
                client.send_frame(PONG, b"")
                client.pump.flush()
        self.assertGreaterEqual(told, 4)
        self.assertFalse(client.lost)

    def test_history_of_a_parked_subscription(self) -> None:
        """A subscription ahead of the relay is answered, and its history sent, without another frame or event."""
        client = self.client()
        self.tell(client, "sub", 1, {"id": "a", "topics": ["#"], "since": written("/sources/x#post:2", 2)})
        self.assertEqual(client.named("subd"), [])
        for _ in range(3):
            self.relay.publish()
        self.tick(client, 1)
        self.tick(client, 1)
        self.assertEqual(client.named("subd")[0][2]["recovered"], True)
        self.assertEqual([event["id"] for event in client.events()], ["post:3"])

    def test_dead(self) -> None:
        """A client that is silent is pinged once, and aborted when it does not answer either."""
        client = self.client()
        self.tell(client, "hello", {})
        for _ in range(int(websocket.DEAD_AFTER) - 1):
            self.tick(client, 1)
        self.assertEqual((len(client.pings), client.lost), (1, False))
        self.tick(client, 2)
        self.assertTrue(client.lost)
        self.assert_quiet()

    def test_stop(self) -> None:
        """A relay that stops says when to come back, closes with 1012, and waits a while for the answers."""
        client, mute = self.client(), self.client()
        self.tell(client, "sub", 1, {"id": "a", "topics": ["#"]})
        stopped = self.relay.clients.stop()
        self.assertNoResult(stopped)
        for one in (client, mute):
            one.pump.flush()
            self.assertEqual((one.frames[-1][0], one.code), ("draining", 1012))
        client.send_frame(CLOSE, b"\x03\xf4")
        client.pump.flush()
        self.assertTrue(client.lost)
        self.assertNoResult(stopped)
        self.tick(mute, clients_module.STOP_WITHIN + 1)
        self.successResultOf(stopped)
        mute.pump.flush()
        self.assert_quiet()

    def test_drain(self) -> None:
        """A relay with time to stop serves each client until its moment; who goes before it is not waited for."""
        first, second, third = self.client(), self.client(), self.client()
        for one in (first, second, third):
            self.tell(one, "sub", 1, {"id": "a", "topics": ["#"]})
        moments = iter([0.0, 0.5, 1.0])
        stopped = self.relay.clients.stop(5.0, lambda: next(moments))
        for one, in_ms in ((first, 0), (second, 2000), (third, 4000)):
            one.pump.flush()
            self.assertEqual((["draining", {"in_ms": in_ms}], None), (one.frames[-1], one.code))
        self.relay.publish()
        self.tick(first, 1.0)
        self.assertEqual(1012, first.code)
        first.send_frame(CLOSE, b"\x03\xf4")
        self.hang_up(third)
        for one in (first, second, third):
            one.pump.flush()
        self.relay.publish()
        self.tick(second)
        self.assertEqual(["post:1", "post:2"], [event["id"] for event in second.events()])
        self.tick(second, 2.0)
        self.assertEqual(1012, second.code)
        self.assertNoResult(stopped)
        second.send_frame(CLOSE, b"\x03\xf4")
        second.pump.flush()
        self.successResultOf(stopped)
        self.assertEqual(2, self.relay.metrics.value(DRAINED))
        self.assert_quiet()

    def test_stop_without_clients(self) -> None:
        """There is nobody to wait for."""
        self.successResultOf(self.relay.clients.stop())


class BackPressureTests(WebsocketTestCase):
    """Clients that do not read."""

    def paused(self, entries: int = 5, policy: str = "skip") -> tuple[RelayClient, Any, list[bytes]]:
        self.relay = Relay(entries=entries)
        client = self.client()
        self.tell(client, "sub", 1, {"id": "a", "topics": ["#"], "policy": policy})
        server = self.server(client)
        written: list[bytes] = []
        self.assertIs(client.pump.serverIO.producer, server)
        server.pauseProducing()
        self.patch(client.pump.serverIO, "write", written.append)
        return client, server, written

    def test_nothing_is_written_while_paused(self) -> None:
        """Whatever is published meanwhile, the socket is given nothing; then it goes on where it was."""
        _, server, written = self.paused()
        for _ in range(5):
            self.relay.publish(size=1000)
            self.relay.clock.advance(1)
        self.assertEqual(written, [])
        server.resumeProducing()
        self.assertEqual(len(written), 1)
        self.assertEqual(len(json.loads(written[0][4:])[2]), 5)

    def test_lag(self) -> None:
        """What left the journal meanwhile is told, exactly."""
        _, server, written = self.paused()
        for _ in range(9):
            self.relay.publish()
            self.relay.clock.advance(1)
        server.resumeProducing()
        lag = json.loads(written[0][written[0].index(b"[") :])
        self.assertEqual((lag[0], lag[1]["skipped"], lag[1]["why"]), ("lag", 9, "slow"))
        self.assertEqual(lag[1]["to"], self.relay.clients.hub.journal.position(9))

    def test_strict(self) -> None:
        """A strict subscription ends the connection instead."""
        _, server, written = self.paused(policy="strict")
        for _ in range(9):
            self.relay.publish()
        server.resumeProducing()
        self.assertEqual(written[-1][2:4], (4108).to_bytes(2, "big"))

    def test_strict_that_never_reads(self) -> None:
        """A strict client that lost events is closed with 4108 even while its socket is full."""
        _, _, written = self.paused(policy="strict")
        for _ in range(9):
            self.relay.publish()
        self.relay.clock.advance(1)
        self.assertEqual(written[-1][2:4], (4108).to_bytes(2, "big"))

    def test_never_reads(self) -> None:
        """A client that takes no byte is aborted, however much it says meanwhile; one that takes some is not."""
        client, server, _ = self.paused()
        for second in range(int(websocket.STUCK_AFTER) - 1):
            self.assertFalse(client.lost, second)
            client.send_frame(PONG, b"")
            self.tick(client, 1)
        self.assertFalse(client.lost)
        self.tick(client, 1)
        self.tick(client, 1)
        self.assertTrue(client.lost)
        self.assertEqual(self.relay.metrics.value(CLOSED, "1006"), 1)
        client, server, _ = self.paused()
        for _ in range(3 * int(websocket.STUCK_AFTER)):
            client.send_frame(PONG, b"")
            self.tick(client, 1)
            server.resumeProducing()
            server.pauseProducing()
        self.assertFalse(client.lost)

    def test_broken(self) -> None:
        """A connection that breaks is counted as one that was aborted; one that somebody closed is not, once more."""
        for reason, ended, count in (
            (ConnectionLost(), None, 1),
            (TCPTimedOutError(), None, 1),
            (ConnectionDone(), None, 0),
            (ConnectionAborted(), None, 0),
            (ConnectionLost(), Close.SLOW, 0),
        ):
            with self.subTest(reason=reason, ended=ended):
                _, server, _ = self.paused()
                if ended is not None:
                    server.end(ended, "slow")
                server.connectionLost(Failure(reason))
                self.assertEqual(self.relay.metrics.value(CLOSED, "1006"), count)
                self.assertEqual(self.relay.clients.hub.cohorts, 0)

    def test_answers_are_bounded(self) -> None:
        """A client that asks and does not read the answers is closed with 4108."""
        self.patch(websocket, "ANSWERS_LIMIT", 20_000)  # reached before the socket has been full for too long
        client, server, written = self.paused()
        for number in range(5000):
            self.relay.clock.advance(0.1)
            client.send("nonsense", number)
            client.pump.flush()
            if server.closing:
                break
        self.assertLess(sum(map(len, written)), websocket.ANSWERS_LIMIT + 200)
        self.assertEqual(written[-1][2:4], (4108).to_bytes(2, "big"))

    def test_others_do_not_wait(self) -> None:
        """Another client gets its events meanwhile."""
        self.paused()
        other = self.client()
        self.tell(other, "sub", 1, {"id": "a", "topics": ["#"]})
        self.relay.publish()
        self.tick(other)
        self.assertEqual(len(other.events()), 1)

    def test_standings(self) -> None:
        """Whose socket is full is among the slowest, with how far it is behind and for how long."""
        client, _, _ = self.paused(policy="strict")
        self.relay.publish()
        self.relay.publish()
        self.relay.clock.advance(2)
        (standing,) = self.relay.clients.standings()
        self.assertEqual(
            ("s1", "websocket", 2, "strict"), (standing.session, standing.face, standing.behind, standing.policy)
        )
        self.assertGreaterEqual(standing.paused_for, 2)
        self.assertEqual(1, self.relay.metrics.value(CLIENTS_BEHIND))
        self.server(client).resumeProducing()
        self.assertEqual([], list(self.relay.clients.standings()))
