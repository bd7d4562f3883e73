"""The simulated X as a whole: rates, limits, ledger, starting and stopping."""

from __future__ import annotations

import json
from typing import Any

import attrs
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Response
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from streamer.testing.x import TOKEN, SimulatedX

NOW = 1_795_233_600.0  # seconds since the epoch
STREAM = "/2/tweets/search/stream"
RULES = STREAM + "/rules"
EVERYTHING = (
    "?tweet.fields=author_id,conversation_id,created_at,entities,geo,in_reply_to_user_id,lang,possibly_sensitive,"
    "public_metrics,referenced_tweets,reply_settings,attachments&expansions=author_id,geo.place_id,referenced_tweets.id,"
    "entities.mentions.username,in_reply_to_user_id,attachments.media_keys&place.fields=geo,country,country_code"
)


class Listener(Protocol):
    """Collects a response's body."""

    def __init__(self) -> None:
        self.data = b""
        self.ended: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.ended = reason

    @property
    def lines(self) -> list[bytes]:
        """The whole lines, keep-alives left out."""
        return [line for line in self.data.split(b"\r\n")[:-1] if line]

    @property
    def posts(self) -> list[str]:
        """The ids of the posts, in order."""
        documents = [json.loads(line) for line in self.lines]
        return [document["data"]["id"] for document in documents if "data" in document]


@implementer(IBodyProducer)
class WholeBody:
    """A request's body, written at once."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self.body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """There is nothing to pause."""

    resumeProducing = stopProducing = pauseProducing


@attrs.define
class Answer:
    """A response's head, and its body where it was whole."""

    response: Any
    body: Any

    @property
    def code(self) -> int:
        return self.response.code

    def header(self, name: str) -> str | None:
        return self.response.headers.getRawHeaders(name, [None])[0]


class Face:
    """A simulation on a Clock, and a client that speaks HTTP with it in memory."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.clock.rightNow = NOW
        options.setdefault("rules", [("kakapo", "birds")])
        self.simulation = SimulatedX(self.clock, **options)
        self.agent = RequestTraversalAgent(self.simulation.resource)

    def ask(self, path: str, body: Any = None, token: str | None = TOKEN, method: str | None = None) -> Answer:
        """A short request, with a JSON body where there is one."""
        response = self._request(path, body, token, method)
        listener = Listener()
        response.deliverBody(listener)
        self.agent.flush()
        return Answer(response, json.loads(listener.data) if listener.data else None)

    def listen(self, query: str = "", path: str = STREAM) -> Listener:
        """Open a stream, the filtered one by default."""
        response = self._request(path + query, None, TOKEN, None)
        assert response.code == 200, response.code
        listener = Listener()
        response.deliverBody(listener)
        self.agent.flush()
        return listener

    def advance(self, seconds: float, step: float = 0.125) -> None:
        """Let time go by, and bytes arrive; steps are binary fractions, so that their sums are exact."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.agent.flush()

    def _request(self, path: str, body: Any, token: str | None, method: str | None) -> Response:
        headers = Headers({"authorization": [f"Bearer {token}"]} if token is not None else {})
        producer = None
        if body is not None:
            producer = WholeBody(body if isinstance(body, bytes) else json.dumps(body).encode())
        verb = method or ("GET" if body is None else "POST")
        found: list[Response] = []
        deferred = self.agent.request(verb.encode(), b"http://simulated.example" + path.encode(), headers, producer)
        deferred.addCallback(found.append)
        self.agent.flush()
        return found[0]


