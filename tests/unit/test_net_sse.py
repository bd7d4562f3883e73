"""Server-sent events, in memory: the site, the connection taken from it, and the fan-out."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.test.iosim import IOPump

from streamer.fanout.position import written
from streamer.fanout.protocol import Close
from streamer.metrics import CLOSED, DELIVERED, HANDSHAKES
from streamer.net import admission, sse, works
from streamer.net import clients as clients_module
from streamer.net.websocket import STUCK_AFTER
from streamer.testing.event_source import EventSource
from tests.unit.facing import HOST, ORIGIN, Asking, FacesTestCase, Facing, Keys

ALL = "/events?topics=post.%23"


class StreamTestCase(FacesTestCase):
    """Opens streams."""

    def open(self, path: str = ALL, **more: Any) -> tuple[EventSource, IOPump]:
        client = EventSource(path, **more)
        return client, self.relay.connect(client)

    def tick(self, pump: IOPump, seconds: float = 0.01) -> None:
        self.relay.clock.advance(seconds)
        pump.flush()

    def hang_up(self, client: EventSource, pump: IOPump) -> None:
        assert client.transport is not None
        client.transport.loseConnection()
        pump.flush()

    def ids(self, client: EventSource) -> list[str]:
        return [event["id"] for event in client.named("streamer.post")]


class EventsTests(StreamTestCase):
    """What a client is sent."""

    def test_head(self) -> None:
        """The answer's head is that of a stream that nobody holds back, and has the site's own headers."""
        client, pump = self.open()
        assert client.head is not None
        lines = client.head.split("\r\n")
        self.assertEqual("HTTP/1.1 200 OK", lines[0])
        for line in (
            "Content-Type: text/event-stream",
            "Cache-Control: no-store",
            "X-Accel-Buffering: no",
            "Connection: close",
            "Vary: origin",
            "X-Content-Type-Options: nosniff",
        ):
            self.assertIn(line, lines)
        self.assertNotIn("Content-Encoding", client.head)
        self.assertNotIn("Access-Control", client.head)
        self.hang_up(client, pump)
        self.assert_quiet("sse")

    def test_events(self) -> None:
        """First when to come back and what was found, then history, then what comes, as it comes."""
        for _ in range(3):
            self.relay.publish()
        client, pump = self.open(ALL + "&last=2")
        low, high = sse.RETRY_MS
        self.assertTrue(low <= (client.retry_ms or 0) <= high, client.retry_ms)
        facts = {"position": self.relay.position(1), "replayed": 2, "recovered": True}
        self.assertEqual([facts], client.named("streamer.subscribed"))
        self.relay.publish("post.x.en")
        self.relay.publish("geo.x")
        self.tick(pump)
        self.assertEqual(["post:2", "post:3", "post:4"], self.ids(client))
        self.assertEqual(self.relay.position(4), client.last_id)
        self.assertEqual(3, self.relay.metrics.value(DELIVERED))
        self.assertEqual(1, self.relay.metrics.value(HANDSHAKES, "sse", "accepted"))
        self.hang_up(client, pump)
        self.assert_quiet("sse")

    def test_http_1_0(self) -> None:
        """A client of HTTP/1.0, as a proxy may be, gets the same without chunks."""
        client, pump = self.open(version="1.0")
        self.relay.publish()
        self.tick(pump)
        self.assertNotIn("chunked", client.head or "")
        self.assertEqual(["post:1"], self.ids(client))
        self.relay.clients.stop()
        pump.flush()
        self.assertTrue(client.lost)
        self.assert_quiet("sse")

    def test_shared(self) -> None:
        """Clients that hear the same are sent the very same bytes."""
        written_to: list[bytes] = []
        for _ in range(2):
            _, pump = self.open()
            self.patch(pump.serverIO, "write", written_to.append)
        self.relay.publish()
        self.relay.clock.advance(0)
        self.assertEqual(2, len(written_to))
        self.assertIs(written_to[0], written_to[1])

    def test_where_it_begins(self) -> None:
        """The header counts before `last_event_id`, that before `since`; `last` stands in where they cannot be had."""
        for _ in range(5):
            self.relay.publish()
        at = [self.relay.position(place) for place in range(6)]
        for query, last_id, first in (
            (f"&since={at[1]}", "", "post:2"),
            (f"&since={at[1]}&last_event_id={at[2]}", "", "post:3"),
            (f"&since={at[1]}&last_event_id={at[2]}", at[3], "post:4"),
            (f"&since={at[1]}&last=1", "v1.00000000.3", "post:5"),
            ("&last=1", "x" * 65, "post:5"),
            (f"&last=1&since={at[1]}{'0' * 65}", "", "post:5"),
        ):
            client, pump = self.open(ALL + query, last_id=last_id)
            with self.subTest(query=query, last_id=last_id):
                self.assertEqual(first, self.ids(client)[0])
                self.assertEqual(first != "post:5", client.named("streamer.subscribed")[0]["recovered"])
            self.hang_up(client, pump)

    def test_ahead(self) -> None:
        """A position that is on its way here is waited for."""
        client, pump = self.open(f"{ALL}&since={written('/sources/x#post:2', 2)}")
        self.assertEqual([], client.sent)
        for _ in range(3):
            self.relay.publish()
        self.tick(pump, 1)
        self.tick(pump, 1)
        self.assertEqual([True], [facts["recovered"] for facts in client.named("streamer.subscribed")])
        self.assertEqual(["post:3"], self.ids(client))

    def test_heartbeat(self) -> None:
        """Where nothing matches, the position is told all the same, and dispatches nothing."""
        client, pump = self.open("/events?topics=none.%23")
        heard = 0
        for _ in range(60):
            self.relay.publish()
            before = client.last_id
            self.tick(pump, 1)
            heard += client.last_id != before
        self.assertEqual((1, True), (len(client.sent), 2 <= heard <= 4))

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("publish"), st.integers(1, 3)),
                st.tuples(st.just("tick"), st.sampled_from([0.0, 0.01, 1.0, 30.0])),
                st.tuples(st.just("reconnect"), st.booleans()),
                st.tuples(st.just("pause"), st.booleans()),
            ),
            max_size=30,
        )
    )
    def test_reconnecting(self, steps: list[tuple[str, Any]]) -> None:
        """However the connection comes and goes, and the socket fills, each event comes once and in order."""
        self.relay = Facing()
        client, pump = self.open()
        got: list[str] = []

        def again(cut: bool) -> None:
            nonlocal client, pump
            got.extend(self.ids(client))
            last = client.last_id
            if cut:
                pump.serverIO.protocol.pauseProducing()  # what is not on the wire yet is lost with the connection
            self.hang_up(client, pump)
            client, pump = self.open(last_id=last)

        for step, value in steps:
            if step == "publish":
                for number in range(value):
                    self.relay.publish("post.x" if number % 2 == 0 else "geo.x")
            elif step == "tick":
                self.tick(pump, value)
            elif step == "reconnect":
                pump.flush()
                again(value)
            elif value:
                pump.serverIO.protocol.pauseProducing()
            else:
                pump.serverIO.protocol.resumeProducing()
            if client.lost:  # its socket was full for too long
                again(False)
        pump.serverIO.protocol.resumeProducing()
        for _ in range(3):
            self.tick(pump)
        wanted = [
            journaled.message_id.partition("#")[2]
            for journaled in map(self.relay.hub.journal.__getitem__, range(self.relay.hub.journal.head))
            if journaled.topic == "post.x"
        ]
        self.assertEqual(wanted, got + self.ids(client))
        self.hang_up(client, pump)
        self.assert_quiet("sse")


class RefusalTests(StreamTestCase):
    """Who is not let in, and what for."""

    def test_refused(self) -> None:
        """What cannot be served is answered by its status and JSON that says why, and leaves nothing behind."""
        for path, code, word in (
            ("/events", 400, "bad-request"),
            ("/events?topics=", 400, "bad-topic"),
            ("/events?topics=post.", 400, "bad-topic"),
            ("/events?topics=post.a%23", 400, "bad-topic"),
            ("/events?topics=" + ",".join(map(str, range(21))), 400, "bad-request"),
            (ALL + "&last=501", 400, "bad-request"),
            (ALL + "&last=x", 400, "bad-request"),
            (ALL + "&last=1&last=2", 400, "bad-request"),
            (ALL + "&policy=none", 400, "bad-request"),
            (ALL + "&filter=x", 400, "bad-request"),
            (ALL + "&access_token=x", 400, "bad-request"),
            (ALL + "&last=%ff", 400, "bad-request"),
        ):
            answer = self.relay.get(path)
            with self.subTest(path=path):
                self.assertEqual((code, word), (answer.code, answer.json["error"]["code"]))
                self.assertEqual("no-store", answer.headers["cache-control"])
        self.assertIn("%23", self.relay.get("/events?topics=post.").json["error"]["message"])
        for policy in ("none", "x" * 1000):
            said = self.relay.get(f"{ALL}&policy={policy}").json["error"]["message"]
            self.assertTrue(said.endswith("; policy is one of skip, strict, conflate"), said)
            self.assertLess(len(said), 400)
        self.assertEqual(3 + 1, self.relay.metrics.value(HANDSHAKES, "sse", "bad-topic"))
        self.assert_quiet("sse")

    def test_for_now(self) -> None:
        """Who asks for an event stream and is refused for now is given one that says when to come back, and ends: a
        browser's EventSource gives up for good at any other status.
        """
        event_stream = {"Accept": "text/event-stream", "Origin": ORIGIN}
        low, high = sse.LATER_MS
        retries: set[int] = set()

        def refused(code: str, **headers: str) -> None:
            client, pump = self.open(headers=(f"Origin: {ORIGIN}", *(f"{name}: {headers[name]}" for name in headers)))
            assert client.head is not None
            with self.subTest(code=code):
                self.assertTrue(client.head.startswith("HTTP/1.1 200 OK\r\n"), client.head)
                for line in ("Content-Type: text/event-stream", "Cache-Control: no-store", f"Origin: {ORIGIN}"):
                    self.assertIn(line, client.head)
                self.assertIn(f"Content-Length: {len(client.body)}\r\n", client.head + "\r\n")  # its end is told
                ((facts,), (name,)) = client.named("streamer.error"), {sent.event for sent in client.sent}
                self.assertEqual((code, True, "streamer.error"), (facts["code"], facts["retry"], name))
                self.assertTrue(low <= (client.retry_ms or 0) <= high, client.retry_ms)
                self.assertEqual("", client.last_id)  # what it heard last stays
                self.assertEqual(1, self.relay.metrics.value(HANDSHAKES, "sse", code))
            retries.add(client.retry_ms or 0)
            if not client.lost:
                self.hang_up(client, pump)
            self.assert_quiet("sse")

        self.relay = Facing(limit=0)
        refused("full")
        self.assertEqual(503, self.relay.get(ALL).code)
        self.assertEqual(503, self.relay.get(ALL, Accept="*/*").code)
        self.patch(admission, "BURST_LEAST", 0.0)
        self.relay = Facing(per_address=0)
        self.patch(self.relay.admission, "limit_per_address", 1)
        self.hang_up(*self.open())
        refused("rate")
        self.relay = Facing(authority=Keys())
        refused("token", Authorization="Bearer later")
        self.assertEqual(401, self.relay.get(ALL, Authorization="Bearer bad", **event_stream).code)
        self.assertEqual(401, self.relay.get(ALL, **event_stream).code)
        self.assertEqual(403, self.relay.get("/events?topics=x", Authorization="Bearer soon", **event_stream).code)
        self.assertEqual(400, self.relay.get("/events?topics=a..b", **event_stream).code)
        self.assertEqual(403, self.relay.get(ALL, **{**event_stream, "Origin": "https://evil.example"}).code)
        self.relay = Facing()
        self.relay.entrance.close()
        refused("restarting")
        self.assertEqual(503, self.relay.get(ALL, "HEAD", **event_stream).code)
        self.assertEqual(503, self.relay.get("/poll?topics=x", **event_stream).code)
        answer = self.relay.get(ALL, **event_stream)
        self.assertEqual((200, "close"), (answer.code, answer.headers["connection"]))
        self.assert_quiet("sse")
        self.assertGreater(len(retries), 1)  # each its own time

    def test_accept(self) -> None:
        """What counts as asking for an event stream."""
        self.relay = Facing(limit=0)
        for accept, taken in (
            ("text/event-stream", True),
            ("text/html, Text/Event-Stream ;q=0.5", True),
            ("text/event-stream;charset=utf-8", True),
            ("*/*", False),
            ("text/*", False),
            ("text/event-stream;q=0", False),
            ("text/event-stream; q=0.000, */*", False),
            ("text/event-streams", False),
        ):
            with self.subTest(accept=accept):
                self.assertEqual(200 if taken else 503, self.relay.get(ALL, Accept=accept).code)

    def test_topics(self) -> None:
        """Patterns stand between commas or one by one; `topic` takes one whole."""
        client, pump = self.open("/events?topics=a.%23,b&topics=c&topic=d%2Ce")
        for topic in ("a.x", "b", "c", "d,e", "d", "e"):
            self.relay.publish(topic)
        self.tick(pump)
        self.assertEqual(["a.x", "b", "c", "d,e"], [event["topic"] for event in client.named("streamer.post")])

    def test_origins(self) -> None:
        """A page of an origin on the list is let in and may read; any other, and `null`, is not."""
        answer = self.relay.get(ALL, "HEAD", Origin=ORIGIN)
        self.assertEqual((200, ORIGIN), (answer.code, answer.headers["access-control-allow-origin"]))
        for origin in ("https://relay.example.evil", "null", "https://\udcff"):
            answer = self.relay.get(ALL, Origin=origin.encode("utf-8", "surrogateescape").decode("latin-1"))
            with self.subTest(origin=origin):
                self.assertEqual((403, "origin"), (answer.code, answer.json["error"]["code"]))
                self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_methods(self) -> None:
        """HEAD says what GET would; anything else is not there."""
        head = self.relay.get(ALL, "HEAD")
        self.assertEqual((200, b"", "text/event-stream"), (head.code, head.body, head.headers["content-type"]))
        self.assertEqual(405, self.relay.get(ALL, "POST").code)
        self.assertEqual(405, self.relay.get("/status.json", "OPTIONS").code)
        self.assert_quiet("sse")

    def test_asked_beforehand(self) -> None:
        """A page of a listed origin may show a token, which its browser asks about first."""
        answer = self.relay.get(ALL, "OPTIONS", Origin=ORIGIN, Access_Control_Request_Headers="authorization")
        self.assertEqual((204, ORIGIN), (answer.code, answer.headers["access-control-allow-origin"]))
        self.assertIn("authorization", answer.headers["access-control-allow-headers"])
        self.assertNotIn("content-length", answer.headers)
        self.assertEqual(403, self.relay.get("/poll", "OPTIONS", Origin="https://evil.example").code)
        self.assert_quiet("sse")

    def test_tokens(self) -> None:
        """Grants decide: 401 without a token or with a bad one, 403 with one that is not enough."""
        self.relay = Facing(authority=Keys())
        for path, token, code, word in (
            (ALL, "", 401, "forbidden"),
            (ALL, "bad", 401, "token"),
            (ALL, "later", 503, "token"),
            ("/events?topics=geo.%23", "soon", 403, "forbidden"),
        ):
            shown = {"Authorization": f"Bearer {token}"} if token else {}
            answer = self.relay.get(path, **shown)
            with self.subTest(path=path, token=token):
                self.assertEqual((code, word), (answer.code, answer.json["error"]["code"]))
                self.assertEqual(code != 503, "www-authenticate" in answer.headers)
        self.assertEqual(200, self.relay.get("/events?topics=open.x", "HEAD").code)

    def test_token_ends(self) -> None:
        """A stream ends with the token it was opened with, and says so."""
        self.relay = Facing(authority=Keys())
        client, pump = self.open(headers=("Authorization: Bearer soon",))
        self.tick(pump, 8)
        self.assertFalse(client.ended)
        self.tick(pump, 2)
        self.tick(pump, 1)
        self.assertEqual(["token"], [facts["code"] for facts in client.named("streamer.error")])
        self.assertTrue(client.ended)
        self.assertEqual(1, self.relay.metrics.value(CLOSED, "4001"))

    def test_places(self) -> None:
        """Streams take the places that websockets take, and give them back."""
        self.relay = Facing(limit=3, per_address=2)
        streams = [self.open() for _ in range(2)]
        answer = self.relay.get(ALL)
        self.assertEqual((503, "10"), (answer.code, answer.headers["retry-after"]))
        self.assertEqual(200, self.relay.get(ALL, "HEAD").code)
        other = self.relay.ask(ALL, host="192.0.2.2")
        self.assertEqual(3, self.relay.admission.total)
        self.assertEqual(503, self.relay.get(ALL, host="192.0.2.3").code)
        self.hang_up(*streams[0])
        other.hang_up()
        self.assertEqual(1, self.relay.admission.total)
        self.hang_up(*streams[1])
        self.assert_quiet("sse")

    def test_too_fast(self) -> None:
        """Streams are handshakes, too: who begins too many of them is asked to come back later, and holds no place."""
        self.patch(admission, "BURST_LEAST", 2.0)
        self.relay = Facing(per_address=2)
        for _ in range(2):
            self.hang_up(*self.open())
        answer = self.relay.get(ALL)
        self.assertEqual((503, "rate"), (answer.code, answer.json["error"]["code"]))
        self.assertTrue(1 <= int(answer.headers["retry-after"]) <= admission.AFTER_LIMIT)
        self.relay.clock.advance(admission.RETURN_WITHIN)
        self.hang_up(*self.open())
        self.assert_quiet("sse")

    def test_work(self) -> None:
        """An address that has the journal searched again and again must wait; others need not."""
        self.relay = Facing(entries=20_000)
        for _ in range(500):
            self.relay.publish("x")
        self.patch(works, "WORK_UNIT", 10)
        path = "/poll?wait=0&last=1&topics=" + ",".join(f"rare.{number}" for number in range(10))
        self.assertEqual([200, 429, 429], [self.relay.get(path).code for _ in range(3)])
        self.assertEqual(200, self.relay.get(path, host="192.0.2.2").code)
        self.relay.clock.advance(60)
        self.assertEqual(200, self.relay.get(path).code)
        for _ in range(300):
            self.assertEqual(200, self.relay.get("/poll?wait=0&topics=x", host="192.0.2.9").code)

    def test_after_the_request(self) -> None:
        """What a client sends after its request is dropped: no request is read from it, and too much ends it."""
        asking = self.relay.ask(ALL)
        asking.send("/status.json")
        self.assertNotIn(b"200 OK", asking.transport.value()[20:])
        asking.transport.protocol.dataReceived(b"x" * sse.IGNORED_LIMIT)
        self.assertTrue(asking.transport.disconnected)
        asking.hang_up()
        both = Asking(self.relay.site, self.relay.clock, HOST)
        both.channel.dataReceived(
            f"GET {ALL} HTTP/1.1\r\nHost: x\r\n\r\nGET /status.json HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        both.channel.rawDataReceived(b"x" * 20_000)
        self.assertEqual("producing", both.transport.producerState)  # or its end would go unnoticed
        self.relay.clock.advance(60)
        self.assertEqual(1, both.transport.value().count(b"200 OK"))
        both.hang_up()
        self.assert_quiet("sse")


class Narrow(StringTransport):
    """A socket whose client reads nothing: it is full from the start, and `pauseProducing` is called as TCP would."""

    room = 65_536  # bytes, as Twisted's FileDescriptor.bufferSize

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.value()) > self.room and self.producerState == "producing" and self.producer is not None:
            self.producer.pauseProducing()


class SlowTests(StreamTestCase):
    """Clients that do not read."""

    def slow(self, path: str = ALL, entries: int = 1000) -> Narrow:
        self.relay = Facing(entries=entries)
        return self.narrow(path)

    def narrow(self, path: str) -> Narrow:
        address = IPv4Address("TCP", HOST, 1)
        channel, transport = self.relay.site.buildProtocol(address), Narrow(peerAddress=address)
        channel.callLater = self.relay.clock.callLater
        transport.protocol = channel
        channel.makeConnection(transport)
        channel.dataReceived(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return transport

    def gone(self, transport: Narrow) -> None:
        transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assert_quiet("sse")

    def test_bounded(self) -> None:
        """Whatever is published, a client that does not read costs what its socket took and one frame more."""
        transport = self.slow()
        for number in range(600):
            self.relay.publish(size=3000)
            self.relay.clock.advance(0.01 if number % 2 else 0.0)
        self.assertLess(len(transport.value()), transport.room + 2 * 64_000)
        self.gone(transport)

    def test_history_is_bounded(self) -> None:
        """So does history."""
        for _ in range(300):
            self.relay.publish(size=3000)
        transport = self.narrow(ALL + "&last=300")
        self.relay.clock.advance(1)
        self.assertLess(len(transport.value()), transport.room + 2 * 64_000)
        self.gone(transport)

    def test_stuck(self) -> None:
        """A socket that takes nothing for too long is aborted."""
        transport = self.slow()
        for _ in range(100):
            self.relay.publish(size=3000)
            self.relay.clock.advance(0.01)
        for _ in range(int(STUCK_AFTER) + 1):
            if not transport.disconnected:
                self.assertEqual(0, self.relay.metrics.value(CLOSED, "1006"))
                self.relay.clock.advance(1)
        self.assertTrue(transport.disconnected)
        self.assertEqual(1, self.relay.metrics.value(CLOSED, "1006"))
        self.gone(transport)

    def test_broken(self) -> None:
        """A connection that breaks is counted as one that was aborted; one that somebody closed is not, once more."""
        for reason, ended, count in (
            (ConnectionLost(), None, 1),
            (ConnectionDone(), None, 0),
            (ConnectionAborted(), None, 0),
            (ConnectionLost(), Close.RESTARTING, 0),
        ):
            with self.subTest(reason=reason, ended=ended):
                transport = self.slow()
                if ended is not None:
                    transport.protocol.end(ended, "restarting")
                transport.protocol.connectionLost(Failure(reason))
                self.assertEqual(count, self.relay.metrics.value(CLOSED, "1006"))
                self.assert_quiet("sse")

    def test_lag(self) -> None:
        """What left the journal meanwhile is told, exactly; then it goes on with what is newest."""
        transport = self.slow(entries=5)
        stream = transport.protocol
        stream.pauseProducing()
        for _ in range(9):
            self.relay.publish()
            self.relay.clock.advance(1)
        before = len(transport.value())
        stream.resumeProducing()
        self.relay.publish()
        self.relay.clock.advance(1)
        body = transport.value()[before:]
        self.assertIn(b'event: streamer.lag\ndata: {"skipped":9,', body)
        self.assertEqual(1, body.count(b"event: streamer.post"))
        self.gone(transport)

    def test_strict(self) -> None:
        """A strict stream ends rather than leave something out, and says why, though nothing is read."""
        transport = self.slow(entries=5, path=ALL + "&policy=strict")
        transport.protocol.pauseProducing()
        for _ in range(9):
            self.relay.publish()
        self.relay.clock.advance(1)
        self.assertIn(b'event: streamer.error\ndata: {"code":"slow"', transport.value())
        self.assertTrue(transport.value().endswith(b"0\r\n\r\n"))
        self.assertTrue(transport.disconnecting)
        self.gone(transport)


class StopTests(StreamTestCase):
    """The relay stops."""

    def test_stop(self) -> None:
        """A stream ends whole, the client is told to wait, and the relay has let go."""
        client, pump = self.open()
        stopped = self.relay.clients.stop()
        pump.flush()
        self.assertTrue(client.ended)
        self.assertTrue(client.lost)
        self.assertEqual("streamer.subscribed", client.sent[-1].event)
        self.successResultOf(stopped)
        self.assert_quiet("sse")

    def test_drain(self) -> None:
        """A stream goes on until its moment comes; then the client is told no short wait, for it keeps to that."""
        client, pump = self.open()
        self.relay.clients.stop(10.0, lambda: 0.5)
        self.relay.publish()
        self.tick(pump, 1)
        self.assertEqual((["post:1"], False), (self.ids(client), client.ended))
        self.tick(pump, 10)
        self.assertTrue(client.ended)
        self.assertTrue(sse.RETRY_MS[0] <= client.retry_ms <= sse.RETRY_MS[1], client.retry_ms)
        self.assert_quiet("sse")

    def test_spread(self) -> None:
        """Where all must go at once, each is told another time to come back."""
        client, pump = self.open()
        self.relay.clients.stop(0.0, lambda: 0.5)
        pump.flush()
        self.assertTrue(0 <= client.retry_ms - 2500 - sse.RETRY_MS[0] <= sse.RETRY_MS[1], client.retry_ms)
        self.assert_quiet("sse")

    def test_stop_without_reading(self) -> None:
        """A client that does not take the end is aborted after a while."""
        client, pump = self.open()
        self.patch(pump.serverIO, "loseConnection", lambda: None)
        stopped = self.relay.clients.stop()
        self.assertNoResult(stopped)
        self.tick(pump, clients_module.STOP_WITHIN + 1)
        self.successResultOf(stopped)
        self.assertTrue(client.lost)

    def test_closed(self) -> None:
        """Nobody is let in any more."""
        self.relay.entrance.close()
        answer = self.relay.get(ALL)
        self.assertEqual((503, "restarting"), (answer.code, answer.json["error"]["code"]))
