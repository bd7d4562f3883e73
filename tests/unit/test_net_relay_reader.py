"""A client of a relay through connections that come and go, against the real server side, in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from streamer.net import relay_socket
from streamer.net.relay_address import DEFAULT, read
from streamer.net.relay_following import Following, Wish
from streamer.net.relay_frames import Lag, Subscribed
from streamer.net.relay_reader import RelayReader, RelayRefused
from streamer.net.relay_socket import RelaySocketFactory, Talk
from streamer.policy.rejoin import CAP, Rejoin
from tests.unit.test_net_websocket import Relay


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.bodies: list[bytes] = []
        self.said: list[Any] = []
        self.then: Callable[[], None] = lambda: None

    def connected(self, facts: Subscribed) -> None:
        """Once a subscription."""
        self.said.append(facts)

    def events(self, bodies: Sequence[bytes]) -> None:
        """Some of them."""
        self.bodies += bodies
        self.ids += [json.loads(body)["id"] for body in bodies]
        self.then()

    def lagged(self, facts: Lag) -> None:
        """A loss."""
        self.said.append(facts)

    def waiting(self, sentence: str, seconds: float) -> None:
        """An end."""
        self.said.append((sentence, seconds))


class Canned(Protocol):
    """A server that only says what it is told to."""

    def __init__(self) -> None:
        self.asked = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.asked += data

    def connectionLost(self, reason: Any = None) -> None:
        """Remember it."""
        self.lost = True


class Places:
    """An endpoint whose connections lead to a relay in memory, or to what a test puts there."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.pumps: list[IOPump] = []
        self.next: list[Any] = []  # instead of the relay: a Canned, an exception, a Deferred

    def connect(self, factory: Any) -> Deferred[Any]:
        """As an endpoint does."""
        instead = self.next.pop(0) if self.next else None
        if isinstance(instead, Deferred):
            return instead
        if isinstance(instead, Exception):
            return fail(instead)
        client = factory.buildProtocol(None)
        address = IPv4Address("TCP", "192.0.2.7", 4711)
        if instead is None:
            server: Any = self.relay.site.buildProtocol(address)
            server.callLater = self.relay.clock.callLater
        else:
            server = instead
        pump = connect(server, FakeTransport(server, True, peerAddress=address), client, FakeTransport(client, False))
        self.pumps.append(pump)
        return succeed(client)


class ReaderTestCase(SynchronousTestCase):
    """A reader beside a relay."""

    def setUp(self) -> None:
        self.relay = Relay(entries=100)
        self.clock = self.relay.clock
        self.places = Places(self.relay)
        self.heard = Heard()
        self.reading: Deferred[None] | None = None

    def read(self, **wish: Any) -> Deferred[None]:
        """Begin to read."""
        following = Following(Wish(**{"topics": ("post.#",), **wish}))
        rejoin = Rejoin(lambda low, high: high)
        self.reader = RelayReader(read(DEFAULT), self.places, self.clock, following, rejoin, self.heard, "tests")
        self.reading = self.reader.start()
        self.flush()
        return self.reading

    def flush(self, seconds: float = 0.0) -> None:
        """Let time pass, and carry bytes."""
        self.clock.advance(seconds)
        for pump in list(self.places.pumps):
            pump.flush()

    def tick(self, seconds: float = 0.02) -> None:
        """Let what was published be written, and read."""
        self.flush(seconds)
        self.flush()

    def publish(self, *topics: str, **more: Any) -> None:
        """Put events into the log; their ids are post:1, post:2, …"""
        for topic in topics:
            self.relay.publish(topic, **more)
        self.tick()

    def stop(self) -> None:
        """Cancel, and see that nothing is left."""
        assert self.reading is not None
        self.reading.cancel()
        self.flush()
        self.failureResultOf(self.reading, CancelledError)
        self.quiet()

    def quiet(self) -> None:
        """Nobody has a timer or a connection."""
        self.flush()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(0, len(self.relay.clients))

    def cut(self) -> None:
        """The network fails."""
        self.places.pumps[-1].serverIO.abortConnection()
        self.flush()

    def server(self) -> Any:
        """The other end of the last connection, speaking websocket by now."""
        return self.places.pumps[-1].serverIO.protocol