class SimulatedXTests(SynchronousTestCase):
    """Everything together."""

    def test_stream_and_ledger(self) -> None:
        """Every post of the ledger arrives once, in order, at the rate asked for; deletes are in it too."""
        face = Face(rate=64.0, deleted=0.1)
        face.simulation.start()
        listener = face.listen(EVERYTHING)
        face.advance(4.0)
        ledger = face.ask("/_sim/ledger").body
        self.assertEqual(256, len(ledger["posts"]))
        self.assertEqual(ledger["posts"], listener.posts)
        deletes = [json.loads(line)["delete"]["status"]["id_str"] for line in listener.lines if b'{"delete"' in line]
        self.assertEqual(ledger["deletes"], deletes)
        self.assertTrue(5 <= len(deletes) <= 40)
        self.assertTrue(set(deletes) <= set(ledger["posts"]))
        self.assertEqual([256 + len(deletes)], ledger["sent"])
        face.simulation.stop()

    def test_deletes_are_about_one_percent(self) -> None:
        """By default every hundredth post, about, is deleted later."""
        face = Face(rate=1000.0)
        face.simulation.start()
        face.advance(5.0)
        self.assertTrue(25 <= len(face.simulation.ledger.deletes) <= 80)
        face.simulation.stop()

    def test_posts_happen_without_listeners(self) -> None:
        """Posts happen from the start on, whoever listens; who comes later gets what comes later."""
        face = Face(rate=8.0)
        face.simulation.start()
        face.advance(2.0)
        listener = face.listen()
        face.advance(1.0)
        self.assertEqual(24, len(face.simulation.ledger.posts))
        self.assertEqual(list(face.simulation.ledger.posts)[16:], listener.posts)
        face.simulation.stop()

    def test_wait_for_client_and_count(self) -> None:
        """With `wait_for_client` and `count`, the first listener gets all posts there will ever be."""
        face = Face(rate=10.0, wait_for_client=True, count=15)
        face.simulation.start()
        face.advance(5.0)
        self.assertEqual(0, face.simulation.ledger.produced)
        listener = face.listen()
        face.advance(10.0)
        self.assertEqual(15, len(listener.posts))
        self.assertEqual(list(face.simulation.ledger.posts), listener.posts)
        self.assertFalse(face.simulation.status()["running"])
        self.assertIsNone(listener.ended)
        face.simulation.stop()

    def test_before_start(self) -> None:
        """A client that comes before the start sets nothing going."""
        face = Face(wait_for_client=True)
        face.listen()
        face.advance(1.0)
        self.assertEqual(0, face.simulation.ledger.produced)
        face.simulation.stop()
        self.assertEqual([], face.clock.getDelayedCalls())

    def test_no_rules_no_posts(self) -> None:
        """While there is no rule nothing is produced, for nothing would match."""
        face = Face(rules=[])
        face.simulation.start()
        face.advance(2.0)
        self.assertEqual(0, face.simulation.ledger.produced)
        face.simulation.stop()

    def test_stop(self) -> None:
        """Stopping drops every stream and leaves no timer; the listener sees the loss."""
        face = Face()
        face.simulation.start()
        listener = face.listen()
        face.advance(1.0)
        face.simulation.stop()
        face.agent.flush()
        self.assertIsNotNone(listener.ended)
        self.assertEqual(0, face.simulation.status()["connections"])
        self.assertEqual([], face.clock.getDelayedCalls())

    def test_client_leaves(self) -> None:
        """A client that hangs up frees its place and leaves no timer of its own."""
        face = Face(rate=0.0)
        listener = face.listen()
        listener.transport.loseConnection()
        face.agent.flush()
        self.assertEqual(0, face.simulation.status()["connections"])
        self.assertEqual([], face.clock.getDelayedCalls())

    def test_fast(self) -> None:
        """A fast simulation keeps up 20,000 posts a second of simulated time, nothing lost, whatever was asked."""
        face = Face(rate=20_000.0, fast=True, deleted=0.0)
        face.simulation.start()
        listener = face.listen()
        face.advance(0.25, 0.03125)
        self.assertEqual(5000, len(listener.lines))
        self.assertIn(b'"users"', listener.lines[0])
        face.simulation.stop()

    def test_forgotten_ids(self) -> None:
        """The ledger is bounded and says how many ids it no longer knows."""
        face = Face()
        for number in range(100_005):
            face.simulation.ledger.posted(str(number))
        ledger = face.ask("/_sim/ledger").body
        self.assertEqual((100_000, "5", 5), (len(ledger["posts"]), ledger["posts"][0], ledger["forgotten"]))

    def test_unknown_paths(self) -> None:
        """Unknown paths and methods are refused with a problem, not with a page of HTML."""
        face = Face()
        for path in ("/", "/2", "/2/users", STREAM + "/x", "/_sim", "/_sim/x"):
            answer = face.ask(path)
            self.assertEqual((404, "Not Found"), (answer.code, answer.body["title"]), path)
        for path, method in ((STREAM, "DELETE"), (RULES, "PUT"), ("/_sim/fault", "GET"), (STREAM, "HEAD")):
            self.assertEqual(405, face.ask(path, method=method).code, path)
