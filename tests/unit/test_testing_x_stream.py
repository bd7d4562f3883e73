"""The endpoint of the stream: refusals, keep-alives, backfill, slow readers."""

from __future__ import annotations

import json
import zlib
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.server import Site

from streamer.testing.connection import GRACE
from streamer.testing.faults import Disconnect, Lag, Split, Stall
from streamer.testing.x import TOKEN, SimulatedX
from tests.unit.test_testing_x import NOW, STREAM, Face, Listener


class RefusalTests(SynchronousTestCase):
    """Who gets no stream, and why."""

    def test_token(self) -> None:
        """A missing or wrong bearer token is 401; with token=None everybody is let in."""
        face = Face()
        for token in (None, "wrong"):
            answer = face.ask(STREAM, token=token)
            self.assertEqual((401, "Unauthorized"), (answer.code, answer.body["title"]))
            self.assertEqual("application/problem+json", answer.header("content-type"))
        self.assertEqual(409, Face(token=None, rules=[]).ask(STREAM, token=None).code)

    def test_no_rules(self) -> None:
        """Without rules it is 409."""
        answer = Face(rules=[]).ask(STREAM)
        self.assertEqual((409, "RuleConfigurationIssue"), (answer.code, answer.body["connection_issue"]))

    def test_parameters(self) -> None:
        """A wrong parameter is 400."""
        answer = Face().ask(STREAM + "?backfill_minutes=6")
        self.assertEqual((400, "Invalid Request"), (answer.code, answer.body["title"]))

    def test_too_many_connections(self) -> None:
        """A second stream is 429 TooManyConnections with a window not used up, until the first one is gone."""
        face = Face()
        first = face.listen()
        answer = face.ask(STREAM)
        self.assertEqual((429, "TooManyConnections"), (answer.code, answer.body["connection_issue"]))
        self.assertEqual("https://api.x.com/2/problems/streaming-connection", answer.body["type"])
        self.assertEqual("48", answer.header("x-rate-limit-remaining"))
        first.transport.loseConnection()
        face.agent.flush()
        face.listen()
        face.simulation.stop()

    def test_two_connections(self) -> None:
        """Where two are allowed both get the same."""
        face = Face(max_connections=2, rate=8.0)
        face.simulation.start()
        listeners = [face.listen(), face.listen()]
        face.advance(2.0)
        self.assertEqual(16, len(listeners[0].posts))
        self.assertEqual(listeners[0].data, listeners[1].data)
        self.assertEqual(429, face.ask(STREAM).code)
        face.simulation.stop()

    def test_counted_when_gone(self) -> None:
        """With `forgets_after` a connection that is gone still takes a place for so long."""
        face = Face(rate=0.0, forgets_after=10.0)
        face.listen().transport.loseConnection()
        face.agent.flush()
        self.assertEqual(0, face.simulation.status()["connections"])
        face.advance(9.0)
        answer = face.ask(STREAM)
        self.assertEqual((429, "TooManyConnections"), (answer.code, answer.body["connection_issue"]))
        face.advance(1.0)
        face.listen()
        face.simulation.stop()
        self.assertEqual([], face.clock.getDelayedCalls())

    def test_replace_oldest(self) -> None:
        """Where X's other page is right, a new stream ends the old one, which is told so."""
        face = Face(replace_oldest=True, rate=0.0)
        first, second = face.listen(), face.listen()
        self.assertIsNotNone(first.ended)
        self.assertEqual("ForceDisconnect", json.loads(first.lines[-1])["errors"][0]["disconnect_type"])
        self.assertIsNone(second.ended)
        self.assertEqual(1, face.simulation.status()["connections"])
        face.simulation.stop()
        self.assertEqual([], face.clock.getDelayedCalls())

    def test_rate_limit(self) -> None:
        """The window's requests are counted in headers; past them it is 429 until the window ends."""
        face = Face(rules=[], connect_limit=2)
        answers = [face.ask(STREAM) for _ in range(3)]
        self.assertEqual([409, 409, 429], [answer.code for answer in answers])
        self.assertEqual(["1", "0", "0"], [answer.header("x-rate-limit-remaining") for answer in answers])
        self.assertEqual("2", answers[2].header("x-rate-limit-limit"))
        self.assertEqual(str(int(NOW + 900)), answers[2].header("x-rate-limit-reset"))
        self.assertEqual("Too Many Requests", answers[2].body["title"])
        face.clock.advance(900.0)
        self.assertEqual(409, face.ask(STREAM).code)