class FollowingTests(ReaderTestCase):
    """What is read."""

    def test_live(self) -> None:
        """Matching events come in order, each as it is on the bus, from now on."""
        self.publish("post.old")
        self.read()
        self.publish("post.a", "geo.a", "post.b")
        self.assertEqual(["post:2", "post:4"], self.heard.ids)
        self.assertEqual([False], [b"\n" in body for body in self.heard.bodies[:1]])
        self.assertEqual([True], [said.recovered for said in self.heard.said])
        self.stop()

    def test_history(self) -> None:
        """`last` and `since` begin earlier."""
        self.publish(*["post.x"] * 5)
        self.read(last=2)
        self.assertEqual(["post:4", "post:5"], self.heard.ids)
        position = self.reader.following.position
        self.stop()
        self.heard.ids.clear()
        self.publish("post.x")
        self.read(since=position)
        self.assertEqual(["post:6"], self.heard.ids)
        self.stop()

    def test_resumes(self) -> None:
        """After a cut nothing is lost and nothing comes twice, as often as it happens."""
        self.read()
        for number in range(5):
            self.publish("post.x", "post.x")
            self.cut()
            self.publish("post.y")  # while nobody is connected
            self.tick(CAP)
            self.assertEqual([f"post:{n}" for n in range(1, 3 * number + 4)], self.heard.ids)
        self.stop()

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.sampled_from(["publish", "cut", "tick", "wait", "end", "drain"]), max_size=25))
    def test_any_interleaving(self, steps: list[str]) -> None:
        """Whatever is published and cut in whatever order, everything comes once and in order."""
        self.setUp()
        self.read()
        for step in steps:
            if step == "publish":
                self.relay.publish("post.x")
            elif step in ("tick", "wait"):
                self.tick(0.02 if step == "tick" else 3.0)
            elif len(self.relay.clients):
                self.interrupt(step)
        for _ in range(4):
            self.tick(CAP + 1)
        self.assertEqual([f"post:{n + 1}" for n in range(self.relay.offset)], self.heard.ids)
        self.assertEqual(0, self.reader.following.repeated)
        self.stop()

    def interrupt(self, how: str) -> None:
        """End the connection in one of the ways there are; what is under way may be lost with it."""
        if how == "cut":
            self.places.pumps[-1].serverIO.abortConnection()
        elif how == "end":
            self.server().end(4200, "forgotten: you")
        else:
            self.server().answer([self.server().session.draining(500)])
        self.flush()

    def test_waits_longer_each_time(self) -> None:
        """Full jitter: the reach doubles from half a second, and begins anew after a connection that served."""
        self.read()
        waits = []
        for _ in range(3):
            self.cut()
            waits.append(self.heard.said[-1][1])
            self.tick(waits[-1])
        self.assertEqual([0.5, 1.0, 2.0], waits)
        self.tick(11)
        self.cut()
        self.assertEqual(0.5, self.heard.said[-1][1])
        self.stop()

    def test_lag(self) -> None:
        """What the relay counts as lost is told, and reading goes on."""
        self.read()
        self.publish("post.x")
        self.server().pauseProducing()
        self.publish(*["post.x"] * 150)
        self.server().resumeProducing()
        self.tick()
        self.publish("post.x")
        (lag,) = [said for said in self.heard.said if isinstance(said, Lag)]
        self.assertEqual(152, lag.skipped + len(self.heard.ids))
        self.assertEqual("post:152", self.heard.ids[-1])
        self.stop()

    def test_not_recovered(self) -> None:
        """Where the relay has forgotten the position, it says why, and what it still has comes once."""
        self.read()
        self.publish("post.x")
        self.cut()
        self.publish(*["post.x"] * 300)
        self.tick(CAP)
        facts = self.heard.said[-1]
        self.assertEqual((False, "expired"), (facts.recovered, facts.reason))
        self.assertEqual(["post:1", *(f"post:{n}" for n in range(202, 302))], self.heard.ids)
        self.stop()

    def test_long_quiet(self) -> None:
        """A connection on which only heartbeats come stays."""
        self.read()
        for _ in range(300):
            self.tick(1)
        self.assertEqual(1, len(self.places.pumps))
        self.stop()

    def test_many_connections_leave_nothing(self) -> None:
        """A reader that is cancelled while it waits, or connects, stops at once."""
        self.read()
        self.cut()
        self.stop()
        self.places.next = [Deferred()]
        self.read()
        self.stop()


