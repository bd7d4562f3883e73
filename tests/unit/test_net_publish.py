"""`POST /publish`, in memory."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from streamer.errors import ClientError
from streamer.fanout.grants import TOKEN_LIMIT, Grants, refused
from streamer.fanout.publishing import Done, Publication, Published
from streamer.metrics import CLIENT_PUBLISHED, Metrics
from streamer.net import publish
from streamer.net.admission import Admission
from streamer.net.bodies import TIMES_READ, Bodies
from streamer.net.headers import BODY_LIMIT as DROPPED_LIMIT
from streamer.net.headers import GuardedSite, security_headers
from streamer.net.publish import BODY_LIMIT, BURST, PATH, RATE, RETRY_AFTER, Publish, Rates

PAGE = "https://birds.example"
EVENT = {"topic": "chat.a", "data": {"body": "hi"}, "id": "m-1"}
JACK = Grants("jack", publish=frozenset({"chat.#"}))


class Answer:
    """An HTTP answer taken apart."""

    def __init__(self, raw: bytes) -> None:
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.code = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.json: Any = json.loads(body) if body else None


class Desk:
    """Takes publications and answers as it is told; None waits."""

    def __init__(self) -> None:
        self.answer: Published | ClientError | None = Published("m-1", "/clients/jack")
        self.asked: list[tuple[Publication, Grants, Done]] = []

    def publish(self, publication: Publication, grants: Grants, done: Done) -> None:
        """See `Publishes`."""
        self.asked.append((publication, grants, done))
        if self.answer is not None:
            done(self.answer)


class Tokens:
    """Knows the token `jack`."""

    anonymous = Grants(publish=frozenset({"open.#"}))
    trouble: ClientError | None = None

    def check(self, token: str, now: float) -> Grants:
        """See `Authority`."""
        if self.trouble is not None:
            raise self.trouble
        if token != "jack":
            raise refused("the token is not signed with a key of this relay")
        return JACK


class PublishTests(SynchronousTestCase):
    """`Publish`, behind the real site."""

    def setUp(self) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.desk, self.tokens = Desk(), Tokens()
        self.admission, self.bodies = Admission(10, 5), Bodies({PATH: BODY_LIMIT})
        root = Resource()
        root.putChild(PATH[1:], Publish(self.desk, self.tokens, [PAGE, "null"], self.metrics, self.clock))
        headers = security_headers([PAGE])
        self.site = GuardedSite(root, headers, 30, self.clock, self.admission, self.bodies)
        self.addCleanup(self.quiet)

    def quiet(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.admission.connections, self.bodies.held), (0, 0))

    def connect(self, address: Any = None) -> tuple[Any, StringTransport]:
        address = address or IPv4Address("TCP", "192.0.2.1", 1)
        transport = StringTransport(peerAddress=address)
        channel = self.site.buildProtocol(address)
        channel.callLater = self.clock.callLater
        channel.makeConnection(transport)
        return channel, transport

    def request(self, body: bytes, method: str = "POST", path: str = "/publish", **more: str | None) -> bytes:
        headers: dict[str, str | None] = {
            "Host": "x",
            "Content-Type": "application/json",
            "Authorization": "Bearer jack",
        }
        headers |= {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in more.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value)]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def ask(self, body: Any = EVENT, address: Any = None, **more: str | None) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        channel, transport = self.connect(address)
        channel.dataReceived(self.request(data, Connection="close", **more))
        answer = Answer(transport.value())
        channel.connectionLost(Failure(ConnectionDone()))
        return answer

    def refused(self, code: int, word: str, body: Any = EVENT, **more: str | None) -> Answer:
        """Ask, and see that nothing was published for it; the answer is whole and names what was wrong."""
        before = len(self.desk.asked)
        answer = self.ask(body, **more)
        self.assertEqual((answer.code, answer.json["error"]["code"]), (code, word))
        self.assertEqual(len(self.desk.asked), before)
        self.assertEqual(answer.json["error"]["retry"], "retry-after" in answer.headers)
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        return answer

    def test_published(self) -> None:
        """A backend's event goes to the bus with its token's grants; the answer says what it is called."""
        answer = self.ask()
        self.assertEqual((answer.code, answer.json), (200, {"id": "m-1", "source": "/clients/jack"}))
        self.assertEqual(answer.headers["content-type"], "application/json")
        [(publication, grants, _)] = self.desk.asked
        self.assertEqual(publication, Publication("chat.a", {"body": "hi"}, "m-1"))
        self.assertEqual(grants, JACK)
        self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_answered_when_confirmed(self) -> None:
        """Nothing is said before the bus has answered; then the connection is ready for the next event."""
        self.desk.answer = None
        channel, transport = self.connect()
        channel.dataReceived(self.request(b'{"topic":"a","data":{}}'))
        self.clock.advance(60)
        self.assertEqual(transport.value(), b"")
        self.desk.asked[0][2](Published("m-1", "/clients/jack"))
        self.assertEqual(Answer(transport.value()).code, 200)
        transport.clear()
        channel.dataReceived(self.request(b'{"topic":"b","data":{}}'))
        self.desk.asked[1][2](ClientError("unavailable", "later", retry=True))
        answer = Answer(transport.value())
        self.assertEqual((answer.code, answer.headers["retry-after"]), (503, str(RETRY_AFTER)))
        self.assertEqual(answer.json, {"error": {"code": "unavailable", "message": "later", "retry": True}})
        channel.connectionLost(Failure(ConnectionDone()))

    def test_gone(self) -> None:
        """Nobody is answered who hung up meanwhile."""
        self.desk.answer = None
        channel, transport = self.connect()
        channel.dataReceived(self.request(b'{"topic":"a","data":{}}'))
        channel.connectionLost(Failure(ConnectionDone()))
        self.desk.asked[0][2](Published("m-1", "/clients/jack"))
        self.assertEqual((transport.value(), self.flushLoggedErrors()), (b"", []))

    def test_errors_of_the_publisher(self) -> None:
        """What the publisher says is said with the status that fits."""
        for word, retry, code in (
            ("bad-request", False, 400),
            ("bad-topic", False, 400),
            ("too-long", False, 413),
            ("forbidden", False, 403),
            ("limit", True, 503),
            ("unavailable", True, 503),
        ):
            self.desk.answer = ClientError(word, "so it is", retry=retry)
            answer = self.ask()
            with self.subTest(word=word):
                self.assertEqual((answer.code, answer.json["error"]["message"]), (code, "so it is"))
                self.assertEqual("retry-after" in answer.headers, retry)

    def test_methods(self) -> None:
        """There is one method; the others are told so."""
        for method in ("GET", "PUT", "DELETE", "PATCH"):
            answer = self.refused(405, "method", method=method)
            self.assertEqual(answer.headers["allow"], "OPTIONS, POST")
        channel, transport = self.connect()
        channel.dataReceived(self.request(b"", "HEAD", Connection="close"))
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 405 "))
        self.assertTrue(transport.value().endswith(b"\r\n\r\n"))
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.metrics.total(CLIENT_PUBLISHED), 0)
        self.refused(404, "not-found", method="GET", path="/publish/x")

    def test_types(self) -> None:
        """Only JSON: whatever a form can send in a visitor's name is refused."""
        for good in ("application/json", "Application/JSON; charset=utf-8", 'application/json;charset="UTF-8"'):
            self.assertEqual(self.ask(Content_Type=good).code, 200)
        for bad in (None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            self.refused(415, "media-type", Content_Type=bad)
        self.refused(415, "media-type", Content_Type="application/json; charset=utf-16")
        self.refused(415, "media-type", Content_Encoding="gzip")
        self.assertEqual(self.metrics.value(CLIENT_PUBLISHED, "refused"), 6)

    def test_not_understood(self) -> None:
        """What is no event is a sentence."""
        for body in (b"", b"{", b"[]", b'{"topic":"a"}', b"\xff", b'{"topic":"a","data":{},"source":"x"}'):
            with self.subTest(body=body):
                self.assertGreater(len(self.refused(400, "bad-request", body).json["error"]["message"]), 20)

    def test_without_token(self) -> None:
        """Without a token one has what everybody is granted; where that is not enough, a token is asked for."""
        self.assertEqual(self.ask(Authorization=None).code, 200)
        self.assertEqual(self.desk.asked[0][1], Tokens.anonymous)
        self.desk.answer = ClientError("forbidden", "no grant")
        answer = self.ask(Authorization=None)
        self.assertEqual((answer.code, answer.headers["www-authenticate"]), (401, 'Bearer realm="streamer"'))
        answer = self.ask()
        self.assertEqual(answer.code, 403)
        self.assertEqual(answer.headers["www-authenticate"], 'Bearer realm="streamer", error="insufficient_scope"')

    def test_bad_token(self) -> None:
        """A token that is worth nothing is not the same as none; it is never repeated."""
        for shown in (
            "Bearer s3cret",
            "Bearer",
            "Bearer s3cret s3cret",
            "Bearer " + "s" * (TOKEN_LIMIT + 1),
        ):
            with self.subTest(shown=shown[:20]):
                answer = self.refused(401, "token", Authorization=shown)
                self.assertEqual(answer.headers["www-authenticate"], 'Bearer realm="streamer", error="invalid_token"')
                self.assertNotIn("s3cret", str(answer.json))
        self.tokens.trouble = ClientError("token", "the keys are not there yet", close=4200, retry=True)
        self.refused(503, "token")

    def test_other_logins(self) -> None:
        """A login of another kind is for a proxy before the relay, and no token."""
        self.assertEqual(self.ask(Authorization="Basic s3cret").code, 200)

    def test_origins(self) -> None:
        """A page publishes from an origin of the list, `null` never being on it; a program has none."""
        answer = self.ask(Origin=PAGE)
        self.assertEqual((answer.code, answer.headers["access-control-allow-origin"]), (200, PAGE))
        self.assertEqual(answer.headers["vary"], "origin")
        self.assertNotIn("access-control-allow-credentials", answer.headers)
        for origin in ("https://evil.example", "null", PAGE + ".evil.example", "http://birds.example", "*"):
            with self.subTest(origin=origin):
                answer = self.refused(403, "origin", Origin=origin)
                self.assertNotIn("access-control-allow-origin", answer.headers)
        self.refused(403, "origin", Origin=f"{PAGE}\r\nOrigin: {PAGE}")
        answer = self.refused(400, "bad-request", b"{", Origin=PAGE)
        self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)  # or the page could not read why

    def test_preflight(self) -> None:
        """Browsers are told, for listed origins only, that a page may send JSON and a token."""
        asks = {"Access_Control_Request_Method": "POST", "Content_Type": None, "Authorization": None}
        answer = self.ask(b"", method="OPTIONS", Origin=PAGE, **asks)
        self.assertEqual((answer.code, answer.json), (204, None))
        for name, value in (
            ("origin", PAGE),
            ("methods", "POST"),
            ("headers", "authorization, content-type"),
        ):
            self.assertEqual(answer.headers[f"access-control-allow-{name}"], value)
        answer = self.refused(403, "origin", b"", method="OPTIONS", Origin="https://evil.example", **asks)
        self.assertFalse([name for name in answer.headers if name.startswith("access-control")])
        answer = self.ask(b"", method="OPTIONS", **asks)
        self.assertFalse([name for name in answer.headers if name.startswith("access-control")])
        self.assertEqual(self.metrics.total(CLIENT_PUBLISHED), 0)

    def test_rate(self) -> None:
        """Each publisher has a rate: by its token, else by its address."""
        self.patch(publish, "BURST", 2.0)
        for address in ("192.0.2.1", "192.0.2.2"):
            peer = IPv4Address("TCP", address, 1)
            self.assertEqual([self.ask(address=peer, Authorization=None).code for _ in range(3)], [200, 200, 429])
            self.assertEqual(self.refused(429, "rate", address=peer, Authorization=None).headers["retry-after"], "3")
        peers = [IPv4Address("TCP", f"192.0.2.{number}", 1) for number in range(3)]
        self.assertEqual([self.ask(address=peer).code for peer in peers], [200, 200, 429])
        self.clock.advance(1.5 / RATE)
        self.assertEqual(self.ask().code, 200)
        self.assertEqual(self.ask(address=UNIXAddress("x"), Authorization=None).code, 200)

    def test_rates_are_bounded(self) -> None:
        """Of so many publishers the longest unheard are forgotten."""
        self.patch(publish, "PUBLISHERS_LIMIT", 3)
        self.patch(publish, "BURST", 1.0)
        rates = Rates()
        for address in ("a", "b", "c"):
            rates.take(Grants(), address, 0.0)
        self.assertRaises(ClientError, rates.take, Grants(), "a", 0.0)
        rates.take(Grants(), "d", 0.0)
        self.assertEqual(len(rates), 3)
        self.assertRaises(ClientError, rates.take, Grants(), "a", 0.0)
        rates.take(Grants(), "b", 0.0)
        rates.take(Grants("a"), "", 0.0)
        self.assertGreater(BURST, 1.0)

    def test_body_in_pieces(self) -> None:
        """A body comes as it comes, chunked or not."""
        body = json.dumps(EVENT).encode()
        chunked = b"".join(b"%x\r\n%b\r\n" % (1, body[index : index + 1]) for index in range(len(body))) + b"0\r\n\r\n"
        whole = self.request(body)
        head = self.request(b"", Content_Length=None, Transfer_Encoding="chunked")
        for data in (whole, head + chunked):
            channel, transport = self.connect()
            for index in range(len(data)):
                channel.dataReceived(data[index : index + 1])
            self.assertEqual(Answer(transport.value()).code, 200)
            channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([asked[0].id for asked in self.desk.asked], ["m-1", "m-1"])

    def test_long_body(self) -> None:
        """A body may be as long as an event; one that is longer is read to its end, which is not kept, and refused."""
        self.patch(self.bodies, "pages", {PATH: 1_000})
        self.assertEqual(self.ask(json.dumps(EVENT).encode().ljust(1_000)).code, 200)
        self.refused(413, "too-long", b"x" * 1_001)
        channel, transport = self.connect()
        channel.dataReceived(self.request(b"", Content_Length="999999999"))
        channel.dataReceived(b"x" * 1_000)
        self.assertEqual(self.bodies.held, 1_000)
        channel.dataReceived(b"x")
        self.assertEqual(self.bodies.held, 0)
        channel.dataReceived(b"x" * 1_000 * TIMES_READ)
        self.assertTrue(transport.disconnecting)
        channel.connectionLost(Failure(ConnectionDone()))

    def test_held_bodies(self) -> None:
        """All bodies together are held up to a limit; who gives up, or is refused, holds nothing."""
        self.patch(self.bodies, "limit", 1_500)
        channel, transport = self.connect()
        channel.dataReceived(self.request(b"", Content_Length="2000"))
        channel.dataReceived(b" " * 1_400)
        self.assertEqual(self.bodies.held, 1_400)
        self.refused(503, "limit", json.dumps(EVENT).encode().ljust(200))
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.bodies.held, transport.value()), (0, b""))
        self.refused(415, "media-type", b"x" * 1_000, Content_Type="text/plain")
        self.assertEqual((self.bodies.held, self.ask().code), (0, 200))

    def test_other_pages(self) -> None:
        """A body sent anywhere else is not kept."""
        channel, transport = self.connect()
        channel.dataReceived(self.request(b"", path="/other", Content_Length="999999999"))
        channel.dataReceived(b"x" * DROPPED_LIMIT)
        self.assertEqual((self.bodies.held, transport.disconnecting), (0, False))
        channel.dataReceived(b"x")
        self.assertTrue(transport.disconnecting)
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.bodies.open(b"PUT", PATH), self.bodies.open(b"POST", PATH + b"/")), (None, None))

    @given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([100, 400, "read", "drop"])), max_size=40))
    def test_what_is_held(self, steps: list[tuple[int, Any]]) -> None:
        """Whatever comes, the count is that of the bytes kept, and both limits hold."""
        bodies = Bodies({PATH: 1_000}, 1_500)
        held: dict[int, int] = {}
        open_ = {number: bodies.open(b"POST", PATH + b"?a=b") for number in range(4)}
        for number, step in steps:
            body = open_[number]
            assert body is not None
            if isinstance(step, int):
                body.add(b"x" * step)
            elif step == "read":
                try:
                    self.assertEqual(len(body.read()), held.get(number, 0))
                except ClientError as error:
                    self.assertIn(error.code, ("too-long", "limit"))
            else:
                body.drop()
            held[number] = body._size
            self.assertEqual(bodies.held, sum(held.values()))
            self.assertLessEqual(bodies.held, 1_500)
            self.assertLessEqual(held[number], 1_000)