class StreamTests(SynchronousTestCase):
    """What comes over an open stream."""

    def test_head(self) -> None:
        """The head comes at once, chunked, with its type and the rate limit's headers."""
        face = Face(rate=0.0)
        response = face._request(STREAM, None, TOKEN, None)
        self.assertEqual(200, response.code)
        headers = dict(response.headers.getAllRawHeaders())
        self.assertEqual([b"application/json; charset=utf-8"], headers[b"Content-Type"])
        self.assertEqual([b"49"], headers[b"X-Rate-Limit-Remaining"])
        self.assertNotIn(b"Content-Length", headers)

    def test_keep_alive(self) -> None:
        """After every 20 s of silence there is an empty line; posts put it off."""
        face = Face(rate=0.0)
        listener = face.listen()
        face.advance(19.5)
        self.assertEqual(b"", listener.data)
        face.advance(1.0)
        self.assertEqual(b"\r\n", listener.data)
        face.advance(10.0)
        face.simulation.inject("hello")
        face.advance(19.5)
        self.assertTrue(listener.data.endswith(b"}\r\n"))
        face.advance(1.0)
        self.assertTrue(listener.data.endswith(b"}\r\n\r\n"))
        face.advance(60.0)
        self.assertTrue(listener.data.endswith(b"}\r\n" + 4 * b"\r\n"))
        face.simulation.stop()

    def test_matching_rules(self) -> None:
        """Each post names one or more of the rules there are, ids as strings; all rules get some."""
        face = Face(rate=64.0, rules=[("a", "one"), ("b", None), ("c", "three")], deleted=0.0)
        face.simulation.start()
        listener = face.listen()
        face.advance(2.0)
        rules = {rule.id: rule.tag or "" for rule in face.simulation.rules.all()}
        matched = [json.loads(line)["matching_rules"] for line in listener.lines]
        self.assertEqual({1, 2}, {len(found) for found in matched})
        self.assertEqual(rules, {rule["id"]: rule["tag"] for found in matched for rule in found})
        face.simulation.stop()

    def test_injected(self) -> None:
        """An injected post comes at once, as it was given."""
        face = Face(rate=0.0)
        listener = face.listen()
        id_ = face.simulation.inject("<b>\u202e")
        face.agent.flush()
        data = json.loads(listener.lines[0])["data"]
        self.assertEqual((id_, "<b>\u202e"), (data["id"], data["text"]))
        self.assertEqual([id_], list(face.simulation.ledger.posts))
        face.simulation.stop()


class LagTests(SynchronousTestCase):
    """Two connections to one stream, at different places."""

    def setUp(self) -> None:
        self.face = Face(rate=8.0, deleted=0.0, max_connections=2)
        self.simulation = self.face.simulation
        self.simulation.start()

    def tearDown(self) -> None:
        self.simulation.stop()
        self.assertEqual([], self.face.clock.getDelayedCalls())

    def test_late(self) -> None:
        """The connection struck gets each line so many seconds later, in order; the other one at once."""
        listeners = [self.face.listen(), self.face.listen()]
        self.simulation.fault(Lag(2.0, connection=1))
        self.face.advance(3.0)
        ids = list(self.simulation.ledger.posts)
        self.assertEqual(24, len(ids))
        self.assertEqual([ids, ids[:8]], [listener.posts for listener in listeners])

    def test_between_posts(self) -> None:
        """A line comes when it is due, also where no further post sets anything going."""
        listener = self.face.listen()
        self.simulation.fault(Lag(5.0))
        self.face.advance(1.0)
        self.simulation._run.production.stop()
        self.face.advance(4.25)
        self.assertEqual(2, len(listener.posts))
        self.face.advance(1.0)
        self.assertEqual(8, len(listener.posts))

    def test_ended(self) -> None:
        """A lag of 0 sends what is due."""
        listener = self.face.listen()
        self.simulation.fault(Lag(60.0))
        self.face.advance(1.0)
        self.assertEqual([], listener.posts)
        self.simulation.fault(Lag(0.0))
        self.face.agent.flush()
        self.assertEqual(8, len(listener.posts))

    def test_next_to_open(self) -> None:
        """Where there is no connection of that number the next one is struck; what is old comes at once."""
        self.face.advance(10.0)
        self.simulation.fault(Lag(2.0))
        listener = self.face.listen("?backfill_minutes=1")
        self.assertEqual(64, len(listener.posts))
        self.face.advance(2.0)
        self.assertEqual(80, len(listener.posts))