class EndTests(ReaderTestCase):
    """How connections end, and what follows."""

    def refused(self) -> str:
        """Why the reader gave up."""
        assert self.reading is not None
        failure = self.failureResultOf(self.reading, RelayRefused)
        self.quiet()
        return str(failure.value)

    def canned(self, answer: bytes) -> Canned:
        """A reader of a server that answers that."""
        server = Canned()
        self.places.next = [server]
        self.read()
        self.say(server, answer)
        return server

    def say(self, server: Canned, data: bytes) -> None:
        """The server says something."""
        assert server.transport is not None
        server.transport.write(data)
        self.flush()

    def test_nobody_there(self) -> None:
        """A first connection that is refused ends it with a sentence; a later one only has it wait."""
        self.places.next = [ConnectionRefusedError("no")]
        self.read()
        self.assertIn(f"{DEFAULT} cannot be reached: ", self.refused())
        self.read()
        self.places.next = [ConnectionRefusedError("no")] * 3
        self.cut()
        self.tick(0.5)
        self.assertIn("cannot be reached", self.heard.said[-1][0])
        self.tick(10)
        self.tick(10)
        self.tick(10)
        self.publish("post.x")
        self.assertEqual(["post:1"], self.heard.ids)
        self.stop()

    def test_close_codes(self) -> None:
        """40xx are final, 41xx back off, 42xx and 1012 come back soon; the relay's words are passed on."""
        for code, wait in ((4108, 0.5), (4200, 5.0), (1012, 5.0), (1000, 0.5), (4001, None), (1009, None)):
            with self.subTest(code=code):
                self.read()
                self.server().end(code, "word: a sentence")
                self.tick()
                if wait is None:
                    self.assertEqual(f"the relay closed the connection with {code}: word: a sentence", self.refused())
                else:
                    self.assertEqual(wait, self.heard.said[-1][1])
                    self.assertIn("word: a sentence", self.heard.said[-1][0])
                    self.stop()

    def test_refusals(self) -> None:
        """A pattern that cannot be is refused in the relay's words."""
        self.read(topics=("post..x",))
        self.assertIn("the relay refuses: ", self.refused())

    def test_busy(self) -> None:
        """503 is tried again after what Retry-After asks for, with its sentence on the screen."""
        body = b"the relay is full\n"
        head = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Type: text/plain; charset=utf-8\r\n"
        server = self.canned(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:4])
        self.assertEqual([], self.heard.said)
        self.say(server, body[4:])
        self.assertEqual([("the server refuses the websocket: 503 the relay is full", 7.5)], self.heard.said)
        self.assertTrue(server.lost)
        self.tick(7.5)
        self.publish("post.x")
        self.assertEqual(["post:1"], self.heard.ids)
        self.stop()

    def test_forbidden(self) -> None:
        """The relay's own refusals are shown with their sentence, whole or cut short."""
        self.places.next = []
        self.relay.admission.total = 10_000
        self.relay.admission.limit = 0
        self.read()
        self.flush()
        self.assertEqual(503, int(self.heard.said[-1][0].split(": ")[1][:3]))
        self.relay.admission.total = 0
        self.stop()
        server = self.canned(b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nnot y")
        assert server.transport is not None
        server.transport.loseConnection()
        self.flush()
        self.assertEqual("the server refuses the websocket: 403 not y", self.refused())

    def test_no_relay(self) -> None:
        """What is no websocket, or none of a relay's, is told as such."""
        for answer, said in (
            (b"220 mail.example ESMTP\r\n", "no web server"),
            (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<b>", "404 Not Found"),
            (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "handshake is wrong"),
            (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX: \xff\r\n\r\n", "not ASCII"),
            (b"HTTP/1.1 101 Fine\r\n" + b"X: " + b"y" * 20_000, "headers of the answer are longer"),
        ):
            with self.subTest(answer=answer[:30]):
                server = self.canned(answer)
                self.assertIn(said, self.refused())
                self.assertTrue(server.lost)

    def test_handshake(self) -> None:
        """It asks for the one subprotocol, of the host as it stands in the address, and offers no compression."""
        server = Canned()
        self.places.next = [server]
        factory = RelaySocketFactory(read("ws://[::1]:8080/a?b=c"), Talk(list, lambda said: 1.0), self.clock, "me")
        self.successResultOf(self.places.connect(factory))
        self.flush()
        head = server.asked.decode()
        self.assertTrue(head.startswith("GET /a?b=c HTTP/1.1\r\nUser-Agent: me\r\nHost: [::1]:8080\r\n"), head)
        self.assertIn("\r\nSec-WebSocket-Protocol: relay.v1.json\r\n", head)
        self.assertNotIn("Extensions", head)
        self.assertNotIn("Origin", head)
        self.say(server, b"no")
        self.quiet()

    def test_silence(self) -> None:
        """A relay that says nothing is left after the heartbeat and ten seconds; one that never answers, sooner."""
        self.read()
        pump = self.places.pumps.pop()  # from now on nothing gets through
        for _ in range(35):
            self.clock.advance(1)
        pump.flush()
        self.assertEqual("nothing was heard of the relay for 35 s", self.heard.said[-1][0])
        self.stop()
        self.places.next = [Canned()]
        self.read()
        for _ in range(10):
            self.tick(1)
        self.assertIn("nothing was heard", self.refused())

    def test_answers_in_drops(self) -> None:
        """An answer must be there ten seconds after the connection, however busily it is being said."""
        server = self.canned(b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n")
        for _ in range(10):
            self.say(server, b"x")
            self.assertFalse(server.lost)
            self.tick(1)
        self.assertEqual(f"the server refuses the websocket: 403 {'x' * 10}", self.refused())

    def test_we_were_away(self) -> None:
        """Where our own timer is late, what the relay said meanwhile is read before anything is concluded."""
        self.read()
        pump = self.places.pumps[-1]
        self.relay.publish("post.x")
        self.clock.advance(0.02)
        self.places.pumps.clear()
        self.clock.advance(60)  # the pipe was full, say
        self.places.pumps.append(pump)
        self.flush()
        self.assertEqual((["post:1"], 1), (self.heard.ids, len(self.heard.said)))
        self.stop()

    def test_draining(self) -> None:
        """A relay that drains is left when it asks for, and the next connection comes at that time, not before."""
        self.read()
        session = self.server().session
        self.server().answer([session.draining(1663)])
        self.flush()
        self.server().end(1012, "the relay restarts")
        self.tick(0)
        wait = self.heard.said[-1][1]
        self.assertEqual(1.663, round(wait, 3))
        self.tick(wait)
        self.publish("post.x")
        self.assertEqual(["post:1"], self.heard.ids)
        self.server().answer([self.server().session.draining(3326)])
        self.flush()
        self.tick(3.5)
        self.assertEqual(("the relay is about to stop", 0.0), self.heard.said[-2])
        self.publish("post.x")
        self.assertEqual(["post:1", "post:2"], self.heard.ids)
        self.stop()

    def test_nonsense(self) -> None:
        """A message that is none of the protocol's, and one that is too long, end the connection, not the reader."""
        self.patch(relay_socket, "MESSAGE_LIMIT", 1000)
        for data in (
            b"\x81\x02{}",
            b"\x81\x04[[]]",
            b"\x81\x7e\x04\x00" + b" " * 1024,
            b"\x83\x00",
            b"\x81\x02\xff\xff",
        ):
            with self.subTest(data=data[:4]):
                self.read()
                self.server().transport.write(data)
                self.tick()
                self.assertIn("the relay sent ", self.heard.said[-1][0])
                self.stop()

    def test_unknown_words(self) -> None:
        """Frames and keys of a later version are passed over."""
        self.read()
        self.server().transport.write(b'\x81\x0e["later",{},1]')
        self.server().transport.write(b'\x81\x11["pos","v1",{},3]')
        self.publish("post.x")
        self.assertEqual((["post:1"], 1), (self.heard.ids, len(self.heard.said)))
        self.stop()

    def test_listener_fails(self) -> None:
        """What the listener raises ends the reader with it, once the connection is gone."""

        def full() -> None:
            raise BrokenPipeError

        self.heard.then = full
        reading = self.read()
        self.publish("post.x", "post.x")
        self.flush()
        self.assertIsInstance(self.failureResultOf(reading), Failure)
        self.quiet()
        self.assertEqual(["post:1", "post:2"], self.heard.ids)

    def test_deaf_at_the_end(self) -> None:
        """A relay that does not answer our close frame is left after a second."""
        reading = self.read()
        pump = self.places.pumps.pop()
        pump.clientIO.disconnecting = False
        reading.cancel()
        self.assertNoResult(reading)
        self.clock.advance(1)
        pump.flush()
        self.failureResultOf(reading, CancelledError)
        self.quiet()