class GzipTests(SynchronousTestCase):
    """Compressed streams."""

    def ask(self, accepted: str, **options: Any) -> tuple[Any, Listener, Face]:
        """Open a stream as a client that accepts an encoding."""
        face = Face(rate=0.0, **options)
        headers = Headers({"authorization": [f"Bearer {TOKEN}"], "accept-encoding": [accepted]})
        url = b"http://simulated.example" + STREAM.encode()
        found: list[Any] = []
        face.agent.request(b"GET", url, headers).addCallback(found.append)
        face.agent.flush()
        listener = Listener()
        found[0].deliverBody(listener)
        return found[0].headers.getRawHeaders("content-encoding"), listener, face

    def test_each_write_is_whole(self) -> None:
        """What was written can be read at once, before more is; the end is a good end."""
        encoding, listener, face = self.ask("deflate, gzip", gzip=True)
        self.assertEqual(["gzip"], encoding)
        unzip = zlib.decompressobj(31)
        for text in ("one", "two"):
            listener.data = b""
            face.simulation.inject(text)
            face.agent.flush()
            self.assertEqual(text, json.loads(unzip.decompress(listener.data))["data"]["text"])
        listener.data = b""
        face.simulation.fault(Disconnect())
        face.agent.flush()
        self.assertIn(b"operational-disconnect", unzip.decompress(listener.data))
        self.assertTrue(unzip.eof)

    def test_split(self) -> None:
        """Pieces are cut out of the compressed bytes."""
        _, listener, face = self.ask("gzip", gzip=True)
        face.simulation.fault(Split(1))
        face.simulation.inject("one")
        face.agent.flush()
        self.assertIn(b'"one"', zlib.decompressobj(31).decompress(listener.data))
        face.simulation.stop()

    def test_not_asked_for(self) -> None:
        """Who does not ask for it, or asks a server that does not do it, gets plain bytes."""
        for accepted, offered in (("identity", True), ("gzip", False)):
            encoding, listener, face = self.ask(accepted, gzip=offered)
            self.assertIsNone(encoding)
            face.simulation.inject("one")
            face.agent.flush()
            self.assertTrue(listener.data.startswith(b'{"data"'))
            face.simulation.stop()


class BackfillTests(SynchronousTestCase):
    """What was missed can be asked for."""

    def test_backfill(self) -> None:
        """Posts of the last minutes come first, in order, then what is live, with nothing missing between."""
        face = Face(rate=2.0)
        face.simulation.start()
        face.advance(100.0)
        listener = face.listen("?backfill_minutes=1")
        replayed = len(listener.posts)
        self.assertTrue(120 <= replayed <= 121, replayed)
        face.advance(10.0)
        posts = list(face.simulation.ledger.posts)
        self.assertEqual(posts[200 - replayed :], listener.posts)
        face.simulation.stop()

    def test_bounded(self) -> None:
        """No more than five minutes are kept."""
        face = Face(rate=1.0)
        face.simulation.start()
        face.advance(400.0, 1.0)
        listener = face.listen("?backfill_minutes=5")
        self.assertTrue(300 <= len(listener.posts) <= 301)
        face.simulation.stop()

    def test_recovery(self) -> None:
        """With a start and an end time the span is replayed, and the response ends."""
        face = Face(rate=1.0)
        face.simulation.start()
        face.advance(60.0)
        listener = face.listen("?start_time=2026-11-21T04:00:10Z&end_time=2026-11-21T04:00:20Z")
        self.assertEqual(list(face.simulation.ledger.posts)[9:19], listener.posts)
        self.assertIsNotNone(listener.ended)
        self.assertFalse(listener.ended.check(ResponseFailed, PotentialDataLoss))
        face.simulation.stop()

    def test_recoveries_are_counted_apart(self) -> None:
        """Two recoveries may run beside a live stream, whatever it may have of its own; a third is 429."""
        for options in ({}, {"max_connections": 3}, {"replace_oldest": True}):
            face = Face(rate=1.0, **options)
            face.simulation.start()
            face.advance(60.0)
            span = "?start_time=2026-11-21T04:00:10Z&end_time=2026-11-21T04:00:20Z"
            live = face.listen()
            for _ in range(2):
                face.simulation.faults.add(Lag(1000.0))
                self.assertIsNone(face.listen(span).ended)
            answer = face.ask(STREAM + span)
            self.assertEqual((429, "TooManyConnections"), (answer.code, answer.body["connection_issue"]), options)
            face.advance(2.0)
            self.assertIsNone(live.ended)
            self.assertEqual(2, len(live.posts))
            face.simulation.stop()
            self.assertEqual([], face.clock.getDelayedCalls())

    def test_a_recovery_that_is_over(self) -> None:
        """A recovery makes room for the next one as soon as its answer ended, and takes none from a live stream."""
        face = Face(rate=1.0)
        face.simulation.start()
        face.advance(30.0)
        span = "?start_time=2026-11-21T04:00:10Z&end_time=2026-11-21T04:00:20Z"
        for _ in range(3):
            self.assertIsNotNone(face.listen(span).ended)
        face.listen()
        self.assertEqual(429, face.ask(STREAM).code)
        face.simulation.stop()


class Congested(StringTransport):
    """A transport whose buffer is full after so many bytes."""

    full_at = 30_000  # bytes

    def writeSequence(self, data: list[bytes]) -> None:
        super().writeSequence(data)
        if len(self.value()) > self.full_at and self.producer is not None:
            self.producer.pauseProducing()


class SlowReaderTests(SynchronousTestCase):
    """A client that does not read costs nothing, and is dropped."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = NOW
        self.simulation = SimulatedX(
            self.clock, rate=64.0, rules=[("kakapo", None)], buffer_limit=50_000, deleted=0.0, max_connections=2
        )
        self.site = Site(self.simulation.resource, reactor=self.clock)
        self.transport = self.connect()

    def connect(self, query: str = "", kind: type[StringTransport] = StringTransport) -> StringTransport:
        """Open a stream over a transport that can say wait."""
        channel = self.site.buildProtocol(None)
        transport = kind()
        channel.makeConnection(transport)
        transport.protocol = channel
        channel.dataReceived(
            f"GET {STREAM}{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        return transport

    def lose(self, transport: StringTransport) -> None:
        """Let the connection be gone."""
        transport.protocol.connectionLost(Failure(ConnectionDone()))

    def test_waits_and_goes_on(self) -> None:
        """While the transport says wait nothing is written; afterwards all of it, in order."""
        self.simulation.start()
        self.transport.producer.pauseProducing()
        self.transport.clear()
        self.clock.pump([0.125] * 3)
        self.assertEqual(b"", self.transport.value())
        self.transport.producer.resumeProducing()
        body = self.transport.value()
        at = [body.index(id_.encode()) for id_ in self.simulation.ledger.posts]
        self.assertEqual(24, len(at))
        self.assertEqual(sorted(at), at)
        self.simulation.stop()

    def test_dropped(self) -> None:
        """Past the limit it is told SlowReader and hung up on; if it does not go it is aborted. No timer stays."""
        self.simulation.start()
        self.transport.producer.pauseProducing()
        self.transport.clear()
        self.clock.pump([0.125] * 32)
        self.assertIn(b'"disconnect_type":"SlowReader"', self.transport.value())
        self.assertNotIn(b'"matching_rules"', self.transport.value())
        self.assertTrue(self.transport.disconnecting)
        self.clock.advance(GRACE)
        self.assertTrue(self.transport.disconnected)
        self.lose(self.transport)
        self.assertEqual(0, self.simulation.status()["connections"])
        self.simulation.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_others_are_not_held_up(self) -> None:
        """The other connection gets everything meanwhile."""
        other = self.connect()
        self.simulation.start()
        self.transport.producer.pauseProducing()
        self.clock.pump([0.125] * 32)
        self.assertEqual(256, other.value().count(b'"matching_rules"'))
        self.simulation.stop()

    def test_backfill_does_not_count(self) -> None:
        """Who asks for much backfill is not a slow reader for it."""
        self.simulation.start()
        self.clock.pump([0.125] * 80)
        self.lose(self.transport)
        self.transport = self.connect("?backfill_minutes=1", Congested)
        self.clock.pump([0.125] * 3)
        self.assertFalse(self.transport.disconnecting)
        self.transport.full_at = 10_000_000
        self.transport.producer.resumeProducing()
        self.assertEqual(640 + 24, self.transport.value().count(b'"matching_rules"'))
        self.simulation.stop()

    def test_forgotten_lines_are_counted(self) -> None:
        """A stalled connection whose lines are forgotten meanwhile misses them, and the ledger says how many."""
        self.simulation.history.most_bytes = 20_000
        self.simulation.start()
        self.simulation.fault(Stall(4.0))
        self.clock.pump([0.125] * 40)
        (count,) = self.simulation.ledger.connections
        self.assertTrue(count.missed > 100, count)
        self.assertEqual(self.simulation.ledger.produced, count.missed + count.lines)
        self.simulation.stop()
